package sensor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
	"github.com/hauberk/hauberk/suricata"
)

// level is how grave a message of the sensor itself is, gravest first.
type level uint8

const (
	levelError level = iota
	levelWarning
	levelNotice
	levelInfo
)

// levels are the names that suricata.yaml and the log use.
var levels = []string{"Error", "Warning", "Notice", "Info"}

func parseLevel(text string) level {
	i := slices.IndexFunc(levels, func(name string) bool { return strings.EqualFold(name, text) })
	switch {
	case i >= 0:
		return level(i)
	case strings.EqualFold(text, "perf") || strings.EqualFold(text, "config") || strings.EqualFold(text, "debug"):
		return levelInfo // Nothing finer is told.
	}
	return levelNotice
}

// journal is what the sensor says of itself, in the files that
// logging.outputs names. The texts are the original's, because scripts look
// for them.
type journal struct{ files []*journalFile }

type journalFile struct {
	*os.File
	json bool
	most level
	w    jsonw.Writer
}

// openJournal opens the files, in a folder if their names are relative.
func openJournal(tree *yamlconf.Tree, dir string) (*journal, error) {
	j := &journal{}
	list := tree.Node("logging.outputs")
	if list == nil {
		return j, nil
	}
	fallback := tree.String("logging.default-log-level", "notice")
	for _, item := range list.Children {
		for _, n := range item.Children {
			if n.Name != "file" || !yamlconf.IsTrue(value(n, "enabled", "no")) {
				continue
			}
			path := value(n, "filename", "suricata.log")
			if !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
			if err != nil {
				return j, errors.Join(fmt.Errorf("open log: %w", err), j.close())
			}
			j.files = append(j.files, &journalFile{File: f, json: value(n, "type", "default") == "json", most: parseLevel(value(n, "level", fallback))})
		}
	}
	return j, nil
}

// say writes a message. A log that cannot be written must not end the sensor.
func (j *journal) say(l level, part, text string) {
	if j == nil {
		return
	}
	now := time.Now()
	for _, f := range j.files {
		if l > f.most {
			continue
		}
		if !f.json {
			fmt.Fprintf(f, "[%d - main] %s %s: %s: %s\n", os.Getpid(), now.Format("2006-01-02 15:04:05"), levels[l], part, text)
			continue
		}
		f.w.Reset(f.w.Bytes()[:0])
		f.w.Object("")
		f.w.String("timestamp", now.Format("2006-01-02T15:04:05.000000-0700"))
		f.w.String("log_level", levels[l])
		f.w.String("event_type", "engine")
		f.w.Object("engine")
		f.w.String("message", text)
		f.w.String("module", part)
		f.w.Close()
		f.w.Close()
		f.w.Newline()
		_, _ = f.Write(f.w.Bytes()) // As above.
	}
}

// problem writes a problem: of a rule its reason, and then where it is.
func (j *journal) problem(p Problem) {
	l := levelWarning
	if p.Fatal {
		l = levelError
	}
	if p.rule == nil {
		j.say(l, p.Part, p.Text)
		return
	}
	if p.rule.again {
		return // A rule is refused for one reason.
	}
	j.say(l, p.rule.module(), p.rule.reason)
	if p.Fatal {
		j.say(levelError, p.Part, fmt.Sprintf("error parsing signature %q from file %s at line %d", p.rule.text, p.rule.file, p.rule.line))
	}
}

// rules writes how many rules were read.
func (j *journal) rules(r *Report) {
	j.say(levelInfo, "detect", r.Tally())
	var ip, payload, app, decoder int
	for _, c := range r.compiled {
		switch c.Type {
		case suricata.TypeIPOnly, suricata.TypeLikeIPOnly:
			ip++
		case suricata.TypeDecoderEvent:
			decoder++
		case suricata.TypeAppLayer, suricata.TypeAppTx, suricata.TypeProtoOnly:
			app++
		case suricata.TypePacketStream, suricata.TypeStream:
			payload++
		}
	}
	j.say(levelInfo, "detect", fmt.Sprintf("%d signatures processed. %d are IP-only rules, %d are inspecting packet payload, %d inspect application layer, %d are decoder event only",
		len(r.compiled), ip, payload, app, decoder))
}

// module is the part of the original that refuses the rule.
func (b *badRule) module() string {
	switch b.keyword {
	case "":
		return "detect-parse"
	case "decode-event", "stream-event", "app-layer-event":
		return "detect"
	}
	return "detect-" + strings.NewReplacer(".", "-", "_", "-").Replace(b.keyword)
}

func (j *journal) close() error {
	var errs []error
	for _, f := range j.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
