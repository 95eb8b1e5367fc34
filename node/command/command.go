// Package command decides about the centre's commands and runs them: signed
// by a pinned key, meant for this node and this time, each id once, also
// across restarts (<data-dir>/commands.json).
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/durable"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
)

const (
	file = "commands.json"
	// remembered bounds the ids kept until they expire; beyond it a command
	// is refused rather than an id forgotten.
	remembered = 4096
	// queued bounds commands that wait for the one being run.
	queued = 16
	// timeout bounds one command.
	timeout = 5 * time.Minute
	// maxLife bounds how far ahead a command may expire, so that an id need
	// not be kept for ever.
	maxLife = 30 * 24 * time.Hour
)

// Func does what a command says. progress may be called with 0 to 100. The
// output is for people, cut to fleet.MaxOutput.
type Func func(ctx context.Context, arguments map[string]string, progress func(percent uint32)) (output string, err error)

// Config is what a Runner needs.
type Config struct {
	Dir     string
	Keys    fleet.Keys
	Self    func() fleet.Subject
	Allowed []string // names a local file permits; nil: all
	Funcs   map[string]Func
	Report  func(*fleet.CommandResult) error
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *obs.Registry
}

// Runner runs commands one after the other. Make it with New.
type Runner struct {
	cfg                      Config
	queue                    chan *fleet.Command
	done, failed, unreported *obs.Counter

	mu   sync.Mutex
	seen map[string]int64 // id -> expiry, Unix ns
}

// New returns a runner that knows the ids of earlier starts.
func New(cfg Config) (*Runner, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Runner{cfg: cfg, queue: make(chan *fleet.Command, queued), seen: map[string]int64{}}
	r.done = r.counter("done")
	r.failed = r.counter("failed")
	r.unreported = cfg.Metrics.Counter("hauberk_node_command_results_lost_total", "", "Results that could not be queued for the gateway.")
	data, err := os.ReadFile(filepath.Join(cfg.Dir, file))
	if err == nil {
		err = json.Unmarshal(data, &r.seen)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// Commands may run twice within their life, which is short; to
		// refuse to start would be worse.
		cfg.Log.Error("memory of commands is lost", "cause", err)
		r.seen = map[string]int64{}
	}
	return r, nil
}

func (r *Runner) counter(outcome string) *obs.Counter {
	return r.cfg.Metrics.Counter("hauberk_node_commands_total", "outcome="+outcome, "Commands received.")
}

// Names returns the commands this node runs.
func (r *Runner) Names() []string {
	var out []string
	for name := range r.cfg.Funcs {
		if r.permitted(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (r *Runner) permitted(name string) bool {
	return r.cfg.Allowed == nil || slices.Contains(r.cfg.Allowed, name)
}

// Take judges a command and queues it. It does not block.
func (r *Runner) Take(s *fleet.SignedCommand) {
	c, err := r.cfg.Keys.OpenCommand(s)
	if err != nil {
		// Without a valid signature its id is worth nothing: no report.
		r.counter("unsigned").Inc()
		r.cfg.Log.Warn("command refused", "cause", err)
		return
	}
	again, err := r.judge(c)
	if again {
		r.counter("repeated").Inc()
		return
	}
	if err != nil {
		r.counter("refused").Inc()
		r.cfg.Log.Warn("command refused", "id", c.Id, "name", c.Name, "author", c.Author, "cause", err)
		r.report(c, fleet.CommandState_COMMAND_STATE_REFUSED, 0, "", err)
		return
	}
	r.report(c, fleet.CommandState_COMMAND_STATE_RECEIVED, 0, "", nil)
	select {
	case r.queue <- c:
	default:
		r.counter("refused").Inc()
		r.report(c, fleet.CommandState_COMMAND_STATE_REFUSED, 0, "", errors.New("too many commands wait"))
	}
}

// judge reports whether the command came before, and why it may not run.
func (r *Runner) judge(c *fleet.Command) (again bool, err error) {
	self, now := r.cfg.Self(), r.cfg.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, again := r.seen[c.Id]; again {
		return true, nil
	}
	if err := c.Check(self.Tenant, now); err != nil {
		return false, err
	}
	if c.Expires-now.UnixNano() > int64(maxLife) {
		return false, fmt.Errorf("it expires more than %s ahead", maxLife)
	}
	selector, err := fleet.ParseSelector(c.Selector)
	if err != nil {
		return false, err
	}
	if !selector.Match(&self) {
		return false, errors.New("its selector does not select this node")
	}
	if r.cfg.Funcs[c.Name] == nil {
		return false, fmt.Errorf("no command %.60q", c.Name)
	}
	if !r.permitted(c.Name) {
		return false, fmt.Errorf("command %s is not permitted by this machine's configuration", c.Name)
	}
	return false, r.remember(c, now)
}

// remember stores the id before the command runs.
func (r *Runner) remember(c *fleet.Command, now time.Time) error {
	for id, expires := range r.seen {
		if expires < now.UnixNano() {
			delete(r.seen, id)
		}
	}
	if len(r.seen) >= remembered {
		return errors.New("too many commands within their life")
	}
	r.seen[c.Id] = c.Expires
	data, err := json.Marshal(r.seen)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(r.cfg.Dir, file), data, 0o600); err != nil {
		delete(r.seen, c.Id)
		return fmt.Errorf("remember command: %w", err)
	}
	return nil
}

// Run runs what was taken until the context ends.
func (r *Runner) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-r.queue:
			r.execute(ctx, c)
		}
	}
}

func (r *Runner) execute(ctx context.Context, c *fleet.Command) {
	if c.Expires <= r.cfg.Now().UnixNano() {
		r.report(c, fleet.CommandState_COMMAND_STATE_REFUSED, 0, "", errors.New("expired while it waited"))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r.cfg.Log.Info("command", "id", c.Id, "name", c.Name, "author", c.Author, "reason", c.Reason)
	r.report(c, fleet.CommandState_COMMAND_STATE_RUNNING, 0, "", nil)
	var output string
	err := run.Protect(func() (err error) {
		output, err = r.cfg.Funcs[c.Name](ctx, c.Arguments, func(percent uint32) {
			r.report(c, fleet.CommandState_COMMAND_STATE_RUNNING, min(percent, 100), "", nil)
		})
		return err
	})
	if err != nil {
		r.failed.Inc()
		r.report(c, fleet.CommandState_COMMAND_STATE_FAILED, 0, output, err)
		return
	}
	r.done.Inc()
	r.report(c, fleet.CommandState_COMMAND_STATE_DONE, 100, output, nil)
}

func (r *Runner) report(c *fleet.Command, state fleet.CommandState, percent uint32, output string, err error) {
	result := &fleet.CommandResult{Command: c.Id, State: state, Percent: percent, Output: output, Time: r.cfg.Now().UnixNano(), Tenant: c.Tenant, Host: r.cfg.Self().Host}
	if len(result.Output) > fleet.MaxOutput {
		const mark = "\n(cut)"
		result.Output = result.Output[:fleet.MaxOutput-len(mark)] + mark
	}
	if err != nil {
		result.Error = err.Error()
	}
	if r.cfg.Report(result) != nil {
		r.unreported.Inc()
	}
}
