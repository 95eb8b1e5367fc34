// Package cli holds the operator's commands of `hauberk`. They speak the REST
// API that docs/formats/api.md and api/openapi.yaml describe and nothing else:
// on the machine itself over the root-only Unix socket, without a log-in;
// elsewhere over HTTPS with an API token.
//
// Every command prints for people, or with --json one object per line for
// programs, in the API's own words. Text that came from a host never reaches
// the terminal with its control bytes.
package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Options of the commands.
type Options struct {
	Version string
	// DataDir is the default of --data-dir, below which the socket is.
	DataDir string
	// CheckRules checks a folder of Sigma rules on this machine, for
	// `rules check`; its result prints itself.
	CheckRules func(dir string) (RuleReport, error)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Commands returns the operator's commands, to be added to a root command.
func Commands(o Options) []*cobra.Command {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &session{options: o}
	commands := []*cobra.Command{
		s.alertsCommand(), s.queryCommand(), s.nodesCommand(), s.configCommand(), s.commandCommand(),
		s.stopCommand(), s.resumeCommand(), s.tokenCommand(), s.apiTokenCommand(), s.userCommand(),
		s.rulesCommand(), s.exceptionCommand(), s.statusCommand(), s.auditCommand(), s.backupCommand(), s.restoreCommand(),
	}
	for _, c := range commands {
		s.connectFlags(c)
	}
	return append(commands, s.edgeCommand())
}

// session is what the commands of one run share: the flags every one has.
type session struct {
	options Options
	dataDir string
	server  string
	token   string
	caFile  string
	json    bool
	noColor bool
}

func (s *session) connectFlags(c *cobra.Command) {
	f := c.PersistentFlags()
	f.StringVar(&s.dataDir, "data-dir", s.options.DataDir, "data directory of the server on this machine")
	f.StringVar(&s.server, "server", os.Getenv("HAUBERK_SERVER"), "https://HOST:PORT of a server elsewhere ($HAUBERK_SERVER)")
	f.StringVar(&s.token, "token", "", "API token for --server (default $HAUBERK_TOKEN)")
	f.StringVar(&s.caFile, "ca", os.Getenv("HAUBERK_CA"), "PEM file of the server's authority (default <data-dir>/tls/ca.crt if it exists, else the system's)")
	f.BoolVar(&s.json, "json", false, "print one JSON object per line")
	f.BoolVar(&s.noColor, "no-color", os.Getenv("NO_COLOR") != "", "no colours even on a terminal ($NO_COLOR)")
}

func (s *session) socket() string { return filepath.Join(s.dataDir, "run", "api.sock") }

// interruptible returns a context that Ctrl-C ends.
func interruptible(c *cobra.Command) (context.Context, func()) {
	return signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
}

// Exit codes. 2 is cobra's for a wrong call; 64 and up are sysexits.h's.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitUnavailable = 69
)

// ExitCode returns the exit code an error of these commands deserves: 3 for
// what does not exist, 4 for what is not allowed, 69 when the server cannot
// be reached, 2 for a wrong call, 1 otherwise; 0 for nil.
func ExitCode(err error) int {
	var failed *apiError
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errUnreachable):
		return exitUnavailable
	case errors.As(err, &failed) && failed.Status == 404:
		return exitNotFound
	case errors.As(err, &failed) && (failed.Status == 401 || failed.Status == 403):
		return exitDenied
	}
	return exitFailure
}

// usageError is a wrong call that cobra could not see.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }
