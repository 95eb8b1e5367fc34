package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/guide/commands.md")

// TestReferenceIsCurrent holds docs/guide/commands.md to what the commands
// say of themselves: `go test ./cmd/hauberk -run Reference -update` writes it.
func TestReferenceIsCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "guide", "commands.md")
	var want bytes.Buffer
	want.WriteString("# Commands of hauberk\n\nWhat `hauberk COMMAND --help` says, for reading in one place. How to work with them is in [cli.md](cli.md).\n")
	root := rootCommand("/var/lib/hauberk")
	describe(&want, root)
	want.WriteString("\n## Flags of every operator's command\n\n")
	alerts, _, err := root.Find([]string{"alerts"}) // one of them
	if err != nil {
		t.Fatal(err)
	}
	block(&want, alerts.PersistentFlags().FlagUsages())
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want.Bytes()) {
		t.Errorf("%s is not what the commands say; run go test ./cmd/hauberk -run Reference -update", path)
	}
}

// describe writes a command and those below it.
func describe(out *bytes.Buffer, c *cobra.Command) {
	if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
		return
	}
	c.InitDefaultHelpFlag()
	text := c.Long
	if text == "" {
		text = c.Short
	}
	fmt.Fprintf(out, "\n## %s\n\n", c.CommandPath())
	block(out, text)
	if c.Runnable() {
		block(out, c.UseLine())
	}
	block(out, c.Example)
	block(out, c.LocalNonPersistentFlags().FlagUsages())
	for _, sub := range c.Commands() {
		describe(out, sub)
	}
}

func block(out *bytes.Buffer, text string) {
	if text = strings.Trim(text, "\n"); text != "" {
		fmt.Fprintf(out, "```\n%s\n```\n", text)
	}
}
