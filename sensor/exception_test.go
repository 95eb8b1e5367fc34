package sensor

import (
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
)

// TestPolicies: what each setting means for connections whose beginning was
// not seen, for streams without room and for flows without room.
func TestPolicies(t *testing.T) {
	for _, test := range []struct {
		yaml string
		ips  bool
		want [targets]policy
	}{
		{"a: b", false, [targets]policy{}},
		{"a: b", true, [targets]policy{policyDropFlow, policyDropFlow, policyDropPacket}},
		{"stream: {midstream: yes}", true, [targets]policy{policyIgnore, policyDropFlow, policyDropPacket}},
		{"exception-policy: ignore", true, [targets]policy{}},
		{"exception-policy: bypass\nstream: {midstream-policy: pass-flow}", true, [targets]policy{policyPassFlow, policyBypass, policyBypass}},
		{"exception-policy: drop-flow", false, [targets]policy{}},
		{"flow: {memcap-policy: drop-packet}", true, [targets]policy{policyDropFlow, policyDropFlow, policyDropPacket}},
	} {
		tree, err := yamlconf.Parse("a.yaml", []byte("%YAML 1.1\n---\n"+test.yaml+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := readPolicies(tree, test.ips)
		if err != nil || got != test.want {
			t.Errorf("%q, ips %v: %v, %v; want %v", test.yaml, test.ips, got, err, test.want)
		}
	}
	tree, err := yamlconf.Parse("a.yaml", []byte("%YAML 1.1\n---\nexception-policy: explode\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readPolicies(tree, false); err == nil {
		t.Error("a policy that does not exist is taken")
	}
}
