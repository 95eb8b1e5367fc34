package bus

// Topic declares one topic. The embedded broker and CreateTopics make it as
// declared; docs/formats/bus.md describes key and value.
type Topic struct {
	Name       string
	Partitions int32
	// Share is the topic's part of the whole retention, in percent.
	Share int64
}

// The topics of Hauberk. Values are protobuf; keys decide the partition.
const (
	Events   = "hauberk.events"   // key: node id (16 bytes); value: event.Batch
	Alerts   = "hauberk.alerts"   // key: alert fingerprint; value: event.Alert
	Presence = "hauberk.presence" // key: node id; value: fleet.Presence
	Results  = "hauberk.results"  // key: command id; value: fleet.CommandResult
)

// The consumer groups of Hauberk.
const (
	GroupDetect = "detect" // events to alerts
	GroupStore  = "store"  // all topics to the databases
)

// Topics returns the declared topics. Partition counts bound how many
// consumers of one group can share a topic; they are never lowered.
func Topics() []Topic {
	return []Topic{
		{Name: Events, Partitions: 8, Share: 80},
		{Name: Alerts, Partitions: 4, Share: 10},
		{Name: Presence, Partitions: 4, Share: 5},
		{Name: Results, Partitions: 4, Share: 5},
	}
}

const (
	// MaxMessageBytes bounds one message, key and value, before compression.
	// It is four times Kafka's default because one record is a whole link
	// batch.
	MaxMessageBytes = 4 << 20
	// SegmentBytes is the size of a log segment: disk is freed by whole
	// segments, and the embedded broker reads a segment at once on opening.
	SegmentBytes = 8 << 20
	// EmbeddedClusterID is the cluster id of the embedded broker, whose
	// retention is by topic (Kafka's is by partition) and stops at the
	// slowest group.
	EmbeddedClusterID = "hauberk-embedded"
)
