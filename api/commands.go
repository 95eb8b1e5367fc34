package api

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

type commandAnswer struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Arguments map[string]string `json:"arguments,omitempty"`
	Selector  string            `json:"selector"`
	Tenant    string            `json:"tenant,omitempty"`
	NotBefore string            `json:"not_before"`
	Expires   string            `json:"expires"`
	Author    string            `json:"author"`
	Reason    string            `json:"reason,omitempty"`
	// Results and States (nodes by state of their result) are in details only.
	States  map[string]int `json:"states,omitempty"`
	Results []resultAnswer `json:"results,omitempty"`
}

type resultAnswer struct {
	Node    string `json:"node"`
	Host    string `json:"host,omitempty"`
	State   string `json:"state"` // received, running, done, failed, refused
	Percent uint32 `json:"percent"`
	Output  string `json:"output,omitempty"`
	Error   string `json:"error,omitempty"`
	Time    string `json:"time"`
}

func answerCommand(k *fleet.Command) commandAnswer {
	return commandAnswer{
		ID: k.GetId(), Name: k.GetName(), Arguments: k.GetArguments(), Selector: k.GetSelector(), Tenant: k.GetTenant(),
		NotBefore: stamp(k.GetNotBefore()), Expires: stamp(k.GetExpires()), Author: k.GetAuthor(), Reason: k.GetReason(),
	}
}

func (s *Server) listCommands(c *call) error {
	all, err := s.deps.Control.Commands(c.Context(), c.tenant())
	if err != nil {
		return err
	}
	limit, err := c.number("limit", defaultPage, 1, maxPage)
	if err != nil {
		return err
	}
	all = all[:min(limit, len(all))]
	out := make([]commandAnswer, len(all))
	for i, k := range all {
		out[i] = answerCommand(k)
	}
	return c.json(http.StatusOK, pageOf(out, ""))
}

// command finds the command in the path, as far as the caller may see it.
func (s *Server) command(c *call) (*fleet.Command, error) {
	all, err := s.deps.Control.Commands(c.Context(), c.tenant())
	if err != nil {
		return nil, err
	}
	id := c.PathValue("id")
	i := slices.IndexFunc(all, func(k *fleet.Command) bool { return k.GetId() == id })
	if i < 0 {
		return nil, failf(http.StatusNotFound, "not-found", "no command %s in the last 30 days", id)
	}
	return all[i], nil
}

func (s *Server) getCommand(c *call) error {
	k, err := s.command(c)
	if err != nil {
		return err
	}
	results, err := s.deps.Store.CommandResults(c.Context(), k.GetId(), c.tenant())
	if err != nil {
		return err
	}
	out := answerCommand(k)
	out.States, out.Results = map[string]int{}, []resultAnswer{}
	for _, r := range results {
		id, _ := event.NodeIDFrom(r.GetNode()) // a broken id shows as zero
		state := lastWord(r.GetState().String(), "COMMAND_STATE_")
		out.States[state]++
		out.Results = append(out.Results, resultAnswer{id.String(), r.GetHost(), state, r.GetPercent(), r.GetOutput(), r.GetError(), stamp(r.GetTime())})
	}
	return c.json(http.StatusOK, out)
}

func (s *Server) sendCommand(c *call) error {
	var in struct {
		Name      string            `json:"name"`
		Arguments map[string]string `json:"arguments"`
		Selector  string            `json:"selector"`
		Tenant    string            `json:"tenant"`
		Reason    string            `json:"reason"`
		NotBefore string            `json:"not_before"`
		Seconds   int64             `json:"seconds"` // until it expires, 0: the default
	}
	if err := c.body(&in); err != nil {
		return err
	}
	k := &fleet.Command{
		Name: in.Name, Arguments: in.Arguments, Selector: in.Selector, Tenant: in.Tenant, Reason: in.Reason, Author: c.who.Name,
	}
	if c.who.Tenant != "" {
		k.Tenant = c.who.Tenant
	}
	c.target, c.note = in.Name, in.Selector+": "+in.Reason
	start := s.now()
	if in.NotBefore != "" {
		t, err := time.Parse(time.RFC3339, in.NotBefore)
		if err != nil {
			return badRequest("not_before: %q is not RFC 3339", in.NotBefore)
		}
		start = t
		k.NotBefore = t.UnixNano()
	}
	if in.Seconds < 0 || in.Seconds > 366*24*3600 {
		return badRequest("seconds: %d is outside 0 to a year", in.Seconds)
	}
	if in.Seconds > 0 {
		k.Expires = start.Add(time.Duration(in.Seconds) * time.Second).UnixNano()
	}
	made, err := s.deps.Control.SendCommand(c.Context(), k)
	if err != nil {
		return err
	}
	c.target = made.GetId()
	c.note = made.GetName() + " for " + made.GetSelector() + ": " + in.Reason
	return c.json(http.StatusCreated, answerCommand(made))
}

func (s *Server) cancelCommand(c *call) error {
	k, err := s.command(c)
	if err != nil {
		return err
	}
	return s.deps.Control.CancelCommand(c.Context(), k.GetId())
}

type modeAnswer struct {
	Epoch    uint64 `json:"epoch"`
	Selector string `json:"selector"`
	Stopped  bool   `json:"stopped"`
	Tenant   string `json:"tenant,omitempty"`
	Author   string `json:"author"`
	Reason   string `json:"reason,omitempty"`
	Since    string `json:"since"`
}

func answerMode(m *fleet.Mode) modeAnswer {
	return modeAnswer{m.GetEpoch(), m.GetSelector(), m.GetStopped(), m.GetTenant(), m.GetAuthor(), m.GetReason(), stamp(m.GetSince())}
}

func (s *Server) listModes(c *call) error {
	all, err := s.deps.Control.Modes(c.Context())
	if err != nil {
		return err
	}
	out := []modeAnswer{}
	for _, m := range all {
		if c.who.Tenant == "" || m.GetTenant() == "" || m.GetTenant() == c.who.Tenant {
			out = append(out, answerMode(m))
		}
	}
	return c.json(http.StatusOK, pageOf(out, ""))
}

func (s *Server) setMode(c *call) error {
	var in struct {
		Stopped  bool   `json:"stopped"`
		Selector string `json:"selector"`
		Tenant   string `json:"tenant"`
		Reason   string `json:"reason"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	if in.Selector == "" {
		return badRequest(`selector: say which nodes, "all" for every one`)
	}
	if c.who.Tenant != "" {
		in.Tenant = c.who.Tenant
	}
	c.target = in.Selector
	c.note = map[bool]string{true: "stop", false: "resume"}[in.Stopped] + ": " + in.Reason
	m, err := s.deps.Control.SetMode(c.Context(), &fleet.Mode{
		Selector: in.Selector, Stopped: in.Stopped, Tenant: in.Tenant, Reason: in.Reason, Author: c.who.Name,
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, answerMode(m))
}
