// Command loopbench measures the whole loop on this machine as a user meets
// it: how soon an attack is an alert in the API and its event is found by
// search, how soon `hauberk up` is ready, what all its processes take in
// memory when nothing happens, the size of the binaries, what a storm of
// processes costs the agent and the platform, and what an event costs from the
// agent's socket to the disk. It needs root and
// writes docs/perf/loop.{json,md}.
//
//	go run ./labs/loopbench -attacks 300
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/hauberk/hauberk/internal/perf"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/labs/loop"
)

type options struct {
	attacks, searches, starts, events, processes int
	idle                                         time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.attacks, "attacks", 300, "attack steps whose alerts are awaited")
	flag.IntVar(&o.searches, "searches", 50, "processes whose events are searched for")
	flag.IntVar(&o.starts, "starts", 7, "first and second starts of the platform")
	flag.IntVar(&o.events, "events", 400_000, "events sent through the pipeline")
	flag.IntVar(&o.processes, "processes", 50_000, "processes of a storm on the watched host")
	flag.DurationVar(&o.idle, "idle", time.Minute, "rest before memory is read")
	out := flag.String("out", "docs/perf", "where to write the figures")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	report := &perf.Report{Area: "loop", Command: "go run ./labs/loopbench"}
	if err := measure(ctx, report, o); err != nil {
		log.Fatal("loopbench: ", err)
	}
	if err := report.Write(os.Stdout, *out); err != nil {
		log.Fatal("loopbench: ", err)
	}
}

func measure(ctx context.Context, report *perf.Report, o options) error {
	work, err := os.MkdirTemp("", "hbk")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	binaries, err := loop.Build(ctx, work)
	if err != nil {
		return err
	}
	if err := sizes(report, binaries); err != nil {
		return err
	}
	if err := starts(ctx, report, binaries, work, o.starts); err != nil {
		return err
	}
	// Every attack below has an executable of its own, so that its alert folds
	// with no other; many alerts of one rule would fold without this.
	config := filepath.Join(work, "server.yaml")
	if err := os.WriteFile(config, []byte("detect: {fold: {storm: 10000}}\n"), 0o600); err != nil {
		return err
	}
	p, err := loop.Up(ctx, binaries, filepath.Join(work, "d"), "--config", config)
	if err != nil {
		return err
	}
	defer p.Stop()
	if err := idle(ctx, report, p, o.idle); err != nil {
		return err
	}
	if err := alerts(ctx, report, p, work, o.attacks); err != nil {
		return err
	}
	if err := searches(ctx, report, p, work, o.searches); err != nil {
		return err
	}
	if err := storm(ctx, report, p, work, o.processes); err != nil {
		return err
	}
	return pipeline(ctx, report, binaries, work, o.events)
}

// sizes reports the binaries as `make build` makes them.
func sizes(report *perf.Report, b loop.Binaries) error {
	for _, file := range []struct {
		path   string
		target float64
	}{{b.Hauberk, 60}, {b.Agent, 15}} {
		info, err := os.Stat(file.path)
		if err != nil {
			return err
		}
		mb := float64(info.Size()) / 1e6
		target := fmt.Sprintf("%.0f MB", file.target)
		if file.path == b.Agent {
			target = "none"
		}
		report.Add(perf.Figure{Name: "size of " + filepath.Base(file.path), Value: mb, Unit: "MB", Target: target, Reached: mb <= file.target})
	}
	return nil
}

// starts reports how long `up` takes to be ready, with and without data.
func starts(ctx context.Context, report *perf.Report, b loop.Binaries, work string, rounds int) error {
	var first, second, stop []float64
	for i := range rounds {
		data := filepath.Join(work, fmt.Sprint("s", i))
		for _, ready := range []*[]float64{&first, &second} {
			p, err := loop.Up(ctx, b, data)
			if err != nil {
				return err
			}
			*ready = append(*ready, p.Ready.Seconds())
			began := time.Now()
			if err := p.Stop(); err != nil {
				return err
			}
			stop = append(stop, time.Since(began).Seconds())
		}
		os.RemoveAll(data)
	}
	add := func(name string, values []float64, target float64) {
		v := perf.Median(values)
		f := perf.Figure{Name: name + fmt.Sprintf(" (median of %d)", len(values)), Value: v, Unit: "s", Target: "none", Reached: true}
		if target > 0 {
			f.Target, f.Reached = fmt.Sprintf("%.0f s", target), v <= target
		}
		report.Add(f)
	}
	add("hauberk up to ready, first start", first, 3)
	add("hauberk up to ready, with data", second, 3)
	add("Ctrl-C to the end", stop, 0)
	return nil
}

// idle reports what the processes take when nothing happens.
func idle(ctx context.Context, report *perf.Report, p *loop.Platform, rest time.Duration) error {
	if err := run.Sleep(ctx, rest); err != nil {
		return err
	}
	const watch = 10 * time.Second
	meter, err := newMeter(p)
	if err != nil {
		return err
	}
	if err := run.Sleep(ctx, watch); err != nil {
		return err
	}
	used, err := meter.read()
	if err != nil {
		return err
	}
	var pss, rss float64
	var parts []string
	for _, one := range meter.processes {
		m, err := loop.MemoryOf(one.PID)
		if err != nil {
			return err
		}
		pss, rss = pss+m.PSS, rss+m.RSS
		parts = append(parts, fmt.Sprintf("%s %.0f", one.Name, m.PSS))
	}
	report.Add(perf.Figure{
		Name:  fmt.Sprintf("resident memory of all processes, idle for %s (PSS, MB: %s)", rest, strings.Join(parts, ", ")),
		Value: pss, Unit: "MB", Peer: "sum of RSS, shared text counted in each", PeerValue: rss, Target: "150 MB", Reached: pss <= 150,
	})
	report.Add(perf.Figure{Name: "CPU of all processes when idle", Value: used.all() / watch.Seconds() * 100, Unit: "% of a core", Target: "none", Reached: true})
	return nil
}

// alerts reports how long it takes from the start of an attack's process
// until its alert is in the API's list.
func alerts(ctx context.Context, report *perf.Report, p *loop.Platform, work string, count int) error {
	client := socketClient(filepath.Join(p.Data, "run", "api.sock"))
	var took []float64
	for i := range count {
		// netcat that listens with a shell: what matters is its name and argv.
		program, err := program(work, fmt.Sprint("a", i), "nc")
		if err != nil {
			return err
		}
		began := time.Now()
		if err := exec.CommandContext(ctx, program, "-l", "-p", "4444", "-e", "/bin/sh").Run(); err != nil {
			return err
		}
		found := func() (bool, error) {
			var page struct{ Items []json.RawMessage }
			err := client.get(ctx, "/api/v1/alerts?limit=3", &page)
			for _, item := range page.Items {
				if strings.Contains(string(item), program) {
					return true, nil
				}
			}
			return false, err
		}
		if err := await(ctx, found, 2*time.Millisecond); err != nil {
			return fmt.Errorf("alert of %s: %w", program, err)
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	median, p99 := perf.Median(took), perf.Quantile(took, 0.99)
	report.Add(perf.Figure{Name: fmt.Sprintf("exec to alert visible in the API, median of %d", count), Value: median, Unit: "ms", Target: "200 ms", Reached: median <= 200})
	report.Add(perf.Figure{Name: fmt.Sprintf("exec to alert visible in the API, 99th percentile of %d", count), Value: p99, Unit: "ms", Target: "1000 ms", Reached: p99 <= 1000})
	return nil
}

// searches reports how long it takes until the event of a process is found.
func searches(ctx context.Context, report *perf.Report, p *loop.Platform, work string, count int) error {
	client := socketClient(filepath.Join(p.Data, "run", "api.sock"))
	var took []float64
	for i := range count {
		program, err := program(work, fmt.Sprint("q", i), "true")
		if err != nil {
			return err
		}
		query := url.Values{"query": {fmt.Sprintf(`process.executable:="%s"`, program)}, "since": {time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)}}
		began := time.Now()
		if err := exec.CommandContext(ctx, program).Run(); err != nil {
			return err
		}
		found := func() (bool, error) {
			text, err := client.text(ctx, "/api/v1/events/query?"+query.Encode())
			return strings.Contains(text, program), err
		}
		if err := await(ctx, found, 20*time.Millisecond); err != nil {
			return fmt.Errorf("event of %s: %w", program, err)
		}
		took = append(took, float64(time.Since(began).Milliseconds()))
	}
	report.Add(perf.Figure{Name: fmt.Sprintf("exec to its event found by search, median of %d", count), Value: perf.Median(took), Unit: "ms", Target: "none", Reached: true})
	report.Add(perf.Figure{Name: fmt.Sprintf("exec to its event found by search, slowest of %d", count), Value: perf.Quantile(took, 1), Unit: "ms", Target: "none", Reached: true})
	return nil
}

// program copies /bin/true to a name of its own.
func program(work, folder, name string) (string, error) {
	dir := filepath.Join(work, folder)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	text, err := os.ReadFile("/bin/true")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, text, 0o755)
}

// patience bounds each wait.
const patience = 30 * time.Second

func await(ctx context.Context, found func() (bool, error), pause time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("it does not come"))
	defer cancel()
	for {
		ok, err := found()
		if err != nil || ok {
			return err
		}
		if run.Sleep(ctx, pause) != nil {
			return context.Cause(ctx)
		}
	}
}

// apiClient asks the API by its root-only socket.
type apiClient struct{ http *http.Client }

func socketClient(socket string) apiClient {
	return apiClient{&http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}}
}

func (c apiClient) text(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://local"+path, nil)
	if err != nil {
		return "", err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, body)
	}
	return string(body), err
}

func (c apiClient) get(ctx context.Context, path string, out any) error {
	text, err := c.text(ctx, path)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), out)
}
