package detect

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

const goodRule = `title: Good
id: 11111111-1111-4111-8111-111111111111
status: test
description: d
logsource: {product: linux, category: process_creation}
detection:
  s: {Image|endswith: /nc}
  condition: s
level: high
`

func writeRules(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckRules(t *testing.T) {
	dir := writeRules(t, map[string]string{
		"good.yml":      goodRule,
		"sub/bad.yml":   strings.Replace(goodRule, "condition: s", "condition: s and nosuch", 1),
		"idle.yml":      strings.NewReplacer("product: linux", "product: windows", "11111111", "22222222").Replace(goodRule),
		"missing.yml":   strings.NewReplacer("Image|", "IntegrityLevel|", "11111111", "33333333").Replace(goodRule),
		"broken.yaml":   "title: [",
		"ignored.txt":   "not a rule",
		"sub/label.yml": strings.NewReplacer("Image|endswith: /nc", "labels.role: web", "11111111", "44444444").Replace(goodRule),
	})
	r, err := CheckRules(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Supported != 4 || r.Refused != 2 || r.Idle != 1 || len(r.Rules) != 6 {
		t.Errorf("%d supported, %d refused, %d idle of %d", r.Supported, r.Refused, r.Idle, len(r.Rules))
	}
	var text bytes.Buffer
	if err := r.WriteText(&text, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"refused  sub/bad.yml:8", "nosuch", "refused  broken.yaml", "note     idle.yml", "IntegrityLevel", "6 rules: 4 supported"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "good.yml") || strings.Contains(text.String(), "label.yml") {
		t.Errorf("the short report lists what is well:\n%s", text.String())
	}
	if _, err := CheckRules(filepath.Join(dir, "nothing")); err == nil {
		t.Error("a folder that does not exist was checked")
	}
}

func TestCheckSigmaHQ(t *testing.T) {
	r, err := CheckRules(need.Data(t, "sigma/linux"))
	if err != nil {
		t.Fatal(err)
	}
	if share := float64(r.Supported) / float64(len(r.Rules)); share < 0.99 {
		t.Errorf("%d of %d rules supported, want 99 %%", r.Supported, len(r.Rules))
	}
	for _, v := range r.Rules {
		if !v.Supported && len(v.Reasons) == 0 {
			t.Errorf("%s is refused without a reason", v.File)
		}
	}
}
