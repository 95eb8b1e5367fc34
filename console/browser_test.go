package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hauberk/hauberk/internal/need"
)

// patience bounds the waits for the browser; it says when to give up.
const patience = 60 * time.Second

// browser is a tab of a real Chromium, with what went wrong in it.
type browser struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	requests []string
	wrong    []string
}

func openBrowser(t testing.TB) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(need.Program(t, "chromium")), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-sync", true), chromedp.WindowSize(1440, 900))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, func(e any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := e.(type) {
		case *network.EventRequestWillBeSent:
			b.requests = append(b.requests, e.Request.URL)
		case *runtime.EventExceptionThrown:
			b.wrong = append(b.wrong, e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			// A request refused by the API is an answer, not a fault of the page.
			if e.Entry.Level == log.LevelError && e.Entry.Source != log.SourceNetwork {
				b.wrong = append(b.wrong, e.Entry.Text)
			}
		}
	})
	b.run(log.Enable(), network.Enable())
	return b
}

func (b *browser) run(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		var page string
		_ = chromedp.Run(b.ctx, chromedp.Text("body", &page)) // only for the message
		b.mu.Lock()
		defer b.mu.Unlock()
		b.t.Fatalf("browser: %v\nwrong: %q\npage:\n%s", err, b.wrong, page)
	}
}

// see waits until the text is visible.
func (b *browser) see(text string) {
	b.t.Helper()
	literal, err := json.Marshal(text)
	if err != nil {
		b.t.Fatal(err)
	}
	b.run(chromedp.Poll(fmt.Sprintf(`document.body.innerText.includes(%s)`, literal), nil, chromedp.WithPollingInterval(20*time.Millisecond)))
}

// gone waits until the text is not there any more.
func (b *browser) gone(text string) {
	b.t.Helper()
	literal, err := json.Marshal(text)
	if err != nil {
		b.t.Fatal(err)
	}
	b.run(chromedp.Poll(fmt.Sprintf(`!document.body.innerText.includes(%s)`, literal), nil, chromedp.WithPollingInterval(20*time.Millisecond)))
}

// press clicks the visible button or page link that says exactly this.
func (b *browser) press(text string) {
	b.t.Helper()
	b.run(chromedp.Click(fmt.Sprintf(`//*[self::button or self::a][normalize-space(.)="%s"]`, text), chromedp.NodeVisible))
}

// choose clicks the item of a list that names this.
func (b *browser) choose(text string) {
	b.t.Helper()
	b.run(chromedp.Click(fmt.Sprintf(`//*[contains(@class, "rows")]//a[contains(normalize-space(.), "%s")]`, text), chromedp.NodeVisible))
}

// shot leaves pictures of the page, dark and light, in $SCREENSHOTS.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, scheme := range []string{"dark", "light"} {
		var picture []byte
		b.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}), chromedp.CaptureScreenshot(&picture))
		if err := os.WriteFile(filepath.Join(dir, name+"-"+scheme+".png"), picture, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
}

// faultless fails if the page threw, broke its policy or called elsewhere.
func (b *browser) faultless(url string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.wrong {
		b.t.Errorf("in the browser: %s", w)
	}
	for _, r := range b.requests {
		if !strings.HasPrefix(r, url) && !strings.HasPrefix(r, "data:") {
			b.t.Errorf("a request to elsewhere: %s", r)
		}
	}
}

// logIn logs in with the one-time password and replaces it.
func (b *browser) logIn(url string) {
	b.t.Helper()
	b.run(
		chromedp.Navigate(url),
		chromedp.WaitVisible(`input[name=username]`),
		chromedp.SendKeys(`input[name=username]`, "admin"),
		chromedp.SendKeys(`input[name=password]`, "a wrong one first"),
		chromedp.Click(`button[type=submit]`),
	)
	b.see("the user or the password is wrong")
	b.shot("login")
	b.run(
		chromedp.SendKeys(`input[name=password]`, oncePassword),
		chromedp.Click(`button[type=submit]`),
		chromedp.WaitVisible(`input[name=new-password]`),
		chromedp.SendKeys(`input[name=new-password]`, newPassword),
		chromedp.SendKeys(`input[name=repeat-password]`, newPassword),
	)
	b.shot("new-password")
	b.run(chromedp.Click(`button[type=submit]`))
}

// TestAlertAppears is the console's main job: log in, change the one-time
// password, see an alert come by itself, read it, handle it.
func TestAlertAppears(t *testing.T) {
	f := startFake(t)
	b := openBrowser(t)
	b.logIn(f.URL)
	b.see("No alerts yet")
	b.shot("alerts-empty")

	f.raise("a1")
	b.see("Reverse shell by bash")
	f.raise("a2", "a3", "a4", "a5", "a6", "a7")
	b.see("Script run from a temporary folder")
	b.shot("alerts")
	b.choose("Reverse shell by bash")
	b.see("gunicorn")
	b.see("/dev/tcp/203.0.113.9/4444")
	b.see(`\x1b[2J<script>alert(1)</script>\u202e`) // shown, neither obeyed nor parsed
	b.see("T1059.004")
	b.shot("alert")
	b.run(chromedp.Click(`.timeline summary`))
	b.see("process.entity_id")
	b.run(chromedp.SendKeys(`input[aria-label=Comment]`, "it is the red team"))
	b.press("Acknowledge")
	b.see("it is the red team")
	b.see("by admin")
	b.shot("alert-acknowledged")
	// The list forgets it once it is neither open nor read.
	b.choose("Service user reads the shadow file")
	b.see("sh -c 'id; cat /etc/shadow'")
	b.gone("Reverse shell by bash")
	b.press("Make exception…")
	b.see("stays silent for processes")
	b.run(chromedp.SendKeys(`textarea[name=reason]`, "nightly check of the backup"))
	b.shot("exception")
	b.run(chromedp.Click(`dialog button[type=submit]`))
	b.see("nightly check of the backup")
	f.mu.Lock()
	made := f.except[0]
	f.mu.Unlock()
	if made["executable"] != "/usr/bin/cat" || made["parent"] != "/usr/bin/dash" || made["expires"] == nil {
		t.Errorf("exception: %v", made)
	}
	b.run(chromedp.Reload())
	b.see("nightly check of the backup") // still logged in, and at the same place
	b.press("T1003.008 OS Credential Dumping: /etc/passwd and /etc/shadow")
	b.run(chromedp.WaitVisible(`button.chip`))
	b.see("Service user reads the shadow file")
	b.gone("Script run from a temporary folder")
	b.press("Exceptions")
	b.see("nightly check of the backup")
	b.shot("exceptions")
	b.press("End it")
	b.see("Nothing is silenced")
	b.shot("exceptions-empty")
	b.press("Log out")
	b.run(chromedp.WaitVisible(`input[name=username]`))
	f.streams(b.ctx, 0, 0)
	b.faultless(f.URL)
}

func TestOtherPages(t *testing.T) {
	f := startFake(t)
	b := openBrowser(t)
	b.logIn(f.URL)
	b.see("No alerts yet")
	b.press("Nodes")
	b.see("No machine has joined yet")
	b.shot("nodes-empty")
	f.join()
	b.see("web-1")
	b.shot("nodes")
	b.choose("web-1")
	b.see("canary did not fire within 2 s")
	b.see("123,456")
	b.shot("node")

	b.press("Events")
	b.see("Waiting for events")
	b.shot("events-empty")
	f.happen(b.ctx, 0)
	b.see("curl -s https://example.org/install.sh")
	b.run(chromedp.SendKeys(`input.query`, "bad(\r"))
	b.see("missing ) at the end")
	f.streams(b.ctx, 1, 0) // what is no filter ends the events, not the stream
	b.run(chromedp.Evaluate(`document.querySelector("input.query").select()`, nil), chromedp.SendKeys(`input.query`, "\b\r"))
	b.gone("missing ) at the end")
	f.happen(b.ctx, 60)
	b.see("180 too fast to show")
	b.press("Pause")
	b.see("Go on")
	b.run(chromedp.Click(`.event`))
	b.see("process.entity_id")
	b.shot("events")
	b.press("History")
	b.run(chromedp.WaitVisible(`select[aria-label="How far back"]`), chromedp.SendKeys(`input.query`, "curl\r"))
	b.see("events in")
	b.run(chromedp.SendKeys(`input.query`, " -nothing-like-it\r"))
	b.see("Nothing found")
	b.shot("events-nothing")
	b.run(chromedp.SendKeys(`input.query`, " bad(\r"))
	b.see("missing ) at the end")

	b.press("Status")
	b.see("All is well")
	b.shot("status")
	f.setStatus(func(s object) {
		s["ok"] = false
		s["problems"] = []string{"ingest is stopped: disk is at its reserve: 4.8 GiB free of 100 GiB", "role detect is down: 1,204 batches behind"}
		s["ingest"] = object{"stopped": true, "reason": "disk is at its reserve: 4.8 GiB free of 100 GiB"}
		s["roles"].([]any)[3] = object{"name": "detect", "state": "down", "detail": "1,204 batches behind"}
		s["disk"].(object)["free"] = 5154000000
	})
	b.see("Something is wrong")
	b.shot("status-bad")
	b.run(chromedp.Click(`nav a[href="/alerts"]:not(.brand)`))
	b.see("ingest is stopped: disk is at its reserve")
	b.faultless(f.URL)
}

// TestKeys moves and acts without a mouse, then on a small screen.
func TestKeys(t *testing.T) {
	f := startFake(t)
	f.raise("a1", "a2", "a3", "a4", "a5", "a6", "a7")
	b := openBrowser(t)
	b.logIn(f.URL)
	b.see("Reverse shell by bash")
	b.run(chromedp.KeyEvent("j"), chromedp.KeyEvent("j"))
	b.see("sh -c 'id; cat /etc/shadow'")
	b.run(chromedp.KeyEvent("c"), chromedp.WaitVisible(`.head .state.closed`))
	b.run(chromedp.KeyEvent(kb.Escape), chromedp.WaitVisible(`.panel.idle`))
	b.gone("Service user reads the shadow file")
	// The driver types the slash too, which a real keyboard would not.
	b.run(chromedp.KeyEvent("/"), chromedp.KeyEvent(kb.Backspace), chromedp.KeyEvent("temporary"))
	b.gone("Reverse shell by bash")
	b.see("Script run from a temporary folder")
	b.run(chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent("j"))
	b.see("cut by the node; 4096 bytes in all")
	b.shot("alert-long")
	b.run(chromedp.EmulateViewport(400, 800))
	b.shot("alert-narrow")
	b.run(chromedp.Click(`button[aria-label="Back to the list"]`), chromedp.WaitVisible(`.list`))
	b.shot("alerts-narrow")
	b.run(chromedp.Navigate(f.URL + "/nowhere"))
	b.see("There is no such page")
	b.faultless(f.URL)
}

// TestViewer: who may only read is offered nothing else, and what hides in a
// text is shown to them too.
func TestViewer(t *testing.T) {
	f := startFake(t)
	f.role = "viewer"
	f.alerts[0]["summary"] = "a\t\r\x7f\u00ad\u061c\u200b\u2066\ufeff\U000e0041z <b>no</b>"
	f.raise("a1")
	b := openBrowser(t)
	b.logIn(f.URL)
	b.see(`a\t\r\x7f\xad\u061c\u200b\u2066\ufeff\u{e0041}z <b>no</b>`)
	b.choose("Reverse shell by bash")
	b.see("gunicorn")
	b.run(chromedp.KeyEvent("c"), chromedp.WaitNotPresent(`.actions`))
	b.press("Exceptions")
	b.see("Nothing is silenced")
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.raised[0]["state"] != "open" {
		t.Errorf("a viewer's key made the alert %v", f.raised[0]["state"])
	}
	b.faultless(f.URL)
}

// TestComesBack: a server that restarts is found again, and what happened
// meanwhile is shown.
func TestComesBack(t *testing.T) {
	f := startFake(t)
	b := openBrowser(t)
	b.logIn(f.URL)
	b.see("No alerts yet")
	f.stop()
	b.see("The connection to the server broke")
	b.shot("away")
	f.streams(b.ctx, 0, 0)
	f.raise("a1")
	f.restart()
	b.see("Reverse shell by bash")
	b.gone("The connection to the server broke")
}

// BenchmarkLive shows what the live page costs: samples of 100 rows, five a
// second, which is the most the API sends. An operation is one sample; the
// page's main thread should be busy below 10 % of the time.
func BenchmarkLive(b *testing.B) {
	f := startFake(b)
	page := openBrowser(b)
	page.logIn(f.URL)
	page.see("No alerts yet")
	page.press("Events")
	f.streams(page.ctx, 1, 1)
	rows := append(slices.Clone(f.events), f.events...)[:100]
	page.run(performance.Enable())
	before, start := page.metrics(), time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
		f.mu.Lock()
		f.tell("events", object{"rows": rows, "skipped": 0}, true)
		f.mu.Unlock()
	}
	after, passed := page.metrics(), time.Since(start).Seconds()
	b.ReportMetric(100*(after["TaskDuration"]-before["TaskDuration"])/passed, "%main-thread")
	b.ReportMetric(after["JSHeapUsedSize"]/1e6, "MB-heap")
	b.ReportMetric(after["Nodes"], "DOM-nodes")
}

func (b *browser) metrics() map[string]float64 {
	b.t.Helper()
	out := map[string]float64{}
	b.run(chromedp.ActionFunc(func(ctx context.Context) error {
		list, err := performance.GetMetrics().Do(ctx)
		for _, m := range list {
			out[m.Name] = m.Value
		}
		return err
	}))
	return out
}
