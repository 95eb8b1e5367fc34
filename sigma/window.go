package sigma

import (
	"cmp"
	"slices"
	"strings"
)

// sample is what a match adds to a window.
type sample struct {
	at       int64 // Unix ns
	member   int
	text     string  // of value_count and value_percentile
	number   float64 // of value_sum, value_avg and numeric value_percentile
	evidence []string
}

// take fills in the value; false if the type needs a number and it is none.
func (s *sample) take(t CorrelationType, percentile float64, values []string) bool {
	s.text = values[0]
	if len(values) > 1 {
		s.text = strings.Join(values, "\x00")
	}
	if t == ValueCount || t == ValuePercentile && percentile < 0 {
		return true
	}
	n, ok := parseNumber(values[0])
	s.number = n.f
	return ok
}

// window remembers, for one group, no more than its correlation needs:
//
//	event_count      the latest `needed` samples; closing: a count
//	value_count      the latest sample of each value; closing: each value once
//	value_sum        all samples; closing: the sum
//	value_avg        sum and count
//	value_percentile all values, counted
//	temporal         the latest sample of each member
//	temporal_ordered per member the chain up to it that begins latest
type window struct {
	opened  int64 // time of the first sample
	last    int64 // of the latest
	first   int64 // of the earliest
	count   int
	sum     float64
	samples []sample
	tally   map[string]int
	numbers []float64
	chains  []chain
	trail   []string // evidence of closing windows
}

// chain is an ordered correlation's progress: rules 0 to n matched in order.
type chain struct {
	start    int64
	end      int64
	evidence []string
}

func (w *window) isEmpty() bool { return w.count == 0 }

// add takes a sample; false if a limit made it drop the oldest, or this, value.
func (w *window) add(cc *compiledCorrelation, s sample, l Limits) bool {
	if t := cc.source.Type; t != Temporal && t != TemporalOrdered && w.knows(s) {
		return true
	}
	if w.count == 0 {
		w.opened, w.first, w.last = s.at, s.at, s.at
	}
	w.count++
	w.first, w.last = min(w.first, s.at), max(w.last, s.at)
	if cc.source.Type == TemporalOrdered {
		w.extend(cc, s, l)
		return true
	}
	if !cc.closing {
		return w.slide(cc, s, l)
	}
	w.trail = tail(append(w.trail, s.evidence...), l.Evidence)
	switch t := cc.source.Type; {
	case t == Temporal:
		w.latest(s, func(o *sample) bool { return o.member == s.member })
	case t == ValueSum || t == ValueAvg:
		w.sum += s.number
	case t == ValuePercentile && cc.source.Percentile >= 0:
		if len(w.numbers) >= l.Values {
			return false
		}
		w.numbers = append(w.numbers, s.number)
	case t == ValueCount || t == ValuePercentile:
		if w.tally == nil {
			w.tally = map[string]int{}
		}
		if _, known := w.tally[s.text]; !known && len(w.tally) >= l.Values {
			return false
		}
		w.tally[s.text]++
	}
	return true
}

// knows reports whether an event is remembered already: one that several rules
// match, or that is given again, counts once.
func (w *window) knows(s sample) bool {
	for i := len(w.samples) - 1; i >= 0 && w.samples[i].at >= s.at; i-- {
		if w.samples[i].at == s.at && slices.Equal(w.samples[i].evidence, s.evidence) {
			return true
		}
	}
	return slices.Contains(w.trail, s.evidence[len(s.evidence)-1])
}

// slide keeps the samples of the timespan that ends with the latest.
func (w *window) slide(cc *compiledCorrelation, s sample, l Limits) bool {
	keep := cc.needed
	switch cc.source.Type {
	case ValueCount:
		w.latest(s, func(o *sample) bool { return o.text == s.text })
	case Temporal:
		w.latest(s, func(o *sample) bool { return o.member == s.member })
		keep = len(cc.members)
	default:
		w.insert(s)
	}
	oldest := w.last - int64(cc.source.Timespan)
	w.samples = slices.DeleteFunc(w.samples, func(o sample) bool { return o.at < oldest })
	if cc.source.Type == ValueSum {
		keep = l.Values
	}
	if n := len(w.samples) - keep; n > 0 {
		w.samples = slices.Delete(w.samples, 0, n)
		return cc.source.Type != ValueSum
	}
	return true
}

// insert keeps samples in order of time.
func (w *window) insert(s sample) {
	i := len(w.samples)
	for i > 0 && w.samples[i-1].at > s.at {
		i--
	}
	w.samples = slices.Insert(w.samples, i, s)
}

// latest keeps one sample of those that are the same: the latest.
func (w *window) latest(s sample, same func(*sample) bool) {
	for i := range w.samples {
		if same(&w.samples[i]) {
			if w.samples[i].at > s.at {
				return
			}
			w.samples = slices.Delete(w.samples, i, i+1)
			break
		}
	}
	w.insert(s)
}

// extend advances the chain that the sample is the next step of.
func (w *window) extend(cc *compiledCorrelation, s sample, l Limits) {
	if w.chains == nil {
		w.chains = make([]chain, len(cc.members))
	}
	to := &w.chains[s.member]
	if s.member == 0 {
		if to.evidence == nil || s.at >= to.start {
			*to = chain{s.at, s.at, tail(slices.Clone(s.evidence), l.Evidence)}
		}
		return
	}
	from := &w.chains[s.member-1]
	if from.evidence == nil || from.end > s.at || s.at-from.start > int64(cc.source.Timespan) {
		return
	}
	if to.evidence == nil || from.start >= to.start {
		*to = chain{from.start, s.at, tail(append(slices.Clone(from.evidence), s.evidence...), l.Evidence)}
	}
}

func tail(s []string, n int) []string {
	if len(s) > n {
		return append(s[:0], s[len(s)-n:]...)
	}
	return s
}

// verdict is a window for which the condition holds.
type verdict struct {
	value    float64
	subject  string
	first    int64
	last     int64
	evidence []string
}

// verdicts judges the condition: none or one, of value_percentile any number.
func (w *window) verdicts(cc *compiledCorrelation) []verdict {
	if w.isEmpty() {
		return nil
	}
	switch t := cc.source.Type; {
	case t == TemporalOrdered:
		return w.ordered(cc)
	case t == Temporal:
		return w.temporal(cc)
	case t == ValuePercentile && cc.source.Percentile < 0:
		return w.shares(cc)
	}
	v := w.value(cc)
	if !cc.bounds(v) {
		return nil
	}
	return []verdict{w.verdict(cc, v)}
}

// value is what the bounds are compared with.
func (w *window) value(cc *compiledCorrelation) float64 {
	switch t := cc.source.Type; {
	case t == ValueAvg:
		return w.sum / float64(w.count)
	case t == ValueSum && cc.closing:
		return w.sum
	case t == ValueSum:
		sum := 0.0
		for _, s := range w.samples {
			sum += s.number
		}
		return sum
	case t == ValuePercentile:
		return percentile(w.numbers, cc.source.Percentile)
	case t == ValueCount && cc.closing:
		return float64(len(w.tally))
	case cc.closing:
		return float64(w.count)
	}
	return float64(len(w.samples))
}

func (w *window) verdict(cc *compiledCorrelation, value float64) verdict {
	if cc.closing {
		return verdict{value: value, first: w.first, last: w.last, evidence: slices.Clone(w.trail)}
	}
	v := verdict{value: value, first: w.samples[0].at, last: w.samples[len(w.samples)-1].at}
	for _, s := range w.samples {
		v.evidence = append(v.evidence, s.evidence...)
	}
	return v
}

func (w *window) temporal(cc *compiledCorrelation) []verdict {
	present := make([]bool, len(cc.members))
	n := 0
	for _, s := range w.samples {
		if !present[s.member] {
			n++
		}
		present[s.member] = true
	}
	if !cc.holds(present) {
		return nil
	}
	return []verdict{w.verdict(cc, float64(n))}
}

func (w *window) ordered(cc *compiledCorrelation) []verdict {
	present := make([]bool, len(cc.members))
	longest := 0
	for i, c := range w.chains {
		if c.evidence != nil {
			present[i] = true
			longest = i + 1
		}
	}
	if longest == 0 || !cc.holds(present) {
		return nil
	}
	c := w.chains[longest-1]
	return []verdict{{value: float64(longest), first: c.start, last: c.end, evidence: c.evidence}}
}

// shares judges the percentage that each value has of all.
func (w *window) shares(cc *compiledCorrelation) []verdict {
	total := 0
	var values []string
	for v, n := range w.tally {
		total += n
		values = append(values, v)
	}
	slices.SortFunc(values, func(a, b string) int {
		return cmp.Or(w.tally[a]-w.tally[b], strings.Compare(a, b))
	})
	var out []verdict
	for _, v := range values {
		share := 100 * float64(w.tally[v]) / float64(total)
		if cc.bounds(share) {
			d := w.verdict(cc, share)
			d.subject = v
			out = append(out, d)
		}
	}
	return out
}

// percentile is the nearest-rank percentile p (0 to 100).
func percentile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	rank := ceil(p / 100 * float64(len(sorted)))
	return sorted[max(rank, 1)-1]
}
