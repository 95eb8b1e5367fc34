package eve

import "strings"

// Counter is a counter with its name, parts of which are separated by dots.
type Counter struct {
	Name  string
	Value uint64
}

// RuleCounts says how many rules there are.
type RuleCounts struct {
	Loaded, Failed, Skipped int
	LastReload              int64 // Nanoseconds since 1970.
}

// engines writes stats.detect.engines: there is one.
func (e *Encoder) engines(r *RuleCounts) {
	e.w.Array("engines")
	e.w.Object("")
	e.w.Uint("id", 0)
	e.stamp("last_reload", r.LastReload)
	e.w.Int("rules_loaded", int64(r.Loaded))
	e.w.Int("rules_failed", int64(r.Failed))
	e.w.Int("rules_skipped", int64(r.Skipped))
	e.w.Close()
	e.w.Close()
}

// Stats writes counters, ordered by name, as nested objects; zeros only if they
// are wanted. rules is written among those of detect; nil: there are none.
func (e *Encoder) Stats(now int64, uptime int64, counters []Counter, zeros bool, rules *RuleCounts) {
	e.w.Object("")
	e.stamp("timestamp", now)
	e.w.String("event_type", "stats")
	e.w.Object("stats")
	e.w.Int("uptime", uptime)
	var open []string
	leaf := " "
	for _, c := range counters {
		if c.Value == 0 && !zeros {
			continue
		}
		if strings.HasPrefix(c.Name, leaf+".") {
			continue // A number cannot be an object too: decoder.ipv4 is both in Suricata.
		}
		leaf = c.Name
		parts := strings.Split(c.Name, ".")
		path, key := parts[:len(parts)-1], parts[len(parts)-1]
		common := 0
		for common < len(path) && common < len(open) && path[common] == open[common] {
			common++
		}
		for len(open) > common {
			e.w.Close()
			open = open[:len(open)-1]
		}
		for _, name := range path[common:] {
			e.w.Object(name)
			open = append(open, name)
			if rules != nil && len(open) == 1 && name == "detect" {
				e.engines(rules)
				rules = nil
			}
		}
		e.w.Uint(key, c.Value)
	}
	for range open {
		e.w.Close()
	}
	if rules != nil { // No counter of detect is told.
		e.w.Object("detect")
		e.engines(rules)
		e.w.Close()
	}
	e.w.Close()
	e.end()
}
