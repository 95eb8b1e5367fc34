/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The tables, and how to reach into them. All sizes are set by the loader.
 * What Apply writes lies twice in each table: packets use the half that
 * control.active names, the owner fills the other one and then switches.
 */
#ifndef HAUBERK_EDGE_TABLES_H
#define HAUBERK_EDGE_TABLES_H

#include "env.h"
#include "layout.h"

/* Sizes of one half; set by the loader before verification. */
const volatile u32 max_vips = 1;
const volatile u32 max_backends = 1;
const volatile u32 max_entries = 1;
const volatile u32 max_services = 1;
const volatile u32 journal_mask = 0;
const volatile u32 hop_mask = 0;
const volatile u32 flow_mask = 0; /* of the sets of affinities */
const volatile u32 mtu = 1500;
const volatile bool partial_checksums = false;

#define table(name, kind, flags, val)           \
	struct {                                \
		map_uint(type, kind);           \
		map_uint(max_entries, 1);       \
		map_uint(map_flags, flags);     \
		map_type(key, u32);             \
		map_type(value, val);           \
	} name SEC(".maps")

table(controls, MAP_ARRAY, MAP_F_MMAPABLE, struct control);
table(clocks, MAP_ARRAY, MAP_F_MMAPABLE, struct clock);
table(settings, MAP_ARRAY, MAP_F_MMAPABLE, struct setting);
table(services, MAP_ARRAY, MAP_F_MMAPABLE, struct service);
table(vips, MAP_ARRAY, MAP_F_MMAPABLE, struct vip);
table(choices, MAP_ARRAY, MAP_F_MMAPABLE, u64);
table(backends, MAP_ARRAY, MAP_F_MMAPABLE, struct backend);

table(sessions, MAP_ARRAY, MAP_F_MMAPABLE, struct session);
table(tags, MAP_ARRAY, MAP_F_MMAPABLE, struct tag_set);
table(affinities, MAP_ARRAY, MAP_F_MMAPABLE, struct affinity_set);
table(locks, MAP_ARRAY, 0, u32);
table(journal, MAP_ARRAY, MAP_F_MMAPABLE, u64);
table(locals, MAP_ARRAY, MAP_F_MMAPABLE, struct local_state);
table(hops, MAP_ARRAY, 0, struct hop);
table(backend_hops, MAP_ARRAY, 0, struct hop);

table(vip_counters, MAP_PERCPU_ARRAY, 0, struct counter);
table(backend_counters, MAP_PERCPU_ARRAY, 0, struct counter);
table(reasons, MAP_PERCPU_ARRAY, 0, u64);

struct {
	map_uint(type, MAP_RINGBUF);
	map_uint(max_entries, 1 << 20);
} samples SEC(".maps");

enum { LOCKS = 4096 };

#define at(name, index)                                                   \
	({                                                                \
		u32 index_of_##name = (index);                            \
		map_lookup(&name, &index_of_##name);                      \
	})

static inline_always bool same(const struct address *a, const struct address *b)
{
	return a->hi == b->hi && a->lo == b->lo;
}

static inline_always bool within(const struct address *a, const struct address *net, const struct address *mask)
{
	return ((a->hi ^ net->hi) & mask->hi) == 0 && ((a->lo ^ net->lo) & mask->lo) == 0;
}

static inline_always u32 now_ms(void)
{
	const struct clock *c = at(clocks, 0);
	return c ? c->now : 0;
}

/* Mixes one word into a hash; the multiplier is odd and without pattern. */
static inline_always u64 mix(u64 h, u64 word)
{
	h = (h ^ word) * 0x9fb21c651e98df25ull;
	return h ^ h >> 32;
}

static inline_always u64 hash_key(const struct key *k, const struct control *c)
{
	const u64 *w = (const u64 *)k;
	return mix(mix(mix(c->key[0], w[0]), w[1]), w[2] ^ c->key[1]) * 0xd6e8feb86659fd93ull;
}

/* Of the service an address, port and protocol lead to. Unkeyed: the owner builds the table. */
static inline_always u64 hash_service(const struct address *a, u16 port, u8 proto)
{
	return mix(mix(mix(0, a->hi), a->lo), (u64)port << 8 | proto);
}

static inline_always u32 find_chain(u32 half, u32 mask, const struct address *a, u16 filed, u16 port, u8 proto)
{
	u32 start = hash_service(a, filed, proto) >> 16;

	for (u32 i = 0; i < CHAIN; i++) {
		const struct service *s = at(services, half * max_services + ((start + i) & mask));
		if (!s || !s->vip)
			return 0;
		if (same(&s->addr, a) && s->proto == proto && port >= s->first && port <= s->last)
			return s->vip;
	}
	return 0;
}

/* Returns the id of the VIP a packet is for, 0 if it is for none; port in host order. */
static inline_always u32 find_vip(u32 half, const struct setting *set, const struct address *a, u16 port, u8 proto)
{
	u32 vip = find_chain(half, set->service_mask, a, port, port, proto);
	return vip ? vip : find_chain(half, set->service_mask, a, 0, port, proto);
}

#endif
