package sigma_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/sigma"
)

var codeBlock = regexp.MustCompile("(?ms)^```ya?ml\n(.*?)^```")

// TestSpecificationExamples: every complete rule in the text of the
// specification is read without an error.
func TestSpecificationExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(need.Data(t, "sigma-specification"), "specification", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range codeBlock.FindAllSubmatch(text, -1) {
			block := string(m[1])
			complete := strings.HasPrefix(block, "title:") &&
				(strings.Contains(block, "\ncorrelation:\n    type:") || strings.Contains(block, "\nlogsource:") && (strings.Contains(block, "\ndetection:") || strings.Contains(block, "\nfilter:")))
			if !complete {
				continue
			}
			rules, errs := sigma.Parse(filepath.Base(file), []byte(block))
			for _, e := range errs {
				t.Errorf("%v\n%s", e, block)
			}
			n += len(rules)
		}
	}
	if n < 9 {
		t.Errorf("only %d rules found in the specification", n)
	}
}
