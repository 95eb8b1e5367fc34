package event

import "strconv"

// Record returns the alert as a record, for the mappings to JSON and OCSF and
// for search: it happened when it was last seen. An alert that never was an
// event of a node has no event.id.
func (a *Alert) Record() *Record {
	r := &Record{
		Tenant: a.GetTenant(), Observed: a.GetLastSeen(), Time: a.GetLastSeen(),
		Event: &Event{Body: &Event_Alert{Alert: a}},
	}
	if node, err := ParseNodeID(a.GetNode()); err == nil {
		r.ID.Node = node
	}
	return r
}

// Record returns the event an alert rests on, as the record it was matched as;
// host and tenant are those of the alert. An id that is not one leaves the
// identity zero.
func (e *Evidence) Record(a *Alert) *Record {
	r := &Record{Tenant: a.GetTenant(), Observed: e.GetTime(), Time: e.GetTime(), Event: e.GetEvent()}
	if id, err := ParseID(e.GetId()); err == nil {
		r.ID = id
	}
	if r.Event == nil {
		r.Event = &Event{}
	}
	if lag := r.Event.GetLag(); lag != 0 {
		r.Observed = r.Time + lag
	}
	if a.GetHost() != "" || len(a.GetLabels()) > 0 {
		r.Host = &Host{Name: a.GetHost(), Labels: a.GetLabels()}
	}
	return r
}

// AppendAlertJSON appends the alert as one JSON object, without a line end:
// the flat members of AppendJSON, and "hauberk.alert.evidence", an array of
// the events it rests on. Each of those is an object of AppendJSON with one
// more member, "hauberk.process.tree": the ancestors of its process, nearest
// first, in the same names.
func AppendAlertJSON(dst []byte, a *Alert) []byte {
	dst = append(dst, '{')
	dst = appendMembers(dst, a.Record())
	dst = append(dst, `,"hauberk.alert.evidence":[`...)
	for i, e := range a.GetEvidence() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		dst = appendMembers(dst, e.Record(a))
		dst = appendTree(dst, e.GetEvent().GetProcess().GetAncestors())
		dst = append(dst, '}')
	}
	return append(dst, ']', '}')
}

// appendTree appends the process tree as a member of an object that has others.
func appendTree(dst []byte, ancestors []*Ancestor) []byte {
	if len(ancestors) == 0 {
		return dst
	}
	dst = append(dst, `,"hauberk.process.tree":[`...)
	var r Record
	for i, a := range ancestors {
		if i > 0 {
			dst = append(dst, ',')
		}
		r.scratch.reset()
		dst = append(dst, `{"process.pid":`...)
		dst = strconv.AppendUint(dst, uint64(a.GetPid()), 10)
		dst = append(dst, `,"process.entity_id":"`...)
		dst = appendEntityID(dst, a.GetPid(), a.GetStart())
		dst = append(dst, `","user.id":`...)
		dst = strconv.AppendUint(dst, uint64(a.GetUid()), 10)
		for _, m := range [...]struct {
			name string
			text []byte
		}{
			{"process.executable", a.GetExecutable()},
			{"process.command_line", r.join(a.GetArgs())},
			{"process.name", a.GetName()},
			{"process.working_directory", a.GetWorkingDirectory()},
		} {
			if len(m.text) == 0 {
				continue
			}
			dst = appendKey(dst, 0, "", m.name)
			var exact bool
			if dst, exact = appendString(dst, m.text); !exact {
				dst = appendRaw(appendKey(dst, 0, rawPrefix, m.name), textValue(m.text))
			}
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
