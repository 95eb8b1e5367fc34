package detect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/detect/transform"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// appGroup is the rules on transactions of one protocol in one direction.
type appGroup struct {
	proto   *app.Protocol
	buffers []appBuffer
	always  []*rule
	steps   map[suricata.Buffer]uint8 // From which on each buffer may be read.
	last    uint8                     // The step that is complete.
}

// appBuffer is a buffer that fast patterns are looked for in, as it is or as
// the rules change it.
type appBuffer struct {
	buffer    suricata.Buffer
	transform transform.Chain
	step      uint8
	search    search
}

// bufferKey is what rules must have in common to share an appBuffer.
type bufferKey struct {
	buffer     suricata.Buffer
	transforms string
}

// keyOf is the buffer of a rule's fast pattern.
func keyOf(c *suricata.Chain) bufferKey {
	k := bufferKey{buffer: c.Buffer}
	for i := range c.Transforms {
		k.transforms += fmt.Sprintf("%s:%v;", c.Transforms[i].Name, c.Transforms[i].Value)
	}
	return k
}

// AddProtocols makes the groups of rules on transactions.
func (s *Ruleset) AddProtocols(list []*app.Protocol) error {
	s.apps = map[string]*[2]appGroup{}
	for _, p := range list {
		groups := &[2]appGroup{}
		for dir := range groups {
			if err := groups[dir].build(s, p, app.Dir(dir)); err != nil {
				return err
			}
		}
		s.apps[p.Name] = groups
	}
	return nil
}

func (g *appGroup) build(s *Ruleset, p *app.Protocol, dir app.Dir) error {
	g.proto, g.steps = p, map[suricata.Buffer]uint8{}
	g.last = uint8(max(len(p.Progress[dir])-1, 0))
	for _, x := range p.Buffers {
		if x.Dir == dir {
			g.steps[x.Buffer] = x.Step
		}
	}
	at := map[bufferKey]int{}
	for _, r := range s.rules {
		if r.Type != suricata.TypeAppTx || !goes(r, int(dir)) {
			continue
		}
		if len(r.Apps) > 0 && !slices.ContainsFunc(r.Apps, func(name string) bool { return appMatches(name, p.Name) }) {
			continue
		}
		if !g.searchable(r) {
			g.always = append(g.always, r)
			continue
		}
		key := keyOf(&r.chains[r.Fast.Chain])
		i, known := at[key]
		if !known {
			i = len(g.buffers)
			at[key] = i
			g.buffers = append(g.buffers, appBuffer{buffer: key.buffer, transform: r.transforms[r.Fast.Chain], step: g.steps[key.buffer]})
		}
		g.buffers[i].search.add(r)
	}
	for i := range g.buffers {
		if err := g.buffers[i].search.compile(); err != nil {
			return fmt.Errorf("%s: %w", g.buffers[i].buffer, err)
		}
	}
	return nil
}

// searchable says whether a rule's fast pattern is in a buffer of the protocol.
func (g *appGroup) searchable(r *rule) bool {
	if r.Fast == nil || r.Fast.Negated {
		return false
	}
	c := &r.chains[r.Fast.Chain]
	_, ok := g.steps[c.Buffer]
	return ok && c.Buffer != suricata.BufFrame
}

// txState is what rules remember of a transaction.
type txState struct {
	set        *Ruleset       // Whose rules the candidates are.
	candidates [2][]candidate // Ordered.
	scanned    [2][]scanned   // By buffer of the group.
	// across is how far rules on both directions are together.
	across    map[int32]*progress
	inspected [2]uint8 // The progress at the last inspection, plus one.
	seen      [2]mark
}

// scanned is how far the search in a buffer is.
type scanned struct {
	first, all int  // Bytes that its first piece had, and all pieces.
	done       bool // It will not grow.
}

// candidate is a rule that may match a transaction.
type candidate struct {
	*rule
	progress
}

// maxChains is how many buffers a rule may match on, bits of progress.chains.
const maxChains = 64

// progress is how far a rule is with a transaction.
type progress struct {
	chains uint64 // Those that matched.
	done   bool   // It matched, or cannot any more.
}

// add puts rules among the candidates of a direction.
func (st *txState) add(dir app.Dir, rules []*rule) {
	for _, r := range rules {
		i, found := slices.BinarySearchFunc(st.candidates[dir], r.index, func(c candidate, index int32) int { return int(c.index - index) })
		if !found {
			st.candidates[dir] = slices.Insert(st.candidates[dir], i, candidate{rule: r})
		}
	}
}

// mark is what of a transaction can change.
type mark struct {
	progress uint8
	events   int
	bytes    uint64 // Of files and of bodies.
}

func markOf(tx app.Tx, dir app.Dir) mark {
	c := tx.Common()
	m := mark{progress: c.Progress[dir] + 1, events: len(c.Events), bytes: c.Grown[dir]}
	for _, f := range c.Files[dir] {
		m.bytes += f.Size
	}
	return m
}

// Inspected says whether a transaction was judged in both directions as it is.
func Inspected(tx app.Tx) bool { return InspectedIn(tx, app.ToServer) && InspectedIn(tx, app.ToClient) }

// InspectedIn says whether a transaction was judged in a direction as it is.
func InspectedIn(tx app.Tx, dir app.Dir) bool {
	c := tx.Common()
	st, _ := c.Inspect[0].(*txState)
	return st != nil && (c.Skip[dir] || st.inspected[dir] == c.Progress[dir]+1)
}

// InspectTx judges a transaction in the packet's direction. The alerts are
// good until the next call of either Inspect.
func (e *Engine) InspectTx(p *Packet, tx app.Tx) []Alert {
	e.begin(p)
	c := tx.Common()
	groups := e.set.apps[c.Protocol.Name]
	if groups == nil {
		return nil
	}
	st, _ := c.Inspect[0].(*txState)
	if st == nil || st.set != e.set {
		st = &txState{set: e.set}
		c.Inspect[0] = st
	}
	dir := app.Dir(p.Dir)
	g := &groups[dir]
	st.inspected[dir] = c.Progress[dir] + 1
	if p.State != nil && p.State.passed || p.Flow != nil && p.Flow.NoInspection || c.Skip[dir] {
		return nil
	}
	now := markOf(tx, dir)
	if now == st.seen[dir] {
		return nil // Nothing is new.
	}
	st.seen[dir] = now
	if st.scanned[dir] == nil {
		st.scanned[dir] = make([]scanned, len(g.buffers))
		st.candidates[dir] = make([]candidate, len(g.always))
		for i, r := range g.always {
			st.candidates[dir][i].rule = r
		}
	}
	e.scanTx(g, st, tx, dir)
	for i := range st.candidates[dir] {
		c := &st.candidates[dir][i]
		if c.Way == suricata.Transactional {
			e.judgeTx(g, c.rule, st.together(c.rule), p, tx, dir)
		} else if !c.done {
			e.judgeTx(g, c.rule, &c.progress, p, tx, dir)
		}
	}
	return e.settle(p)
}

// scanTx looks for fast patterns in the buffers that are new, or have grown.
func (e *Engine) scanTx(g *appGroup, st *txState, tx app.Tx, dir app.Dir) {
	step := tx.Common().Progress[dir]
	for i := range g.buffers {
		b := &g.buffers[i]
		have := st.scanned[dir][i]
		if step < b.step || have.done {
			continue
		}
		first, size := 0, 0
		for n := 0; ; n++ {
			data, ok := tx.Buffer(b.buffer, dir, n, &e.scratch)
			if !ok {
				break
			}
			if n == 0 {
				first = len(data.Data)
			}
			size += len(data.Data)
			if size > have.all {
				text := data
				if n == 0 {
					text = b.fresh(data, have.first)
				}
				if b.transform != nil {
					text.Data = b.transform.Apply(&e.transform, text.Data)
				}
				e.hits = e.found(e.hits[:0], &b.search, text.Data, text.Offset)
				st.add(dir, e.hits)
			}
		}
		st.scanned[dir][i] = scanned{first: first, all: size, done: !b.buffer.Info().Has(suricata.Stream) && size > 0 || step >= g.last}
	}
}

// fresh is what to search of a buffer of which some bytes were searched before:
// what follows them, and before that as much as a text may lie across.
func (b *appBuffer) fresh(data match.Buffer, seen int) match.Buffer {
	if from := seen - b.search.longest; from > 0 && from < len(data.Data) && data.Offset == 0 && b.transform == nil && b.buffer.Info().Has(suricata.Stream) {
		data.Data, data.Offset = data.Data[from:], uint64(from)
	}
	return data
}

// together is how far a rule on both directions is.
func (st *txState) together(r *rule) *progress {
	if st.across == nil {
		st.across = map[int32]*progress{}
	}
	if st.across[r.index] == nil {
		st.across[r.index] = &progress{}
	}
	return st.across[r.index]
}

func (e *Engine) judgeTx(g *appGroup, r *rule, rs *progress, p *Packet, tx app.Tx, dir app.Dir) {
	if rs.done || !e.matches(r, p) || !e.txConditions(g, r, tx, dir) {
		return
	}
	final := tx.Common().Progress[dir] >= g.last
	all := true
	for i := range r.chains {
		if rs.chains>>i&1 == 1 || r.programs[i] == nil {
			continue
		}
		c := &r.chains[i]
		if c.Dir != 0 && !dirHas(c.Dir, dir) {
			all = false // Of the other direction.
			continue
		}
		switch e.chainTx(g, r, i, p, tx, dir, final) {
		case yes:
			rs.chains |= 1 << i
		case never:
			rs.done = r.Way != suricata.Transactional
			return
		default:
			all = false
		}
	}
	if all {
		rs.done = true
		n := len(e.alerts)
		e.matched(r, p, false)
		for ; n < len(e.alerts); n++ {
			e.alerts[n].Tx = int64(tx.Common().ID)
		}
	}
}

func dirHas(d suricata.Direction, dir app.Dir) bool {
	if dir == app.ToServer {
		return d&suricata.ToServer != 0
	}
	return d&suricata.ToClient != 0
}

// answer is what is known of a condition.
type answer uint8

const (
	notYet answer = iota
	yes
	never
)

func (e *Engine) chainTx(g *appGroup, r *rule, i int, p *Packet, tx app.Tx, dir app.Dir, final bool) answer {
	b := r.chains[i].Buffer
	if b == suricata.BufPayload {
		if len(p.Stream) > 0 && e.run(r, i, match.Buffer{Data: p.Stream, Offset: p.StreamAt}) || e.run(r, i, match.Buffer{Data: p.Payload()}) {
			return yes
		}
		return notYet
	}
	step, known := g.steps[b]
	if !known {
		if b.Info().Has(suricata.Packet) {
			if data, ok := header(p.Packet, b, e.header[:0]); ok && e.run(r, i, match.Buffer{Data: data}) {
				return yes
			}
		}
		return never
	}
	if tx.Common().Progress[dir] < step {
		return notYet
	}
	there := false
	for n := 0; ; n++ {
		data, ok := tx.Buffer(b, dir, n, &e.scratch)
		if !ok {
			break
		}
		there = true
		if e.run(r, i, data) {
			return yes
		}
	}
	settled := final || !b.Info().Has(suricata.Stream|suricata.File)
	switch {
	case !settled:
		return notYet
	case !there && absent(&r.chains[i]):
		return yes
	}
	return never
}

// absent says whether a chain asks for a buffer that is not there.
func absent(c *suricata.Chain) bool {
	return slices.ContainsFunc(c.Steps, func(s suricata.Step) bool { _, ok := s.(*suricata.Absent); return ok })
}

// txConditions evaluates what a rule asks of a transaction beside its buffers.
func (e *Engine) txConditions(g *appGroup, r *rule, tx app.Tx, dir app.Dir) bool {
	c := tx.Common()
	for _, name := range r.engine {
		if !slices.ContainsFunc(c.Events, func(id app.EventID) bool {
			return name == g.proto.Name || strings.EqualFold(name, g.proto.Name+"."+g.proto.Events[id])
		}) {
			return false
		}
	}
	for _, o := range r.Tx {
		if tx.Match(o, dir) == o.Negated {
			return false
		}
	}
	for _, f := range r.file {
		if !slices.ContainsFunc(c.Files[dir], f) {
			return false
		}
	}
	return true
}
