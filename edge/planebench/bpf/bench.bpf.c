/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the data plane is measured with and against. The harness builds the
 * packet of the next flow anew (a repeated run would get the packet it has
 * just changed) and calls the target. F, R and L are frozen: changing them
 * changes what every published ratio means.
 */
#include "env.h"

char __license[] SEC("license") = "Dual BSD/GPL";

enum { FRAME_SIZE = 64 };

struct plan {
	u32 flows;    /* a power of two; 0: one after another from first on */
	u32 replies;  /* take addresses from the list of replies */
	u32 flags;    /* of TCP */
	u32 next;
	u32 vip;      /* network order */
	u32 first;
};

struct reply {
	u32 src, dst;
	u16 sport, dport;
	u32 spare;
};

#define table(name, kind, entries, val)       \
	struct {                              \
		map_uint(type, kind);         \
		map_uint(max_entries, entries); \
		map_type(key, u32);           \
		map_type(value, val);         \
	} name SEC(".maps")

table(plans, MAP_ARRAY, 1, struct plan);
table(replies, MAP_ARRAY, 1 << 20, struct reply);

struct line {
	u64 word[8];
};

table(lines, MAP_ARRAY, 1 << 20, struct line);

struct {
	map_uint(type, MAP_PROG_ARRAY);
	map_uint(max_entries, 1);
	map_uint(key_size, 4);
	map_uint(value_size, 4);
} target SEC(".maps");

#define at(name, index)                       \
	({                                    \
		u32 i_##name = (index);       \
		map_lookup(&name, &i_##name); \
	})

SEC("xdp")
int harness(struct xdp_md *ctx)
{
	void *begin = (void *)(long)ctx->data, *limit = (void *)(long)ctx->data_end;

	if (begin + FRAME_SIZE + 20 <= limit && adjust_head(ctx, 20)) /* undo a tunnel */
		return XDP_ABORTED;
	struct plan *plan = at(plans, 0);
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct eth *eth = data;
	struct ipv4 *ip = (void *)(eth + 1);
	struct tcp *tcp = (void *)(ip + 1);
	if (!plan || (void *)(tcp + 1) > end)
		return XDP_ABORTED;
	u32 n = plan->next++, flow = plan->flows ? (n * 0x9e3779b1u >> 7) & (plan->flows - 1) : plan->first + n;
	eth->type = htons(ETH_IPV4);
	*ip = (struct ipv4){ .version_ihl = 0x45, .length = htons(FRAME_SIZE - 14), .ttl = 64, .proto = PROTO_TCP,
			     .src = htonl(0x0a400000 + (flow >> 14)), .dst = plan->vip };
	*tcp = (struct tcp){ .sport = htons(1024 + (flow & 0x3fff)), .dport = htons(80), .seq = 1, .ack = 1, .offset = 0x50, .flags = plan->flags };
	if (plan->replies) {
		const struct reply *r = at(replies, flow);
		if (!r)
			return XDP_ABORTED;
		ip->src = r->src;
		ip->dst = r->dst;
		tcp->sport = r->sport;
		tcp->dport = r->dport;
	}
	tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

/* F: the floor. */
SEC("xdp")
int floor_tx(struct xdp_md *ctx)
{
	return XDP_TX;
}

/* F of tunnels: the same growth. */
SEC("xdp")
int floor_grow(struct xdp_md *ctx)
{
	return adjust_head(ctx, -20) ? XDP_ABORTED : XDP_TX;
}

/* R: one line, chosen by the packet, of a table of 64 MB. */
SEC("xdp")
int random_line(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv4 *ip = data + sizeof(struct eth);
	struct tcp *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end)
		return XDP_ABORTED;
	u64 h = ((u64)ip->src << 16 | tcp->sport) * 0x9fb21c651e98df25ull;
	const struct line *l = at(lines, h >> 44);
	return l && l->word[0] == 0 ? XDP_TX : XDP_DROP;
}

/* L: a plain balancer on the kernel's LRU maps. */
struct flow {
	u32 src, dst;
	u16 sport, dport;
	u32 proto;
};

struct way {
	u32 src, dst;
	u16 sport, dport;
	u32 seen;
};

struct {
	map_uint(type, MAP_LRU_HASH);
	map_uint(max_entries, 1 << 21);
	map_type(key, struct flow);
	map_type(value, struct way);
} ways SEC(".maps");

static inline_always u16 adjust(u16 check, u32 a, u32 b, u32 c, u32 d)
{
	u64 sum = (u16)~check + (u64)(u32)~a + b + (u64)(u32)~c + d;
	sum = (sum >> 32) + (u32)sum;
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return ~((sum >> 16) + (sum & 0xffff));
}

static u32 ports;

static inline_always int lru_open(const struct flow *f)
{
	u32 n = __sync_fetch_and_add(&ports, 1);
	struct way there = { htonl(0x0a090000 + (n >> 15)), htonl(0x0a000202 + (n & 1)), htons(32768 + (n & 0x7fff)), htons(8080), 0 };
	struct flow back = { there.dst, there.src, there.dport, there.sport, f->proto };
	struct way home = { f->dst, f->src, f->dport, f->sport, 0 };
	return map_update(&ways, f, &there, 0) || map_update(&ways, &back, &home, 0);
}

SEC("xdp")
int lru_fullnat(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv4 *ip = data + sizeof(struct eth);
	struct tcp *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end)
		return XDP_ABORTED;
	struct flow f = { ip->src, ip->dst, tcp->sport, tcp->dport, ip->proto };
	struct way *w = map_lookup(&ways, &f);
	if (!w) {
		if (lru_open(&f))
			return XDP_DROP;
		w = map_lookup(&ways, &f);
		if (!w)
			return XDP_DROP;
	}
	ip->check = adjust(ip->check, ip->src, w->src, ip->dst, w->dst);
	tcp->check = adjust(tcp->check, ip->src, w->src, ip->dst, w->dst);
	ip->src = w->src;
	ip->dst = w->dst;
	tcp->sport = w->sport;
	tcp->dport = w->dport;
	return XDP_TX;
}

SEC("xdp")
int lru_tunnel(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv4 *ip = data + sizeof(struct eth);
	struct tcp *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end)
		return XDP_ABORTED;
	struct flow f = { ip->src, ip->dst, tcp->sport, tcp->dport, ip->proto };
	u16 length = ntohs(ip->length) + 20;
	struct way *w = map_lookup(&ways, &f);
	if (!w) {
		struct way to = { .dst = htonl(0x0a000202 + (tcp->sport & 1)) };
		map_update(&ways, &f, &to, 0);
		w = map_lookup(&ways, &f);
		if (!w)
			return XDP_DROP;
	}
	u32 dst = w->dst;
	if (adjust_head(ctx, -20))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	ip = data + sizeof(struct eth);
	if ((void *)(ip + 1) > end)
		return XDP_ABORTED;
	*ip = (struct ipv4){ .version_ihl = 0x45, .length = htons(length), .ttl = 64, .proto = PROTO_IPIP, .src = htonl(0x0a000201), .dst = dst };
	ip->check = adjust(0, 0, *(u32 *)ip, 0, ip->dst);
	return XDP_TX;
}
