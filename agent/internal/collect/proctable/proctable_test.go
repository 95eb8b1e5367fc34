package proctable

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

func exec(t *Table, pid uint32, start uint64, parent Key, exe string) *Process {
	return t.Exec(&Facts{Key: Key{pid, start}, Parent: parent}, []byte(exe), []byte(exe+"\x00-x\x00"), []byte("/"), 7)
}

func ancestry(t *Table, p *Process) string {
	s := ""
	if p = t.Parent(p); p != nil {
		t.Chain(p, 8, func(a *Process) { s += fmt.Sprintf("%d:%s ", a.PID, a.Image().Executable) })
	}
	return s
}

func TestAncestry(t *testing.T) {
	table := New(100, 1<<20)
	exec(table, 1, 1, Key{}, "/sbin/init")
	exec(table, 10, 5, Key{1, 1}, "/usr/sbin/sshd")
	table.Fork(Key{11, 6}, Key{10, 5})
	if got := string(table.Latest(11).Image().Executable); got != "/usr/sbin/sshd" {
		t.Fatalf("a fork runs %q, want its parent's image", got)
	}
	exec(table, 11, 6, Key{10, 5}, "/bin/bash")
	table.Fork(Key{12, 7}, Key{11, 6})
	table.Exit(Key{11, 6})
	// Its parent ended, so the kernel says it is init's child now.
	p := exec(table, 12, 7, Key{1, 1}, "/usr/bin/id")
	if got, want := ancestry(table, p), "11:/bin/bash 10:/usr/sbin/sshd 1:/sbin/init "; got != want {
		t.Fatalf("ancestors %q, want %q", got, want)
	}
}

// TestChainHolds: whatever changes a line of ancestors ends the chain that was
// taken of it, and nothing else does.
func TestChainHolds(t *testing.T) {
	none := func(*Process) {}
	for _, c := range []struct {
		name  string
		do    func(*Table)
		holds bool
	}{
		{"nothing", func(*Table) {}, true},
		{"a child", func(t *Table) { t.Fork(Key{4, 9}, Key{3, 3}) }, true},
		{"its end", func(t *Table) { t.Exit(Key{3, 3}) }, true},
		{"exec", func(t *Table) { exec(t, 3, 3, Key{2, 2}, "/bin/other") }, false},
		{"exec above", func(t *Table) { exec(t, 1, 1, Key{}, "/bin/other") }, false},
		{"another parent", func(t *Table) { t.Adopt(t.Latest(2), Key{}) }, false},
		{"forgotten", func(t *Table) {
			t.Exit(Key{1, 1})
			for i := range uint32(8) {
				exec(t, 100+i, 50, Key{}, "/fill")
			}
		}, false},
	} {
		table := New(8, 1<<20)
		exec(table, 1, 1, Key{}, "/init")
		exec(table, 2, 2, Key{1, 1}, "/shell")
		p := exec(table, 3, 3, Key{2, 2}, "/make")
		chain, known := table.Chain(p, 8, none)
		if !known {
			t.Fatalf("%s: a whole chain is not known", c.name)
		}
		c.do(table)
		if table.Holds(&chain) != c.holds {
			t.Errorf("%s: the chain holds: %t", c.name, !c.holds)
		}
	}
	table := New(8, 1<<20)
	p := exec(table, 3, 3, Key{2, 2}, "/make")
	if _, known := table.Chain(p, 8, none); known {
		t.Error("a chain whose next is not in the table counts as known")
	}
}

func TestPIDReuse(t *testing.T) {
	table := New(100, 1<<20)
	exec(table, 7, 1, Key{}, "/old")
	p := exec(table, 8, 2, Key{7, 1}, "/child")
	exec(table, 7, 3, Key{}, "/new") // the exit of 7 was missed
	if got := ancestry(table, p); got != "7:/old " {
		t.Fatalf("ancestors %q, want the old life of 7", got)
	}
	if got := string(table.Latest(7).Image().Executable); got != "/new" {
		t.Fatalf("latest is %q", got)
	}
	if !table.Get(Key{7, 1}).Exited {
		t.Fatal("the old life of a reused pid still counts as living")
	}
}

func TestBounds(t *testing.T) {
	table := New(64, 4096)
	for i := range uint32(1000) {
		exec(table, i+1, uint64(i), Key{}, "/bin/sh")
	}
	if table.Len() != 64 || table.Counters.Overflow != 1000-64 {
		t.Fatalf("%d entries, overflow %d; want 64 and the rest", table.Len(), table.Counters.Overflow)
	}
	if table.Get(Key{1, 0}) == nil {
		t.Fatal("the oldest process was forgotten for a newcomer")
	}
	table.Exit(Key{1, 0})
	if exec(table, 5000, 1, Key{}, "/bin/sh") == nil || table.Get(Key{1, 0}) != nil {
		t.Fatal("an ended process was kept and a newcomer refused")
	}

	table = New(64, 4096)
	long := bytes.Repeat([]byte("x"), 1000)
	for i := range uint32(64) {
		table.Exec(&Facts{Key: Key{i + 1, 0}}, []byte("/bin/sh"), long, nil, 1000)
	}
	if table.Bytes() > 4096+64*len("/bin/sh") || table.Counters.ArgsCut == 0 {
		t.Fatalf("%d bytes, %d cut", table.Bytes(), table.Counters.ArgsCut)
	}
}

// naive is the same table without bounds.
type naive map[Key]struct {
	parent Key
	exe    string
	exited bool
}

// TestAgainstNaive runs random lives that fit the bounds and compares.
func TestAgainstNaive(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	table, twin := New(400, 1<<20), naive{}
	var alive []Key
	for i := range 20000 {
		switch n := random.IntN(3); {
		case n == 0 && len(alive) < 90:
			child := Key{uint32(random.IntN(200) + 1), uint64(i)}
			taken := false
			for _, k := range alive {
				taken = taken || k.PID == child.PID
			}
			if taken {
				continue
			}
			var parent Key
			if len(alive) > 0 {
				parent = alive[random.IntN(len(alive))]
			}
			table.Fork(child, parent)
			entry := twin[child]
			entry.parent, entry.exe = parent, twin[parent].exe
			twin[child] = entry
			alive = append(alive, child)
		case n == 1 && len(alive) > 0:
			k := alive[random.IntN(len(alive))]
			entry := twin[k]
			entry.exe = fmt.Sprintf("/bin/%d", i)
			twin[k] = entry
			exec(table, k.PID, k.Start, entry.parent, entry.exe)
		case n == 2 && len(alive) > 0:
			at := random.IntN(len(alive))
			table.Exit(alive[at])
			alive = append(alive[:at], alive[at+1:]...)
		}
		for _, k := range alive {
			p := table.Get(k)
			if p == nil || string(p.Image().Executable) != twin[k].exe || p.Parent != twin[k].parent {
				t.Fatalf("step %d: %v is %+v, want %+v", i, k, p, twin[k])
			}
		}
	}
	if table.Counters.Overflow != 0 || table.Counters.Evicted == 0 {
		t.Fatalf("counters %+v", table.Counters)
	}
	for _, k := range alive {
		table.Exit(k)
	}
	for table.first != none {
		table.evict()
	}
	if table.Len() != 0 || table.Bytes() != 0 || len(table.byPID) != 0 {
		t.Fatalf("%d entries, %d bytes, %d pids after all ended", table.Len(), table.Bytes(), len(table.byPID))
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	table := New(64, 1<<20)
	exe, args := []byte("/bin/true"), []byte("true\x00")
	start := uint64(0)
	life := func() {
		start++
		k := Key{uint32(start%32 + 1), start}
		table.Fork(k, Key{1, 0})
		facts := Facts{Key: k}
		table.Exec(&facts, exe, args, nil, 5)
		table.Exit(k)
	}
	for range 1000 {
		life()
	}
	if n := testing.AllocsPerRun(1000, life); n > 0 {
		t.Fatalf("%v allocations per process life", n)
	}
}

func BenchmarkLife(b *testing.B) {
	table := New(8192, 2<<20)
	exe, args := []byte("/usr/bin/true"), bytes.Repeat([]byte("argument\x00"), 40)
	for i := range b.N {
		k := Key{uint32(i%30000 + 1), uint64(i)}
		table.Fork(k, Key{1, 0})
		facts := Facts{Key: k}
		table.Exec(&facts, exe, args, exe, 360)
		table.Exit(k)
	}
}
