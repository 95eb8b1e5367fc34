package detect

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/suricata"
)

// fileCondition is a condition on a file in transfer.
type fileCondition = func(*file.File) bool

func fileConditionOf(r *suricata.Compiled, o *suricata.Option) (fileCondition, error) {
	if _, ok := digests[o.Name]; ok {
		return digestCondition(r, o)
	}
	f, err := plainFileCondition(o)
	if err != nil || !o.Negated {
		return f, err
	}
	return func(x *file.File) bool { return !f(x) }, nil
}

func plainFileCondition(o *suricata.Option) (fileCondition, error) {
	switch o.Name {
	case "filesize":
		u := o.Value.(*suricata.Uint)
		return func(f *file.File) bool {
			switch {
			case f.State == file.Closed:
				return u.Match(f.Size)
			case u.Op == suricata.Gt || u.Op == suricata.Ge: // It only grows.
				return u.Match(f.Size)
			}
			return false
		}, nil
	case "fileext":
		want := strings.ToLower(plainText(o.Value))
		return func(f *file.File) bool {
			return strings.TrimPrefix(path.Ext(strings.ToLower(string(f.Name))), ".") == want
		}, nil
	case "filename":
		want := []byte(plainText(o.Value))
		return func(f *file.File) bool { return bytes.Contains(bytes.ToLower(f.Name), bytes.ToLower(want)) }, nil
	}
	return nil, fmt.Errorf("%s is not applied yet", o.Name)
}

// plainText is an argument without its quotes.
func plainText(v suricata.Value) string {
	switch v := v.(type) {
	case suricata.Quoted:
		return string(v)
	case suricata.Pattern:
		return string(v)
	}
	return v.String()
}
