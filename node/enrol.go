package node

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/node/identity"
)

// EnrolOptions is what joins this machine to a centre.
type EnrolOptions struct {
	DataDir string
	Kind    string // agent, sensor, edge, decoy
	Server  string // host:port of a gateway
	Token   string
	Version string
	Force   bool // replace an identity
}

// Enrol joins this machine to a centre and stores its identity below the data
// directory; a running node of the same directory sees it within seconds.
func Enrol(ctx context.Context, o EnrolOptions) (*identity.Identity, error) {
	token, err := link.ParseToken(o.Token)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	h := ThisHost()
	return identity.Enrol(ctx, filepath.Join(o.DataDir, "identity"), o.Server, token, &link.EnrolRequest{
		Host: h.Name, Kind: o.Kind, Version: o.Version, Os: h.OS, Kernel: h.Kernel, Arch: h.Arch,
	}, o.Force)
}

// EnrolCommand is the command "enroll" of every node's binary. o has kind,
// version and the usual data directory; args are what follows the command's name.
func EnrolCommand(o EnrolOptions, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("hauberk-"+o.Kind+" enroll", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.Server, "server", "", "`host:port` of a gateway")
	f.StringVar(&o.Token, "token", "", "from hauberk token create; - reads it from standard input")
	f.StringVar(&o.DataDir, "data-dir", o.DataDir, "where the identity is kept")
	f.BoolVar(&o.Force, "force", false, "replace an identity this machine has")
	timeout := f.Duration("timeout", 30*time.Second, "how long to try")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%s: unexpected argument %q", f.Name(), f.Arg(0))
	}
	if o.Server == "" || o.Token == "" {
		return errors.New("enroll: --server and --token must be given")
	}
	if o.Token == "-" {
		text, err := io.ReadAll(io.LimitReader(os.Stdin, 4096))
		if err != nil {
			return fmt.Errorf("enroll: read token: %w", err)
		}
		o.Token = string(text)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	id, err := Enrol(ctx, o)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "enrolled as node %s of tenant %s\n", id.Node(), id.Tenant())
	return err
}
