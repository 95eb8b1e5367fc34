// Package ruleset makes one rule file of many sources, as operators of
// Suricata know it from suricata-update: their enable, disable, drop and
// modify files, thresholds and source lists are read as they are.
//
// The parts, in the order in which an update uses them:
//
//	fetch    URLs, archives, folders, files -> []File   (fetch.go, archive.go)
//	tune     the operator's files           -> Tuning   (match.go, edit.go)
//	build    []File and Tuning              -> *Set     (build.go; pure)
//	switch   the set checked, written, the old one kept (update.go)
//
// A rule is handled as text here: what the rule language does not know is kept
// as it is, or left out with the reason.
package ruleset
