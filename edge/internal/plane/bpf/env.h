/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The network side of the BPF environment: packet headers, byte order, and
 * the helpers XDP programs use (ids from include/uapi/linux/bpf.h).
 */
#ifndef HAUBERK_EDGE_ENV_H
#define HAUBERK_EDGE_ENV_H

#include "helpers.h"

enum { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };
enum { AF_INET = 2, AF_INET6 = 10 };
enum { PROTO_ICMP = 1, PROTO_IPIP = 4, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_IPV6 = 41, PROTO_FRAGMENT = 44, PROTO_ICMP6 = 58 };
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };
enum { MAP_PROG_ARRAY = 3 };

#define htons(x) ((u16)__builtin_bswap16(x))
#define ntohs(x) ((u16)__builtin_bswap16(x))
#define htonl(x) ((u32)__builtin_bswap32(x))
#define ntohl(x) ((u32)__builtin_bswap32(x))

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

struct eth {
	u8 dst[6], src[6];
	u16 type;
} __attribute__((packed));

enum { ETH_IPV4 = 0x0800, ETH_IPV6 = 0x86dd };

struct ipv4 {
	u8 version_ihl, tos;
	u16 length, id, fragment;
	u8 ttl, proto;
	u16 check;
	u32 src, dst;
} __attribute__((packed));

struct ipv6 {
	u32 version_class_label;
	u16 length;
	u8 next, hops;
	u64 src[2], dst[2];
} __attribute__((packed));

struct tcp {
	u16 sport, dport;
	u32 seq, ack;
	u8 offset, flags;
	u16 window, check, urgent;
} __attribute__((packed));

struct udp {
	u16 sport, dport, length, check;
} __attribute__((packed));

struct icmp {
	u8 type, code;
	u16 check;
	u32 rest;
} __attribute__((packed));

struct fib {
	u8 family, proto;
	u16 sport, dport;
	u16 length;
	u32 ifindex;
	u32 tos_or_flow;
	u32 src[4];
	u32 dst[4];
	u32 vlan;
	u8 smac[6], dmac[6];
};

struct bpf_timer {
	u64 opaque[2];
} __attribute__((aligned(8)));

static u64 (*ktime)(void) = (void *)5;
static u32 (*random_u32)(void) = (void *)7;
static long (*tail_call)(void *ctx, void *map, u32 index) = (void *)12;
static long (*redirect)(u32 ifindex, u64 flags) = (void *)23;
static s64 (*csum_diff)(u32 *from, u32 from_size, u32 *to, u32 to_size, u32 seed) = (void *)28;
static long (*adjust_head)(struct xdp_md *ctx, int delta) = (void *)44;
static long (*adjust_tail)(struct xdp_md *ctx, int delta) = (void *)65;
static long (*fib_lookup)(void *ctx, struct fib *params, int size, u32 flags) = (void *)69;
static void (*ring_submit)(void *data, u64 flags) = (void *)132;
static long (*timer_init)(void *timer, void *map, u64 flags) = (void *)169;
static long (*timer_set_callback)(void *timer, void *callback) = (void *)170;
static long (*timer_start)(void *timer, u64 ns, u64 flags) = (void *)171;
static long (*load_bytes)(struct xdp_md *ctx, u32 offset, void *buf, u32 len) = (void *)189;

#endif
