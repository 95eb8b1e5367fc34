package loop

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/hauberk/hauberk/internal/need"
)

// patience bounds the waits of these tests. It says when to give up on a
// machine that is slow or broken; how fast the loop is, labs/loopbench
// measures.
const patience = 90 * time.Second

// TestLoop is the promise of the README, as a user sees it: one command
// starts everything, real attack steps become alerts in the CLI and in a real
// browser, Ctrl-C leaves nothing in the kernel and keeps the data, and a
// second start finds it again.
func TestLoop(t *testing.T) {
	need.BPF(t)
	chromium := need.Program(t, "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	binaries, err := Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data := dataDir(t)
	pinsBefore := pins(t)

	p, err := Up(ctx, binaries, data)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %s:\n%s", p.Ready, p.Output())
	if p.Password == "" {
		t.Error("the first start prints no one-time password")
	}
	var seen []Alert
	for _, attack := range Attacks {
		t.Run(attack.Name, func(t *testing.T) {
			if err := attack.Run(ctx, t.TempDir()); err != nil {
				t.Fatal(err)
			}
			waiting, done := context.WithTimeout(ctx, patience)
			defer done()
			a, err := p.AwaitAlert(waiting, func(a Alert) bool {
				return strings.Contains(a.Raw, attack.Technique) && (a.Severity == "high" || a.Severity == "critical")
			})
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, a)
		})
	}
	if t.Failed() {
		stop(t, p)
		t.Fatalf("what hauberk up printed:\n%s", p.Output())
	}
	t.Run("browser", func(t *testing.T) { lookInBrowser(t, chromium, p, seen[0].RuleName) })
	stop(t, p)
	if after := pins(t); len(after) != len(pinsBefore) {
		t.Errorf("pinned in the kernel before: %v, after: %v", pinsBefore, after)
	}

	again, err := Up(ctx, binaries, data)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, again)
	if again.Password != "" {
		t.Error("the second start prints a password again")
	}
	// Its gateway has another port now; the agent must know.
	waiting, done := context.WithTimeout(ctx, patience)
	defer done()
	if err := again.AwaitOnline(waiting); err != nil {
		t.Error(err)
	}
	for _, want := range seen {
		if _, err := again.AwaitAlert(ctx, func(a Alert) bool { return a.ID == want.ID }); err != nil {
			t.Errorf("%s did not survive the restart: %v", want.RuleName, err)
		}
	}
}

func stop(t *testing.T, p *Platform) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Errorf("hauberk up ended with %v:\n%s", err, p.Output())
	}
}

// dataDir is a short path: the names of Unix sockets are bounded.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hbk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "log", "*.log"))
			for _, path := range logs {
				if text, err := os.ReadFile(path); err == nil {
					t.Logf("%s:\n%s", path, text[max(0, len(text)-4000):])
				}
			}
		}
		os.RemoveAll(dir)
	})
	return dir
}

// pins lists what is pinned below /sys/fs/bpf.
func pins(t *testing.T) []string {
	t.Helper()
	var list []string
	filepath.WalkDir("/sys/fs/bpf", func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return nil
	})
	return list
}

// newPassword replaces the one-time password at the first log-in.
const newPassword = "correct horse battery staple 9"

// lookInBrowser logs in as a person would, changes the one-time password, and
// waits for the alert's name on the page.
func lookInBrowser(t *testing.T, chromium string, p *Platform, alert string) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("ignore-certificate-errors", true), chromedp.WindowSize(1280, 900))
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	defer cancel()
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, patience)
	defer cancel()
	var page string
	var shot []byte
	err := chromedp.Run(ctx,
		chromedp.Navigate(p.Console),
		chromedp.WaitVisible(`input[name=username]`),
		chromedp.SendKeys(`input[name=username]`, "admin"),
		chromedp.SendKeys(`input[name=password]`, p.Password),
		chromedp.Click(`button[type=submit]`),
		chromedp.WaitVisible(`input[name=new-password]`),
		chromedp.SendKeys(`input[name=new-password]`, newPassword),
		chromedp.SendKeys(`input[name=repeat-password]`, newPassword),
		chromedp.Click(`button[type=submit]`),
		chromedp.WaitVisible(`//*[contains(text(), "`+alert+`")]`),
		chromedp.FullScreenshot(&shot, 100),
		chromedp.Text(`body`, &page),
	)
	if err != nil {
		t.Fatalf("look at %s: %v\n%s", p.Console, err, page)
	}
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "alerts.png"), shot, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
