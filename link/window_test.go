package link

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/event"
)

// TestWindowScript plays testdata/window.txt: "> line" is done to one side of
// a connection, the line below it is what must come out.
func TestWindowScript(t *testing.T) {
	file, err := os.Open("testdata/window.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var s Sender
	var r Receiver
	got, line := "", 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line++
		text := strings.TrimSpace(lines.Text())
		command, isCommand := strings.CutPrefix(text, "> ")
		switch {
		case text == "" || text[0] == '#':
		case command == "connect":
			s, r, got = Sender{}, Receiver{}, ""
		case isCommand:
			got = step(t, &s, &r, strings.Fields(command))
		case text != got:
			t.Fatalf("line %d: got %q, want %q", line, got, text)
		}
	}
}

func step(t *testing.T, s *Sender, r *Receiver, words []string) string {
	class := map[string]event.Class{"priority": event.Class_CLASS_PRIORITY, "bulk": event.Class_CLASS_BULK, "none": 0}[words[1]]
	number := func(i int) (n uint64) {
		if _, err := fmt.Sscan(words[i], &n); err != nil {
			t.Fatalf("%v: %v", words, err)
		}
		return n
	}
	say := func(err error) string {
		if err == nil {
			return "ok"
		}
		if !errors.Is(err, ErrProtocol) {
			t.Fatalf("%v: %v", words, err)
		}
		return strings.TrimPrefix(err.Error(), ErrProtocol.Error()+": ")
	}
	switch words[0] {
	case "credit": // class window
		r.Granted(class, number(2))
		return say(s.Credit(&Credit{Class: class, Window: number(2)}))
	case "room": // class
		return fmt.Sprint(s.Room(class))
	case "sent": // class incarnation last size
		s.Sent(class, Position{uint32(number(2)), number(3)}, int(number(4)))
		return fmt.Sprintf("in flight %d", s.InFlight())
	case "ack": // class incarnation sequence
		return say(s.Acked(&Ack{Class: class, Incarnation: uint32(number(2)), Sequence: number(3)}))
	case "arrive": // class incarnation first last size
		ticket, err := r.Arrived(&Batch{Class: class, Incarnation: uint32(number(2)), FirstSequence: number(3), LastSequence: number(4), Size: uint32(number(5))})
		if err != nil {
			return say(err)
		}
		return fmt.Sprintf("ticket %d", ticket)
	case "done": // class ticket
		a := r.Done(class, number(2))
		if a == nil {
			return "no ack"
		}
		return fmt.Sprintf("ack %d/%d", a.Incarnation, a.Sequence)
	}
	t.Fatalf("unknown command %v", words)
	return ""
}

// TestWindowProperty lets a sender and a receiver talk at random: a sender
// that keeps to its room is never cut off, every batch is acknowledged once
// and in order, and in the end nothing is in flight.
func TestWindowProperty(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var s Sender
		var r Receiver
		type open struct {
			class  event.Class
			ticket uint64
		}
		var opens []open
		var acks []*Ack
		acked := map[event.Class]uint64{}
		sequence := uint64(0)
		for _, c := range classes {
			r.Granted(c, 1000)
			s.Credit(&Credit{Class: c, Window: 1000})
		}
		for range 500 {
			class := classes[rng.IntN(2)]
			switch rng.IntN(4) {
			case 0:
				w := uint64(rng.IntN(3) * 700)
				r.Granted(class, w)
				s.Credit(&Credit{Class: class, Window: w})
			case 1:
				room := s.Room(class)
				if room == 0 {
					continue
				}
				size := 1 + rng.IntN(min(room, 900))
				b := &Batch{Class: class, Incarnation: 1, FirstSequence: sequence + 1, LastSequence: sequence + 3, Size: uint32(size)}
				sequence += 3
				s.Sent(class, Position{1, b.LastSequence}, size)
				ticket, err := r.Arrived(b)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				opens = append(opens, open{class, ticket})
			case 2:
				if len(opens) > 0 {
					i := rng.IntN(len(opens)) // the bus answers in any order
					if a := r.Done(opens[i].class, opens[i].ticket); a != nil {
						acks = append(acks, a)
					}
					opens = append(opens[:i], opens[i+1:]...)
				}
			case 3:
				if len(acks) > 0 {
					deliver(t, &s, acked, acks[0])
					acks = acks[1:]
				}
			}
		}
		for _, o := range opens {
			if a := r.Done(o.class, o.ticket); a != nil {
				acks = append(acks, a)
			}
		}
		for _, a := range acks {
			deliver(t, &s, acked, a)
		}
		if s.InFlight() != 0 || r.Open() != 0 {
			t.Fatalf("seed %d: %d in flight, %d open", seed, s.InFlight(), r.Open())
		}
	}
}

func deliver(t *testing.T, s *Sender, acked map[event.Class]uint64, a *Ack) {
	t.Helper()
	if a.Sequence <= acked[a.Class] {
		t.Fatalf("ack of %d after %d", a.Sequence, acked[a.Class])
	}
	acked[a.Class] = a.Sequence
	if err := s.Acked(a); err != nil {
		t.Fatal(err)
	}
}
