package event

// AppendAncestors appends the ancestors of a process in the wire's form of
// Process.ancestors, for [Process.Attach].
func AppendAncestors(dst []byte, ancestors []*Ancestor) []byte {
	p := Process{Ancestors: ancestors}
	at, n := len(dst), p.SizeVT()
	for cap(dst)-at < n {
		dst = append(dst[:cap(dst)], 0)
	}
	dst = dst[:at+n]
	p.MarshalToSizedBufferVT(dst[at:]) // fails only without room
	return dst
}

// Attach makes marshalled fields part of p when it is marshalled; p itself
// does not show them. They are not copied: whoever marshals the same
// ancestors for many processes marshals them once.
func (p *Process) Attach(marshaled []byte) { p.unknownFields = marshaled }
