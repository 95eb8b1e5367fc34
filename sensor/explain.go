package sensor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

// An Explanation says how far a capture's traffic came in a rule.
type Explanation struct {
	SID     uint32 `json:"sid"`
	Rev     uint32 `json:"rev"`
	Msg     string `json:"msg"`
	Place   string `json:"place"` // file:line
	Enabled bool   `json:"enabled"`
	// Problem is why the rule does not load; the rest is then empty.
	Problem string  `json:"problem,omitempty"`
	Packets uint64  `json:"packets"`
	Stages  []Stage `json:"stages,omitempty"`
	// Alerts are what the rule raises; Silenced is what a threshold, a suppression or noalert keeps back.
	Alerts   uint64 `json:"alerts"`
	Silenced uint64 `json:"silenced"`
	// Passed are pass rules that matched in the flows of the rule's matches.
	Passed []uint32 `json:"passed,omitempty"`
}

// A Stage is how much of the traffic meets a condition and all before it. From
// stage to stage there are never more flows; matches may become more, as a
// condition may look at each packet where the one before looked at the flow.
type Stage struct {
	Adds    string   `json:"adds"`
	Matches uint64   `json:"matches"` // of packets, pieces of stream, or transactions
	Flows   int      `json:"flows"`
	Samples []Sample `json:"samples,omitempty"` // the first
}

// A Sample is a match.
type Sample struct {
	Packet uint64    `json:"packet"` // its number in the capture, from 1; 0: at the end of a flow
	Time   time.Time `json:"time"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	// Tx is what EVE says of the transaction, or of the last of the flow, in JSON.
	Tx string `json:"tx,omitempty"`
}

const (
	maxSamples = 3
	// stageGID is of the rules made of stages: no threshold is for it, but those for all.
	stageGID = math.MaxUint32
)

// Explain reads the captures of c with the rule of that sid taken apart: each
// stage of it runs as a rule of its own beside all others, so that flowbits,
// datasets and the like are what they are.
func Explain(ctx context.Context, c Config, sid uint32) (*Explanation, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	rule, x, err := find(c, sid)
	if err != nil || x.Problem != "" {
		return x, err
	}
	e := explainer{Explanation: x, target: rule, flows: map[uint32]map[uint64]bool{}, passes: map[uint32]map[uint64]bool{}}
	return x, e.run(ctx, c)
}

// find looks the rule up in the rule files.
func find(c Config, sid uint32) (*suricata.Rule, *Explanation, error) {
	tree, err := c.load()
	if err != nil {
		return nil, nil, err
	}
	files, err := matchPatterns(ruleFiles(c, tree))
	if err != nil {
		return nil, nil, err
	}
	set, err := suricata.Load(suricata.Options{Disabled: true}, files...)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range slices.Concat(set.Rules, set.Disabled) {
		if r.SID == sid {
			return r, &Explanation{SID: sid, Rev: r.Rev, Msg: r.Msg, Place: fmt.Sprintf("%s:%d", r.File, r.Line), Enabled: r.Enabled}, nil
		}
	}
	for _, e := range slices.Concat(set.Errors, set.Skipped) {
		if e.SID == sid {
			return nil, &Explanation{SID: sid, Place: fmt.Sprintf("%s:%d", e.File, e.Line), Enabled: true, Problem: e.Error()}, nil
		}
	}
	return nil, nil, fmt.Errorf("explain: no rule has sid %d in %d rule files", sid, len(files))
}

// explainer counts matches while a capture is read.
type explainer struct {
	*Explanation
	target *suricata.Rule
	flows  map[uint32]map[uint64]bool // by stage: the flows it matched in
	passes map[uint32]map[uint64]bool // the same by sid of pass rules
	pl     *pipeline
}

func (e *explainer) run(ctx context.Context, c Config) error {
	tree, err := c.load()
	if err != nil {
		return err
	}
	s, err := c.settings(tree)
	if err != nil {
		return err
	}
	registry := newRegistry(tree)
	rules, err := e.rules(c, registry)
	if err != nil {
		return err
	}
	e.pl = newPipeline(s, registry, rules, &outputs{})
	e.pl.watch = e.matched
	files, _, err := captures(c.Capture)
	if err != nil {
		return err
	}
	var sum Summary
	for _, path := range files {
		if err := e.pl.read(ctx, path, &sum); err != nil {
			return err
		}
	}
	err = e.pl.finish()
	e.Packets = sum.Packets
	last := uint32(len(e.Stages) - 1)
	for sid, flows := range e.passes {
		for id := range flows {
			if e.flows[last][id] {
				e.Passed = append(e.Passed, sid)
				break
			}
		}
	}
	slices.Sort(e.Passed)
	for i := range e.Stages {
		e.Stages[i].Flows = len(e.flows[uint32(i)])
	}
	return err
}

// rules are all that load, the target's stages, and pass rules as ones that only tell.
func (e *explainer) rules(c Config, registry *app.Registry) (*detect.Ruleset, error) {
	tree, err := c.load()
	if err != nil {
		return nil, err
	}
	r := &Report{}
	vars := variables(tree)
	r.site(tree, vars)
	r.readData(c, tree, nil)
	r.rules(ruleFiles(c, tree), vars)
	compiler := suricata.NewCompiler(vars)
	all := r.compiled[:0]
	for _, rule := range r.compiled {
		if rule.Actions[0].Verb == suricata.Pass {
			told := *rule.Rule
			told.Actions = []suricata.Deed{{Verb: suricata.Alert}}
			if rule, err = compiler.Compile(&told); err != nil {
				return nil, err
			}
			e.passes[rule.SID] = map[uint64]bool{}
		}
		all = append(all, rule)
	}
	if !e.Enabled {
		compiled, err := compiler.Compile(e.target)
		if err != nil {
			e.Problem = err.Error()
			return nil, err
		}
		all = append(all, compiled)
	}
	for i, stage := range e.target.Stages() {
		parsed, err := suricata.Parse(stage.WithID(stageGID, uint32(i+1)))
		if err != nil {
			return nil, fmt.Errorf("explain stage %q: %w", stage.Adds, err)
		}
		compiled, err := compiler.Compile(parsed)
		if err == nil {
			err = r.data.Prepare(compiled)
		}
		if err != nil {
			return nil, fmt.Errorf("explain stage %q: %w", stage.Adds, err)
		}
		all = append(all, compiled)
		e.Stages = append(e.Stages, Stage{Adds: stage.Adds})
		e.flows[uint32(i)] = map[uint64]bool{}
	}
	rules, problems := detect.Compile(all, detect.Site{Thresholds: r.thresholds, Classes: r.classes, Data: r.data, MaxAlerts: math.MaxInt}, nil)
	for _, p := range problems {
		var of *suricata.Error
		if errors.As(p, &of) && of.SID == e.SID {
			return nil, p
		}
	}
	return rules, rules.AddProtocols(registry.Protocols())
}

// matched is told of every match of every rule.
func (e *explainer) matched(in *detect.Packet, a *detect.Alert, tx app.Tx) {
	id := uint64(0)
	if in.Flow != nil {
		id = in.Flow.ID
	}
	switch {
	case a.Rule.GID == stageGID:
		i := a.Rule.SID - 1
		e.flows[i][id] = true
		stage := &e.Stages[i]
		if stage.Matches++; len(stage.Samples) < maxSamples {
			if tx == nil {
				tx = e.newest(in)
			}
			stage.Samples = append(stage.Samples, sample(in, tx))
		}
	case a.Rule.SID != e.SID:
		if flows := e.passes[a.Rule.SID]; flows != nil {
			flows[id] = true
		}
	case a.Silent:
		e.Silenced++
	default:
		e.Alerts++
	}
}

// newest is the last transaction of a packet's flow, nil if there is none.
func (e *explainer) newest(in *detect.Packet) app.Tx {
	if in.Flow == nil {
		return nil
	}
	b := e.pl.of(in.Flow)
	if b.app == nil || len(b.app.Txs()) == 0 {
		return nil
	}
	txs := b.app.Txs()
	return txs[len(txs)-1]
}

func sample(in *detect.Packet, tx app.Tx) Sample {
	p := in.Packet
	s := Sample{Packet: p.Number, Time: time.Unix(0, p.Time).UTC(), From: p.Src().String(), To: p.Dst().String()}
	if f := in.Flow; f != nil {
		ends := [2]string{f.Client().String(), f.Server().String()}
		s.From, s.To = ends[in.Dir], ends[in.Dir.Other()]
	}
	if tx == nil {
		return s
	}
	if write := members(tx); write != nil {
		var w jsonw.Writer
		w.Object("")
		write(&w)
		w.Close()
		s.Tx = string(w.Bytes())
	}
	return s
}
