package sensor

import (
	"strings"
	"testing"
)

func TestCentral(t *testing.T) {
	good := "rules: |\n  # ours\n  alert tcp any any -> any any (msg:\"a\"; content:\"x\"; sid:1;)\n"
	if c, err := DecodeCentral([]byte(good)); err != nil || !strings.Contains(c.Rules, "sid:1;") {
		t.Errorf("%+v, %v", c, err)
	}
	for body, want := range map[string]string{
		"rulez: x\n": "rulez",
		"rules: |\n  alert tcp any any -> any any (sid:1;)\n  alert tcp any any -> any any (nosuch; sid:7;)\n": "rules:2:",
	} {
		if err := CheckCentral([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", body, err, want)
		}
	}
}
