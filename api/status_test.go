package api_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/api"
	"github.com/hauberk/hauberk/api/apitest"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/store"
)

type seenStatus struct {
	OK       bool
	Problems []string
	Events   *struct{ Rows int }
	Nodes    *struct{ Seen, Online int }
}

func TestStatusSaysWhatIsWrong(t *testing.T) {
	p := apitest.Start(t, nil)
	p.Join()
	var well seenStatus
	local(t, p).must(200, "GET", "/api/v1/status", nil).into(t, &well)
	if !well.OK || len(well.Problems) != 0 || well.Nodes == nil || well.Nodes.Online != 1 || well.Events == nil {
		t.Errorf("well: %+v", well)
	}

	q := apitest.Start(t, nil)
	q.SetStatus(func(s *api.Status) {
		s.Ingest = api.Ingest{Stopped: true, Reason: "disk is at its reserve"}
		s.Roles[3] = api.RoleStatus{Name: "detect", State: "down", Detail: "connection refused"}
	})
	q.Store.Fail(store.ErrUnavailable)
	q.Control.Fail(errors.New("etcd is away"))
	var ill seenStatus
	local(t, q).must(200, "GET", "/api/v1/status", nil).into(t, &ill)
	if ill.OK || ill.Events != nil || ill.Nodes != nil {
		t.Errorf("ill: %+v", ill)
	}
	for _, want := range []string{"ingest is stopped: disk is at its reserve", "role detect is down: connection refused", "the store does not answer"} {
		if !strings.Contains(strings.Join(ill.Problems, "\n"), want) {
			t.Errorf("no problem says %q: %q", want, ill.Problems)
		}
	}
}

func TestMetricsFormat(t *testing.T) {
	var out strings.Builder
	err := api.WriteMetrics(&out, []obs.Reading{
		{Name: "b_total", Label: `reason=a"b\c`, Value: 2, Help: "Help with \\ and\nline."},
		{Name: "a", Value: 18446744073709551615, Gauge: true, Help: "A gauge."},
		{Name: "b_total", Label: "reason=full", Value: 1},
		{Name: "b_total", Label: "reason=full", Value: 1},
	})
	want := `# HELP a A gauge.
# TYPE a gauge
a 18446744073709551615
# HELP b_total Help with \\ and\nline.
# TYPE b_total counter
b_total{reason="a\"b\\c"} 2
b_total{reason="full"} 1
`
	if err != nil || out.String() != want {
		t.Errorf("%v:\n%s\nwant:\n%s", err, out.String(), want)
	}
}

func TestConfigProblemsAreAllNamed(t *testing.T) {
	c := api.DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	c.Listen, c.SessionLife, c.LoginFailures, c.Socket = "8443", 0, 0, strings.Repeat("x", 200)
	err := c.Validate()
	for _, want := range []string{"listen", "session_life", "login_failures", "socket"} {
		if err == nil || !strings.Contains(err.Error(), want+":") {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
}
