package control_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/control"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*control.Config){
		"":                      func(*control.Config) {},
		"etcd.endpoints":        func(c *control.Config) { c.Etcd.Endpoints = nil },
		"sealing_key":           func(c *control.Config) { c.SealingKey = "tls/key" },
		"listen":                func(c *control.Config) { c.Listen = "7443" },
		"advertise":             func(c *control.Config) { c.Advertise = "0.0.0.0:7443" },
		"domain":                func(c *control.Config) { c.Domain = "Example Net" },
		"name":                  func(c *control.Config) { c.Name = "" },
		"heartbeat":             func(c *control.Config) { c.Heartbeat = time.Millisecond },
		"handshakes_per_second": func(c *control.Config) { c.Handshakes = 0 },
		"max_backoff":           func(c *control.Config) { c.MaxBackoff = 0 },
		"presence_every":        func(c *control.Config) { c.PresenceEvery = time.Second },
		"drain":                 func(c *control.Config) { c.Drain = time.Hour },
	} {
		c := control.DefaultConfig()
		c.Etcd.Endpoints, c.SealingKey = []string{"unix:/run/etcd.sock"}, "/var/lib/hauberk/tls/sealing.key"
		change(&c)
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if _, failed := control.New(c, control.Deps{}); (failed == nil) != (err == nil) {
			t.Errorf("%s: New says %v", want, failed)
		}
	}
	all := control.Config{}
	if err := all.Validate(); err == nil || strings.Count(err.Error(), ";") < 7 {
		t.Errorf("not all problems at once: %v", err)
	}
	e := control.DefaultEtcdConfig()
	if err := e.Validate(); err == nil || !strings.Contains(err.Error(), "dir") || !strings.Contains(err.Error(), "socket") {
		t.Errorf("etcd without folder: %v", err)
	}
	if err := control.RunEtcd(t.Context(), e, nil, nil); err == nil {
		t.Error("etcd runs without folder")
	}
}

// TestExport carries the control plane's keys to another etcd.
func TestExport(t *testing.T) {
	t.Parallel()
	from, to := newCentre(t), newCentre(t)
	r := from.gateway(nil)
	m := from.enrol(r, "a", map[string]string{"role": "web"})
	if _, err := from.Admin.PutConfig(t.Context(), version("default", "all", "cpu_percent: 5\n")); err != nil {
		t.Fatal(err)
	}
	to.token(nil) // what the copy replaces
	var copied strings.Builder
	if err := from.Admin.Export(t.Context(), &copied); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(copied.String(), r.Address) || !strings.Contains(copied.String(), "\n") {
		t.Error("a living gateway is in the export")
	}
	if err := to.Admin.Import(t.Context(), strings.NewReader(copied.String())); err != nil {
		t.Fatal(err)
	}
	// Its secrets open with the first centre's sealing key.
	to.Config.SealingKey = from.Config.SealingKey
	again, err := control.OpenAdmin(t.Context(), to.Config, control.AdminDeps{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !again.Authority().Equal(from.Admin.Authority()) {
		t.Error("another authority")
	}
	e, err := again.Enrolment(t.Context(), m.Identity.Node)
	if err != nil || e.Labels["role"] != "web" {
		t.Errorf("enrolment: %v, %v", e, err)
	}
	if tokens, err := again.Tokens(t.Context(), ""); err != nil || len(tokens) != 1 {
		t.Errorf("tokens: %v, %v", tokens, err)
	}
	second := to.gateway(nil)
	m.connect(t, second)
	for _, bad := range []string{"", "noise\n", "{}\n"} {
		if err := to.Admin.Import(t.Context(), strings.NewReader(bad)); err == nil {
			t.Errorf("%q imported", bad)
		}
	}
}
