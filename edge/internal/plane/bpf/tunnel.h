/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * DR and tunnels: the packet goes on as it is, in a new frame or in an outer
 * header, and the backend answers the client itself. What the edge keeps of
 * a flow is eight bytes: 24 bits of its hash, its backend, and when it was
 * last seen. Eight are a line; a flow new to a full line takes the place of
 * the one that was silent longest, which then goes where the choice puts it.
 * Two flows of one line are taken for one another once in 2 million.
 */
#ifndef HAUBERK_EDGE_TUNNEL_H
#define HAUBERK_EDGE_TUNNEL_H

#include "hops.h"
#include "open.h"

/* tag 24 bits, backend 16, seen 24 in units of 2^SEEN_SHIFT ms */
enum { SEEN_SHIFT = 9, SEEN_MASK = 0xffffff };

static inline_always u64 affinity(u32 tag, u32 backend, u32 seen)
{
	return (u64)tag << 40 | (u64)(backend & 0xffff) << 24 | (seen & SEEN_MASK);
}

static inline_always u32 tag24(u64 hash)
{
	u32 tag = hash >> 40;
	return tag ? tag : 1;
}

/* Finds or makes the entry of a flow; returns its backend. */
not_inline int open_affinity(struct opening *o)
{
	if (!o)
		return 0;
	struct affinity_set *set = at(affinities, (u32)o->hash & flow_mask);
	const struct vip *v = at(vips, o->half * max_vips + o->key.vip);
	u32 tag = tag24(o->hash), seen = o->now >> SEEN_SHIFT & SEEN_MASK, oldest = 0, age = 0;

	if (!set || !v)
		return 0;
	u32 backend = choose(v, &o->key, o->half);
	if (!backend)
		return 0;
	for (u32 i = 0; i < WAYS; i++) {
		u64 entry = set->entry[i];
		if (entry >> 40 == tag)
			return entry >> 24 & 0xffff; /* another CPU was faster */
		u32 silent = entry ? (seen - (u32)entry) & SEEN_MASK : SEEN_MASK + 1;
		if (silent > age || i == 0) {
			age = silent;
			oldest = i;
		}
	}
	u64 *place = &set->entry[oldest & (WAYS - 1)], old = *place;
	__sync_val_compare_and_swap(place, old, affinity(tag, backend, seen));
	count_flow(o->key.vip, backend);
	return backend;
}

/* The backend a flow is known to have, 0 if none; notes that it was seen. */
static inline_always u32 find_affinity(u64 hash, u32 now, u32 life)
{
	struct affinity_set *set = at(affinities, (u32)hash & flow_mask);
	u32 tag = tag24(hash), seen = now >> SEEN_SHIFT & SEEN_MASK;

	if (!set)
		return 0;
	for (u32 i = 0; i < WAYS; i++) {
		u64 entry = set->entry[i];
		if (entry >> 40 != tag)
			continue;
		u32 silent = (seen - (u32)entry) & SEEN_MASK;
		if (silent > life >> SEEN_SHIFT) {
			__sync_val_compare_and_swap(&set->entry[i], entry, 0);
			return 0;
		}
		if (silent)
			__sync_val_compare_and_swap(&set->entry[i], entry, affinity(tag, entry >> 24, seen));
		return entry >> 24 & 0xffff;
	}
	return 0;
}

static inline_always void write_ipv4(struct ipv4 *ip, u8 tos, u16 length, u8 proto, u32 src, u32 dst)
{
	*ip = (struct ipv4){ .version_ihl = 0x45, .tos = tos, .length = htons(length), .fragment = htons(0x4000),
			     .ttl = 64, .proto = proto, .src = src, .dst = dst };
	u64 sum = 0x45 | tos << 8;
	sum += ip->length + ip->fragment + (64 | proto << 8) + (u64)src + dst;
	ip->check = ~fold(sum);
}

static inline_always void write_ipv6(struct ipv6 *ip, u8 class, u16 length, u8 next, const struct address *src, const struct address *dst)
{
	ip->version_class_label = htonl(6u << 28 | (u32)class << 20);
	ip->length = htons(length);
	ip->next = next;
	ip->hops = 64;
	ip->src[0] = src->hi;
	ip->src[1] = src->lo;
	ip->dst[0] = dst->hi;
	ip->dst[1] = dst->lo;
}

/* Puts the outer headers before the packet; outer is the backend's family.
 * The source port of GUE comes from the flow, so that routers spread flows. */
static inline_always int wrap(struct xdp_md *ctx, const u8 outer, bool gue, u16 gue_port, const struct packet *p, u64 hash, u8 tos,
			      const struct address *from, const struct address *to, const struct hop *h)
{
	u32 udp_size = gue ? sizeof(struct udp) : 0, grow = ip_size(outer) + udp_size;

	if (adjust_head(ctx, -(int)grow))
		return XDP_ABORTED;
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (data + sizeof(struct eth) + ip_size(outer) + sizeof(struct udp) > end)
		return XDP_ABORTED;
	u8 inner = p->family == 4 ? PROTO_IPIP : PROTO_IPV6;
	((struct eth *)data)->type = htons(outer == 4 ? ETH_IPV4 : ETH_IPV6);
	if (outer == 4)
		write_ipv4(ip_of(data), tos, p->length + grow, gue ? PROTO_UDP : inner, from->lo >> 32, to->lo >> 32);
	else
		write_ipv6(ip_of(data), tos, p->length + udp_size, gue ? PROTO_UDP : inner, from, to);
	if (gue) {
		struct udp *udp = transport_of(data, outer);
		*udp = (struct udp){ .sport = htons(49152 | (hash >> 16 & 0x3fff)), .dport = gue_port, .length = htons(p->length + udp_size) };
	}
	return send_to(ctx, data, h);
}

/* The DSCP and ECN of the packet, for the outer header (RFC 6040). */
static inline_always u8 traffic_class(void *data, u8 family)
{
	return family == 4 ? ((struct ipv4 *)ip_of(data))->tos : ntohl(((struct ipv6 *)ip_of(data))->version_class_label) >> 20;
}

/* A packet from a client to a VIP of DR or a tunnel. */
static inline_always int direct_forward(struct xdp_md *ctx, void *data, const u8 family, const struct packet *p,
					const struct setting *set, const struct vip *v, u32 vip, u32 half)
{
	const struct control *c = at(controls, 0);
	struct opening o = {
		.key = { p->src, p->sport, p->dport, vip, p->proto, family },
		.half = half,
		.now = now_ms(),
	};

	if (!c)
		return XDP_ABORTED;
	o.hash = hash_key(&o.key, c);
	u32 backend = v->one_packet ? choose(v, &o.key, half)
				    : find_affinity(o.hash, o.now, v->timeout[p->proto == PROTO_TCP ? T_ESTABLISHED : T_UDP_ANSWERED]);
	if (!backend)
		backend = open_affinity(&o);
	const struct backend *b = at(backends, half * max_backends + backend);
	if (!b || !backend)
		return drop(ctx, NO_BACKEND, vip);
	if (b->state == DOWN)
		return drop(ctx, BACKEND_DOWN, vip);
	struct address server = b->addr;
	u8 outer = b->family, mode = v->mode, tos = traffic_class(data, family);
	u32 overhead = mode == DR ? 0 : ip_size(outer) + (mode == GUE ? sizeof(struct udp) : 0);
	if (p->length + overhead > mtu)
		return drop(ctx, TOO_BIG, vip);
	const struct hop *h = toward_backend(ctx, backend, &server, outer, o.now);
	if (!h)
		return drop(ctx, UNREACHABLE, vip);
	if (overhead || h->valid) {
		complete_check(ctx, transport_of(data, family), p);
		set_addresses(data, family, p, &p->src, &p->dst);
	}
	count_in(vip, backend, p->length);
	if (mode == DR)
		return h->valid ? send_to(ctx, data, h) : drop(ctx, UNREACHABLE, vip);
	if (outer == 4)
		return wrap(ctx, 4, mode == GUE, v->gue_port, p, o.hash, tos, &set->source[0], &server, h);
	return wrap(ctx, 6, mode == GUE, v->gue_port, p, o.hash, tos, &set->source[1], &server, h);
}

#endif
