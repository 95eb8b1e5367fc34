package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/hauberk/hauberk/sensor"
)

const explainUsage = `usage: hauberk-sensor explain --sid SID -r CAPTURE [options]

says why a rule fires or does not fire on a capture: it takes the rule apart, and counts how much of the traffic meets
each condition and all before it.

options:
`

// explain is the command of that name.
func explain(args []string, stdout, stderr io.Writer) error {
	c := sensor.DefaultConfig()
	f := pflag.NewFlagSet("hauberk-sensor explain", pflag.ContinueOnError)
	f.SetOutput(stderr)
	f.SortFlags = false
	f.Usage = func() { fmt.Fprint(stderr, explainUsage, f.FlagUsages()) }
	sid := f.Uint32("sid", 0, "explain this rule")
	f.StringVarP(&c.Capture, "read", "r", "", "read this capture, or all captures of this folder")
	also := f.StringArrayP("rules", "s", nil, "read these rules besides those of the configuration")
	only := f.StringArrayP("only-rules", "S", nil, "read only these rules; a file or a pattern")
	f.StringVarP(&c.File, "config", "c", c.File, "read this suricata.yaml")
	f.StringArrayVar(&c.Set, "set", nil, "set a value of the configuration: path=value")
	f.StringVarP(&c.Checksums, "checksums", "k", "", "whether wrong checksums count: all, none or auto")
	f.BoolVar(&c.SimulateIPS, "simulate-ips", false, "judge the capture as if it were inline")
	inJSON := f.Bool("json", false, "answer in JSON")
	switch err := f.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case err != nil:
		return usageError(err.Error())
	case *sid == 0 || c.Capture == "" || f.NArg() > 0:
		return usageError("explain: want --sid SID -r CAPTURE; --help says more")
	case len(*also) > 0 && len(*only) > 0:
		return usageError("use either -s or -S, not both")
	}
	c.Rules, c.Exclusive = append(*also, *only...), len(*only) > 0
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	x, err := sensor.Explain(ctx, c, *sid)
	if err != nil {
		return err
	}
	if *inJSON {
		return json.NewEncoder(stdout).Encode(x)
	}
	_, err = io.WriteString(stdout, explained(x))
	return err
}

// explained is an explanation for people.
func explained(x *sensor.Explanation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "sid %d rev %d: %s\n%s\n", x.SID, x.Rev, x.Msg, x.Place)
	if x.Problem != "" {
		fmt.Fprintf(&b, "\nThe rule does not load: %s\n", x.Problem)
		return b.String()
	}
	fmt.Fprintf(&b, "\n%9s %7s  condition (%d packets read)\n", "matches", "flows", x.Packets)
	last := -1 // of the stages that something meets
	for i, s := range x.Stages {
		mark := ""
		if s.Matches > 0 {
			last = i
		} else if last == i-1 {
			mark = "   <- nothing gets past this"
		}
		fmt.Fprintf(&b, "%9d %7d  %s%s\n", s.Matches, s.Flows, s.Adds, mark)
	}
	if last >= 0 {
		fmt.Fprintf(&b, "\nThe first that came so far:\n")
		for _, s := range x.Stages[last].Samples {
			fmt.Fprintf(&b, "  packet %d, %s, %s -> %s\n", s.Packet, s.Time.Format(time.RFC3339Nano), s.From, s.To)
			if s.Tx != "" {
				fmt.Fprintf(&b, "    %s\n", s.Tx)
			}
		}
	}
	b.WriteString("\n" + verdict(x, last) + "\n")
	return b.String()
}

// verdict is the answer in a sentence or two.
func verdict(x *sensor.Explanation, last int) string {
	var says []string
	switch {
	case last < len(x.Stages)-1:
		says = append(says, fmt.Sprintf("It does not fire: nothing meets %s with all before it.", x.Stages[last+1].Adds))
	case x.Alerts > 0:
		says = append(says, fmt.Sprintf("It fires: %d alerts.", x.Alerts))
	default:
		says = append(says, "It matches, and raises no alert.")
	}
	if x.Silenced > 0 {
		says = append(says, fmt.Sprintf("A threshold, a suppression or noalert keeps back %d.", x.Silenced))
	}
	if len(x.Passed) > 0 {
		says = append(says, fmt.Sprintf("Pass rules match in its flows and may keep it from firing: %v.", x.Passed))
	}
	if !x.Enabled {
		says = append(says, "The rule is commented out: a sensor does not have it.")
	}
	return strings.Join(says, " ")
}
