// Package sigma reads, checks and runs Sigma detection rules, version 2.1 of
// the specification (github.com/SigmaHQ/sigma-specification).
//
// The steps, each usable alone:
//
//	Parse, ParseFS   YAML -> []*Rule: detections, correlations, filters, with positions
//	Compile          []*Rule + Options -> *Set: one shared, immutable matcher
//	Set.Match        event -> the rules it matches; no locks, no allocations
//	NewCorrelator    matches + time -> correlation hits; no clock, bounded memory
//	Check            all of it over a folder, as a report: supported, or refused and why
//
// One bad rule never stops a set: everything that can be wrong with a rule is
// an *Error with file, line, column, rule and reason, and the other rules go on.
//
// # Events
//
// The caller says what an event is. A Schema names the fields and their kinds,
// in the caller's own vocabulary; an Event gives the value of a field by its
// number. Rules use Sigma's field names; a Mapping, which is data, translates
// them by log source. DefaultMapping translates to the Elastic Common Schema.
// Every event belongs to a Class, and a class lists the log sources it serves.
//
// # Semantics where the specification leaves a choice
//
//   - Text is compared without regard to ASCII case. A pattern that holds
//     letters outside ASCII is compared by Unicode simple folding.
//   - `?` stands for one character (UTF-8), or one byte of invalid text.
//   - A field with several values matches when one of them does.
//   - ” and null both match a field that is absent or empty; only `exists`
//     tells the two apart.
//   - neq is the negation of the whole item: true for an absent field.
//   - A keyword is looked for in the fields that the mapping names for the log
//     source; all of its wildcards must be met within one field.
//   - A regular expression is unanchored and is one that Go's regexp (RE2)
//     accepts; what it lacks (look-around, back references) is refused.
//   - A filter suppresses what its condition selects. A condition that begins
//     with `not` is read the way pySigma reads it, as what may pass: so
//     `selection` and `not selection` both suppress what selection matches.
package sigma
