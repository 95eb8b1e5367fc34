package suricata_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/suricata"
)

// TestVerifyAccepts: where Suricata 8.0.8 runs a test of suricata-verify with
// the test's rules and exits with success, no rule of it is refused here but
// for a keyword that is refused by decision.
func TestVerifyAccepts(t *testing.T) {
	dir := need.Data(t, "suricata-verify")
	passes, err := os.ReadFile(filepath.Join(dir, "passes-8.0.8.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(passes)) {
		test := filepath.Join(dir, "tests", name)
		yaml, _ := os.ReadFile(filepath.Join(test, "test.yaml"))
		if strings.Contains(string(yaml), "exit-code:") || strings.Contains(string(yaml), "command:") {
			continue
		}
		files, _ := filepath.Glob(filepath.Join(test, "*.rules"))
		for _, f := range files {
			set, err := suricata.Load(suricata.Options{}, f)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, e := range set.Errors {
				if e.Problem == suricata.Invalid {
					t.Error(strings.TrimPrefix(e.Error(), dir))
				}
			}
		}
	}
}

// TestVerifyRefuses: the rules that tests of suricata-verify say Suricata
// refuses are refused here.
func TestVerifyRefuses(t *testing.T) {
	dir := need.Data(t, "suricata-verify")
	for test, want := range map[string]int{
		"bug-3490": 2, "bug-7549-01": 1, "detect-bytejump-03": 1, "detect-bytemath-06": 1, "detect-compress_whitespace-01": 1,
		"detect-content-strip-whitespace-01": 4, "detect-ip_proto-01": 4, "detect-pcrexform-04": 1, "detect-to_lowercase-02": 1,
		"detect-to_uppercase-02": 1, "pcre-invalid-rule-01": 13, "requires-fail": 1, "smb-version-keyword-invalid": 1,
		"test-unreachable-distance-1": 3, "flowbits-invalid-10": 1, "content-incomplete-hex-t-version-7-plus": 1,
		"test-bad-byte-extract-rule-2": 1, "test-bad-content-dsize-rule-3": 1, "test-bad-depth-depth-rule-1": 1,
		"test-bad-depth-distance-rule-1": 1, "test-bad-depth-distance-rule-2": 1, "test-bad-depth-within-rule-1": 1,
		"test-bad-depth-within-rule-2": 1, "test-bad-dsize-offset-rule-2": 1, "test-bad-dsize-range-offset-rule-2": 1,
		"test-bad-dsize-range-rule-2": 1, "test-bad-hex-rule-1": 2, "test-bad-hex-rule-2": 1, "test-bad-http-host-rule-1": 1,
		"test-bad-negate-fast-pattern-rule-1": 1, "test-bad-offset-distance-rule-1": 1, "test-bad-offset-offset-rule-1": 1,
		"test-bad-offset-within-rule-1": 1, "test-bad-relative-keyword-fast-pattern-rule-1": 1, "test-bad-semicolon-rule-1": 1,
		"test-bad-semicolon-rule-2": 1,
	} {
		files, _ := filepath.Glob(filepath.Join(dir, "tests", test, "*.rules"))
		set, err := suricata.Load(suricata.Options{}, files...)
		if err != nil {
			t.Error(err)
			continue
		}
		sids := map[uint32]bool{}
		for _, e := range set.Errors {
			sids[e.SID] = true
		}
		if len(sids) != want {
			t.Errorf("%s: %d rules are refused, want %d: %v", test, len(sids), want, set.Errors)
		}
	}
}

// TestVerifyTypes: rules get the types that tests of suricata-verify expect of
// Suricata's engine analysis.
func TestVerifyTypes(t *testing.T) {
	dir := need.Data(t, "suricata-verify")
	expect := regexp.MustCompile(`id: (\d+)\s+type: "(\w+)"`)
	for _, test := range []string{"rule-types", "iprep-12-rule-types"} {
		yaml, err := os.ReadFile(filepath.Join(dir, "tests", test, "test.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "tests", test, "*.rules"))
		set, err := suricata.Load(suricata.Options{}, files...)
		if err != nil || len(set.Errors) > 0 {
			t.Fatal(err, set.Errors)
		}
		got := map[uint32]string{}
		for _, r := range set.Rules {
			c, err := suricata.NewCompiler(site).Compile(r)
			if err != nil {
				t.Fatal(err)
			}
			got[r.SID] = c.Type.String()
		}
		all := expect.FindAllStringSubmatch(string(yaml), -1)
		if len(all) < 6 {
			t.Errorf("%s: only %d expectations found", test, len(all))
		}
		for _, m := range all {
			sid, err := strconv.ParseUint(m[1], 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			if got[uint32(sid)] != m[2] {
				t.Errorf("%s: sid %d is %s, want %s", test, sid, got[uint32(sid)], m[2])
			}
		}
	}
}
