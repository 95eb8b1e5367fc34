package fleet

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Limits of what people name nodes by. They bound what every connection and
// every batch carries.
const (
	MaxLabels     = 32
	MaxLabelKey   = 63  // bytes
	MaxLabelValue = 255 // bytes
	MaxHost       = 253 // bytes, as a domain name (RFC 1035, 2.3.4)
)

// CheckLabels reports what is wrong with labels. A key is made of the
// characters a selector takes unquoted.
func CheckLabels(labels map[string]string) error {
	if len(labels) > MaxLabels {
		return fmt.Errorf("%d labels, at most %d", len(labels), MaxLabels)
	}
	for key, value := range labels {
		ok := key != "" && len(key) <= MaxLabelKey
		for i := 0; ok && i < len(key); i++ {
			ok = isWord(key[i])
		}
		if !ok {
			return fmt.Errorf("label %.80q: a key has 1 to %d of A-Z a-z 0-9 . _ - / : @ * ? +", key, MaxLabelKey)
		}
		if len(value) > MaxLabelValue || !printable(value) {
			return fmt.Errorf("label %s: a value has at most %d bytes of printable UTF-8", key, MaxLabelValue)
		}
	}
	return nil
}

// CheckHost reports what is wrong with a host name as a node claims it.
func CheckHost(name string) error {
	if name == "" || len(name) > MaxHost || !printable(name) {
		return fmt.Errorf("host name %.80q: want 1 to %d bytes of printable UTF-8", name, MaxHost)
	}
	return nil
}

// CheckKind reports whether a node's kind is 1 to 32 of a-z.
func CheckKind(kind string) error {
	ok := kind != "" && len(kind) <= 32
	for i := 0; ok && i < len(kind); i++ {
		ok = kind[i] >= 'a' && kind[i] <= 'z'
	}
	if !ok {
		return fmt.Errorf("kind %.40q: want 1 to 32 of a-z, as in agent, sensor, edge, decoy", kind)
	}
	return nil
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
