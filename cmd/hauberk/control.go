package main

import (
	"context"
	"time"

	"github.com/hauberk/hauberk/api"
	"github.com/hauberk/hauberk/cli"
	"github.com/hauberk/hauberk/control"
	"github.com/hauberk/hauberk/detect"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

// fleetControl lets the API use the control plane: most methods are Admin's
// own, these say the rest in the API's words.
type fleetControl struct {
	*control.Admin
	now func() time.Time
}

var _ api.Control = fleetControl{}

// until is how long it is until the instant, Unix ns; 0 for none.
func (f fleetControl) until(instant int64) time.Duration {
	if instant == 0 {
		return 0
	}
	return time.Unix(0, instant).Sub(f.now())
}

func (f fleetControl) CreateToken(ctx context.Context, t *fleet.Token) (string, *fleet.Token, error) {
	return f.Admin.CreateToken(ctx, control.TokenSpec{
		Tenant: t.GetTenant(), Kind: t.GetKind(), Labels: t.GetLabels(), Uses: t.GetUsesLeft(),
		Life: f.until(t.GetExpires()), Author: t.GetAuthor(),
	})
}

func (f fleetControl) SendCommand(ctx context.Context, c *fleet.Command) (*fleet.Command, error) {
	spec := control.CommandSpec{
		Tenant: c.GetTenant(), Selector: c.GetSelector(), Name: c.GetName(), Arguments: c.GetArguments(),
		Author: c.GetAuthor(), Reason: c.GetReason(),
	}
	start := f.now()
	if c.GetNotBefore() != 0 {
		spec.NotBefore = time.Unix(0, c.GetNotBefore())
		start = spec.NotBefore
	}
	if c.GetExpires() != 0 {
		spec.Life = time.Unix(0, c.GetExpires()).Sub(start)
	}
	return f.Admin.SendCommand(ctx, spec)
}

func (f fleetControl) EffectiveConfig(ctx context.Context, node event.NodeID) (uint64, string, string, error) {
	e, err := f.Admin.EffectiveConfig(ctx, node)
	if err != nil {
		return 0, "", "", err
	}
	return e.Version, e.Hash, string(e.Body), nil
}

// watchedExceptions gives detect the exceptions in force.
type watchedExceptions struct{ *control.Admin }

var _ detect.Exceptions = watchedExceptions{}

func (w watchedExceptions) Watch(ctx context.Context, apply func([]*fleet.Exception)) error {
	return w.WatchExceptions(ctx, apply)
}

// rulesInForce says detect's rules in the API's words; none when detect runs
// in another process.
func rulesInForce(d *detect.Detect) []api.Rule {
	if d == nil {
		return nil
	}
	var list []api.Rule
	for _, r := range d.InForce() {
		list = append(list, api.Rule(r))
	}
	return list
}

// ruleReport says detect's report in the CLI's words.
type ruleReport struct{ *detect.RuleReport }

func (r ruleReport) Bad() int { return r.Refused }

func (r ruleReport) Lines() []any {
	list := make([]any, len(r.Rules))
	for i, v := range r.Rules {
		list[i] = v
	}
	return list
}

func checkRules(dir string) (cli.RuleReport, error) {
	report, err := detect.CheckRules(dir)
	if err != nil {
		return nil, err
	}
	return ruleReport{report}, nil
}
