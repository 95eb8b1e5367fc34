/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The last step. Routes and neighbours are the kernel's: it is asked once a
 * second for each backend, and for each session when the epoch of routes has
 * grown; in between its answer stands in a hop. A packet whose neighbour the
 * kernel has yet to find is passed to it rewritten: it forwards it, and finds
 * the neighbour by that. All of it goes on when the owner is dead.
 */
#ifndef HAUBERK_EDGE_HOPS_H
#define HAUBERK_EDGE_HOPS_H

#include "report.h"

enum { HOP_FRESH_MS = 1000 };

static inline_always bool is_fresh(const struct hop *h, u32 now)
{
	return h->valid && now - h->checked < HOP_FRESH_MS;
}

static inline_always int send_to(struct xdp_md *ctx, void *data, const struct hop *h)
{
	if (!h->valid)
		return XDP_PASS;
	__builtin_memcpy(data, h->macs, sizeof(h->macs));
	if (h->ifindex == ctx->ingress_ifindex)
		return XDP_TX;
	return redirect(h->ifindex, 0);
}

enum { FIB_SUCCESS = 0, FIB_NO_NEIGHBOUR = 7 }; /* BPF_FIB_LKUP_RET_* */

/* Asks the kernel for the way to an address; false when there is none. The
 * hop is valid once its neighbour is found. */
static not_inline bool ask_kernel(struct xdp_md *ctx, const struct address *to, u32 family, struct hop *out)
{
	struct fib fib = { .ifindex = ctx->ingress_ifindex };

	if (family == 4) {
		fib.family = AF_INET;
		fib.dst[0] = to->lo >> 32;
	} else {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.dst, to, sizeof(*to));
	}
	long r = fib_lookup(ctx, &fib, sizeof(fib), 0);
	/* The neighbour has the family of its gateway, which may be the other one. */
	if (fib.family == AF_INET)
		out->addr = (struct address){ 0, (u64)fib.dst[0] << 32 };
	else
		__builtin_memcpy(&out->addr, fib.dst, sizeof(out->addr));
	out->family = fib.family == AF_INET ? 4 : 6;
	out->ifindex = fib.ifindex;
	__builtin_memcpy(out->macs, fib.dmac, 6);
	__builtin_memcpy(out->macs + 6, fib.smac, 6);
	out->valid = r == FIB_SUCCESS;
	return r == FIB_SUCCESS || r == FIB_NO_NEIGHBOUR;
}

/* Writes what the kernel said into a hop that others may be reading: the
 * MACs only if they are new. */
static inline_always void set_hop(struct hop *h, const struct hop *is, u32 now)
{
	u64 old = *(u64 *)h->macs, new = *(u64 *)is->macs;
	u32 old2 = *(u32 *)(h->macs + 8), new2 = *(u32 *)(is->macs + 8);

	if (!h->valid || old != new || old2 != new2 || h->ifindex != is->ifindex) {
		__builtin_memcpy(h->macs, is->macs, sizeof(h->macs));
		h->ifindex = is->ifindex;
	}
	h->valid = is->valid;
	h->checked = now;
}

static not_inline struct hop *refresh_backend(struct xdp_md *ctx, struct hop *h, const struct address *to, u32 family)
{
	struct hop found = {};

	if (!ask_kernel(ctx, to, family, &found)) {
		h->valid = 0;
		return 0;
	}
	h->addr = *to;
	h->family = family;
	set_hop(h, &found, now_ms());
	return h;
}

static inline_always struct hop *toward_backend(struct xdp_md *ctx, u32 id, const struct address *to, u8 family, u32 now)
{
	struct hop *h = at(backend_hops, id);

	if (!h || (is_fresh(h, now) && same(&h->addr, to)))
		return h;
	return refresh_backend(ctx, h, to, family);
}

/* Finds the hop of a neighbour, giving it the entry its address hashes to. */
static not_inline struct hop *learn_hop(struct xdp_md *ctx, const struct address *to, u32 family, u32 *index)
{
	struct hop found = {};

	if (!ask_kernel(ctx, to, family, &found))
		return 0;
	*index = (mix(mix(found.ifindex, found.addr.hi), found.addr.lo) >> 20) & hop_mask;
	struct hop *h = at(hops, *index);
	if (!h)
		return 0;
	if (!same(&h->addr, &found.addr) || h->family != found.family) {
		h->version++;
		h->addr = found.addr;
		h->family = found.family;
	}
	set_hop(h, &found, now_ms());
	return h;
}

/* The hop towards a session's client, kept in the session. */
static not_inline struct hop *refresh_client(struct xdp_md *ctx, struct session *s)
{
	const struct clock *c = at(clocks, 0);
	u32 index = 0;
	struct hop *h = learn_hop(ctx, &s->key.client, s->key.family, &index);

	if (!h || !c)
		return 0;
	s->hop = index;
	s->hop_version = h->version;
	s->route_epoch = c->epoch;
	return h;
}

static inline_always struct hop *toward_client(struct xdp_md *ctx, struct session *s, const struct clock *c)
{
	if (s->route_epoch == (u16)c->epoch) {
		struct hop *h = at(hops, s->hop);
		if (h && h->valid && h->version == s->hop_version)
			return h;
	}
	return refresh_client(ctx, s);
}

#endif
