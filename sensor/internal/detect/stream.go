package detect

import (
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/flow"
)

// streamState is what the search of a flow's streams knows, by direction.
type streamState struct {
	set    *Ruleset // Whose rules were searched for.
	to     uint64   // Offset up to which it was.
	app    string   // The protocol as it was known then.
	recent []recent // By index of the rule.
}

// recent is a rule whose pattern was found in bytes that may still be in the
// window. The rest of what it asks for may come later.
type recent struct {
	*rule
	until uint64 // Offset before which the pattern lies.
}

// ofStream appends the candidates by the stream of the packet's direction. Each
// byte is searched once: what was found is kept while the window has it.
func (e *Engine) ofStream(list []*rule, x *index, p *Packet) []*rule {
	if p.State == nil {
		return e.find(list, x, p, p.Stream, p.StreamAt)
	}
	st := p.State.stream(p.Dir)
	if st.set != e.set {
		*st = streamState{set: e.set}
	}
	end := p.StreamAt + uint64(len(p.Stream))
	from := max(p.StreamAt, min(p.StreamNew, st.to)-min(p.StreamNew, st.to, uint64(x.longest())))
	have := len(list)
	list = e.find(list, x, p, p.Stream[from-p.StreamAt:], from)
	if st.app != p.App {
		list = e.findApp(list, x, p, p.Stream, p.StreamAt)
	}
	fresh := list[have:]
	st.recent = slices.DeleteFunc(st.recent, func(r recent) bool { return r.until <= p.StreamAt })
	for i := range st.recent {
		list = append(list, st.recent[i].rule)
	}
	for _, r := range fresh {
		st.keep(r, end)
	}
	st.to, st.app = end, p.App
	return list
}

// keep remembers a rule whose pattern was found before an offset.
func (st *streamState) keep(r *rule, until uint64) {
	i, known := slices.BinarySearchFunc(st.recent, r.index, func(k recent, index int32) int { return int(k.index - index) })
	if known {
		st.recent[i].until = until
		return
	}
	st.recent = slices.Insert(st.recent, i, recent{r, until})
}

// stream is what is known of a direction's stream.
func (f *FlowState) stream(dir flow.Dir) *streamState {
	if f.streams == nil {
		f.streams = new([2]streamState)
	}
	return &f.streams[dir]
}
