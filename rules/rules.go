// Package rules holds Hauberk's own Sigma rules for Linux hosts, embedded: what
// attackers do first. One file per rule, in folders by tactic;
// docs/guide/rules.md says how they are written and tested. Nothing here
// parses them.
package rules

import (
	"embed"
	"io/fs"
)

// Name is what alerts call this rule set.
const Name = "hauberk"

// Version rises with every change of what the rules find.
const Version = "1.0.0"

//go:embed linux
var files embed.FS

// FS returns the rule files, below linux/.
func FS() fs.FS { return files }
