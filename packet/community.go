package packet

import (
	"crypto/sha1" // The specification's choice; it names, it does not protect.
	"encoding/base64"
	"net/netip"
)

// AppendCommunityID appends the community id of a flow, version 1, to out:
// "1:" and 28 characters of base64. Tools of many makers name a flow so
// (github.com/corelight/community-id-spec). Both directions have the same id.
// For ICMP srcPort is the type and dstPort the code; other protocols without
// ports pass 0 for both.
func AppendCommunityID(out []byte, seed uint16, src, dst netip.Addr, proto Proto, srcPort, dstPort uint16) []byte {
	hasPorts, ordered := true, false
	switch proto {
	case ProtoTCP, ProtoUDP, ProtoSCTP:
	case ProtoICMPv4:
		dstPort, ordered = counterpart(answersOfICMPv4, srcPort, dstPort)
	case ProtoICMPv6:
		dstPort, ordered = counterpart(answersOfICMPv6, srcPort, dstPort)
	default:
		hasPorts = false
	}
	if c := src.Compare(dst); !ordered && (c > 0 || c == 0 && srcPort > dstPort) {
		src, dst, srcPort, dstPort = dst, src, dstPort, srcPort
	}
	var text [40]byte
	b := be.AppendUint16(text[:0], seed)
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	b = append(b, byte(proto), 0)
	if hasPorts {
		b = be.AppendUint16(b, srcPort)
		b = be.AppendUint16(b, dstPort)
	}
	digest := sha1.Sum(b)
	return base64.StdEncoding.AppendEncode(append(out, "1:"...), digest[:])
}

// Types of ICMP that question and answer each other.
var (
	answersOfICMPv4 = map[uint16]uint16{8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 10: 9, 9: 10, 17: 18, 18: 17}
	answersOfICMPv6 = map[uint16]uint16{128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135,
		130: 131, 131: 130, 139: 140, 140: 139, 144: 145, 145: 144}
)

// counterpart is the type of a message's answer; a message that has none keeps
// its code there and its direction.
func counterpart(answers map[uint16]uint16, kind, code uint16) (port uint16, oneWay bool) {
	if answer, ok := answers[kind]; ok {
		return answer, false
	}
	return code, true
}
