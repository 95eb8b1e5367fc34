package detect

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hauberk/hauberk/event"
)

// scene is an event as rules/testdata writes it; docs/guide/rules.md describes
// the keys.
type scene struct {
	Exec    words  `yaml:"exec"`
	File    string `yaml:"file"`
	Denied  string `yaml:"denied"`
	Connect string `yaml:"connect"`
	Login   string `yaml:"login"`
	Status  string `yaml:"status"`

	Exe       string   `yaml:"exe"`
	UID       *uint32  `yaml:"uid"`
	Parent    string   `yaml:"parent"`
	Ancestors []string `yaml:"anc"`
	Sockets   uint32   `yaml:"sockets"`
	Stdin     string   `yaml:"stdin"`
	Script    string   `yaml:"script"`
	Memory    bool     `yaml:"memory"`
	Snapshot  bool     `yaml:"snapshot"`
	Container string   `yaml:"container"`
	CWD       string   `yaml:"cwd"`

	Action  string `yaml:"action"`
	To      string `yaml:"to"`
	User    string `yaml:"user"`
	By      string `yaml:"by"`
	Success bool   `yaml:"success"`
	Method  string `yaml:"method"`
	Service string `yaml:"service"`
	Source  string `yaml:"source"`
	Message string `yaml:"message"`

	Times int `yaml:"times"` // repeats of a step in a sequence
}

// words is a command line: a list, or one text that is split at spaces.
type words struct {
	list  []string
	given bool
}

func (w *words) UnmarshalYAML(n *yaml.Node) error {
	w.given = true
	if n.Kind == yaml.ScalarNode {
		w.list = strings.Fields(n.Value)
		return nil
	}
	return n.Decode(&w.list)
}

// steps is one scene, or several in order.
type steps []scene

func (s *steps) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return n.Decode((*[]scene)(s))
	}
	var one scene
	if err := n.Decode(&one); err != nil {
		return err
	}
	*s = steps{one}
	return nil
}

// events gives the events of the steps, a step with times that many.
func (s steps) events() ([]*event.Event, error) {
	var out []*event.Event
	for i := range s {
		for range max(1, s[i].Times) {
			e, err := s[i].event()
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
	}
	return out, nil
}

func (s *scene) event() (*event.Event, error) {
	e := &event.Event{Process: s.process()}
	switch {
	case s.Exec.given:
		e.Process.Args = []byte(strings.Join(s.Exec.list, "\x00"))
		e.Body = &event.Event_Exec{Exec: &event.ProcessExec{Script: []byte(s.Script), SocketStdio: s.Sockets, Stdin: []byte(s.Stdin), FromMemory: s.Memory, Snapshot: s.Snapshot}}
	case s.File != "":
		action, ok := event.FileAction_value["FILE_ACTION_"+strings.ToUpper(s.Action)]
		if !ok {
			return nil, fmt.Errorf("action %q does not exist", s.Action)
		}
		e.Body = &event.Event_File{File: &event.FileChange{Action: event.FileAction(action), Path: []byte(s.File), NewPath: []byte(s.To)}}
	case s.Denied != "":
		e.Body = &event.Event_Denied{Denied: &event.AccessDenied{Operation: "open", Path: []byte(s.Denied), PathIsClaim: true, Error: 13}}
	case s.Connect != "":
		host, port, err := net.SplitHostPort(s.Connect)
		if err != nil {
			return nil, err
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, err
		}
		e.Body = &event.Event_Connection{Connection: &event.Connection{Direction: event.Direction_DIRECTION_OUTBOUND, Transport: event.Transport_TRANSPORT_TCP,
			DestinationIp: addressOf(host), DestinationPort: uint32(number)}}
	case s.Login != "":
		kind, ok := event.LoginKind_value["LOGIN_KIND_"+strings.ToUpper(s.Login)]
		if !ok {
			return nil, fmt.Errorf("login %q does not exist", s.Login)
		}
		e.Process = nil
		e.Body = &event.Event_Login{Login: &event.Login{Kind: event.LoginKind(kind), Success: s.Success, User: []byte(s.User), By: []byte(s.By), Method: s.Method,
			Service: []byte(s.Service), SourceIp: addressOf(s.Source), Message: []byte(s.Message)}}
	case s.Status != "":
		e.Process = nil
		e.Body = &event.Event_Status{Status: &event.NodeStatus{Reason: s.Status}}
	default:
		return nil, fmt.Errorf("an event has none of exec, file, denied, connect, login, status")
	}
	return e, nil
}

func addressOf(text string) []byte {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return nil
	}
	return a.AsSlice()
}

// process is the process of the scene. Without exe the executable is the
// first word, below /usr/bin unless it is a path.
func (s *scene) process() *event.Process {
	p := &event.Process{Pid: 4242, Start: 99, Executable: []byte(s.Exe), User: s.User, ContainerId: s.Container, WorkingDirectory: []byte(s.CWD), Uid: 1000}
	if s.UID != nil {
		p.Uid = *s.UID
	}
	if s.Exe == "" && len(s.Exec.list) > 0 {
		exe := s.Exec.list[0]
		if !strings.Contains(exe, "/") {
			exe = "/usr/bin/" + exe
		}
		p.Executable = []byte(exe)
	}
	p.Name = []byte(path.Base(string(p.Executable)))
	parents := s.Ancestors
	if s.Parent != "" {
		parents = append([]string{s.Parent}, parents...)
	}
	if len(parents) == 0 {
		parents = []string{"/usr/bin/bash"}
	}
	for i, exe := range parents {
		p.Ancestors = append(p.Ancestors, &event.Ancestor{Pid: uint32(4000 - i), Start: uint64(50 - i), Executable: []byte(exe), Args: []byte(path.Base(exe))})
	}
	return p
}
