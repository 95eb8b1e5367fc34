package gctune

import (
	"fmt"
	"slices"
	"testing"
)

// TestSee follows a process through load, a pause too short to matter, and
// rest.
func TestSee(t *testing.T) {
	var did []string
	tn := tuner{
		set:     func(percent int) { did = append(did, fmt.Sprint(percent)) },
		release: func() { did = append(did, "release") },
	}
	tn.start()
	quiet := func(n int) {
		for range n {
			tn.see(busyRate - 1)
		}
	}
	quiet(2 * patience) // idle from the start: nothing to give back
	tn.see(busyRate)
	tn.see(10 * busyRate)
	quiet(patience - 1)
	tn.see(busyRate)
	quiet(patience)
	quiet(patience)
	want := []string{"50", "200", "50", "release"}
	if !slices.Equal(did, want) {
		t.Errorf("did %q, want %q", did, want)
	}
}

func TestAllocatedGrows(t *testing.T) {
	before := allocated()
	kept = make([]byte, 1<<20)
	if after := allocated(); after < before+1<<20 {
		t.Errorf("allocated %d, after 1 MiB more %d", before, after)
	}
}

var kept []byte
