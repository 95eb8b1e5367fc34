package sigma_test

import (
	"os"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/sigma"
	"github.com/hauberk/hauberk/sigma/sigmatest"
)

// linuxSet compiles SigmaHQ's Linux rules for one class of exec events.
func linuxSet(t testing.TB) (*sigma.Set, []sigmatest.Event) {
	t.Helper()
	rules, _ := sigma.ParseFS(os.DirFS(need.Data(t, "sigma")), "linux")
	schema := ecs(t)
	set, errs, err := sigma.Compile(rules, sigma.Options{Schema: schema, Classes: []sigma.Class{{Name: "exec", Sources: []sigma.LogSource{
		{Product: "linux", Category: "process_creation"}, {Product: "linux", Service: "auditd"},
	}}}})
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	return set, sigmatest.Typical(1, schema, 2_000)
}

func BenchmarkMatchLinux(b *testing.B) {
	set, events := linuxSet(b)
	sc := set.NewScratch()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		set.Match(&events[i%len(events)], 0, sc)
	}
}

// TestMatchDoesNotAllocate holds the allocation budget: none.
func TestMatchDoesNotAllocate(t *testing.T) {
	set, events := linuxSet(t)
	sc := set.NewScratch()
	for i := range events { // let the scratch grow to its size
		set.Match(&events[i], 0, sc)
	}
	i := 0
	if n := testing.AllocsPerRun(len(events), func() {
		set.Match(&events[i%len(events)], 0, sc)
		i++
	}); n != 0 {
		t.Errorf("%v allocations per event, want 0", n)
	}
}
