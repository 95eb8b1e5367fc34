package eve

import "strings"

// Counter is a counter with its name, parts of which are separated by dots.
type Counter struct {
	Name  string
	Value uint64
}

// Stats writes counters, ordered by name, as nested objects.
func (e *Encoder) Stats(now int64, uptime int64, counters []Counter) {
	e.w.Object("")
	e.stamp("timestamp", now)
	e.w.String("event_type", "stats")
	e.w.Object("stats")
	e.w.Int("uptime", uptime)
	var open []string
	leaf := " "
	for _, c := range counters {
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
		}
		e.w.Uint(key, c.Value)
	}
	for range open {
		e.w.Close()
	}
	e.w.Close()
	e.end()
}
