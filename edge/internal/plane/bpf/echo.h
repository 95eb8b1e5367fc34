/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A ping of a VIP is answered here, as no host may own its address. */
#ifndef HAUBERK_EDGE_ECHO_H
#define HAUBERK_EDGE_ECHO_H

#include "reset.h"

enum { ECHO4 = 8, ECHO4_REPLY = 0, ECHO6 = 128, ECHO6_REPLY = 129 };

static inline_always bool is_echo(void *data, void *end, u8 family, const struct packet *p)
{
	const struct icmp *icmp = transport_of(data, family);

	return (void *)(icmp + 1) <= end && !p->late && !p->first &&
	       (family == 4 ? p->proto == PROTO_ICMP && icmp->type == ECHO4 : p->proto == PROTO_ICMP6 && icmp->type == ECHO6) &&
	       icmp->code == 0;
}

/* Turns the request around. The sum of the addresses stays the same, so
 * only the type changes the checksum. */
static inline_always int answer_echo(struct xdp_md *ctx, void *data, u8 family, const struct packet *p)
{
	struct icmp *icmp = transport_of(data, family);

	swap_macs(data);
	u16 old = icmp->type;
	icmp->type = family == 4 ? ECHO4_REPLY : ECHO6_REPLY;
	icmp->check = changed(icmp->check, (u16)~old + icmp->type);
	if (family == 4) {
		struct ipv4 *ip = ip_of(data);
		u16 was = *(u16 *)&ip->ttl;
		ip->src = p->dst.lo >> 32;
		ip->dst = p->src.lo >> 32;
		ip->ttl = 64;
		ip->check = changed(ip->check, (u64)(u16)~was + *(u16 *)&ip->ttl);
	} else {
		struct ipv6 *ip = ip_of(data);
		ip->src[0] = p->dst.hi;
		ip->src[1] = p->dst.lo;
		ip->dst[0] = p->src.hi;
		ip->dst[1] = p->src.lo;
		ip->hops = 64;
	}
	count_reason(ANSWERED);
	return XDP_TX;
}

#endif
