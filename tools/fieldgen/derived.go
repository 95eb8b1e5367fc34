package main

// derived are the fields that no single protobuf field holds. Each names the
// method of event.Record that works it out (event/derived.go). Where a
// protobuf field has the same ECS name, that field goes first.
var derived = []derivedField{
	{"@timestamp", "time", "Time", "timestamp", "when it happened", nil},
	{"event.created", "metadata.logged_time", "Time", "created", "when the node saw it", nil},
	{"event.id", "metadata.uid", "Text", "eventID", "identity: node, incarnation and sequence", nil},
	{"event.sequence", "metadata.sequence", "Uint", "sequence", "counts the events of one incarnation of a node, from 1", nil},
	{"hauberk.incarnation", "unmapped.incarnation", "Uint", "incarnation", "counts the starts of the node", nil},
	{"event.kind", "unmapped.kind", "Enum", "kind", "event, alert or state", nil},
	{"event.category", "unmapped.category", "Enum", "category", "process, network, file, authentication, web, intrusion_detection or host", nil},
	{"event.type", "unmapped.type", "Enum", "eventType", "start, end, connection, change, creation, deletion, denied, info, protocol, indicator", nil},
	{"event.action", "activity_name", "Enum", "action", "what was done", nil},
	{"event.outcome", "status", "Enum", "outcome", "success or failure", []string{"connection", "denied"}},
	{"hauberk.alert.severity", "severity", "Enum", "severity", "event.severity as a word: informational, low, medium, high, critical", []string{"alert"}},
	{"event.module", "unmapped.module", "Enum", "module", "the kind of node: agent, sensor, edge, decoy, detect", nil},
	{"event.dataset", "metadata.log_name", "Enum", "dataset", "one word for the body, see event.BodyKind", nil},
	{"organization.id", "metadata.tenant_uid", "Text", "tenant", "the tenant", nil},
	{"host.id", "device.uid", "Text", "hostID", "the node, 32 hexadecimal digits", nil},
	{"process.entity_id", "process.uid", "Text", "entityID", "pid-start: one process life, unique on its host.id", nil},
	{"process.parent.entity_id", "process.parent_process.uid", "Text", "parentEntityID", "pid-start of the parent", nil},
	{"process.command_line", "process.cmd_line", "Text", "commandLine", "argv joined by spaces", nil},
	{"process.parent.command_line", "process.parent_process.cmd_line", "Text", "parentCommandLine", "argv of the parent joined by spaces", nil},
	{"process.args_count", "unmapped.args_count", "Uint", "argsCount", "number of arguments, the program's name included", nil},
	{"hauberk.process.ancestors", "unmapped.ancestors", "List", "ancestors", "executables of all ancestors, nearest first", nil},
}

type derivedField struct {
	ecs, ocsf, kind, method, note string
	bodies                        []string // names in the oneof; nil: every event
}
