/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which frames of an interface belong to a stack in user space, and which to the kernel.
 *
 * One decision, three programs: `take` (XDP) gives our frames to the AF_XDP socket of their queue; `see` (socket filter)
 * lets an AF_PACKET socket see only our frames, and `withhold` (tcx) then keeps the kernel from answering them. Whatever is
 * not recognised is the kernel's, so that a mistake here locks nobody out.
 */
#include "helpers.h"

char __license[] SEC("license") = "Dual BSD/GPL";

/* From include/uapi/linux/bpf.h: what helpers.h has no other user of. */
enum { MAP_LPM_TRIE = 11, MAP_XSKMAP = 17, NO_PREALLOC = 1 };
enum { XDP_PASS = 2, TCX_NEXT = -1, TCX_DROP = 2 };
static long (*skb_load_bytes)(const void *skb, u32 at, void *to, u32 n) = (void *)26;
static long (*redirect_map)(void *map, u64 key, u64 flags) = (void *)51;

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

struct __sk_buff;

#define big16(x) __builtin_bswap16(x)

#define ETHER 14
#define ARP_TARGET (ETHER + 24)
#define V4_PROTO (ETHER + 9)
#define V4_FRAGMENT (ETHER + 6)
#define V4_TO (ETHER + 16)
#define V6_NEXT (ETHER + 6)
#define V6_TO (ETHER + 24)
#define V6_PAYLOAD (ETHER + 40)
#define NDP_TARGET (V6_PAYLOAD + 8)
#define SOLICITATION 135

/* What a rule says of the addresses of its prefix. */
enum rule {
	RULE_KERNEL = 0, /* all is the kernel's */
	RULE_OURS = 1,	 /* all is ours */
	RULE_PORTS = 2,	 /* ours but for the ports in kernel_ports */
};

enum counter {
	COUNT_OURS = 0,
	COUNT_KERNEL = 1,
	COUNT_NO_SOCKET = 2, /* ours, but nobody has the queue */
	COUNTERS = 3,
};

/* Gives these types to Go, as no map has them. */
const volatile struct {
	enum rule rule;
	enum counter counter;
} types = {};

/* An address with the length of its prefix in bits; IPv4 lies in ::ffff:0:0/96. */
struct prefix {
	u32 length;
	u8 address[16];
};

struct service {
	u16 port; /* host order */
	u16 proto;
};

struct {
	map_uint(type, MAP_LPM_TRIE);
	map_uint(map_flags, NO_PREALLOC);
	map_uint(max_entries, 65536);
	map_type(key, struct prefix);
	map_type(value, u32);
} rules SEC(".maps");

struct {
	map_uint(type, MAP_HASH);
	map_uint(max_entries, 1024);
	map_type(key, struct service);
	map_type(value, u32);
} kernel_ports SEC(".maps");

struct {
	map_uint(type, MAP_XSKMAP);
	map_uint(max_entries, 256);
	map_type(key, u32);
	map_type(value, u32);
} sockets SEC(".maps");

struct {
	map_uint(type, MAP_PERCPU_ARRAY);
	map_uint(max_entries, COUNTERS);
	map_type(key, u32);
	map_type(value, u64);
} counters SEC(".maps");

enum layer { LAYER_XDP, LAYER_SKB };

/* Copies bytes of the frame; how depends on where the program runs, which the compiler knows. */
static inline_always int load(void *ctx, enum layer layer, u32 at, void *to, u32 n)
{
	if (layer == LAYER_XDP) {
		struct xdp_md *x = ctx;
		void *data = (void *)(long)x->data, *end = (void *)(long)x->data_end;

		if (data + at + n > end)
			return -1;
		__builtin_memcpy(to, data + at, n);
		return 0;
	}
	return skb_load_bytes(ctx, at, to, n);
}

static inline_always void count(u32 what)
{
	u64 *n = map_lookup(&counters, &what);

	if (n)
		(*n)++;
}

/* Whether ports matter for this protocol and the port at `at` is the kernel's. */
static inline_always bool kernels_port(void *ctx, enum layer layer, u32 at, u8 proto)
{
	struct service s = { .proto = proto };
	u16 port;

	if (proto != 6 && proto != 17)
		return false;
	if (load(ctx, layer, at + 2, &port, 2))
		return false;
	s.port = big16(port);
	return map_lookup(&kernel_ports, &s) != 0;
}

static inline_always u32 rule_of(struct prefix *p)
{
	u32 *rule;

	p->length = 128;
	rule = map_lookup(&rules, p);
	return rule ? *rule : RULE_KERNEL;
}

static inline_always bool ours4(void *ctx, enum layer layer, u32 at, struct prefix *p)
{
	p->address[10] = p->address[11] = 0xff;
	return !load(ctx, layer, at, &p->address[12], 4);
}

static inline_always bool ours(void *ctx, enum layer layer)
{
	struct prefix to = {};
	u16 type, fragment;
	u8 head[2], proto;
	u32 rule;

	if (load(ctx, layer, 12, &type, 2))
		return false;
	switch (big16(type)) {
	case 0x0806:
		return ours4(ctx, layer, ARP_TARGET, &to) && rule_of(&to) != RULE_KERNEL;
	case 0x0800:
		if (!ours4(ctx, layer, V4_TO, &to))
			return false;
		rule = rule_of(&to);
		if (rule != RULE_PORTS)
			return rule == RULE_OURS;
		if (load(ctx, layer, ETHER, head, 1) || load(ctx, layer, V4_PROTO, &proto, 1) ||
		    load(ctx, layer, V4_FRAGMENT, &fragment, 2))
			return false;
		/* Ports are looked for where they lie nearly always; options and later fragments are ours. */
		if (head[0] != 0x45 || (fragment & big16(0x1fff)))
			return true;
		return !kernels_port(ctx, layer, ETHER + 20, proto);
	case 0x86dd:
		if (load(ctx, layer, V6_TO, to.address, 16) || load(ctx, layer, V6_NEXT, &proto, 1))
			return false;
		if (to.address[0] == 0xff) { /* Neighbours look for us by multicast, and by nothing else. */
			if (proto != 58 || load(ctx, layer, V6_PAYLOAD, head, 1) || head[0] != SOLICITATION ||
			    load(ctx, layer, NDP_TARGET, to.address, 16))
				return false;
			return rule_of(&to) != RULE_KERNEL;
		}
		rule = rule_of(&to);
		if (rule != RULE_PORTS)
			return rule == RULE_OURS;
		return !kernels_port(ctx, layer, V6_PAYLOAD, proto);
	}
	return false;
}

SEC("xdp.frags")
int take(struct xdp_md *ctx)
{
	u32 queue = ctx->rx_queue_index;

	if (!ours(ctx, LAYER_XDP)) {
		count(COUNT_KERNEL);
		return XDP_PASS;
	}
	if (!map_lookup(&sockets, &queue)) {
		count(COUNT_NO_SOCKET);
		return XDP_PASS;
	}
	count(COUNT_OURS);
	return redirect_map(&sockets, queue, XDP_PASS);
}

SEC("socket")
int see(struct __sk_buff *skb)
{
	return ours(skb, LAYER_SKB) ? 0x7fffffff : 0;
}

SEC("tcx/ingress")
int withhold(struct __sk_buff *skb)
{
	if (!ours(skb, LAYER_SKB)) {
		count(COUNT_KERNEL);
		return TCX_NEXT;
	}
	count(COUNT_OURS);
	return TCX_DROP;
}
