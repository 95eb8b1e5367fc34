/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* TCP options: those of a SYN anywhere, those of other segments where every
 * known stack puts them. */
#ifndef HAUBERK_EDGE_OPTIONS_H
#define HAUBERK_EDGE_OPTIONS_H

#include "packet.h"

enum { OPT_END = 0, OPT_NOP = 1, OPT_MSS = 2, OPT_SACK = 5, OPT_TIMESTAMP = 8, MAX_OPTIONS = 40 };

struct options {
	u32 mss;       /* distance of its value from the header's begin; 0: none */
	u32 timestamp; /* likewise */
	bool bad;
};

enum { OPTIONS_BAD = 1 << 16 };

/* Walks the options of the segment at offset l4 of the frame. Returns the
 * distance of the MSS, and of the timestamp in the second byte, or OPTIONS_BAD.
 * Of several the last counts, as it does for Linux. */
not_inline u32 walk_options(struct xdp_md *ctx, u32 l4, u32 size)
{
	u8 raw[MAX_OPTIONS + 8] = {};
	u32 i = 0, found = 0;

	if (size == 0 || size > MAX_OPTIONS)
		return 0;
	if (load_bytes(ctx, l4 + sizeof(struct tcp), raw, size))
		return OPTIONS_BAD;
	for (u32 n = 0; n < MAX_OPTIONS && i < size && i < MAX_OPTIONS; n++) {
		u8 kind = raw[i], length = raw[i + 1];
		if (kind == OPT_END)
			break;
		if (kind == OPT_NOP) {
			i++;
			continue;
		}
		if (length < 2 || i + length > size)
			return OPTIONS_BAD;
		if (kind == OPT_MSS && length == 4)
			found = (found & ~0xffu) | (sizeof(struct tcp) + i + 2);
		if (kind == OPT_TIMESTAMP && length == 10)
			found = (found & 0xffu) | (sizeof(struct tcp) + i + 2) << 8;
		i += length;
	}
	return found;
}

static inline_always void scan_options(struct xdp_md *ctx, u8 family, const struct tcp *tcp, struct options *o)
{
	u32 found = walk_options(ctx, sizeof(struct eth) + ip_size(family), (tcp->offset >> 4) * 4 - sizeof(*tcp));

	o->mss = found & 0x3f;
	o->timestamp = found >> 8 & 0x3f;
	o->bad = found & OPTIONS_BAD;
}

/* Lowers the MSS to most; returns the checksum's change. */
static inline_always u64 clamp_mss(void *l4, void *end, u32 where, u32 most)
{
	u16 *mss = l4 + (where & 63);

	if (!where || (void *)(mss + 1) > end || ntohs(*mss) <= most)
		return 0;
	u16 old = *mss;
	*mss = htons(most);
	return delta_at(where, (u64)(u16)~old + *mss);
}

/* Adds to the 32-bit number (network order) at a distance from the header;
 * returns the checksum's change. */
static inline_always u64 add_at(void *l4, void *end, u32 where, u32 add)
{
	u32 *word = l4 + (where & 63);

	if (!where || (void *)(word + 1) > end)
		return 0;
	u32 old = *word;
	*word = htonl(ntohl(old) + add);
	return delta_at(where, delta32(old, *word));
}

static inline_always u32 read_at(void *l4, void *end, u32 where)
{
	const u32 *word = l4 + (where & 63);
	return where && (void *)(word + 1) <= end ? ntohl(*word) : 0;
}

enum { TIMESTAMP_HEAD = 0x0101080a, SACK_HEAD = 0x01010500 };

/* Where TSval is in a segment that is no SYN: RFC 7323, appendix A. */
static inline_always u32 usual_timestamp(const struct tcp *tcp, void *end)
{
	const u32 *head = (const void *)(tcp + 1);
	return tcp->offset >> 4 >= 8 && (void *)(head + 3) <= end && *head == htonl(TIMESTAMP_HEAD) ? 24 : 0;
}

/* Takes shift off the blocks the receiver says it has (RFC 2018). */
static inline_always u64 shift_sack(struct tcp *tcp, void *end, u32 shift)
{
	u32 where = usual_timestamp(tcp, end) ? 32 : 20;
	const u32 *head = (void *)tcp + where;
	u64 delta = 0;

	if ((void *)(head + 1) > end || (u32)(tcp->offset >> 4) * 4 <= where)
		return 0;
	if ((ntohl(*head) & 0xffffff00) != SACK_HEAD)
		return 0;
	u32 edges = ((ntohl(*head) & 0xff) - 2) / 4;
	for (u32 i = 0; i < 8; i++)
		if (i < edges && where + 8 + 4 * i <= (u32)(tcp->offset >> 4) * 4)
			delta += add_at(tcp, end, where + 4 + 4 * i, -shift);
	return delta;
}

#endif
