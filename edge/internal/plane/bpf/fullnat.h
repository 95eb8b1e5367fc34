/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * FullNAT. A client's packet goes on to the backend from the local address
 * and port its slot number is; the backend's answer comes back to them, so
 * its session is found by arithmetic.
 */
#ifndef HAUBERK_EDGE_FULLNAT_H
#define HAUBERK_EDGE_FULLNAT_H

#include "hops.h"
#include "open.h"
#include "options.h"
#include "reset.h"

enum { PORT_BASE = 32768, PORTS_PER_LOCAL = 32768 };

/* What this packet makes of its session's phase. */
static inline_always u8 next_phase(u8 phase, u8 flags, bool from_client)
{
	if (flags & TCP_RST)
		return CLOSED;
	if (flags & TCP_FIN) {
		if (phase == (from_client ? FIN_SERVER : FIN_CLIENT))
			return FIN_BOTH;
		return phase >= SYN_RECEIVED && phase <= ESTABLISHED ? (from_client ? FIN_CLIENT : FIN_SERVER) : phase;
	}
	if (from_client)
		return phase == SYN_RECEIVED && !(flags & TCP_SYN) ? ESTABLISHED : phase;
	if (phase == SYN_SENT && (flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		return SYN_RECEIVED;
	/* A reset the backend did not believe (RFC 5961): it goes on talking. */
	return phase == CLOSED && !(flags & TCP_SYN) ? ESTABLISHED : phase;
}

static inline_always enum timeout timeout_of(u8 phase)
{
	switch (phase) {
	case SYN_SENT:
	case SYN_RECEIVED:
		return T_SYN;
	case ESTABLISHED:
		return T_ESTABLISHED;
	case FIN_CLIENT:
	case FIN_SERVER:
		return T_CLOSING;
	case UDP_NEW:
		return T_UDP_NEW;
	case UDP_ANSWERED:
		return T_UDP_ANSWERED;
	default:
		return T_CLOSED;
	}
}

/* Written only when it changes enough: the line may be another CPU's. */
enum { SEEN_STEP_MS = 512 };

static inline_always void touch(struct session *s, const struct vip *v, u8 phase, u32 now)
{
	if (now - s->seen >= SEEN_STEP_MS)
		s->seen = now;
	if (phase != s->phase) {
		s->phase = phase;
		s->seen = now;
		s->life = v->timeout[timeout_of(phase)];
	}
}

/* What the backend has seen when the client finishes: the next user of the
 * slot must be above it. */
static inline_always void note_floor(struct session *s, struct tcp *tcp, void *end, u32 payload)
{
	u32 where = usual_timestamp(tcp, end);

	s->floor = ntohl(tcp->seq) + payload + 1;
	s->flags |= HAS_FLOOR;
	if (where) {
		s->time_floor = read_at(tcp, end, where);
		s->flags |= HAS_TIME_FLOOR;
	}
}

static inline_always u32 most_mss(const struct vip *v, u8 family)
{
	return v->mss ? v->mss : mtu - ip_size(family) - sizeof(struct tcp);
}

static inline_always u64 set_ports(void *l4, u16 sport, u16 dport)
{
	u16 *ports = l4;
	u32 old = *(u32 *)l4;

	ports[0] = sport;
	ports[1] = dport;
	return delta32(old, *(u32 *)l4);
}

static inline_always void set_check(void *l4, const struct packet *p, u64 delta)
{
	if (p->proto == PROTO_TCP) {
		struct tcp *tcp = l4;
		tcp->check = changed(tcp->check, delta);
		return;
	}
	struct udp *udp = l4;
	if (udp->check == 0 && p->family == 4) /* the sender gave none (RFC 768) */
		return;
	u16 check = changed(udp->check, delta);
	udp->check = check ? check : 0xffff;
}

/* The local address and port of a slot. */
static inline_always struct address local_address(const struct setting *set, u8 family, u32 slot)
{
	struct address a = set->local[family == 6];
	a.lo += (u64)htonl(slot / PORTS_PER_LOCAL) << 32;
	return a;
}

static inline_always u16 local_port(u32 slot)
{
	return htons(PORT_BASE + slot % PORTS_PER_LOCAL);
}

/* Opens a session for a packet that may begin one. */
static inline_always enum reason begin(struct xdp_md *ctx, void *l4, void *end, const struct packet *p, const struct options *opt,
				       struct opening *o)
{
	if (p->proto == PROTO_TCP) {
		if ((p->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
			return UNKNOWN;
		o->seq = ntohl(((struct tcp *)l4)->seq);
		o->has_timestamp = opt->timestamp;
		o->timestamp = read_at(l4, end, opt->timestamp);
	}
	return open_session(o);
}

static inline_always bool is_over(const struct session *s)
{
	return s->phase == FIN_BOTH || s->phase == CLOSED;
}

/* A packet from a client to a FullNAT VIP. */
static inline_always int fullnat_forward(struct xdp_md *ctx, void *data, void *end, const u8 family, const struct packet *p,
					 const struct setting *set, const struct vip *v, u32 vip, u32 half)
{
	const struct control *c = at(controls, 0);
	const struct clock *clock = at(clocks, 0);
	void *l4 = transport_of(data, family);
	struct options opt = {};
	struct opening o = {
		.key = { p->src, p->sport, p->dport, vip, p->proto, family },
		.half = half,
		.set_mask = set->set_mask[family == 6],
	};

	if (!c || !clock || l4 + header_size(p->proto) > end)
		return XDP_ABORTED;
	o.now = clock->now;
	o.hash = hash_key(&o.key, c);
	bool syn = p->proto == PROTO_TCP && p->flags & TCP_SYN;
	if (syn) {
		scan_options(ctx, family, l4, &opt);
		if (opt.bad)
			return drop(ctx, BAD_OPTIONS, vip);
	}

	struct place place = place_of(o.hash, o.set_mask);
	struct session *s = find_session(&place, &o.key, &o.slot);
	if (!s || (syn && is_over(s)) || (p->proto == PROTO_UDP && expired(s, o.now))) {
		enum reason r = begin(ctx, l4, end, p, &opt, &o);
		if (r != FORWARDED)
			return drop(ctx, r, vip);
		s = at(sessions, o.slot);
		if (!s)
			return XDP_ABORTED;
	}

	u16 generation = s->generation;
	const struct backend *b = at(backends, half * max_backends + s->backend);
	if (!b)
		return XDP_ABORTED;
	struct address server = b->addr, local = local_address(set, family, o.slot);
	u32 backend = s->backend, shift = s->shift, time_shift = s->time_shift;
	if (b->state == DOWN) {
		int dropped = drop(ctx, BACKEND_DOWN, vip);
		return p->proto == PROTO_TCP ? reset_from(ctx, data, end, family, p) : dropped;
	}
	if (!is_key(s, &o.key) || s->generation != generation || generation & 1)
		return drop(ctx, RACED, vip);
	const struct hop *h = toward_backend(ctx, backend, &server, family, o.now);
	if (!h)
		return drop(ctx, UNREACHABLE, vip);

	complete_check(ctx, l4, p);
	u64 delta = delta_address(family, &p->src, &local) + delta_address(family, &p->dst, &server);
	delta += set_ports(l4, local_port(o.slot), b->port ? b->port : p->dport);
	u8 phase = s->phase == UDP_NEW || s->phase == UDP_ANSWERED ? s->phase : next_phase(s->phase, p->flags, true);
	if (p->proto == PROTO_TCP) {
		struct tcp *tcp = l4;
		if (syn)
			delta += clamp_mss(l4, end, opt.mss, most_mss(v, family));
		if (shift) {
			u32 old = tcp->seq;
			tcp->seq = htonl(ntohl(old) + shift);
			delta += delta32(old, tcp->seq);
		}
		if (time_shift)
			delta += add_at(l4, end, syn ? opt.timestamp : usual_timestamp(tcp, end), time_shift);
		if (p->flags & (TCP_FIN | TCP_RST))
			note_floor(s, tcp, end, p->length - ip_size(family) - (tcp->offset >> 4) * 4);
	}
	touch(s, v, phase, o.now);
	set_check(l4, p, delta);
	set_addresses(data, family, p, &local, &server);
	count_in(vip, backend, p->length);
	return send_to(ctx, data, h);
}

/* A packet to a local address: a backend's answer. */
static inline_always int fullnat_reply(struct xdp_md *ctx, void *data, void *end, const u8 family, const struct packet *p,
				       const struct setting *set, u32 half)
{
	const struct clock *clock = at(clocks, 0);
	void *l4 = transport_of(data, family);
	u32 nth = ntohl(p->dst.lo >> 32) - ntohl(set->local[family == 6].lo >> 32);
	u32 slot = nth * PORTS_PER_LOCAL + ntohs(p->dport) - PORT_BASE;
	struct session *s = at(sessions, slot);

	if (!clock || l4 + header_size(p->proto) > end)
		return XDP_ABORTED;
	if (ntohs(p->dport) < PORT_BASE || !s || s->phase <= BUILDING || s->key.proto != p->proto || s->key.family != family)
		return drop(ctx, UNKNOWN, 0);

	u16 generation = s->generation;
	struct key key = s->key;
	u32 vip = key.vip, backend = s->backend, shift = s->shift, time_shift = s->time_shift;
	const struct backend *b = at(backends, half * max_backends + backend);
	const struct vip *v = at(vips, half * max_vips + vip);
	if (!b || !v)
		return XDP_ABORTED;
	if (!same(&b->addr, &p->src) || (b->port ? b->port : key.service_port) != p->sport)
		return drop(ctx, UNKNOWN, vip);
	const struct hop *h = toward_client(ctx, s, clock);
	if (!h)
		return drop(ctx, UNREACHABLE, vip);
	if (s->generation != generation || generation & 1)
		return drop(ctx, RACED, vip);

	complete_check(ctx, l4, p);
	u64 delta = delta_address(family, &p->src, &v->addr) + delta_address(family, &p->dst, &key.client);
	delta += set_ports(l4, key.service_port, key.client_port);
	u8 phase = UDP_ANSWERED;
	if (p->proto == PROTO_TCP) {
		struct tcp *tcp = l4;
		phase = next_phase(s->phase, p->flags, false);
		if (p->flags & TCP_SYN) {
			struct options opt = {};
			scan_options(ctx, family, tcp, &opt);
			delta += clamp_mss(l4, end, opt.mss, most_mss(v, family));
			if (time_shift && opt.timestamp)
				delta += add_at(l4, end, opt.timestamp + 4, -time_shift);
		} else if (time_shift && usual_timestamp(tcp, end)) {
			delta += add_at(l4, end, usual_timestamp(tcp, end) + 4, -time_shift);
		}
		if (shift && p->flags & TCP_ACK) {
			u32 old = tcp->ack;
			tcp->ack = htonl(ntohl(old) - shift);
			delta += delta32(old, tcp->ack) + shift_sack(tcp, end, shift);
		}
	}
	touch(s, v, phase, clock->now);
	set_check(l4, p, delta);
	set_addresses(data, family, p, &v->addr, &key.client);
	count_out(vip, backend, p->length);
	return send_to(ctx, data, h);
}

#endif
