package fleet

// Seen returns the state to show for a node: what its gateway said last, or
// UNKNOWN while that gateway is not alive. A gateway's id is new at each of
// its starts, so that a node stays UNKNOWN until it connected again.
func (p *Presence) Seen(alive func(gateway string) bool) PresenceState {
	if p.GetState() == PresenceState_PRESENCE_STATE_ONLINE && !alive(p.Gateway) {
		return PresenceState_PRESENCE_STATE_UNKNOWN
	}
	return p.GetState()
}

// Follows reports whether p may replace an older word of the same node. The
// one word that may not: "offline" by another gateway than the one the node
// is connected to now, because the node moved before its old connection was
// given up.
func (p *Presence) Follows(last *Presence) bool {
	return last == nil || p.State != PresenceState_PRESENCE_STATE_OFFLINE ||
		last.State != PresenceState_PRESENCE_STATE_ONLINE || last.Gateway == p.Gateway
}
