package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/store/cases"
)

// nodeAnswer is what is known of a node.
type nodeAnswer struct {
	ID          string            `json:"id"`
	Host        string            `json:"host"`
	Kind        string            `json:"kind"`
	Tenant      string            `json:"tenant,omitempty"`
	Labels      map[string]string `json:"labels"`
	State       string            `json:"state"` // online, offline, unknown (its gateway is dead), revoked, new (never connected)
	Since       string            `json:"since,omitempty"`
	Heard       string            `json:"heard,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	Gateway     string            `json:"gateway,omitempty"`
	Address     string            `json:"address,omitempty"`
	Version     string            `json:"version,omitempty"`
	OS          string            `json:"os,omitempty"`
	Kernel      string            `json:"kernel,omitempty"`
	Arch        string            `json:"arch,omitempty"`
	Mode        string            `json:"mode,omitempty"` // run, idle (breaker), stopped (by command)
	Stopped     bool              `json:"stopped"`
	Backlog     uint64            `json:"backlog"`
	Config      nodeConfig        `json:"config"`
	Revoked     bool              `json:"revoked"`
	Incarnation uint32            `json:"incarnation"`
	Sensors     []sensorAnswer    `json:"sensors"`
	Counters    []counterAnswer   `json:"counters,omitempty"` // in details only
	Enrolled    string            `json:"enrolled,omitempty"` // in details only
	Token       string            `json:"token,omitempty"`    // in details only
}

// nodeConfig is the centre's configuration in effect on a node.
type nodeConfig struct {
	Version uint64 `json:"version"`
	Hash    string `json:"hash,omitempty"`
	Error   string `json:"error,omitempty"` // why it refused what it was sent
}

type sensorAnswer struct {
	Name   string `json:"name"`
	Method string `json:"method,omitempty"`
	State  string `json:"state"` // active, starting, failed, disabled, unavailable
	Reason string `json:"reason,omitempty"`
}

type counterAnswer struct {
	Name  string `json:"name"`
	Label string `json:"label,omitempty"`
	Value uint64 `json:"value"`
}

// lastWord says an enum's value in lower case, without its prefix.
func lastWord(name, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(name, prefix))
}

func answerNode(p *fleet.Presence, alive func(string) bool) nodeAnswer {
	status := p.GetStatus()
	id, _ := event.NodeIDFrom(p.GetNode()) // a broken id shows as zero
	out := nodeAnswer{
		ID: id.String(), Host: p.GetHost(), Kind: p.GetKind(), Tenant: p.GetTenant(), Labels: p.GetLabels(),
		State: lastWord(p.Seen(alive).String(), "PRESENCE_STATE_"), Since: stamp(p.GetSince()), Heard: stamp(p.GetHeard()),
		Reason: p.GetReason(), Gateway: p.GetGateway(), Address: p.GetAddress(), Version: p.GetVersion(), OS: p.GetOs(),
		Kernel: p.GetKernel(), Arch: p.GetArch(), Mode: status.GetMode(), Stopped: p.GetStopped(), Backlog: p.GetBacklog(),
		Config:      nodeConfig{p.GetConfigVersion(), p.GetConfigHash(), p.GetConfigError()},
		Incarnation: p.GetIncarnation(), Sensors: []sensorAnswer{},
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	for _, s := range status.GetSensors() {
		out.Sensors = append(out.Sensors, sensorAnswer{s.GetName(), s.GetMethod(), lastWord(s.GetState().String(), "SENSOR_STATE_"), s.GetReason()})
	}
	return out
}

// gateways returns which gateways are alive.
func (s *Server) gateways(ctx context.Context) (func(string) bool, error) {
	list, err := s.deps.Control.Gateways(ctx)
	if err != nil {
		return nil, err
	}
	alive := map[string]bool{}
	for _, g := range list {
		alive[g.GetId()] = true
	}
	return func(id string) bool { return alive[id] }, nil
}

func (s *Server) listNodes(c *call) error {
	q := c.URL.Query()
	f := cases.NodeFilter{Tenant: c.tenant(), Kind: q.Get("kind"), Host: q.Get("host")}
	want := q.Get("state")
	switch want {
	case "", "online", "offline":
		if want != "" {
			f.States = []string{want}
		}
	case "unknown":
		f.States = []string{"online"} // as last reported, by a gateway that is dead
	default:
		return badRequest("state: %q is none of online, offline, unknown", want)
	}
	var err error
	if f.Limit, f.Cursor, err = c.page(); err != nil {
		return err
	}
	alive, err := s.gateways(c.Context())
	if err != nil {
		return err
	}
	page, err := s.deps.Store.Nodes(c.Context(), f)
	if err != nil {
		return err
	}
	var out []nodeAnswer
	for _, p := range page.Nodes {
		if n := answerNode(p, alive); want == "" || n.State == want {
			out = append(out, n)
		}
	}
	return c.json(http.StatusOK, pageOf(out, page.Next))
}

// enrolment returns the enrolment of the node in the path, as far as the
// caller may see it.
func (s *Server) enrolment(c *call) (event.NodeID, *fleet.Enrolment, error) {
	id, err := event.ParseNodeID(c.PathValue("id"))
	if err != nil {
		return id, nil, badRequest("%v", err)
	}
	e, err := s.deps.Control.Enrolment(c.Context(), id)
	if err == nil && c.who.Tenant != "" && e.GetTenant() != c.who.Tenant {
		err = failf(http.StatusNotFound, "not-found", "node %s: not found", id)
	}
	return id, e, err
}

func (s *Server) getNode(c *call) error {
	id, e, err := s.enrolment(c)
	if err != nil {
		return err
	}
	out, err := s.describe(c, id, e)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, out)
}

// describe joins enrolment and presence.
func (s *Server) describe(c *call, id event.NodeID, e *fleet.Enrolment) (nodeAnswer, error) {
	alive, err := s.gateways(c.Context())
	if err != nil {
		return nodeAnswer{}, err
	}
	p, err := s.deps.Store.Node(c.Context(), id.String(), "")
	if err != nil && s.problemOf(err).Status != http.StatusNotFound {
		return nodeAnswer{}, err
	}
	out := answerNode(p, alive)
	out.ID, out.Kind, out.Tenant, out.Enrolled, out.Token = id.String(), e.GetKind(), e.GetTenant(), stamp(e.GetEnrolled()), e.GetToken()
	if out.Host == "" {
		out.Host = e.GetHost()
	}
	// Enrolment rules; what a node is told of its labels follows it.
	if out.Labels = e.GetLabels(); out.Labels == nil {
		out.Labels = map[string]string{}
	}
	if p == nil {
		out.State = "new"
	}
	if e.GetRevoked() {
		out.Revoked, out.State, out.Reason = true, "revoked", "by "+e.GetRevokedBy()+" at "+stamp(e.GetRevokedAt())
	}
	for _, n := range p.GetStatus().GetCounters() {
		out.Counters = append(out.Counters, counterAnswer{n.GetName(), n.GetLabel(), n.GetValue()})
	}
	return out, nil
}

func (s *Server) setLabels(c *call) error {
	var in struct {
		Labels map[string]string `json:"labels"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	id, _, err := s.enrolment(c)
	if err != nil {
		return err
	}
	if err := fleet.CheckLabels(in.Labels); err != nil {
		return badRequest("%v", err)
	}
	e, err := s.deps.Control.SetLabels(c.Context(), id, in.Labels)
	if err != nil {
		return err
	}
	c.note = labelText(in.Labels)
	out, err := s.describe(c, id, e)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, out)
}

func (s *Server) revokeNode(c *call) error {
	id, e, err := s.enrolment(c)
	if err != nil {
		return err
	}
	c.note = "host " + e.GetHost()
	if e, err = s.deps.Control.Revoke(c.Context(), id, c.who.Name); err != nil {
		return err
	}
	out, err := s.describe(c, id, e)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, out)
}

func (s *Server) getNodeConfig(c *call) error {
	id, _, err := s.enrolment(c)
	if err != nil {
		return err
	}
	version, hash, body, err := s.deps.Control.EffectiveConfig(c.Context(), id)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]any{"version": version, "hash": hash, "body": body})
}

type gatewayAnswer struct {
	ID            string  `json:"id"`
	Name          string  `json:"name"`
	Address       string  `json:"address"`
	Nodes         uint32  `json:"nodes"`
	Version       string  `json:"version"`
	Started       string  `json:"started"`
	Load          float64 `json:"load"`
	IngestStopped bool    `json:"ingest_stopped"`
	IngestReason  string  `json:"ingest_reason,omitempty"`
}

func (s *Server) listGateways(c *call) error {
	list, err := s.deps.Control.Gateways(c.Context())
	if err != nil {
		return err
	}
	out := make([]gatewayAnswer, len(list))
	for i, g := range list {
		out[i] = gatewayAnswer{
			g.GetId(), g.GetName(), g.GetAddress(), g.GetNodes(), g.GetVersion(), stamp(g.GetStarted()), g.GetLoad(), g.GetIngestStopped(), g.GetIngestReason(),
		}
	}
	return c.json(http.StatusOK, pageOf(out, ""))
}

type enrolmentTokenAnswer struct {
	ID       string            `json:"id"`
	Tenant   string            `json:"tenant"`
	Kind     string            `json:"kind,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	UsesLeft uint32            `json:"uses_left"` // 4294967295: any number
	Expires  string            `json:"expires"`
	State    string            `json:"state"` // valid, spent or expired
	Author   string            `json:"author"`
	Created  string            `json:"created"`
	Token    string            `json:"token,omitempty"`   // once
	Gateway  string            `json:"gateway,omitempty"` // where nodes connect, with the token
}

func (s *Server) answerEnrolmentToken(t *fleet.Token, text string) enrolmentTokenAnswer {
	out := enrolmentTokenAnswer{
		ID: t.GetId(), Tenant: t.GetTenant(), Kind: t.GetKind(), Labels: t.GetLabels(), UsesLeft: t.GetUsesLeft(),
		Expires: stamp(t.GetExpires()), State: "valid", Author: t.GetAuthor(), Created: stamp(t.GetCreated()), Token: text,
	}
	switch {
	case t.GetUsesLeft() == 0:
		out.State = "spent"
	case t.GetExpires() <= s.now().UnixNano():
		out.State = "expired"
	}
	return out
}

func (s *Server) listEnrolmentTokens(c *call) error {
	list, err := s.deps.Control.Tokens(c.Context(), c.tenant())
	if err != nil {
		return err
	}
	out := make([]enrolmentTokenAnswer, len(list))
	for i, t := range list {
		out[i] = s.answerEnrolmentToken(t, "")
	}
	return c.json(http.StatusOK, pageOf(out, ""))
}

// defaultTenant is the tenant of a centre that never thought of tenants.
const defaultTenant = "default"

func (s *Server) createEnrolmentToken(c *call) error {
	var in struct {
		Tenant  string            `json:"tenant"`
		Kind    string            `json:"kind"`
		Labels  map[string]string `json:"labels"`
		Uses    uint32            `json:"uses"`    // 0: one, 4294967295: any number
		Seconds int64             `json:"seconds"` // 0: a day
	}
	if err := c.body(&in); err != nil {
		return err
	}
	if c.who.Tenant != "" {
		in.Tenant = c.who.Tenant
	}
	if in.Tenant == "" {
		in.Tenant = defaultTenant
	}
	if in.Uses == 0 {
		in.Uses = 1
	}
	if in.Seconds == 0 {
		in.Seconds = 24 * 3600
	}
	if in.Seconds < 0 || in.Seconds > 366*24*3600 {
		return badRequest("seconds: %d is outside 1 to a year", in.Seconds)
	}
	text, t, err := s.deps.Control.CreateToken(c.Context(), &fleet.Token{
		Tenant: in.Tenant, Kind: in.Kind, Labels: in.Labels, UsesLeft: in.Uses, Author: c.who.Name,
		Expires: s.now().Add(time.Duration(in.Seconds) * time.Second).UnixNano(),
	})
	if err != nil {
		return err
	}
	c.target, c.note = t.GetId(), "tenant "+in.Tenant
	out := s.answerEnrolmentToken(t, text)
	out.Gateway = s.deps.Status(c.Context()).Addresses.Nodes
	return c.json(http.StatusCreated, out)
}

func (s *Server) deleteEnrolmentToken(c *call) error {
	return s.deps.Control.DeleteToken(c.Context(), c.PathValue("id"))
}
