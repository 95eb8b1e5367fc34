package decode

import "math/bits"

// Event is one thing wrong with a packet, or with the stream it belongs to.
// The decoder finds those of the first part of the table, package stream the
// rest.
type Event uint8

// The table of events. Names are Suricata's: a rule says decode-event:X for
// decoder.X and stream-event:X for stream.X, eve.json says the whole name.
const (
	evNone Event = iota

	EvAFPacketTruncatedPacket

	EvIPv4PacketTooSmall
	EvIPv4HeaderLenTooSmall
	EvIPv4IPLenSmallerThanHeaderLen
	EvIPv4TruncatedPacket
	EvIPv4OptionInvalid
	EvIPv4OptionInvalidLen
	EvIPv4OptionMalformed
	EvIPv4OptionPadRequired
	EvIPv4OptionEOLRequired
	EvIPv4OptionDuplicate
	EvIPv4OptionUnknown
	EvIPv4WrongIPVersion
	EvIPv4ICMPv6
	EvIPv4UnknownProtocol

	EvICMPv4PacketTooSmall
	EvICMPv4UnknownType
	EvICMPv4UnknownCode
	EvICMPv4IPv4TruncatedPacket
	EvICMPv4IPv4UnknownVersion

	EvICMPv6UnknownType
	EvICMPv6UnknownCode
	EvICMPv6PacketTooSmall
	EvICMPv6IPv6UnknownVersion
	EvICMPv6IPv6TruncatedPacket
	EvICMPv6MLDMessageWithInvalidHopLimit
	EvICMPv6UnassignedType
	EvICMPv6ExperimentationType

	EvIPv6PacketTooSmall
	EvIPv6TruncatedPacket
	EvIPv6TruncatedExtHeader
	EvIPv6ExtHeaderDupFH
	EvIPv6ExtHeaderUselessFH
	EvIPv6ExtHeaderDupRH
	EvIPv6ExtHeaderDupHH
	EvIPv6ExtHeaderDupDH
	EvIPv6ExtHeaderDupAH
	EvIPv6ExtHeaderDupEH
	EvIPv6ExtHeaderInvalidOptionLen
	EvIPv6WrongIPVersion
	EvIPv6ExtHeaderAHReservedNotNull
	EvIPv6HopOptionsUnknownOption
	EvIPv6HopOptionsOnlyPadding
	EvIPv6DestOptionsUnknownOption
	EvIPv6DestOptionsOnlyPadding
	EvIPv6RHType0
	EvIPv6ZeroLenPadN
	EvIPv6FHNonZeroReservedField
	EvIPv6DataAfterNoneHeader
	EvIPv6UnknownNextHeader
	EvIPv6ICMPv4

	EvTCPPacketTooSmall
	EvTCPHeaderLenTooSmall
	EvTCPInvalidOptionLen
	EvTCPOptionInvalidLen
	EvTCPOptionDuplicate

	EvUDPPacketTooSmall
	EvUDPHeaderLenTooSmall
	EvUDPHeaderLenInvalid
	EvUDPLenInvalid

	EvSLLPacketTooSmall

	EvSLL2PacketTooSmall

	EvEthernetPacketTooSmall
	EvEthernetUnknownEthertype

	EvPPPPacketTooSmall
	EvPPPVJUPacketTooSmall
	EvPPPIP4PacketTooSmall
	EvPPPIP6PacketTooSmall
	EvPPPWrongType
	EvPPPUnsupportedProtocol

	EvPPPoEPacketTooSmall
	EvPPPoEWrongCode
	EvPPPoEMalformedTags

	EvGREPacketTooSmall
	EvGREWrongVersion
	EvGREVersion0Recursion
	EvGREVersion0Flags
	EvGREVersion0HeaderTooBig
	EvGREVersion0MalformedSREHeader
	EvGREVersion1Checksum
	EvGREVersion1Route
	EvGREVersion1SSR
	EvGREVersion1Recursion
	EvGREVersion1Flags
	EvGREVersion1NoKey
	EvGREVersion1WrongProtocol
	EvGREVersion1MalformedSREHeader
	EvGREVersion1HeaderTooBig

	EvVLANHeaderTooSmall
	EvVLANUnknownType
	EvVLANTooManyLayers

	EvPBBHeaderTooSmall

	EvVNTagHeaderTooSmall
	EvVNTagUnknownType

	EvETagHeaderTooSmall
	EvETagUnknownType

	EvRawInvalidIPVersion

	EvNullPacketTooSmall
	EvNullUnsupportedType

	EvSCTPPacketTooSmall
	EvSCTPChunkTooSmall
	EvSCTPChunkLenInvalid
	EvSCTPInitChunkBundled
	EvSCTPInitWithNonZeroTag
	EvSCTPDataWithZeroTag
	EvSCTPTooManyChunks
	EvSCTPTooManyDataChunks

	EvESPPacketTooSmall

	EvIPv4FragmentPacketTooLarge

	EvIPv6FragmentPacketTooLarge

	EvIPv4FragmentOverlap

	EvIPv6FragmentOverlap
	EvIPv6FragmentInvalidLength

	EvIPv4FragmentIgnored

	EvIPv6FragmentIgnored
	EvIPv6IPv4InIPv6TooSmall
	EvIPv6IPv4InIPv6WrongVersion
	EvIPv6IPv6InIPv6TooSmall
	EvIPv6IPv6InIPv6WrongVersion

	EvMPLSHeaderTooSmall
	EvMPLSPacketTooSmall
	EvMPLSBadLabelRouterAlert
	EvMPLSBadLabelImplicitNull
	EvMPLSBadLabelReserved
	EvMPLSUnknownPayloadType

	EvVXLANUnknownPayloadType

	EvGeneveUnknownPayloadType

	EvERSPANHeaderTooSmall
	EvERSPANUnsupportedVersion
	EvERSPANTooManyVLANLayers

	EvFabricPathPacketTooSmall

	EvCHDLCPacketTooSmall

	EvNSHHeaderTooSmall
	EvNSHUnsupportedVersion
	EvNSHBadHeaderLength
	EvNSHReservedType
	EvNSHUnsupportedType
	EvNSHUnknownPayload

	EvIGMPPacketTooSmall
	EvIGMPV3PacketTooSmall
	EvIGMPMalformed

	EvTooManyLayers

	EvARPPacketTooSmall
	EvARPUnsupportedHardware
	EvARPUnsupportedProtocol
	EvARPInvalidPacket
	EvARPInvalidHardwareSize
	EvARPInvalidProtocolSize
	EvARPUnsupportedOpcode

	EvStreamHandshakeAckInWrongDirection
	EvStreamHandshakeAsyncWrongSeq
	EvStreamHandshakeRightSeqWrongAckEvasion
	EvStreamHandshakeSynAckInWrongDirection
	EvStreamHandshakeSynAckResendWithDiffAck
	EvStreamHandshakeSynAckResendWithDiffSeq
	EvStreamHandshakeSynAckToserverOnSynRecv
	EvStreamHandshakeSynAckWithWrongAck
	EvStreamHandshakeSynAckFlood
	EvStreamHandshakeSynAckTFODataIgnored
	EvStreamHandshakeSynResendDiffSeqOnSynRecv
	EvStreamHandshakeSynToclientOnSynRecv
	EvStreamHandshakeSynFlood
	EvStreamHandshakeWrongSeqWrongAck
	EvStreamHandshakeAckDataInject
	EvStreamFourWaySynAckWithWrongAck
	EvStreamFourWaySynAckWithWrongSyn
	EvStreamFourWayWrongSeq
	EvStreamFourWayInvalidAck
	EvStreamCloseWaitAckOutOfWindow
	EvStreamCloseWaitFinOutOfWindow
	EvStreamCloseWaitPacketBeforeLastAck
	EvStreamCloseWaitInvalidAck
	EvStreamClosingAckWrongSeq
	EvStreamClosingInvalidAck
	EvStreamEstablishedPacketOutOfWindow
	EvStreamEstablishedPacketBeforeLastAck
	EvStreamEstablishedSynAckResend
	EvStreamEstablishedSynAckResendWithDiffAck
	EvStreamEstablishedSynAckResendWithDiffSeq
	EvStreamEstablishedSynAckToserver
	EvStreamEstablishedSynResend
	EvStreamEstablishedSynResendDiffSeq
	EvStreamEstablishedSynToclient
	EvStreamEstablishedInvalidAck
	EvStreamEstablishedAckZWPData
	EvStreamFinInvalidAck
	EvStreamFinWait1AckWrongSeq
	EvStreamFinWait1FinWrongSeq
	EvStreamFinWait1InvalidAck
	EvStreamFinWait2AckWrongSeq
	EvStreamFinWait2FinWrongSeq
	EvStreamFinWait2InvalidAck
	EvStreamFinButNoSession
	EvStreamFinOutOfWindow
	EvStreamFinSyn
	EvStreamLastAckAckWrongSeq
	EvStreamLastAckInvalidAck
	EvStreamRstButNoSession
	EvStreamTimeWaitAckWrongSeq
	EvStreamTimeWaitInvalidAck
	EvStreamShutdownSynResend
	EvStreamPacketInvalidTimestamp
	EvStreamPacketInvalidAck
	EvStreamPacketBrokenAck
	EvStreamRstInvalidAck
	EvStreamRstWithData
	EvStreamPacketRetransmission
	EvStreamPacketSpuriousRetransmission
	EvStreamPacketBadWindowUpdate
	EvStreamSuspectedRstInject
	EvStreamWrongThread
	EvStreamReassemblySegmentBeforeBaseSeq
	EvStreamReassemblyNoSegment
	EvStreamReassemblySeqGap
	EvStreamReassemblyOverlapDifferentData
	EvStreamReassemblyDepthReached
	EvStreamReassemblyInsertMemcap
	EvStreamReassemblyInsertLimit
	EvStreamReassemblyInsertInvalid
	EvStreamReassemblyUrgentOOBLimitReached

	// Events is how many there are, and one.
	Events
)

var eventNames = [Events]string{
	EvAFPacketTruncatedPacket:                  "decoder.afpacket.trunc_pkt",
	EvIPv4PacketTooSmall:                       "decoder.ipv4.pkt_too_small",
	EvIPv4HeaderLenTooSmall:                    "decoder.ipv4.hlen_too_small",
	EvIPv4IPLenSmallerThanHeaderLen:            "decoder.ipv4.iplen_smaller_than_hlen",
	EvIPv4TruncatedPacket:                      "decoder.ipv4.trunc_pkt",
	EvIPv4OptionInvalid:                        "decoder.ipv4.opt_invalid",
	EvIPv4OptionInvalidLen:                     "decoder.ipv4.opt_invalid_len",
	EvIPv4OptionMalformed:                      "decoder.ipv4.opt_malformed",
	EvIPv4OptionPadRequired:                    "decoder.ipv4.opt_pad_required",
	EvIPv4OptionEOLRequired:                    "decoder.ipv4.opt_eol_required",
	EvIPv4OptionDuplicate:                      "decoder.ipv4.opt_duplicate",
	EvIPv4OptionUnknown:                        "decoder.ipv4.opt_unknown",
	EvIPv4WrongIPVersion:                       "decoder.ipv4.wrong_ip_version",
	EvIPv4ICMPv6:                               "decoder.ipv4.icmpv6",
	EvIPv4UnknownProtocol:                      "decoder.ipv4.unknown_protocol",
	EvICMPv4PacketTooSmall:                     "decoder.icmpv4.pkt_too_small",
	EvICMPv4UnknownType:                        "decoder.icmpv4.unknown_type",
	EvICMPv4UnknownCode:                        "decoder.icmpv4.unknown_code",
	EvICMPv4IPv4TruncatedPacket:                "decoder.icmpv4.ipv4_trunc_pkt",
	EvICMPv4IPv4UnknownVersion:                 "decoder.icmpv4.ipv4_unknown_ver",
	EvICMPv6UnknownType:                        "decoder.icmpv6.unknown_type",
	EvICMPv6UnknownCode:                        "decoder.icmpv6.unknown_code",
	EvICMPv6PacketTooSmall:                     "decoder.icmpv6.pkt_too_small",
	EvICMPv6IPv6UnknownVersion:                 "decoder.icmpv6.ipv6_unknown_version",
	EvICMPv6IPv6TruncatedPacket:                "decoder.icmpv6.ipv6_trunc_pkt",
	EvICMPv6MLDMessageWithInvalidHopLimit:      "decoder.icmpv6.mld_message_with_invalid_hl",
	EvICMPv6UnassignedType:                     "decoder.icmpv6.unassigned_type",
	EvICMPv6ExperimentationType:                "decoder.icmpv6.experimentation_type",
	EvIPv6PacketTooSmall:                       "decoder.ipv6.pkt_too_small",
	EvIPv6TruncatedPacket:                      "decoder.ipv6.trunc_pkt",
	EvIPv6TruncatedExtHeader:                   "decoder.ipv6.trunc_exthdr",
	EvIPv6ExtHeaderDupFH:                       "decoder.ipv6.exthdr_dupl_fh",
	EvIPv6ExtHeaderUselessFH:                   "decoder.ipv6.exthdr_useless_fh",
	EvIPv6ExtHeaderDupRH:                       "decoder.ipv6.exthdr_dupl_rh",
	EvIPv6ExtHeaderDupHH:                       "decoder.ipv6.exthdr_dupl_hh",
	EvIPv6ExtHeaderDupDH:                       "decoder.ipv6.exthdr_dupl_dh",
	EvIPv6ExtHeaderDupAH:                       "decoder.ipv6.exthdr_dupl_ah",
	EvIPv6ExtHeaderDupEH:                       "decoder.ipv6.exthdr_dupl_eh",
	EvIPv6ExtHeaderInvalidOptionLen:            "decoder.ipv6.exthdr_invalid_optlen",
	EvIPv6WrongIPVersion:                       "decoder.ipv6.wrong_ip_version",
	EvIPv6ExtHeaderAHReservedNotNull:           "decoder.ipv6.exthdr_ah_res_not_null",
	EvIPv6HopOptionsUnknownOption:              "decoder.ipv6.hopopts_unknown_opt",
	EvIPv6HopOptionsOnlyPadding:                "decoder.ipv6.hopopts_only_padding",
	EvIPv6DestOptionsUnknownOption:             "decoder.ipv6.dstopts_unknown_opt",
	EvIPv6DestOptionsOnlyPadding:               "decoder.ipv6.dstopts_only_padding",
	EvIPv6RHType0:                              "decoder.ipv6.rh_type_0",
	EvIPv6ZeroLenPadN:                          "decoder.ipv6.zero_len_padn",
	EvIPv6FHNonZeroReservedField:               "decoder.ipv6.fh_non_zero_reserved_field",
	EvIPv6DataAfterNoneHeader:                  "decoder.ipv6.data_after_none_header",
	EvIPv6UnknownNextHeader:                    "decoder.ipv6.unknown_next_header",
	EvIPv6ICMPv4:                               "decoder.ipv6.icmpv4",
	EvTCPPacketTooSmall:                        "decoder.tcp.pkt_too_small",
	EvTCPHeaderLenTooSmall:                     "decoder.tcp.hlen_too_small",
	EvTCPInvalidOptionLen:                      "decoder.tcp.invalid_optlen",
	EvTCPOptionInvalidLen:                      "decoder.tcp.opt_invalid_len",
	EvTCPOptionDuplicate:                       "decoder.tcp.opt_duplicate",
	EvUDPPacketTooSmall:                        "decoder.udp.pkt_too_small",
	EvUDPHeaderLenTooSmall:                     "decoder.udp.hlen_too_small",
	EvUDPHeaderLenInvalid:                      "decoder.udp.hlen_invalid",
	EvUDPLenInvalid:                            "decoder.udp.len_invalid",
	EvSLLPacketTooSmall:                        "decoder.sll.pkt_too_small",
	EvSLL2PacketTooSmall:                       "decoder.sll2.pkt_too_small",
	EvEthernetPacketTooSmall:                   "decoder.ethernet.pkt_too_small",
	EvEthernetUnknownEthertype:                 "decoder.ethernet.unknown_ethertype",
	EvPPPPacketTooSmall:                        "decoder.ppp.pkt_too_small",
	EvPPPVJUPacketTooSmall:                     "decoder.ppp.vju_pkt_too_small",
	EvPPPIP4PacketTooSmall:                     "decoder.ppp.ip4_pkt_too_small",
	EvPPPIP6PacketTooSmall:                     "decoder.ppp.ip6_pkt_too_small",
	EvPPPWrongType:                             "decoder.ppp.wrong_type",
	EvPPPUnsupportedProtocol:                   "decoder.ppp.unsup_proto",
	EvPPPoEPacketTooSmall:                      "decoder.pppoe.pkt_too_small",
	EvPPPoEWrongCode:                           "decoder.pppoe.wrong_code",
	EvPPPoEMalformedTags:                       "decoder.pppoe.malformed_tags",
	EvGREPacketTooSmall:                        "decoder.gre.pkt_too_small",
	EvGREWrongVersion:                          "decoder.gre.wrong_version",
	EvGREVersion0Recursion:                     "decoder.gre.version0_recur",
	EvGREVersion0Flags:                         "decoder.gre.version0_flags",
	EvGREVersion0HeaderTooBig:                  "decoder.gre.version0_hdr_too_big",
	EvGREVersion0MalformedSREHeader:            "decoder.gre.version0_malformed_sre_hdr",
	EvGREVersion1Checksum:                      "decoder.gre.version1_chksum",
	EvGREVersion1Route:                         "decoder.gre.version1_route",
	EvGREVersion1SSR:                           "decoder.gre.version1_ssr",
	EvGREVersion1Recursion:                     "decoder.gre.version1_recur",
	EvGREVersion1Flags:                         "decoder.gre.version1_flags",
	EvGREVersion1NoKey:                         "decoder.gre.version1_no_key",
	EvGREVersion1WrongProtocol:                 "decoder.gre.version1_wrong_protocol",
	EvGREVersion1MalformedSREHeader:            "decoder.gre.version1_malformed_sre_hdr",
	EvGREVersion1HeaderTooBig:                  "decoder.gre.version1_hdr_too_big",
	EvVLANHeaderTooSmall:                       "decoder.vlan.header_too_small",
	EvVLANUnknownType:                          "decoder.vlan.unknown_type",
	EvVLANTooManyLayers:                        "decoder.vlan.too_many_layers",
	EvPBBHeaderTooSmall:                        "decoder.ieee8021ah.header_too_small",
	EvVNTagHeaderTooSmall:                      "decoder.vntag.header_too_small",
	EvVNTagUnknownType:                         "decoder.vntag.unknown_type",
	EvETagHeaderTooSmall:                       "decoder.etag.header_too_small",
	EvETagUnknownType:                          "decoder.etag.unknown_type",
	EvRawInvalidIPVersion:                      "decoder.ipraw.invalid_ip_version",
	EvNullPacketTooSmall:                       "decoder.ltnull.pkt_too_small",
	EvNullUnsupportedType:                      "decoder.ltnull.unsupported_type",
	EvSCTPPacketTooSmall:                       "decoder.sctp.pkt_too_small",
	EvSCTPChunkTooSmall:                        "decoder.sctp.chunk_too_small",
	EvSCTPChunkLenInvalid:                      "decoder.sctp.chunk_len_invalid",
	EvSCTPInitChunkBundled:                     "decoder.sctp.init_chunk_bundled",
	EvSCTPInitWithNonZeroTag:                   "decoder.sctp.init_with_non_zero_vtag",
	EvSCTPDataWithZeroTag:                      "decoder.sctp.data_with_zero_vtag",
	EvSCTPTooManyChunks:                        "decoder.sctp.too_many_chunks",
	EvSCTPTooManyDataChunks:                    "decoder.sctp.too_many_data_chunks",
	EvESPPacketTooSmall:                        "decoder.esp.pkt_too_small",
	EvIPv4FragmentPacketTooLarge:               "decoder.ipv4.frag_pkt_too_large",
	EvIPv6FragmentPacketTooLarge:               "decoder.ipv6.frag_pkt_too_large",
	EvIPv4FragmentOverlap:                      "decoder.ipv4.frag_overlap",
	EvIPv6FragmentOverlap:                      "decoder.ipv6.frag_overlap",
	EvIPv6FragmentInvalidLength:                "decoder.ipv6.frag_invalid_length",
	EvIPv4FragmentIgnored:                      "decoder.ipv4.frag_ignored",
	EvIPv6FragmentIgnored:                      "decoder.ipv6.frag_ignored",
	EvIPv6IPv4InIPv6TooSmall:                   "decoder.ipv6.ipv4_in_ipv6_too_small",
	EvIPv6IPv4InIPv6WrongVersion:               "decoder.ipv6.ipv4_in_ipv6_wrong_version",
	EvIPv6IPv6InIPv6TooSmall:                   "decoder.ipv6.ipv6_in_ipv6_too_small",
	EvIPv6IPv6InIPv6WrongVersion:               "decoder.ipv6.ipv6_in_ipv6_wrong_version",
	EvMPLSHeaderTooSmall:                       "decoder.mpls.header_too_small",
	EvMPLSPacketTooSmall:                       "decoder.mpls.pkt_too_small",
	EvMPLSBadLabelRouterAlert:                  "decoder.mpls.bad_label_router_alert",
	EvMPLSBadLabelImplicitNull:                 "decoder.mpls.bad_label_implicit_null",
	EvMPLSBadLabelReserved:                     "decoder.mpls.bad_label_reserved",
	EvMPLSUnknownPayloadType:                   "decoder.mpls.unknown_payload_type",
	EvVXLANUnknownPayloadType:                  "decoder.vxlan.unknown_payload_type",
	EvGeneveUnknownPayloadType:                 "decoder.geneve.unknown_payload_type",
	EvERSPANHeaderTooSmall:                     "decoder.erspan.header_too_small",
	EvERSPANUnsupportedVersion:                 "decoder.erspan.unsupported_version",
	EvERSPANTooManyVLANLayers:                  "decoder.erspan.too_many_vlan_layers",
	EvFabricPathPacketTooSmall:                 "decoder.dce.pkt_too_small",
	EvCHDLCPacketTooSmall:                      "decoder.chdlc.pkt_too_small",
	EvNSHHeaderTooSmall:                        "decoder.nsh.header_too_small",
	EvNSHUnsupportedVersion:                    "decoder.nsh.unsupported_version",
	EvNSHBadHeaderLength:                       "decoder.nsh.bad_header_length",
	EvNSHReservedType:                          "decoder.nsh.reserved_type",
	EvNSHUnsupportedType:                       "decoder.nsh.unsupported_type",
	EvNSHUnknownPayload:                        "decoder.nsh.unknown_payload",
	EvIGMPPacketTooSmall:                       "decoder.igmp.pkt_too_small",
	EvIGMPV3PacketTooSmall:                     "decoder.igmp.v3_pkt_too_small",
	EvIGMPMalformed:                            "decoder.igmp.malformed",
	EvTooManyLayers:                            "decoder.too_many_layers",
	EvARPPacketTooSmall:                        "decoder.arp.pkt_too_small",
	EvARPUnsupportedHardware:                   "decoder.arp.unsupported_hardware",
	EvARPUnsupportedProtocol:                   "decoder.arp.unsupported_protocol",
	EvARPInvalidPacket:                         "decoder.arp.invalid_pkt",
	EvARPInvalidHardwareSize:                   "decoder.arp.invalid_hardware_size",
	EvARPInvalidProtocolSize:                   "decoder.arp.invalid_protocol_size",
	EvARPUnsupportedOpcode:                     "decoder.arp.unsupported_opcode",
	EvStreamHandshakeAckInWrongDirection:       "stream.3whs_ack_in_wrong_dir",
	EvStreamHandshakeAsyncWrongSeq:             "stream.3whs_async_wrong_seq",
	EvStreamHandshakeRightSeqWrongAckEvasion:   "stream.3whs_right_seq_wrong_ack_evasion",
	EvStreamHandshakeSynAckInWrongDirection:    "stream.3whs_synack_in_wrong_direction",
	EvStreamHandshakeSynAckResendWithDiffAck:   "stream.3whs_synack_resend_with_diff_ack",
	EvStreamHandshakeSynAckResendWithDiffSeq:   "stream.3whs_synack_resend_with_diff_seq",
	EvStreamHandshakeSynAckToserverOnSynRecv:   "stream.3whs_synack_toserver_on_syn_recv",
	EvStreamHandshakeSynAckWithWrongAck:        "stream.3whs_synack_with_wrong_ack",
	EvStreamHandshakeSynAckFlood:               "stream.3whs_synack_flood",
	EvStreamHandshakeSynAckTFODataIgnored:      "stream.3whs_synack_tfo_data_ignored",
	EvStreamHandshakeSynResendDiffSeqOnSynRecv: "stream.3whs_syn_resend_diff_seq_on_syn_recv",
	EvStreamHandshakeSynToclientOnSynRecv:      "stream.3whs_syn_toclient_on_syn_recv",
	EvStreamHandshakeSynFlood:                  "stream.3whs_syn_flood",
	EvStreamHandshakeWrongSeqWrongAck:          "stream.3whs_wrong_seq_wrong_ack",
	EvStreamHandshakeAckDataInject:             "stream.3whs_ack_data_inject",
	EvStreamFourWaySynAckWithWrongAck:          "stream.4whs_synack_with_wrong_ack",
	EvStreamFourWaySynAckWithWrongSyn:          "stream.4whs_synack_with_wrong_syn",
	EvStreamFourWayWrongSeq:                    "stream.4whs_wrong_seq",
	EvStreamFourWayInvalidAck:                  "stream.4whs_invalid_ack",
	EvStreamCloseWaitAckOutOfWindow:            "stream.closewait_ack_out_of_window",
	EvStreamCloseWaitFinOutOfWindow:            "stream.closewait_fin_out_of_window",
	EvStreamCloseWaitPacketBeforeLastAck:       "stream.closewait_pkt_before_last_ack",
	EvStreamCloseWaitInvalidAck:                "stream.closewait_invalid_ack",
	EvStreamClosingAckWrongSeq:                 "stream.closing_ack_wrong_seq",
	EvStreamClosingInvalidAck:                  "stream.closing_invalid_ack",
	EvStreamEstablishedPacketOutOfWindow:       "stream.est_packet_out_of_window",
	EvStreamEstablishedPacketBeforeLastAck:     "stream.est_pkt_before_last_ack",
	EvStreamEstablishedSynAckResend:            "stream.est_synack_resend",
	EvStreamEstablishedSynAckResendWithDiffAck: "stream.est_synack_resend_with_diff_ack",
	EvStreamEstablishedSynAckResendWithDiffSeq: "stream.est_synack_resend_with_diff_seq",
	EvStreamEstablishedSynAckToserver:          "stream.est_synack_toserver",
	EvStreamEstablishedSynResend:               "stream.est_syn_resend",
	EvStreamEstablishedSynResendDiffSeq:        "stream.est_syn_resend_diff_seq",
	EvStreamEstablishedSynToclient:             "stream.est_syn_toclient",
	EvStreamEstablishedInvalidAck:              "stream.est_invalid_ack",
	EvStreamEstablishedAckZWPData:              "stream.est_ack_zwp_data",
	EvStreamFinInvalidAck:                      "stream.fin_invalid_ack",
	EvStreamFinWait1AckWrongSeq:                "stream.fin1_ack_wrong_seq",
	EvStreamFinWait1FinWrongSeq:                "stream.fin1_fin_wrong_seq",
	EvStreamFinWait1InvalidAck:                 "stream.fin1_invalid_ack",
	EvStreamFinWait2AckWrongSeq:                "stream.fin2_ack_wrong_seq",
	EvStreamFinWait2FinWrongSeq:                "stream.fin2_fin_wrong_seq",
	EvStreamFinWait2InvalidAck:                 "stream.fin2_invalid_ack",
	EvStreamFinButNoSession:                    "stream.fin_but_no_session",
	EvStreamFinOutOfWindow:                     "stream.fin_out_of_window",
	EvStreamFinSyn:                             "stream.fin_syn",
	EvStreamLastAckAckWrongSeq:                 "stream.lastack_ack_wrong_seq",
	EvStreamLastAckInvalidAck:                  "stream.lastack_invalid_ack",
	EvStreamRstButNoSession:                    "stream.rst_but_no_session",
	EvStreamTimeWaitAckWrongSeq:                "stream.timewait_ack_wrong_seq",
	EvStreamTimeWaitInvalidAck:                 "stream.timewait_invalid_ack",
	EvStreamShutdownSynResend:                  "stream.shutdown_syn_resend",
	EvStreamPacketInvalidTimestamp:             "stream.pkt_invalid_timestamp",
	EvStreamPacketInvalidAck:                   "stream.pkt_invalid_ack",
	EvStreamPacketBrokenAck:                    "stream.pkt_broken_ack",
	EvStreamRstInvalidAck:                      "stream.rst_invalid_ack",
	EvStreamRstWithData:                        "stream.rst_with_data",
	EvStreamPacketRetransmission:               "stream.pkt_retransmission",
	EvStreamPacketSpuriousRetransmission:       "stream.pkt_spurious_retransmission",
	EvStreamPacketBadWindowUpdate:              "stream.pkt_bad_window_update",
	EvStreamSuspectedRstInject:                 "stream.suspected_rst_inject",
	EvStreamWrongThread:                        "stream.wrong_thread",
	EvStreamReassemblySegmentBeforeBaseSeq:     "stream.reassembly_segment_before_base_seq",
	EvStreamReassemblyNoSegment:                "stream.reassembly_no_segment",
	EvStreamReassemblySeqGap:                   "stream.reassembly_seq_gap",
	EvStreamReassemblyOverlapDifferentData:     "stream.reassembly_overlap_different_data",
	EvStreamReassemblyDepthReached:             "stream.reassembly_depth_reached",
	EvStreamReassemblyInsertMemcap:             "stream.reassembly_insert_memcap",
	EvStreamReassemblyInsertLimit:              "stream.reassembly_insert_limit",
	EvStreamReassemblyInsertInvalid:            "stream.reassembly_insert_invalid",
	EvStreamReassemblyUrgentOOBLimitReached:    "stream.reassembly_urgent_oob_limit_reached",
}

// eventAliases are names that rules use and eve.json does not.
var eventAliases = map[string]Event{
	"stream.3whs_synack_resend_with_different_ack": EvStreamHandshakeSynAckResendWithDiffAck,
	"stream.est_synack_resend_with_different_ack":  EvStreamEstablishedSynAckResendWithDiffAck,
}

// String is the event's full name.
func (e Event) String() string { return eventNames[e] }

// Stream says whether package stream finds the event.
func (e Event) Stream() bool { return e >= firstStreamEvent && e < Events }

const firstStreamEvent = EvStreamHandshakeAckInWrongDirection

// EventByName finds an event by its full name.
func EventByName(name string) (Event, bool) {
	for e := evNone + 1; e < Events; e++ {
		if eventNames[e] == name {
			return e, true
		}
	}
	e, ok := eventAliases[name]
	return e, ok
}

// EventSet is a set of events.
type EventSet [4]uint64

// Add puts an event into the set.
func (s *EventSet) Add(e Event) { s[e>>6] |= 1 << (e & 63) }

// Has says whether an event is in the set.
func (s *EventSet) Has(e Event) bool { return s[e>>6]>>(e&63)&1 == 1 }

// Empty says whether there is none.
func (s *EventSet) Empty() bool { return s[0]|s[1]|s[2]|s[3] == 0 }

// Append appends the events to out, in the order of the table.
func (s *EventSet) Append(out []Event) []Event {
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			out = append(out, Event(i<<6+bits.TrailingZeros64(word)))
		}
	}
	return out
}
