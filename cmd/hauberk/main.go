// Command hauberk is the platform: `hauberk up` starts everything on this
// machine, `hauberk server` runs any mix of the centre's roles, and the other
// commands are the operator's.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/hauberk/hauberk/cli"
)

// version is set by the linker, see the Makefile.
var version = "dev"

// Exit codes: those of the operator's commands are in package cli.
const (
	// exitConfig says that starting again would fail alike: sysexits.h's
	// EX_CONFIG, which the systemd units know (RestartPreventExitStatus).
	exitConfig = 78
)

// errConfig marks an error that no restart mends.
var errConfig = errors.New("configuration")

func main() {
	err := rootCommand(defaultDataDir()).ExecuteContext(context.Background())
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "hauberk:", err)
	if errors.Is(err, errConfig) {
		os.Exit(exitConfig)
	}
	os.Exit(cli.ExitCode(err))
}

// rootCommand returns all commands; dataDir is the default of --data-dir.
func rootCommand(dataDir string) *cobra.Command {
	root := &cobra.Command{
		Use:   "hauberk",
		Short: "Watch servers, find attacks, show them within a second",
		Long: `Hauberk watches servers and shows what attacks them, within a second.

Start with ` + "`hauberk up`" + `: it runs the whole platform on this machine. Then, in
another shell, ` + "`hauberk alerts --follow`" + `.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(upCommand(dataDir), serverCommand(dataDir))
	root.AddCommand(cli.Commands(cli.Options{Version: version, DataDir: dataDir, CheckRules: checkRules})...)
	return root
}
