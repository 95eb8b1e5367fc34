package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hauberk/hauberk/sensor"
)

// errProblems says that the problems have been told already.
var errProblems = errors.New("configuration or rules have errors")

// check is -T and --engine-analysis: every problem to w; the sensor's own log has them too.
func (o *options) check(examine func(sensor.Config) (*sensor.Report, error), w io.Writer) error {
	report, err := examine(o.config)
	if err != nil {
		return err
	}
	return tell(w, report)
}

// tell prints a line per problem, then what was read.
func tell(w io.Writer, r *sensor.Report) error {
	var b strings.Builder
	for _, p := range r.Problems {
		level := "Warning"
		if p.Fatal {
			level = "Error"
		}
		fmt.Fprintf(&b, "%s: %s: %s\n", level, p.Part, p.Text)
	}
	fmt.Fprintf(&b, "Info: detect: %s\n", r.Tally())
	if !r.Fatal() {
		b.WriteString("Notice: suricata: Configuration provided was successfully loaded. Exiting.\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	if r.Fatal() {
		return errProblems
	}
	return nil
}
