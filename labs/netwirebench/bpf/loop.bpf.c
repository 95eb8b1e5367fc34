/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A client of UDP in a closed loop: every answer that arrives is counted and becomes the next question. `wanted` is the
 * length of a question's payload, what an answer has more is cut off; with `dns` the header becomes a question's again.
 */
#include "helpers.h"

char __license[] SEC("license") = "Dual BSD/GPL";

/* From include/uapi/linux/bpf.h. */
enum { XDP_DROP = 1, XDP_PASS = 2, XDP_TX = 3 };
static long (*adjust_tail)(const void *ctx, int delta) = (void *)65;

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

#define big16(x) __builtin_bswap16(x)

const volatile u32 wanted = 18;
const volatile bool dns = false;

struct {
	map_uint(type, MAP_PERCPU_ARRAY);
	map_uint(max_entries, 1);
	map_type(key, u32);
	map_type(value, u64);
} answers SEC(".maps");

struct frame {
	u16 to[3], from[3], type;
	u8 version, tos;
	u16 length, id, fragment;
	u8 ttl, proto;
	u16 sum;
	u16 source[2], destination[2];
	u16 sport, dport, udp_length, udp_sum;
	u16 dns_id, dns_flags, dns_counts[4];
} __attribute__((packed));

#define HEADERS 42 /* Ethernet, IPv4, UDP */

static inline_always void swap(u16 *a, u16 *b)
{
	u16 x = *a;

	*a = *b;
	*b = x;
}

SEC("xdp")
int loop(struct xdp_md *ctx)
{
	struct frame *f = (void *)(long)ctx->data;
	u64 have = (long)ctx->data_end - (long)ctx->data;
	u32 zero = 0, sum = 0;
	u64 *n;

	keep(have); /* A length: the compiler must not mix its pointers with other numbers. */
	if ((void *)(f + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	if (f->type != big16(0x0800) || f->version != 0x45 || f->proto != 17)
		return XDP_PASS;
	n = map_lookup(&answers, &zero);
	if (n)
		(*n)++;
	if (adjust_tail(ctx, (int)(wanted + HEADERS) - (int)have))
		return XDP_DROP;
	f = (void *)(long)ctx->data;
	if ((void *)(f + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
#pragma unroll
	for (int i = 0; i < 3; i++)
		swap(&f->to[i], &f->from[i]);
	swap(&f->source[0], &f->destination[0]);
	swap(&f->source[1], &f->destination[1]);
	swap(&f->sport, &f->dport);
	f->length = big16(wanted + 28);
	f->udp_length = big16(wanted + 8);
	f->udp_sum = 0;
	f->ttl = 64;
	f->sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += ((u16 *)&f->version)[i];
	sum = (sum & 0xffff) + (sum >> 16);
	f->sum = ~(sum + (sum >> 16));
	if (dns) {
		f->dns_flags = big16(0x0100);
		f->dns_counts[0] = big16(1);
		f->dns_counts[1] = f->dns_counts[2] = f->dns_counts[3] = 0;
	}
	return XDP_TX;
}

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}
