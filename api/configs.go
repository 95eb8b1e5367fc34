package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/fleet"
)

type configAnswer struct {
	Kind         string `json:"kind"`
	Scope        string `json:"scope"`
	Version      uint64 `json:"version"`
	Selector     string `json:"selector"`
	Priority     int32  `json:"priority"`
	Tenant       string `json:"tenant,omitempty"`
	Author       string `json:"author"`
	Time         string `json:"time"`
	Comment      string `json:"comment,omitempty"`
	Deleted      bool   `json:"deleted"`
	RolledBackTo uint64 `json:"rolled_back_to,omitempty"`
	Body         string `json:"body"` // YAML
}

func answerConfig(v *fleet.ConfigVersion) configAnswer {
	return configAnswer{
		v.GetKind(), v.GetScope(), v.GetVersion(), v.GetSelector(), v.GetPriority(), v.GetTenant(), v.GetAuthor(), stamp(v.GetTime()),
		v.GetComment(), v.GetDeleted(), v.GetRolledBackTo(), v.GetBody(),
	}
}

func answerConfigs(list []*fleet.ConfigVersion) list[configAnswer] {
	out := make([]configAnswer, len(list))
	for i, v := range list {
		out[i] = answerConfig(v)
	}
	return pageOf(out, "")
}

// version reads a version number, 0 if it is absent.
func (c *call) version(name string) (uint64, error) {
	text := c.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, badRequest("%s: %q is not a version number", name, text)
	}
	return n, nil
}

func (s *Server) listConfigs(c *call) error {
	list, err := s.deps.Control.Configs(c.Context(), c.tenant())
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, answerConfigs(list))
}

func (s *Server) getConfig(c *call) error {
	version, err := c.version("version")
	if err != nil {
		return err
	}
	v, err := s.deps.Control.Config(c.Context(), c.tenant(), c.PathValue("kind"), c.PathValue("scope"), version)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, answerConfig(v))
}

func (s *Server) listConfigVersions(c *call) error {
	list, err := s.deps.Control.ConfigHistory(c.Context(), c.tenant(), c.PathValue("kind"), c.PathValue("scope"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, answerConfigs(list))
}

func (s *Server) diffConfig(c *call) error {
	from, err := c.version("from")
	if err != nil {
		return err
	}
	to, err := c.version("to")
	if err != nil {
		return err
	}
	text, err := s.deps.Control.ConfigDiff(c.Context(), c.tenant(), c.PathValue("kind"), c.PathValue("scope"), from, to)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]string{"diff": text})
}

func (s *Server) putConfig(c *call) error {
	var in struct {
		Body     string `json:"body"`
		Selector string `json:"selector"`
		Priority int32  `json:"priority"`
		Comment  string `json:"comment"`
		// Version is the newest version the author has seen; 0: not checked.
		Version uint64 `json:"version"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	if in.Selector == "" {
		in.Selector = "all"
	}
	v, err := s.deps.Control.PutConfig(c.Context(), &fleet.ConfigVersion{
		Kind: c.PathValue("kind"), Scope: c.PathValue("scope"), Tenant: c.tenant(), Selector: in.Selector, Priority: in.Priority,
		Body: in.Body, Comment: in.Comment, Version: in.Version, Author: c.who.Name,
	})
	if err != nil {
		return err
	}
	c.note = "version " + strconv.FormatUint(v.GetVersion(), 10) + " for " + v.GetSelector()
	return c.json(http.StatusOK, answerConfig(v))
}

func (s *Server) rollBackConfig(c *call) error {
	var in struct {
		To      uint64 `json:"to"`
		Comment string `json:"comment"`
	}
	if err := c.body(&in); err != nil {
		return err
	}
	c.note = "to version " + strconv.FormatUint(in.To, 10)
	v, err := s.deps.Control.RollbackConfig(c.Context(), c.tenant(), c.PathValue("kind"), c.PathValue("scope"), in.To, c.who.Name, in.Comment)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, answerConfig(v))
}

func (s *Server) deleteConfig(c *call) error {
	v, err := s.deps.Control.DeleteConfig(c.Context(), c.tenant(), c.PathValue("kind"), c.PathValue("scope"), c.who.Name, c.URL.Query().Get("comment"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, answerConfig(v))
}

// labelText shows labels as key=value, for the audit log.
func labelText(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for _, k := range sortedKeys(labels) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, " ")
}
