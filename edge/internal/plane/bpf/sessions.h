/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The table of FullNAT sessions. A flow may be in any of the eight slots of
 * two sets its hash names; a 16-bit tag a slot says whether to look there.
 *
 * There is one table for all CPUs and no lock on the way of a packet. A flow
 * is opened under a lock of its hash, so it is never there twice; a slot is
 * claimed by swapping its tag, so two flows never share it; a reader that
 * copies a session looks at its generation before and after.
 *
 * Slots are not freed: one that has expired is taken by the next flow that
 * needs it. When none has, one of a handshake that was not completed goes,
 * the oldest first. An established session never does.
 */
#ifndef HAUBERK_EDGE_SESSIONS_H
#define HAUBERK_EDGE_SESSIONS_H

#include "tables.h"

/* Which sets a flow may be in, and its tag. */
struct place {
	u32 set[2];
	u16 tag;
};

static inline_always struct place place_of(u64 hash, u32 mask)
{
	struct place p = {
		.set = { (u32)hash & mask, (u32)(hash >> 20) & mask },
		.tag = hash >> 48,
	};
	if (p.tag == TAG_FREE || p.tag == TAG_TAKEN)
		p.tag = 1;
	return p;
}

#define EVERY_LANE 0x0001000100010001ull

/* Marks (in its highest bit) each 16-bit lane of word that holds tag; a lane
 * above a true hit may be marked too, so the caller compares the key. */
static inline_always u64 lanes_with(u64 word, u16 tag)
{
	u64 x = word ^ tag * EVERY_LANE;
	return (x - EVERY_LANE) & ~x & EVERY_LANE << 15;
}

static inline_always u32 first_lane(u64 marks)
{
	if ((u32)marks)
		return marks & 0xffff ? 0 : 1;
	return marks & 0xffff00000000ull ? 2 : 3;
}

static inline_always bool is_key(const struct session *s, const struct key *k)
{
	return same(&s->key.client, &k->client) && ((const u64 *)&s->key)[2] == ((const u64 *)k)[2];
}

static inline_always bool expired(const struct session *s, u32 now)
{
	return (s32)(now - s->seen - s->life) > 0;
}

/* A flow that has shown that both ends take part in it. */
static inline_always bool is_proven(u8 phase)
{
	return phase >= ESTABLISHED && phase != UDP_NEW && phase != CLOSED;
}

static inline_always struct session *find_in(u32 set, u16 tag, const struct key *k, u32 *slot)
{
	const struct tag_set *t = at(tags, set);
	if (!t)
		return 0;
	for (u32 w = 0; w < 2; w++) {
		u64 marks = lanes_with(t->word[w], tag);
		for (u32 i = 0; i < 4 && marks; i++) {
			*slot = set * WAYS + w * 4 + first_lane(marks);
			struct session *s = at(sessions, *slot);
			if (s && is_key(s, k) && !(s->generation & 1))
				return s;
			marks &= marks - 1;
		}
	}
	return 0;
}

static inline_always struct session *find_session(const struct place *p, const struct key *k, u32 *slot)
{
	struct session *s = find_in(p->set[0], p->tag, k, slot);
	return s ? s : find_in(p->set[1], p->tag, k, slot);
}

/* Swaps a tag if it still is what was seen; reports whether it was. */
static inline_always bool claim(struct tag_set *t, u32 lane, u16 seen)
{
	u32 w = lane >> 2 & 1, shift = (lane & 3) * 16;
	u64 word = t->word[w];

	if ((u16)(word >> shift) != seen)
		return false;
	u64 claimed = (word & ~(0xffffull << shift)) | (u64)TAG_TAKEN << shift;
	return __sync_val_compare_and_swap(&t->word[w], word, claimed) == word;
}

/* Gives a claimed slot its tag. */
static inline_always void publish(struct tag_set *t, u32 lane, u16 tag)
{
	__sync_fetch_and_xor(&t->word[lane >> 2 & 1], (u64)(u16)(TAG_TAKEN ^ tag) << (lane & 3) * 16);
}

enum { NO_SLOT = -1 };

static inline_always u16 tag_of(const struct tag_set *t, u32 lane)
{
	return t->word[lane >> 2 & 1] >> (lane & 3) * 16;
}

/* Claims a lane of the set that was never used. */
static not_inline s32 claim_free(struct tag_set *t, u32 start)
{
	for (u32 i = 0; i < WAYS; i++) {
		u32 lane = (start + i) & (WAYS - 1);
		if (tag_of(t, lane) == TAG_FREE && claim(t, lane, TAG_FREE))
			return lane;
	}
	return NO_SLOT;
}

/* Claims a lane whose session has expired, or (evict) the one of the set
 * that has waited longest for its peer. */
static not_inline s32 claim_used(struct tag_set *t, u32 set, u32 now, bool evict)
{
	u32 best = WAYS, waited = 0;

	for (u32 lane = 0; lane < WAYS; lane++) {
		const struct session *s = at(sessions, set * WAYS + lane);
		if (!s || tag_of(t, lane) == TAG_TAKEN)
			continue;
		if (expired(s, now)) {
			if (claim(t, lane, tag_of(t, lane)))
				return lane;
		} else if (!is_proven(s->phase) && now - s->seen >= waited) {
			best = lane;
			waited = now - s->seen;
		}
	}
	if (evict && best < WAYS && claim(t, best, tag_of(t, best)))
		return best;
	return NO_SLOT;
}

static inline_always s32 claim_in(u32 set, u32 now, u32 round, u32 start)
{
	struct tag_set *t = at(tags, set);
	if (!t)
		return NO_SLOT;
	s32 lane = round == 0 ? claim_free(t, start) : claim_used(t, set, now, round == 2);
	return lane < 0 ? NO_SLOT : (s32)(set * WAYS + ((u32)lane & (WAYS - 1)));
}

static inline_always u32 free_lanes(u32 set)
{
	const struct tag_set *t = at(tags, set);
	u32 n = 0;
	if (t)
		for (u32 lane = 0; lane < WAYS; lane++)
			n += tag_of(t, lane) == TAG_FREE;
	return n;
}

/* Claims a slot of the flow's two sets, the emptier first; NO_SLOT if every
 * one holds a session that must stay. */
static inline_always s32 claim_slot(const struct place *p, u32 now)
{
	u32 emptier = free_lanes(p->set[1]) > free_lanes(p->set[0]);

	for (u32 round = 0; round < 3; round++)
		for (u32 i = 0; i < 2; i++) {
			s32 slot = claim_in((i ^ emptier) & 1 ? p->set[1] : p->set[0], now, round, p->tag);
			if (slot != NO_SLOT)
				return slot;
		}
	return NO_SLOT;
}

/* Takes the lock of a flow's hash; another CPU holds it for a few hundred
 * nanoseconds at most. */
static inline_always u32 *lock(u64 hash)
{
	u32 *l = at(locks, (hash >> 8) & (LOCKS - 1));
	if (!l)
		return 0;
	for (u32 i = 0; i < 64; i++)
		if (__sync_val_compare_and_swap(l, 0, 1) == 0)
			return l;
	return 0;
}

static inline_always void unlock(u32 *l)
{
	__sync_lock_test_and_set(l, 0);
}

/* Writes the slot's number where the owner reads of new sessions. */
static inline_always void note_new(u32 slot)
{
	u32 cpu = smp_processor_id();
	struct local_state *own = at(locals, cpu);
	if (!own)
		return;
	u64 *entry = at(journal, cpu * (journal_mask + 1) + (own->head & journal_mask));
	if (entry)
		*entry = slot;
	own->head++;
}

#endif
