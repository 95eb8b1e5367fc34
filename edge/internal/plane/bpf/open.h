/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The first packet of a flow: choosing its backend and its slot. */
#ifndef HAUBERK_EDGE_OPEN_H
#define HAUBERK_EDGE_OPEN_H

#include "report.h"
#include "sessions.h"

/* What is known of a flow when it begins. */
struct opening {
	struct key key;
	u64 hash;
	u32 half;
	u32 set_mask;
	u32 seq;	/* of the SYN */
	u32 timestamp;	/* of the SYN, if has_timestamp */
	u32 has_timestamp;
	u32 now;
	u32 slot;	/* out */
	u32 backend;	/* out */
};

/* Of the client alone (source), or of the flow; nothing in it differs
 * between the edges of a cluster. */
static inline_always u64 choice_hash(const struct key *k, const struct control *c, bool source, u8 bits)
{
	struct address a = k->client;

	if (bits) {
		u32 hi = k->family == 6 && bits < 64 ? bits : 64, lo = k->family == 4 ? bits : bits > 64 ? bits - 64 : 0;
		if (hi < 64)
			a.hi &= __builtin_bswap64(~0ull << (64 - hi));
		if (k->family == 4)
			a.lo &= (u64)htonl(lo < 32 ? ~0u << (32 - lo) : ~0u) << 32;
		else
			a.lo &= lo ? __builtin_bswap64(lo < 64 ? ~0ull << (64 - lo) : ~0ull) : 0;
	}
	u64 h = mix(mix(c->key[0] ^ c->key[1], a.hi), a.lo);
	if (source)
		return mix(h, k->family);
	return mix(h, (u64)k->client_port << 32 | (u64)k->service_port << 16 | k->proto);
}

/* Returns a backend's id, 0 if the VIP has none. */
static inline_always u32 choose(const struct vip *v, const struct key *k, u32 half)
{
	const struct control *c = at(controls, 0);
	u32 entry;

	if (!c || !v->length)
		return 0;
	if (v->choice == IN_TURN) {
		struct local_state *own = at(locals, smp_processor_id());
		entry = own ? own->turn++ % v->length : 0;
	} else {
		bool source = v->choice == BY_SOURCE;
		entry = (choice_hash(k, c, source, source ? v->source_bits : 0) >> 32) * v->length >> 32;
	}
	const u64 *id = at(choices, half * max_entries + v->first + entry);
	return id ? *id : 0;
}

/* The time after which a backend has surely forgotten a connection. */
enum { FORGOTTEN_MS = 120000, SEQUENCE_GAP = 1 << 16 };

/*
 * Writes a new flow into a slot this CPU has claimed. Whoever used the slot
 * before it may have left the backend in TIME_WAIT, where a SYN is taken only
 * above the last sequence and timestamp (RFC 9293, section 3.6.1; RFC 6191):
 * a client that counts lower is shifted above for the life of the connection.
 */
static inline_always void fill(struct session *s, const struct opening *o, u32 life)
{
	bool tcp = o->key.proto == PROTO_TCP;
	bool recent = tcp && s->key.proto == PROTO_TCP && o->now - s->seen < FORGOTTEN_MS;

	s->generation |= 1;
	s->phase = BUILDING;
	s->shift = s->time_shift = 0;
	if (recent && s->flags & HAS_FLOOR && (s32)(o->seq - s->floor) <= 0)
		s->shift = s->floor + SEQUENCE_GAP - o->seq;
	if (recent && s->flags & HAS_TIME_FLOOR && o->has_timestamp && (s32)(o->timestamp - s->time_floor) <= 0)
		s->time_shift = s->time_floor + 1 - o->timestamp;
	if (!recent)
		s->flags = 0;
	s->key = o->key;
	s->backend = o->backend;
	s->seen = o->now;
	s->life = life;
	s->hop_version = 0;
	s->hop = 0;
	s->route_epoch = 0;
	s->phase = tcp ? SYN_SENT : UDP_NEW;
	s->generation++;
}

static inline_always enum reason open_locked(struct opening *o, const struct vip *v, u32 life)
{
	struct place p = place_of(o->hash, o->set_mask);
	struct session *s = find_session(&p, &o->key, &o->slot);

	if (s && s->phase != FIN_BOTH && s->phase != CLOSED && !expired(s, o->now)) {
		o->backend = s->backend; /* another CPU was faster */
		return FORWARDED;
	}
	o->backend = choose(v, &o->key, o->half);
	if (!o->backend)
		return NO_BACKEND;
	if (s) { /* the same client port again: the slot stays, its backend may change */
		fill(s, o, life);
	} else {
		s32 slot = claim_slot(&p, o->now);
		if (slot == NO_SLOT)
			return TABLE_FULL;
		o->slot = slot;
		s = at(sessions, o->slot);
		struct tag_set *t = at(tags, o->slot / WAYS);
		if (!s || !t)
			return TABLE_FULL;
		fill(s, o, life);
		publish(t, o->slot % WAYS, p.tag);
	}
	note_new(o->slot);
	count_flow(o->key.vip, o->backend);
	return FORWARDED;
}

/* Opens a flow, or finds that another CPU just did. */
not_inline int open_session(struct opening *o)
{
	if (!o)
		return NO_BACKEND;
	const struct vip *v = at(vips, o->half * max_vips + o->key.vip);
	if (!v)
		return NO_BACKEND;
	u32 *l = lock(o->hash);
	if (!l)
		return CONTENDED;
	u32 life = v->timeout[o->key.proto == PROTO_TCP ? T_SYN : T_UDP_NEW];
	enum reason r = open_locked(o, v, life);
	unlock(l);
	return r;
}

#endif
