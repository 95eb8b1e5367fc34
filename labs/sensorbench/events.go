package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// events is what a run wrote.
type events struct {
	count  int
	types  map[string]int
	alerts map[alert]int
	stats  map[string]any // The last ones.
}

// alert is a rule and the ends of a flow, smaller first.
type alert struct {
	sid      int
	from, to string
}

func readEvents(path string) (*events, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer f.Close()
	e := &events{types: map[string]int{}, alerts: map[alert]int{}}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var one struct {
			Type     string `json:"event_type"`
			SrcIP    string `json:"src_ip"`
			DestIP   string `json:"dest_ip"`
			SrcPort  int    `json:"src_port"`
			DestPort int    `json:"dest_port"`
			Alert    struct {
				SID int `json:"signature_id"`
			} `json:"alert"`
			Stats map[string]any `json:"stats"`
		}
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		e.count++
		e.types[one.Type]++
		switch one.Type {
		case "alert":
			a, b := fmt.Sprintf("%s:%d", one.SrcIP, one.SrcPort), fmt.Sprintf("%s:%d", one.DestIP, one.DestPort)
			e.alerts[alert{one.Alert.SID, min(a, b), max(a, b)}]++
		case "stats":
			e.stats = one.Stats
		}
	}
	return e, lines.Err()
}

// counter is one of the last statistics.
func (e *events) counter(path string) float64 {
	var at any = e.stats
	for _, name := range strings.Split(path, ".") {
		m, _ := at.(map[string]any)
		at = m[name]
	}
	n, _ := at.(float64)
	return n
}

// agreement is the share of a's alerts that b has too.
func agreement(a, b *events) float64 {
	all, common := 0, 0
	for k, n := range a.alerts {
		all += n
		common += min(n, b.alerts[k])
	}
	return float64(common) / float64(max(all, 1))
}

// differences lists the event types of which the counts are more than a
// hundredth apart, the farthest first.
func differences(a, b *events) (list []string) {
	type apart struct {
		name string
		by   float64
		a, b int
	}
	var found []apart
	names := maps.Clone(a.types)
	maps.Copy(names, b.types)
	for name := range names {
		x, y := a.types[name], b.types[name]
		if by := float64(max(x, y)-min(x, y)) / float64(max(x, y)); by > 0.01 && name != "stats" {
			found = append(found, apart{name, by, x, y})
		}
	}
	slices.SortFunc(found, func(x, y apart) int { return cmp.Or(cmp.Compare(y.by, x.by), cmp.Compare(x.name, y.name)) })
	for _, d := range found {
		list = append(list, fmt.Sprintf("%s %d/%d", d.name, d.a, d.b))
	}
	return list
}

// missingSIDs lists the rules of which b lacks most of a's alerts.
func missingSIDs(a, b *events) (list []string) {
	bySID := map[int]int{}
	for k, n := range a.alerts {
		if lack := n - b.alerts[k]; lack > 0 {
			bySID[k.sid] += lack
		}
	}
	sids := slices.SortedFunc(maps.Keys(bySID), func(x, y int) int { return cmp.Or(cmp.Compare(bySID[y], bySID[x]), cmp.Compare(x, y)) })
	for _, sid := range sids[:min(len(sids), 12)] {
		list = append(list, fmt.Sprintf("%d (%d)", sid, bySID[sid]))
	}
	return list
}
