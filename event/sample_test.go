package event

import "testing"

// samples are one event of every body, with every kind of field in use.
func samples() []*Event {
	shell := func() *Process {
		return &Process{
			Pid: 4242, Start: 987_654_321_012, Executable: []byte("/usr/bin/bash"), Args: []byte("bash\x00-c\x00id; uname -a\x00"),
			WorkingDirectory: []byte("/var/www"), Uid: 33, Gid: 33, ArgsLength: 40_000, LoginUid: 1001, User: "www-data", Tty: []byte("pts/3"), Cgroup: 77,
			ContainerId: "0123456789abcdef", Name: []byte("bash"), Sha256: "aa11", Session: 4200, EffectiveUid: 33,
			Ancestors: []*Ancestor{
				{Pid: 4200, Start: 987_000_000_000, Executable: []byte("/usr/sbin/nginx"), Args: []byte("nginx: worker\x00"), Name: []byte("nginx"), Uid: 33, WorkingDirectory: []byte("/")},
				{Pid: 1, Start: 10, Executable: []byte("/usr/lib/systemd/systemd"), Name: []byte("systemd")},
			},
		}
	}
	v4, v6 := []byte{192, 0, 2, 7}, []byte{0x20, 1, 0xd, 0xb8, 15: 1}
	ends := func() *Endpoints {
		return &Endpoints{SourceIp: v4, SourcePort: 40000, DestinationIp: v6, DestinationPort: 443, Transport: Transport_TRANSPORT_TCP, Flow: 99}
	}
	exec := &Event{ObservedDelta: 5, Lag: 3, Process: shell(), Collector: Collector_COLLECTOR_EBPF,
		Body: &Event_Exec{&ProcessExec{Script: []byte("/tmp/\xff.sh"), SocketStdio: 3, Stdin: []byte("socket"), FromMemory: true, Snapshot: true}}}
	return []*Event{
		exec,
		{ObservedDelta: 10, Skip: 2, Process: shell(), Body: &Event_Exit{&ProcessExit{ExitCode: 0, Signal: 9, Lifetime: 1_000_000}}},
		{Process: shell(), Body: &Event_Connection{&Connection{Direction: Direction_DIRECTION_OUTBOUND, Transport: Transport_TRANSPORT_TCP, SourceIp: v4, SourcePort: 1, DestinationIp: v4, DestinationPort: 4444, Error: 111}}},
		{Process: shell(), Body: &Event_File{&FileChange{Action: FileAction_FILE_ACTION_RENAMED, Path: []byte("/etc/x"), NewPath: []byte("/etc/ld.so.preload"), Mode: 0o644, Owner: 33, Size: 12, Sha256: "bb22"}}},
		{Process: shell(), Body: &Event_Denied{&AccessDenied{Operation: "open", Path: []byte("/etc/shadow"), PathIsClaim: true, Error: 13, Flags: 1}}},
		{Collector: Collector_COLLECTOR_AUTHLOG, Body: &Event_Login{&Login{Kind: LoginKind_LOGIN_KIND_SUDO, Success: true, User: []byte("root"), By: []byte("eve"), SourceIp: v6, SourcePort: 9, Method: "password", Service: []byte("sudo"), Command: []byte("/bin/sh"), Tty: []byte("pts/1"), Message: []byte("line")}}},
		{Collector: Collector_COLLECTOR_SENSOR, Body: &Event_Dns{&Dns{Endpoints: ends(), Id: 7, Response: true, QuestionName: []byte("example.org"), QuestionType: "A", ResponseCode: "NOERROR", Answers: [][]byte{[]byte("192.0.2.1"), []byte("a\x00b")}}}},
		{Collector: Collector_COLLECTOR_SENSOR, Body: &Event_Http{&Http{Endpoints: ends(), Method: []byte("GET"), Host: []byte("h"), Url: []byte("/a?b"), UserAgent: []byte("curl"), Referrer: []byte("r"), Status: 200, RequestBytes: 1, ResponseBytes: 2}}},
		{Body: &Event_Tls{&Tls{Endpoints: ends(), ServerName: []byte("s"), Version: "1.3", Ja3: "j", Ja3S: "k", Subject: []byte("CN=s"), Issuer: []byte("CN=i"), Fingerprint: "ff"}}},
		{Body: &Event_Flow{&Flow{Endpoints: ends(), SourceBytes: 1, DestinationBytes: 2, SourcePackets: 3, DestinationPackets: 4, Duration: 5, Application: "http", EndReason: "fin"}}},
		{Body: &Event_Alert{&Alert{RuleId: "r", RuleName: "n", Severity: Severity_SEVERITY_HIGH, Techniques: []string{"T1059.004", "T1105"}, Tactics: []string{"execution"},
			Fingerprint: "f0", Description: "d", Node: "000102030405060708090a0b0c0d0e0f", Host: "web1", Labels: map[string]string{"role": "web"}, Count: 2, FirstSeen: 1_700_000_000_000_000_000, LastSeen: 1_700_000_001_000_000_000,
			Ruleset: "hauberk", Tenant: "t", Id: "id", Summary: "s",
			TechniqueNames: []string{"Unix Shell"}, LastEvent: "e", FalsePositives: []string{"backup"}, References: []string{"https://example.org"},
			Evidence: []*Evidence{{Id: "000102030405060708090a0b0c0d0e0f-00000001-0000000000000007", Time: 1_700_000_000_000_000_000, Event: exec}}}}},
		{Collector: Collector_COLLECTOR_AGENT, Body: &Event_Status{&NodeStatus{Reason: "start", Detail: "d", Version: "1", Mode: "run",
			Sensors:  []*Sensor{{Name: "process", Method: "ebpf/tp_btf", State: SensorState_SENSOR_STATE_ACTIVE}},
			Counters: []*Counter{{Name: "c", Label: "reason=x", Value: 1}}}}},
	}
}

func sampleNode() NodeID {
	var id NodeID
	for i := range id {
		id[i] = byte(i)
	}
	return id
}

// sampleBatch holds all samples.
func sampleBatch() *Batch {
	node := sampleNode()
	return &Batch{
		Node: node[:], Incarnation: 3, Tenant: "acme", FirstSequence: 7, BaseTime: 1_700_000_000_123_456_789, Schema: Schema,
		Class: Class_CLASS_BULK, Host: &Host{Name: "web1", Labels: map[string]string{"role": "web", "zone": "a\"b"}}, Events: samples(),
	}
}

func TestSamplesCoverEveryBodyAndField(t *testing.T) {
	bodies := map[BodyKind]bool{}
	fields := map[Field]bool{}
	for _, r := range sampleBatch().Records {
		bodies[r.Event.BodyKind()] = true
		for _, f := range r.Event.BodyKind().Fields() {
			if v, ok := r.Value(f); ok {
				fields[f] = true
				if want := f.Info().Kind; v.Kind != want {
					t.Errorf("%s of %s has kind %s, the table says %s", f, r.Event.BodyKind().Dataset(), v.Kind, want)
				}
			}
		}
	}
	for k := BodyNone + 1; k < bodyCount; k++ {
		if !bodies[k] {
			t.Errorf("no sample with body %s", k.Dataset())
		}
	}
	for _, f := range Fields {
		if !fields[f.Field] {
			t.Errorf("no sample with a value of %s", f.ECS)
		}
	}
}
