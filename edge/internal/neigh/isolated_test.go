package neigh

import (
	"os"
	"os/exec"
	"testing"
)

// isolated runs this test again in a network namespace of its own and reports
// true; inside, it reports false.
func isolated(t *testing.T) bool {
	t.Helper()
	const inside = "HAUBERK_TEST_NETNS"
	if os.Getenv(inside) != "" {
		return false
	}
	c := exec.Command("unshare", "--net", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), inside+"=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("in its namespace: %v\n%s", err, out)
	}
	return true
}
