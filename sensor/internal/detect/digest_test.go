package detect

import (
	"crypto/md5"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/suricata"
)

func TestDigests(t *testing.T) {
	dir := t.TempDir()
	sum := md5.Sum([]byte("known"))
	text := "# a list\n\n" + hex.EncodeToString(sum[:]) + "  name of the file\n"
	if err := os.WriteFile(filepath.Join(dir, "list"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	condition := func(negated bool) fileCondition {
		r := &suricata.Compiled{Rule: &suricata.Rule{File: filepath.Join(dir, "a.rules")}}
		f, err := digestCondition(r, &suricata.Option{Keyword: &suricata.Keyword{Name: "filemd5"}, Value: suricata.Quoted("list"), Negated: negated})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	made := func(text string, state file.State) *file.File {
		f := file.New(file.Config{MD5: true}, 1, nil)
		f.Add([]byte(text))
		f.Close(state)
		return f
	}
	for _, test := range []struct {
		text     string
		state    file.State
		in, notI bool
	}{{"known", file.Closed, true, false}, {"other", file.Closed, false, true}, {"known", file.Truncated, false, false}} {
		f := made(test.text, test.state)
		if got := condition(false)(f); got != test.in {
			t.Errorf("%s %v: in the list: %v", test.text, test.state, got)
		}
		if got := condition(true)(f); got != test.notI {
			t.Errorf("%s %v: not in the list: %v", test.text, test.state, got)
		}
	}
	if _, err := readDigests(filepath.Join(dir, "list"), 32); err == nil {
		t.Error("a list of MD5 is taken for SHA-256")
	}
}
