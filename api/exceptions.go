package api

import (
	"net/http"

	"github.com/hauberk/hauberk/fleet"
)

type exceptionAnswer struct {
	ID          string            `json:"id"`
	Rule        string            `json:"rule"`
	Executable  string            `json:"executable,omitempty"`
	Parent      string            `json:"parent,omitempty"`
	User        string            `json:"user,omitempty"`
	CommandLine string            `json:"command_line,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Tenant      string            `json:"tenant,omitempty"`
	Created     string            `json:"created"`
	Expires     string            `json:"expires,omitempty"`
	Author      string            `json:"author"`
	Reason      string            `json:"reason"`
	Alert       string            `json:"alert,omitempty"`
}

func answerException(e *fleet.Exception) exceptionAnswer {
	return exceptionAnswer{
		ID: e.GetId(), Rule: e.GetRule(), Executable: e.GetExecutable(), Parent: e.GetParent(), User: e.GetUser(),
		CommandLine: e.GetCommandLine(), Labels: e.GetLabels(), Tenant: e.GetTenant(), Created: stamp(e.GetCreated()),
		Expires: stamp(e.GetExpires()), Author: e.GetAuthor(), Reason: e.GetReason(), Alert: e.GetAlert(),
	}
}

func (s *Server) listExceptions(c *call) error {
	all, err := s.deps.Control.Exceptions(c.Context(), c.tenant())
	if err != nil {
		return err
	}
	out := make([]exceptionAnswer, len(all))
	for i, e := range all {
		out[i] = answerException(e)
	}
	return c.json(http.StatusOK, pageOf(out, ""))
}

func (s *Server) createException(c *call) error {
	var in exceptionInput
	if err := c.body(&in); err != nil {
		return err
	}
	e, err := in.exception(s, c)
	if err != nil {
		return err
	}
	made, err := s.deps.Control.PutException(c.Context(), e)
	if err != nil {
		return err
	}
	c.target, c.note = made.GetId(), "rule "+made.GetRule()+": "+in.Reason
	return c.json(http.StatusCreated, answerException(made))
}

func (s *Server) deleteException(c *call) error {
	return s.deps.Control.DeleteException(c.Context(), c.tenant(), c.PathValue("id"))
}
