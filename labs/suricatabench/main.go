// Command suricatabench measures how the rule language is read: how many
// public rules parse, print to themselves and compile, with their expressions,
// and how long it takes. It writes docs/perf/suricata.*.
//
//	go run ./labs/suricatabench     (make bench-suricata; seconds)
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/internal/perf"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
	"github.com/hauberk/hauberk/suricata/netset"
)

func main() {
	data := flag.String("data", dataDir(), "folder with rule files")
	out := flag.String("out", "docs/perf", "folder for the report")
	flag.Parse()
	if err := measure(*data, *out); err != nil {
		fmt.Fprintln(os.Stderr, "suricatabench:", err)
		os.Exit(1)
	}
}

func dataDir() string {
	if d := os.Getenv("HAUBERK_DATA"); d != "" {
		return filepath.Join(d, "etopen")
	}
	return "../shared/data/etopen"
}

// vars are those of the default suricata.yaml.
var vars = netset.Vars{
	AddressGroups: map[string]string{"HOME_NET": "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]", "EXTERNAL_NET": "!$HOME_NET",
		"HTTP_SERVERS": "$HOME_NET", "SMTP_SERVERS": "$HOME_NET", "SQL_SERVERS": "$HOME_NET", "DNS_SERVERS": "$HOME_NET",
		"TELNET_SERVERS": "$HOME_NET", "AIM_SERVERS": "$EXTERNAL_NET", "DC_SERVERS": "$HOME_NET", "MODBUS_SERVER": "$HOME_NET",
		"MODBUS_CLIENT": "$HOME_NET", "ENIP_SERVER": "$HOME_NET", "ENIP_CLIENT": "$HOME_NET"},
	PortGroups: map[string]string{"HTTP_PORTS": "80", "SHELLCODE_PORTS": "!80", "ORACLE_PORTS": "1521", "SSH_PORTS": "22",
		"DNP3_PORTS": "20000", "MODBUS_PORTS": "502", "FILE_DATA_PORTS": "[$HTTP_PORTS,110,143]", "FTP_PORTS": "21"},
}

const lessons = `
CPU time of the process (RUSAGE_SELF, with the collector), median of the rounds, from files in the page cache to compiled rules:
header, options with their regular expressions, semantic checks, address sets, rule type, fast pattern, programs of the chains.
Not in it: the multi-pattern matcher, which has its own benchmark.

- Address and port expressions are resolved once per text: nearly all rules share a dozen.
- An option's keyword is found by one map look-up without lower-casing; only a miss is folded.
- There are 43 allocations a rule (BenchmarkLoad), most of them one value per option. With the collector that is 12 to 15 us
  a rule: not what a start-up waits for.
- The three disabled rules that are refused ask for a urilen that no length satisfies or a blank in the protocol; Suricata
  refuses them as well.
`

func measure(data, out string) error {
	files, err := filepath.Glob(filepath.Join(data, "*.rules"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no rules in %s", data)
	}
	const rounds = 9
	var enabled, all []float64
	var set *suricata.Set
	for range rounds {
		if _, err = timed(&enabled, files, suricata.Options{}); err != nil {
			return err
		}
		if set, err = timed(&all, files, suricata.Options{Disabled: true}); err != nil {
			return err
		}
	}
	rules := append(slices.Clip(set.Rules), set.Disabled...)
	same := 0
	for _, r := range rules {
		text := r.String()
		if again, err := suricata.Parse(text); err == nil && again.String() == text {
			same++
		}
	}
	rep := &perf.Report{Area: "suricata", Command: "make bench-suricata", Lessons: lessons}
	share := func(name string, n, of int) {
		rep.Add(perf.Figure{Name: name, Value: float64(n), Unit: "rules", Peer: "all", PeerValue: float64(of), Target: "all", Reached: n == of})
	}
	share("enabled public rules that parse and compile", len(set.Rules), len(set.Rules)+len(set.Errors))
	share("rules that print to text that parses to the same", same, len(rules))
	rep.Add(perf.Figure{Name: "parse and compile the enabled rules", Value: median(enabled), Unit: "s CPU", Target: "<= 1 (10 times less than the reference's 10 s, matcher included)", Reached: median(enabled) <= 1})
	rep.Add(perf.Figure{Name: "the same with the disabled ones", Value: median(all), Unit: "s CPU", Target: "<= 1", Reached: median(all) <= 1})
	return rep.Write(os.Stdout, out)
}

// timed loads and compiles all files and notes the CPU time.
func timed(into *[]float64, files []string, opt suricata.Options) (*suricata.Set, error) {
	start := cpuTime()
	set, err := suricata.Load(opt, files...)
	if err != nil {
		return nil, err
	}
	c := suricata.NewCompiler(vars)
	for _, r := range append(slices.Clip(set.Rules), set.Disabled...) {
		out, err := c.Compile(r)
		if err != nil {
			return nil, err
		}
		if _, err := match.CompileRule(out); err != nil {
			return nil, err
		}
	}
	*into = append(*into, (cpuTime() - start).Seconds())
	return set, nil
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // cannot fail with these arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(x []float64) float64 {
	s := slices.Clone(x)
	slices.Sort(s)
	return s[len(s)/2]
}
