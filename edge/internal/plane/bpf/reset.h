/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A reset for the sender of a TCP segment (RFC 9293, section 3.10.7.1). */
#ifndef HAUBERK_EDGE_RESET_H
#define HAUBERK_EDGE_RESET_H

#include "report.h"

static inline_always void swap_macs(struct eth *eth)
{
	u8 mac[6];

	__builtin_memcpy(mac, eth->dst, 6);
	__builtin_memcpy(eth->dst, eth->src, 6);
	__builtin_memcpy(eth->src, mac, 6);
}

/* Turns the segment into its reset, from whom it was for. */
static inline_always int reset_from(struct xdp_md *ctx, void *data, void *end, const u8 family, const struct packet *p)
{
	struct tcp *tcp = transport_of(data, family);
	int rest = (int)p->length - (int)(ip_size(family) + sizeof(*tcp));

	if ((void *)(tcp + 1) > end || p->flags & TCP_RST)
		return XDP_DROP;
	u32 used = p->length - ip_size(family) - (tcp->offset >> 4) * 4;
	used += !!(p->flags & TCP_SYN) + !!(p->flags & TCP_FIN);
	bool acks = p->flags & TCP_ACK;
	*tcp = (struct tcp){ .sport = p->dport, .dport = p->sport, .seq = acks ? tcp->ack : 0,
			     .ack = acks ? 0 : htonl(ntohl(tcp->seq) + used), .offset = 0x50, .flags = acks ? TCP_RST : TCP_RST | TCP_ACK };
	u64 sum = pseudo_sum(p, sizeof(*tcp));
	for (u32 i = 0; i < sizeof(*tcp) / 4; i++)
		sum += ((u32 *)tcp)[i];
	tcp->check = ~fold(sum);
	swap_macs(data);
	if (family == 4) {
		struct ipv4 *ip = ip_of(data);
		*ip = (struct ipv4){ .version_ihl = 0x45, .length = htons(sizeof(*ip) + sizeof(*tcp)), .fragment = htons(0x4000),
				     .ttl = 64, .proto = PROTO_TCP, .src = p->dst.lo >> 32, .dst = p->src.lo >> 32 };
		sum = 0;
		for (u32 i = 0; i < sizeof(*ip) / 4; i++)
			sum += ((u32 *)ip)[i];
		ip->check = ~fold(sum);
	} else {
		struct ipv6 *ip = ip_of(data);
		ip->length = htons(sizeof(*tcp));
		ip->hops = 64;
		ip->src[0] = p->dst.hi;
		ip->src[1] = p->dst.lo;
		ip->dst[0] = p->src.hi;
		ip->dst[1] = p->src.lo;
	}
	if (rest > 0 && adjust_tail(ctx, -rest))
		return XDP_ABORTED;
	return XDP_TX;
}

#endif
