// Command hauberk-agent is the host agent: `hauberk-agent help` says what it can do.
// The same binary is master, collector and loader.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/hauberk/hauberk/agent"
)

// version is set by the linker.
var version = "dev"

// exitConfig says that starting again would fail alike: sysexits.h's
// EX_CONFIG, which systemd's RestartPreventExitStatus and `hauberk up` know.
const exitConfig = 78

// errConfig is wrapped by errors that only an operator can mend.
var errConfig = errors.New("configuration")

const usage = `hauberk-agent watches this host and tells the centre.

  hauberk-agent enroll --server HOST:PORT --token TOKEN   join a centre
  hauberk-agent run                                       watch
  hauberk-agent status [--json]                           what the running agent does
  hauberk-agent identity [--json]                         who this machine is to the centre
  hauberk-agent version

Each takes --data-dir DIR (default ` + "%s" + `); run takes --config FILE,
--check-config and --print-config. See hauberk-agent <command> --help.
`

func main() {
	if err := dispatch(os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "hauberk-agent:", err)
		if errors.Is(err, errConfig) {
			os.Exit(exitConfig)
		}
		os.Exit(1)
	}
}

func dispatch(args []string, out io.Writer) error {
	name := "help"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "run":
		return runAgent(args, out)
	case "enroll", "enrol":
		return enroll(args, out)
	case "status":
		return status(args, out)
	case "identity":
		return showIdentity(args, out)
	case "collector":
		return child(agent.RunCollector)
	case "loader":
		return child(agent.RunLoader)
	case "version", "--version":
		_, err := fmt.Fprintln(out, "hauberk-agent", version)
		return err
	case "help", "--help", "-h":
		_, err := fmt.Fprintf(out, usage, agent.DefaultDataDir())
		return err
	}
	return fmt.Errorf("no command %q; hauberk-agent help lists them", name)
}
