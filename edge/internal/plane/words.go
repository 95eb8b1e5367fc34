package plane

// Phase is where a session stands; the plane's C and this package share the numbers.
type Phase uint8

// Phases of a session, in the order of bpf/layout.h.
const (
	Free        Phase = iota // the slot is not in use
	Building                 // being written
	SynSent                  // the client's SYN went to the backend
	SynReceived              // the backend answered it
	Established              // an ACK of the client validated it
	FinClient                // the client has finished
	FinServer                // the backend has finished
	FinBoth                  // both have
	Closed                   // reset
	UDPNew                   // not yet answered
	UDPAnswered
)

var phaseNames = map[Phase]string{
	Free: "free", Building: "building", SynSent: "syn-sent", SynReceived: "syn-received", Established: "established",
	FinClient: "fin-client", FinServer: "fin-server", FinBoth: "closing", Closed: "closed",
	UDPNew: "udp-new", UDPAnswered: "udp-answered",
}

func (p Phase) String() string { return nameOf(phaseNames, p, "phase") }

// Reason is what became of a packet; the plane's C shares the numbers.
type Reason uint8

// Reasons, in the order of bpf/layout.h.
const (
	Forwarded    Reason = iota
	Passed              // not ours: the kernel has it
	Answered            // by the plane: an echo, a reset, a too-big message
	Malformed           // a length, version or header that cannot be
	Unknown             // of no session and not the beginning of one
	NoBackend           // the VIP's table is empty, or names one that is down
	TableFull           // no slot to be had without harming an established session
	Contended           // another CPU held the flow; the sender tries again
	Raced               // its slot changed hands under it
	TTLExpired          // its last hop was here
	TooBig              // after encapsulation, and must not be fragmented
	Unreachable         // no next hop, or its address is not resolved yet
	LateFragment        // its first fragment was not seen
	BackendDown         // its session's backend has died; the client gets a reset
	BadOptions          // TCP options that cannot be
	Reasons             // how many there are
)

var reasonNames = map[Reason]string{
	Forwarded: "forwarded", Passed: "passed", Answered: "answered", Malformed: "malformed", Unknown: "unknown-session",
	NoBackend: "no-backend", TableFull: "table-full", Contended: "contended", Raced: "raced", TTLExpired: "ttl-expired",
	TooBig: "too-big", Unreachable: "unreachable", LateFragment: "late-fragment", BackendDown: "backend-down", BadOptions: "bad-options",
}

func (r Reason) String() string { return nameOf(reasonNames, r, "reason") }

// SampleBytes is how much of a packet a Sample holds.
const SampleBytes = 192
