/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counting, and showing the owner single packets. */
#ifndef HAUBERK_EDGE_REPORT_H
#define HAUBERK_EDGE_REPORT_H

#include "packet.h"

not_inline int sample_packet(struct xdp_md *ctx, u32 reason, u32 vip)
{
	struct sample *s = ring_reserve(&samples, sizeof(*s), 0);
	u32 length = ctx->data_end - ctx->data;

	if (!s)
		return 0;
	s->time = ktime_boot();
	s->ifindex = ctx->ingress_ifindex;
	s->length = length;
	s->vip = vip;
	s->reason = reason;
	if (length > SAMPLE_BYTES)
		length = SAMPLE_BYTES;
	s->held = length;
	keep(length);
	if (length == 0 || length > SAMPLE_BYTES || load_bytes(ctx, 0, s->data, length))
		s->held = 0;
	ring_submit(s, 0);
	return 0;
}

static inline_always void count_reason(enum reason reason)
{
	u64 *n = at(reasons, reason);
	if (n)
		++*n;
}

static inline_always bool wants_sample(bool dropped, u32 vip)
{
	const struct control *c = at(controls, 0);
	return c && (dropped ? c->sample_drops || c->sample_all : c->sample_all) && (!c->sample_vip || c->sample_vip == vip);
}

not_inline int drop(struct xdp_md *ctx, u32 reason, u32 vip)
{
	count_reason(reason);
	if (wants_sample(true, vip))
		sample_packet(ctx, reason, vip);
	return XDP_DROP;
}

static inline_always void count_in(u32 vip, u32 backend, u32 length)
{
	struct counter *v = at(vip_counters, vip), *b = at(backend_counters, backend);
	if (v) {
		v->packets_in++;
		v->bytes_in += length;
	}
	if (b) {
		b->packets_in++;
		b->bytes_in += length;
	}
}

static inline_always void count_out(u32 vip, u32 backend, u32 length)
{
	struct counter *v = at(vip_counters, vip), *b = at(backend_counters, backend);
	if (v) {
		v->packets_out++;
		v->bytes_out += length;
	}
	if (b) {
		b->packets_out++;
		b->bytes_out += length;
	}
}

static inline_always void count_flow(u32 vip, u32 backend)
{
	struct counter *v = at(vip_counters, vip), *b = at(backend_counters, backend);
	if (v)
		v->flows++;
	if (b)
		b->flows++;
}

#endif
