package link

import (
	"bufio"
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var update = flag.Bool("update", false, "write testdata/golden.txt anew")

// golden returns one frame of each kind with every field set: the bytes in
// testdata/golden.txt are what version 1 of the protocol looks like forever.
func golden() []struct {
	name  string
	frame *Frame
} {
	bulk := event.Class_CLASS_BULK
	status := &event.NodeStatus{
		Reason: "start", Detail: "d", Version: "1.0", Mode: "run",
		Sensors:  []*event.Sensor{{Name: "process", Method: "ebpf/tp_btf", State: event.SensorState_SENSOR_STATE_ACTIVE, Reason: "r"}},
		Counters: []*event.Counter{{Name: "n", Label: "reason=full", Value: 7}},
	}
	return []struct {
		name  string
		frame *Frame
	}{
		{"hello", &Frame{Body: &Frame_Hello{&Hello{
			Protocol: 1, Version: "1.2.3", Kind: "agent", Incarnation: 5, Host: "h", Os: "Debian", Kernel: "6.1", Arch: "amd64",
			Capabilities: []string{"ping"}, ModeEpoch: 3, Stopped: true, ConfigVersion: 4, ConfigHash: "aa", Dictionaries: []uint32{Dictionary}, Backlog: 9, Status: status,
		}}}},
		{"enrol", &Frame{Body: &Frame_Enrol{&EnrolRequest{Token: "t", Csr: []byte{1}, Host: "h", Kind: "agent", Version: "v", Os: "o", Kernel: "k", Arch: "a"}}}},
		{"renew", &Frame{Body: &Frame_Renew{&RenewRequest{Csr: []byte{1, 2}}}}},
		{"status", &Frame{Body: &Frame_Status{&Status{Status: status, ModeEpoch: 1, ConfigVersion: 2, ConfigHash: "bb", Backlog: 3, Stopped: true}}}},
		{"batch", &Frame{Body: &Frame_Batch{&Batch{Class: bulk, Incarnation: 2, FirstSequence: 3, LastSequence: 9, Events: 4, Encoding: Encoding_ENCODING_ZSTD, Size: 100, Payload: []byte("payload")}}}},
		{"config_result", &Frame{Body: &Frame_ConfigResult{&ConfigResult{Version: 1, Hash: "cc", Error: "e", EffectiveHash: "dd"}}}},
		{"result", &Frame{Body: &Frame_Result{&fleet.CommandResult{Command: "c", State: fleet.CommandState_COMMAND_STATE_DONE, Percent: 50, Output: "o", Error: "e", Time: 1}}}},
		{"welcome", &Frame{Body: &Frame_Welcome{&Welcome{
			Protocol: 1, Gateway: "g", Dictionary: Dictionary, Heartbeat: 30000, Credits: []*Credit{{Class: bulk, Window: 1 << 20}},
			Acked: []*Ack{{Class: bulk, Incarnation: 1, Sequence: 2}}, Gateways: []string{"a:1"}, MaxFrame: MaxFrame, MaxBatch: MaxBatch, Time: 5, MaxBackoff: 1000,
			Labels: map[string]string{"role": "web"},
		}}}},
		{"enrolled", &Frame{Body: &Frame_Enrolled{&Enrolled{Node: []byte{1}, Tenant: "t", Chain: [][]byte{{1}}, Roots: [][]byte{{2}}, CommandKeys: [][]byte{{3}}, Gateways: []string{"a:1"}}}}},
		{"renewed", &Frame{Body: &Frame_Renewed{&Renewed{Chain: [][]byte{{1}}, Roots: [][]byte{{2}}}}}},
		{"status_ack", &Frame{Body: &Frame_StatusAck{&StatusAck{Time: 6}}}},
		{"ack", &Frame{Body: &Frame_Ack{&Ack{Class: bulk, Incarnation: 1, Sequence: 1 << 40}}}},
		{"credit", &Frame{Body: &Frame_Credit{&Credit{Class: bulk, Window: 1 << 20}}}},
		{"config", &Frame{Body: &Frame_Config{&Config{Version: 8, Hash: "ee", Body: []byte("a: 1\n")}}}},
		{"command", &Frame{Body: &Frame_Command{&fleet.SignedCommand{Command: []byte{1}, Signature: []byte{2}, KeyId: []byte{3}}}}},
		{"mode", &Frame{Body: &Frame_Mode{&fleet.SignedMode{Mode: []byte{1}, Signature: []byte{2}, KeyId: []byte{3}}}}},
		{"goaway", &Frame{Body: &Frame_Goaway{&Goaway{Reason: Reason_REASON_BUSY, Detail: "d", Retry: 1500}}}},
	}
}

func TestGoldenBytes(t *testing.T) {
	const path = "testdata/golden.txt"
	if *update {
		var b strings.Builder
		for _, g := range golden() {
			e, err := Encode(g.frame)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(g.name + " " + hex.EncodeToString(e) + "\n")
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	want := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		want[name] = text
	}
	if len(want) != len(golden()) {
		t.Errorf("%d golden frames, want %d", len(want), len(golden()))
	}
	for _, g := range golden() {
		e, err := Encode(g.frame)
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(e) != want[g.name] {
			t.Errorf("%s is now %x, was %s", g.name, []byte(e), want[g.name])
		}
		raw, err := hex.DecodeString(want[g.name])
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(raw[4:])
		if err != nil || !proto.Equal(back, g.frame) {
			t.Errorf("%s reads as %v, %v", g.name, back, err)
		}
	}
}

// TestPayloadFields compares the field numbers scrub and fold know with the words.
func TestPayloadFields(t *testing.T) {
	batch := (&event.Batch{}).ProtoReflect().Descriptor().Fields()
	for name, number := range map[string]int{
		"node": batchNode, "incarnation": batchIncarnation, "tenant": batchTenant, "first_sequence": batchFirst,
		"class": batchClass, "events": batchEvents, "host": batchHost,
	} {
		if f := batch.ByTextName(name); f == nil || int(f.Number()) != number {
			t.Errorf("field %s is not number %d", name, number)
		}
	}
	for message, fields := range map[protoreflect.MessageDescriptor]map[string]int{
		(&event.Event{}).ProtoReflect().Descriptor(): {"skip": eventSkip, "observed_delta": eventObserved, "lag": eventLag, "process": eventProcess},
		(&event.Process{}).ProtoReflect().Descriptor(): {
			"pid": processPID, "start": processStart, "executable": processExe, "args": processArgs, "working_directory": processDirectory,
			"uid": processUID, "name": processName, "ancestors": processAncestors,
		},
		(&event.Ancestor{}).ProtoReflect().Descriptor(): {
			"pid": processPID, "start": processStart, "executable": processExe, "args": processArgs,
			"name": ancestorName, "uid": ancestorUID, "working_directory": ancestorDirectory,
		},
	} {
		for name, number := range fields {
			if f := message.Fields().ByTextName(name); f == nil || int(f.Number()) != number {
				t.Errorf("%s.%s is not number %d", message.Name(), name, number)
			}
		}
	}
}

func TestTokenAndIdentity(t *testing.T) {
	token := Token{Tenant: "acme", ID: "0123456789abcdef", Secret: [32]byte{1, 2}, Pin: [32]byte{3}}
	const text = "hbk1.acme.0123456789abcdef.AQIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	if token.String() != text {
		t.Errorf("token is %s", token)
	}
	if back, err := ParseToken(" " + text + "\n"); err != nil || back != token {
		t.Errorf("read back %v, %v", back, err)
	}
	for _, bad := range []string{"", "hbk2" + text[4:], text[:len(text)-1], text + ".x", strings.Replace(text, "acme", "Acme", 1), strings.Replace(text, "0123", "012G", 1)} {
		_, err := ParseToken(bad)
		if err == nil {
			t.Errorf("%q was taken", bad)
		} else if strings.Contains(err.Error(), "AQIA") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}
