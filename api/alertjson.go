package api

import (
	"encoding/json"
	"strings"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/store/cases"
)

// alertAnswer is an alert as lists show it.
type alertAnswer struct {
	ID          string      `json:"id"`
	Fingerprint string      `json:"fingerprint"`
	RuleID      string      `json:"rule_id"`
	RuleName    string      `json:"rule_name"`
	Severity    string      `json:"severity"`
	State       cases.State `json:"state"`
	StateBy     string      `json:"state_by,omitempty"`
	StateAt     string      `json:"state_at,omitempty"`
	Count       uint64      `json:"count"`
	FirstSeen   string      `json:"first_seen"`
	LastSeen    string      `json:"last_seen"`
	Node        string      `json:"node"`
	Host        string      `json:"host"`
	Tenant      string      `json:"tenant,omitempty"`
	Techniques  []string    `json:"techniques"`
	Summary     string      `json:"summary"`
	// Version rises with every change of any alert: what is above the
	// highest one seen is new.
	Version int64 `json:"version"`
}

// alertDetail is an alert with all that is known of it. History is absent in
// live streams.
type alertDetail struct {
	alertAnswer
	Ruleset        string            `json:"ruleset,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	TechniqueNames []string          `json:"technique_names,omitempty"`
	Tactics        []string          `json:"tactics,omitempty"`
	Description    string            `json:"description,omitempty"`
	FalsePositives []string          `json:"false_positives,omitempty"`
	References     []string          `json:"references,omitempty"`
	Tree           []processAnswer   `json:"tree"` // of the first evidence that has a process
	Evidence       []evidence        `json:"evidence"`
	History        []historyAnswer   `json:"history,omitempty"`
}

// processAnswer is one process of a tree; a tree begins with the oldest
// ancestor known and ends with the process itself.
type processAnswer struct {
	PID              uint32   `json:"pid"`
	EntityID         string   `json:"entity_id"`
	Name             string   `json:"name,omitempty"`
	Executable       string   `json:"executable,omitempty"`
	Args             []string `json:"args"`
	ArgsLength       uint32   `json:"args_length,omitempty"` // true bytes, where args was cut
	WorkingDirectory string   `json:"working_directory,omitempty"`
	UID              uint32   `json:"uid"`
	User             string   `json:"user,omitempty"`
	TTY              string   `json:"tty,omitempty"`
	ContainerID      string   `json:"container_id,omitempty"`
	SHA256           string   `json:"sha256,omitempty"`
}

// evidence is one event an alert rests on: in the flat names of ECS, with the
// tree of its process.
type evidence struct {
	ID    string          `json:"id"`
	Time  string          `json:"time"`
	Event json.RawMessage `json:"event"`
	Tree  []processAnswer `json:"tree"`
}

type historyAnswer struct {
	At      string `json:"at"`
	By      string `json:"by"`
	Action  string `json:"action"`
	Comment string `json:"comment,omitempty"`
}

func answerAlert(a cases.Alert) alertAnswer {
	out := alertAnswer{
		ID: a.ID, Fingerprint: a.Fingerprint, RuleID: a.RuleID, RuleName: a.RuleName, Severity: a.Severity,
		State: a.State, StateBy: a.StateBy, StateAt: stamp(a.StateAt), Count: a.Count,
		FirstSeen: stamp(a.FirstSeen), LastSeen: stamp(a.LastSeen), Node: a.Node, Host: a.Host, Tenant: a.Tenant,
		Techniques: a.Techniques, Summary: a.Summary, Version: a.Version,
	}
	if out.Techniques == nil {
		out.Techniques = []string{}
	}
	return out
}

// subject returns the index of the first evidence with a process, -1 if none.
func subject(a *event.Alert) int {
	for i, e := range a.GetEvidence() {
		if e.GetEvent().GetProcess().GetPid() != 0 {
			return i
		}
	}
	return -1
}

func detailAlert(a cases.Alert) alertDetail {
	e := a.Alert
	out := alertDetail{
		alertAnswer: answerAlert(a), Ruleset: e.GetRuleset(), Labels: e.GetLabels(), TechniqueNames: e.GetTechniqueNames(),
		Tactics: e.GetTactics(), Description: e.GetDescription(), FalsePositives: e.GetFalsePositives(), References: e.GetReferences(),
		Tree: []processAnswer{}, Evidence: []evidence{},
	}
	if i := subject(e); i >= 0 {
		out.Tree = tree(e.Evidence[i].GetEvent().GetProcess())
	}
	for _, v := range e.GetEvidence() {
		out.Evidence = append(out.Evidence, evidence{
			ID: v.GetId(), Time: stamp(v.GetTime()), Event: event.AppendJSON(nil, v.Record(e)), Tree: tree(v.GetEvent().GetProcess()),
		})
	}
	for _, h := range a.History {
		out.History = append(out.History, historyAnswer{stamp(h.At), h.By, h.Action, h.Comment})
	}
	return out
}

// tree lists a process and its ancestors, the oldest first.
func tree(p *event.Process) []processAnswer {
	list := []processAnswer{}
	if p.GetPid() == 0 {
		return list
	}
	ancestors := p.GetAncestors()
	for i := len(ancestors) - 1; i >= 0; i-- {
		a := ancestors[i]
		list = append(list, processAnswer{
			PID: a.GetPid(), EntityID: event.EntityID(a.GetPid(), a.GetStart()), Name: string(a.GetName()), Executable: string(a.GetExecutable()),
			Args: splitArgs(a.GetArgs()), WorkingDirectory: string(a.GetWorkingDirectory()), UID: a.GetUid(),
		})
	}
	return append(list, processAnswer{
		PID: p.GetPid(), EntityID: event.EntityID(p.GetPid(), p.GetStart()), Name: string(p.GetName()), Executable: string(p.GetExecutable()),
		Args: splitArgs(p.GetArgs()), ArgsLength: p.GetArgsLength(), WorkingDirectory: string(p.GetWorkingDirectory()), UID: p.GetUid(),
		User: p.GetUser(), TTY: string(p.GetTty()), ContainerID: p.GetContainerId(), SHA256: p.GetSha256(),
	})
}

// splitArgs reads argv, each text ended by NUL.
func splitArgs(argv []byte) []string {
	if len(argv) == 0 {
		return []string{}
	}
	return strings.Split(strings.TrimSuffix(string(argv), "\x00"), "\x00")
}
