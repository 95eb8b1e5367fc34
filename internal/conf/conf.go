// Package conf reads configuration the one way Hauberk does it: YAML decoded
// strictly onto a value that already holds the defaults (an unknown key is an
// error with its line), then Validate, which reports all problems at once.
package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Validator is what every Config satisfies.
type Validator interface{ Validate() error }

// Load decodes the file onto config (a pointer to defaults) and validates it.
// An empty path validates the defaults alone.
func Load(path string, config Validator) error {
	if path == "" {
		return config.Validate()
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	if err := Decode(data, config); err != nil {
		return fmt.Errorf("config %s: %w", path, err)
	}
	return nil
}

// Decode decodes strictly onto config and validates it.
func Decode(data []byte, config Validator) error {
	if err := Unmarshal(data, config); err != nil {
		return err
	}
	return config.Validate()
}

// unknownKey is how the YAML package says it, with the Go type.
var unknownKey = regexp.MustCompile(`field (\S+) not found in type \S+`)

// Unmarshal decodes strictly onto config, without Validate. Errors name lines.
func Unmarshal(data []byte, config any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	err := d.Decode(config)
	if errors.Is(err, io.EOF) {
		return nil // nothing in it
	}
	var bad *yaml.TypeError
	if errors.As(err, &bad) {
		return errors.New(unknownKey.ReplaceAllString(strings.Join(bad.Errors, "; "), `unknown key "$1"`))
	}
	return err
}

// Encode prints a config as YAML, for --print-config. Secret prints redacted.
func Encode(config any) ([]byte, error) {
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(config); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Secret is text that never appears in --print-config or a log.
type Secret string

// MarshalYAML redacts.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// String redacts.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(redacted)"
}

// Problems gathers what Validate finds. The zero value is ready.
type Problems struct{ list []string }

// Addf notes one problem, beginning with the key it concerns.
func (p *Problems) Addf(format string, args ...any) {
	p.list = append(p.list, fmt.Sprintf(format, args...))
}

// Between notes a number outside [low, high].
func (p *Problems) Between(key string, value, low, high int64) {
	if value < low || value > high {
		p.Addf("%s: %d is outside %d to %d", key, value, low, high)
	}
}

// DurationBetween notes a duration outside [low, high].
func (p *Problems) DurationBetween(key string, value, low, high time.Duration) {
	if value < low || value > high {
		p.Addf("%s: %s is outside %s to %s", key, value, low, high)
	}
}

// NotEmpty notes an empty string.
func (p *Problems) NotEmpty(key, value string) {
	if value == "" {
		p.Addf("%s: must not be empty", key)
	}
}

// Err returns all problems as one error, or nil.
func (p *Problems) Err() error {
	if len(p.list) == 0 {
		return nil
	}
	return errors.New(strings.Join(p.list, "; "))
}
