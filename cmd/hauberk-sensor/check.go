package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hauberk/hauberk/sensor"
)

// errProblems says that the problems have been told already.
var errProblems = errors.New("configuration or rules have errors")

// check is -T and --engine-analysis: every problem to w, and to suricata.log in the folder of -l.
func (o *options) check(examine func(sensor.Config) (*sensor.Report, error), w io.Writer) (err error) {
	report, err := examine(o.config)
	if err != nil {
		return err
	}
	if o.config.LogDir != "" {
		f, openErr := os.OpenFile(filepath.Join(o.config.LogDir, "suricata.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		w = io.MultiWriter(w, f)
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
	fmt.Fprintf(&b, "Info: detect: %d rule files processed, %d rules loaded\n", r.Files, r.Loaded)
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
