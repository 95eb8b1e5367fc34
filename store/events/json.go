package events

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/hauberk/hauberk/event"
)

// Rows as JSON: the mapping of docs/formats/event.md (package event has it for
// records), from the engine's columns.

// Names of the engine's own fields.
const (
	engineTime     = "_time"
	engineStream   = "_stream"
	engineStreamID = "_stream_id"
	timestamp      = "@timestamp"
)

// rowWriter writes rows of one query as JSON objects.
type rowWriter struct {
	// whole rows are as stored: what is not stored is restored and the
	// engine's own fields are left out.
	whole bool
	out   []byte
	names []string
	cells map[string]string
}

// append appends one row of a block.
func (w *rowWriter) row(columns []logstorage.BlockColumn, i int) []byte {
	w.names = w.names[:0]
	if w.cells == nil {
		w.cells = map[string]string{}
	}
	clear(w.cells)
	for _, c := range columns {
		if value := c.Values[i]; value != "" {
			w.set(c.Name, value)
		}
	}
	return w.finish()
}

func (w *rowWriter) set(name, value string) {
	switch name {
	case engineTime:
		name, value = timestamp, canonicalTime(value)
	case engineStream, engineStreamID, fieldBucket:
		if w.whole {
			return
		}
	}
	if _, have := w.cells[name]; !have {
		w.names = append(w.names, name)
	}
	w.cells[name] = value
}

// canonicalTime writes a time with all nine digits, as event.AppendJSON does.
func canonicalTime(value string) string {
	t, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return value
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000000Z")
}

func (w *rowWriter) finish() []byte {
	if w.whole {
		w.restore()
	}
	slices.Sort(w.names)
	w.out = append(w.out[:0], '{')
	for i, name := range w.names {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = appendMember(w.out, name, w.cells[name])
	}
	w.out = append(w.out, '}')
	return w.out
}

// restore works out the fields that builder leaves out.
func (w *rowWriter) restore() {
	if id, err := event.ParseID(w.cells[fieldID]); err == nil {
		w.set(event.FieldEventSequence.String(), strconv.FormatUint(id.Sequence, 10))
		w.set(event.FieldHauberkIncarnation.String(), strconv.FormatUint(uint64(id.Incarnation), 10))
	}
	created := event.FieldEventCreated.String()
	if at := w.cells[timestamp]; at != "" && w.cells[created] == "" {
		w.set(created, at)
	}
	w.restoreStart(event.FieldProcessEntityId, event.FieldHauberkProcessStart)
	w.restoreStart(event.FieldProcessParentEntityId, event.FieldHauberkProcessParentStart)
	if w.cells[fieldDataset] != event.BodyLogin.Dataset() {
		w.restoreArgs(event.FieldProcessCommandLine, event.FieldProcessArgs)
	}
	w.restoreArgs(event.FieldProcessParentCommandLine, event.FieldProcessParentArgs)
	if args := w.cells[event.FieldProcessArgs.String()]; args != "" {
		w.set(event.FieldProcessArgsCount.String(), strconv.Itoa(strings.Count(args, "\x00")+1))
	}
}

func (w *rowWriter) restoreStart(entity, start event.Field) {
	if _, text, ok := strings.Cut(w.cells[entity.String()], "-"); ok && text != "0" {
		w.set(start.String(), text)
	}
}

func (w *rowWriter) restoreArgs(line, args event.Field) {
	if text := w.cells[line.String()]; text != "" && w.cells[args.String()] == "" {
		w.set(args.String(), strings.ReplaceAll(text, " ", "\x00"))
	}
}

// appendMember appends a key and a value, typed as the field is; fields that
// are not in the table are texts.
func appendMember(dst []byte, name, value string) []byte {
	dst, _ = appendString(dst, name)
	dst = append(dst, ':')
	f, known := event.FieldByName(name)
	exact := true
	switch kind := f.Info().Kind; {
	case known && isNumber(kind, value):
		return append(dst, value...)
	case known && kind == event.KindBool && value == "true":
		return append(dst, value...)
	case known && kind == event.KindList:
		dst, exact = appendTexts(dst, parseList(value))
	default:
		dst, exact = appendString(dst, value)
	}
	if exact {
		return dst
	}
	dst, _ = appendString(append(dst, ','), "hauberk.raw."+name)
	dst = append(dst, ':')
	if !known || f.Info().Kind != event.KindList {
		return appendBase64(dst, []byte(value))
	}
	dst = append(dst, '[')
	for i, item := range parseList(value) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendBase64(dst, item)
	}
	return append(dst, ']')
}

func isNumber(kind event.Kind, value string) bool {
	switch kind {
	case event.KindUint:
		_, err := strconv.ParseUint(value, 10, 64)
		return err == nil && (value == "0" || value[0] != '0')
	case event.KindInt:
		n, err := strconv.ParseInt(value, 10, 64)
		return err == nil && strconv.FormatInt(n, 10) == value
	}
	return false
}

func appendTexts(dst []byte, list [][]byte) (_ []byte, exact bool) {
	exact = true
	dst = append(dst, '[')
	for i, item := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		var ok bool
		dst, ok = appendString(dst, view(item))
		exact = exact && ok
	}
	return append(dst, ']'), exact
}

func appendBase64(dst, raw []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, raw)
	return append(dst, '"')
}

// appendString appends a JSON string; each byte that is not UTF-8 becomes
// U+FFFD, and exact false.
func appendString(dst []byte, s string) (_ []byte, exact bool) {
	const hexDigits = "0123456789abcdef"
	exact = true
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				exact = false
				dst = append(dst, "\ufffd"...)
			} else {
				dst = append(dst, s[i:i+size]...)
			}
			i += size
			continue
		}
		i++
	}
	return append(dst, '"'), exact
}
