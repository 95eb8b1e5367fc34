/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The data plane of the edge. A frame's way, top to bottom:
 *
 *   root      of the interface: calls the slots in their order
 *   scrub     slot 0, when one is loaded: drops what is an attack
 *   balance   slot 1: a backend's answer, a client's packet, or not ours
 *
 * What is not ours goes to the kernel as if there were no edge.
 */
#include "echo.h"
#include "fullnat.h"
#include "tunnel.h"

char __license[] SEC("license") = "Dual BSD/GPL";

enum slot { SLOT_SCRUB, SLOT_BALANCE, SLOTS };

struct {
	map_uint(type, MAP_PROG_ARRAY);
	map_uint(max_entries, SLOTS);
	map_uint(key_size, 4);
	map_uint(value_size, 4);
} steps SEC(".maps");

/* Gives these types to Go, as no map has them. */
const volatile struct {
	enum layout layout;
	enum phase phase;
	enum reason reason;
	enum slot slot;
	enum timeout timeout;
	struct sample sample;
} words;

SEC("xdp")
int root(struct xdp_md *ctx)
{
	tail_call(ctx, &steps, SLOT_SCRUB);
	tail_call(ctx, &steps, SLOT_BALANCE);
	return XDP_PASS;
}

static inline_always int to_kernel(struct xdp_md *ctx)
{
	count_reason(PASSED);
	if (wants_sample(false, 0))
		sample_packet(ctx, PASSED, 0);
	return XDP_PASS;
}

static inline_always int balance_ip(struct xdp_md *ctx, void *data, void *end, const u8 family)
{
	const struct control *c = at(controls, 0);
	struct packet p = {};

	if (!c)
		return XDP_PASS;
	u32 half = c->active & 1;
	const struct setting *set = at(settings, half);
	enum reason r = parse_ip(data, end, family, &p);
	if (!set)
		return XDP_PASS;
	if (r == PASSED && is_echo(data, end, family, &p) && find_vip(half, set, &p.dst, 0, PROTO_ICMP))
		return answer_echo(ctx, data, family, &p);
	if (r != FORWARDED)
		return to_kernel(ctx);
	bool local = set->local_ok[family == 6] && within(&p.dst, &set->local[family == 6], &set->local_mask[family == 6]);
	if (p.late)
		return local || find_vip(half, set, &p.dst, 0, PROTO_ICMP) ? drop(ctx, LATE_FRAGMENT, 0) : to_kernel(ctx);
	r = parse_transport(data, end, family, &p);
	if (r != FORWARDED)
		return local ? drop(ctx, r, 0) : to_kernel(ctx);
	if (local)
		return p.ttl > 1 ? fullnat_reply(ctx, data, end, family, &p, set, half) : drop(ctx, TTL_EXPIRED, 0);

	u32 vip = find_vip(half, set, &p.dst, ntohs(p.dport), p.proto);
	const struct vip *v = at(vips, half * max_vips + vip);
	if (!vip || !v)
		return to_kernel(ctx);
	if (p.ttl <= 1)
		return drop(ctx, TTL_EXPIRED, vip);
	if (v->mode != FULLNAT)
		return direct_forward(ctx, data, family, &p, set, v, vip, half);
	return fullnat_forward(ctx, data, end, family, &p, set, v, vip, half);
}

SEC("xdp")
int balance(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct eth *eth = data;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->type == htons(ETH_IPV4))
		return balance_ip(ctx, data, end, 4);
	if (eth->type == htons(ETH_IPV6))
		return balance_ip(ctx, data, end, 6);
	return to_kernel(ctx);
}

/*
 * The clock. A timer of the kernel writes it, so that it goes on when the
 * owner has died; it lives as long as the table it is in is pinned.
 */
struct tick {
	struct bpf_timer timer;
	u64 lock; /* keeps the timer aligned */
};

table(ticks, MAP_ARRAY, 0, struct tick);

enum { TICK_NS = 1000000, ROUTE_MS = 10000 };

static int on_tick(void *map, u32 *key, struct tick *t)
{
	struct clock *c = at(clocks, 0);
	if (c) {
		u32 now = ktime() / TICK_NS;
		c->now = now;
		c->epoch = 1 + now / ROUTE_MS;
	}
	timer_start(&t->timer, TICK_NS, 0);
	return 0;
}

SEC("syscall")
int start_clock(void *ctx)
{
	struct tick *t = at(ticks, 0);
	struct clock *c = at(clocks, 0);

	if (!t || !c)
		return -1;
	c->now = ktime() / TICK_NS;
	c->epoch = 1 + c->now / ROUTE_MS;
	long r = timer_init(&t->timer, &ticks, 1);
	if (r && r != -16) /* EBUSY: it is there already, and gets the new callback */
		return r;
	r = timer_set_callback(&t->timer, on_tick);
	return r ? r : timer_start(&t->timer, TICK_NS, 0);
}
