package notify

import (
	"context"
	"path/filepath"
	"testing"
)

func TestReadyIsHeard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify.sock")
	heard := make(chan State, 3)
	ctx, cancel := context.WithCancel(context.Background())
	done, err := Listen(ctx, path, func(s State) { heard <- s })
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Ready("listening on\n:7443"); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; !got.Ready || got.Status != "listening on :7443" {
		t.Fatalf("heard %+v", got)
	}
	if err := Stopping(); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; !got.Stopping || got.Ready {
		t.Fatalf("heard %+v", got)
	}
	cancel()
	<-done
	if err := Ready("x"); err == nil {
		t.Fatal("nobody listens, yet no error")
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Ready("x"); err != nil {
		t.Fatalf("without NOTIFY_SOCKET: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("READY=1\nSTATUS=x=y")
	f.Fuzz(func(t *testing.T, s string) { parse(s) })
}
