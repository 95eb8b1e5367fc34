/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Reading a packet and changing it with its checksums. The family is always
 * a constant where these are inlined, so every offset is one too.
 */
#ifndef HAUBERK_EDGE_PACKET_H
#define HAUBERK_EDGE_PACKET_H

#include "env.h"
#include "tables.h"

struct packet {
	struct address src, dst;
	u16 sport, dport; /* network order; of an ICMP echo both are its id */
	u8 proto, ttl, flags, family;
	u16 length; /* of the IP packet */
	u16 l4;	    /* where its transport header begins in the frame */
	bool first; /* a fragment with the transport header in it */
	bool late;  /* a fragment without */
	u32 fragment_id;
};

static inline_always u32 ip_size(u8 family)
{
	return family == 4 ? sizeof(struct ipv4) : sizeof(struct ipv6);
}

static inline_always void *ip_of(void *data)
{
	return data + sizeof(struct eth);
}

static inline_always void *transport_of(void *data, u8 family)
{
	return data + sizeof(struct eth) + ip_size(family);
}

static inline_always u32 header_size(u8 proto)
{
	return proto == PROTO_TCP ? sizeof(struct tcp) : sizeof(struct udp);
}

/* The network header. Says MALFORMED when it cannot be, PASSED when it is
 * none of TCP, UDP or ICMP, FORWARDED when p is filled. */
static inline_always enum reason parse_ip(void *data, void *end, u8 family, struct packet *p)
{
	p->family = family;
	if (family == 4) {
		const struct ipv4 *ip = ip_of(data);
		if ((void *)(ip + 1) > end || ip->version_ihl >> 4 != 4)
			return MALFORMED;
		p->src = (struct address){ 0, (u64)ip->src << 32 };
		p->dst = (struct address){ 0, (u64)ip->dst << 32 };
		p->proto = ip->proto;
		p->ttl = ip->ttl;
		p->length = ntohs(ip->length);
		p->late = ip->fragment & htons(0x1fff);
		p->first = !p->late && ip->fragment & htons(0x2000);
		p->fragment_id = ip->id;
		if (ip->version_ihl != 0x45)
			return p->late ? PASSED : MALFORMED;
	} else {
		const struct ipv6 *ip = ip_of(data);
		if ((void *)(ip + 1) > end || (*(u8 *)ip) >> 4 != 6)
			return MALFORMED;
		p->src = (struct address){ ip->src[0], ip->src[1] };
		p->dst = (struct address){ ip->dst[0], ip->dst[1] };
		p->proto = ip->next;
		p->ttl = ip->hops;
		p->length = ntohs(ip->length) + sizeof(struct ipv6);
		p->late = p->first = false;
	}
	if (p->length > end - ip_of(data) || p->length < ip_size(family))
		return MALFORMED;
	return p->proto == PROTO_TCP || p->proto == PROTO_UDP ? FORWARDED : PASSED;
}

/* The ports, and the flags of TCP. */
static inline_always enum reason parse_transport(void *data, void *end, u8 family, struct packet *p)
{
	void *l4 = transport_of(data, family);

	if (p->proto == PROTO_TCP) {
		const struct tcp *tcp = l4;
		if ((void *)(tcp + 1) > end || p->length < ip_size(family) + sizeof(*tcp))
			return MALFORMED;
		if ((tcp->offset >> 4) * 4 < 20 || p->length < ip_size(family) + (tcp->offset >> 4) * 4)
			return MALFORMED;
		p->sport = tcp->sport;
		p->dport = tcp->dport;
		p->flags = tcp->flags;
		return FORWARDED;
	}
	const struct udp *udp = l4;
	if ((void *)(udp + 1) > end || p->length < ip_size(family) + sizeof(*udp))
		return MALFORMED;
	p->sport = udp->sport;
	p->dport = udp->dport;
	p->flags = 0;
	return FORWARDED;
}

/* One's complement arithmetic (RFC 1624): a checksum is changed by the sum
 * of the complement of every old word and of every new one. */
static inline_always u64 delta32(u32 old, u32 new)
{
	return (u64)(u32)~old + new;
}

static inline_always u64 delta64(u64 old, u64 new)
{
	return delta32(old, new) + delta32(old >> 32, new >> 32);
}

static inline_always u64 delta_address(u8 family, const struct address *old, const struct address *new)
{
	if (family == 4)
		return delta32(old->lo >> 32, new->lo >> 32);
	return delta64(old->hi, new->hi) + delta64(old->lo, new->lo);
}

static inline_always u16 fold(u64 sum)
{
	sum = (sum >> 32) + (u32)sum;
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return sum;
}

static inline_always u16 changed(u16 check, u64 delta)
{
	return ~fold((u16)~check + delta);
}

/* A word at an odd distance from the header counts with its bytes swapped. */
static inline_always u64 delta_at(u32 offset, u64 delta)
{
	u16 d = fold(delta);
	return offset & 1 ? __builtin_bswap16(d) : d;
}

/* Lowers the TTL and gives the header new addresses. */
static inline_always void set_addresses(void *data, u8 family, const struct packet *p, const struct address *src, const struct address *dst)
{
	if (family == 4) {
		struct ipv4 *ip = ip_of(data);
		u64 delta = delta_address(4, &p->src, src) + delta_address(4, &p->dst, dst);
		ip->src = src->lo >> 32;
		ip->dst = dst->lo >> 32;
		ip->ttl--;
		ip->check = changed(ip->check, delta + (u16)~htons(0x0100));
	} else {
		struct ipv6 *ip = ip_of(data);
		ip->src[0] = src->hi;
		ip->src[1] = src->lo;
		ip->dst[0] = dst->hi;
		ip->dst[1] = dst->lo;
		ip->hops--;
	}
}

/* The sum over the transport's pseudo header (RFC 9293, section 3.1). */
static inline_always u64 pseudo_sum(const struct packet *p, u32 length)
{
	u64 sum = (u32)p->src.lo + (p->src.lo >> 32) + (u32)p->dst.lo + (p->dst.lo >> 32);
	if (p->family == 6)
		sum += (u32)p->src.hi + (p->src.hi >> 32) + (u32)p->dst.hi + (p->dst.hi >> 32);
	return sum + htons(length) + htons(p->proto);
}

enum { CHUNK = 512, CHUNKS = 18 };

struct chunk {
	u32 words[CHUNK / 4];
};

table(scratches, MAP_PERCPU_ARRAY, 0, struct chunk);

/* The sum of length bytes of the frame from offset on. */
not_inline u32 sum_bytes(struct xdp_md *ctx, u32 offset, u32 length)
{
	struct chunk *c = at(scratches, 0);
	u32 sum = 0;

	if (!c)
		return 0;
	for (u32 i = 0; i < CHUNKS && length; i++) {
		u32 n = length < CHUNK ? length : CHUNK;
		if (n < CHUNK)
			__builtin_memset(c, 0, sizeof(*c));
		if (n == 0 || n > CHUNK || load_bytes(ctx, offset, c, n))
			return sum;
		sum = csum_diff(0, 0, c->words, CHUNK, sum);
		offset += n;
		length -= n;
	}
	return sum;
}

/*
 * What a virtual interface of this machine hands over may carry the sum of
 * the pseudo header where the checksum belongs, for a card to complete
 * (CHECKSUM_PARTIAL), and XDP is not told. A field that equals that sum is
 * completed here. A packet whose checksum equals it by chance gets the value
 * it has; only a broken one of those, 1 in 65,536, is taken for good.
 */
static inline_always void complete_check(struct xdp_md *ctx, void *l4, const struct packet *p)
{
	u16 *check = p->proto == PROTO_TCP ? &((struct tcp *)l4)->check : &((struct udp *)l4)->check;
	u32 size = ip_size(p->family), length = p->length - size;

	if (!partial_checksums || *check != fold(pseudo_sum(p, length)))
		return;
	u16 full = ~fold(sum_bytes(ctx, sizeof(struct eth) + size, length));
	*check = full || p->proto == PROTO_TCP ? full : 0xffff;
}

#endif
