/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the data plane and its Go owner share: every struct here lies in a
 * table both map. Addresses are 16 bytes as two words in network order; IPv4
 * is the last four of them, the rest zero, and `family` (4 or 6) tells which.
 * Ports are in network order where a packet has them. Times are milliseconds
 * of the plane's clock in 32 bits, compared by their signed difference.
 *
 * A change of any of these is a new LAYOUT: the tables of another layout are
 * never opened.
 */
#ifndef HAUBERK_EDGE_LAYOUT_H
#define HAUBERK_EDGE_LAYOUT_H

#include "helpers.h"

enum layout { LAYOUT = 1 };

enum mode { MODE_NONE, FULLNAT, DR, IPIP, GUE };
enum choice { CHOICE_NONE, BY_HASH, BY_SOURCE, IN_TURN };
enum backend_state { BACKEND_NONE, UP, DRAIN, DOWN };

enum phase {
	FREE,
	BUILDING,
	SYN_SENT,
	SYN_RECEIVED,
	ESTABLISHED,
	FIN_CLIENT,
	FIN_SERVER,
	FIN_BOTH,
	CLOSED,
	UDP_NEW,
	UDP_ANSWERED,
	PHASES,
};

/* What became of a packet; words.go says each in a sentence. */
enum reason {
	FORWARDED,
	PASSED,
	ANSWERED,
	MALFORMED,
	UNKNOWN,
	NO_BACKEND,
	TABLE_FULL,
	CONTENDED,
	RACED,
	TTL_EXPIRED,
	TOO_BIG,
	UNREACHABLE,
	LATE_FRAGMENT,
	BACKEND_DOWN,
	BAD_OPTIONS,
	REASONS,
};

struct address {
	u64 hi, lo;
};

/* Everything that tells one flow from another, as three words. */
struct key {
	struct address client;
	u16 client_port, service_port;
	u16 vip;
	u8 proto, family;
};

/* One FullNAT connection, one cache line. Its number is its local address
 * and port. `generation` is odd while the slot is being written. */
struct session {
	struct key key;
	u16 backend;
	u8 phase;
	u8 flags;
	u32 seen;	   /* last packet */
	u32 life;	   /* milliseconds without a packet until it expires */
	u16 generation;
	u16 hop;	   /* next hop towards the client, index of hops */
	u32 shift;	   /* added to the client's sequence numbers */
	u32 time_shift;	   /* added to the client's timestamps */
	u32 floor;	   /* what the backend expects next; valid once a FIN was seen */
	u32 time_floor;	   /* last timestamp the backend saw */
	u16 hop_version;
	u16 route_epoch;
	u32 spare;
};

/* Of session.flags. */
enum {
	HAS_FLOOR = 1,	    /* floor is valid */
	HAS_TIME_FLOOR = 2, /* time_floor is valid */
};

/* The tags of eight slots. */
enum { WAYS = 8, TAG_FREE = 0, TAG_TAKEN = 0xffff };

struct tag_set {
	u64 word[2];
};

/* A flow of DR or a tunnel, in eight bytes: eight of them are a line. */
struct affinity_set {
	u64 entry[WAYS];
};

enum timeout { T_SYN, T_ESTABLISHED, T_CLOSING, T_CLOSED, T_UDP_NEW, T_UDP_ANSWERED, TIMEOUTS };

struct vip {
	struct address addr;
	u8 family, proto, mode, choice;
	u8 client, source_bits, one_packet, spare;
	u16 mss;
	u16 gue_port; /* network order */
	u32 first, length; /* of its part of the choice tables */
	u32 timeout[TIMEOUTS];
	u32 id;
};

/* Where a packet's destination leads: entries of an open hash table whose
 * chains are at most CHAIN long. A VIP of one port is filed under its port,
 * a range under port 0. */
enum { CHAIN = 8 };

struct service {
	struct address addr;
	u16 first, last; /* host order */
	u8 proto, family;
	u16 vip; /* 0: the chain ends */
};

struct backend {
	struct address addr;
	u16 port; /* network order; 0 keeps the packet's */
	u8 state, family;
	u32 id;
};

/* The last step to a neighbour, as the kernel's tables have it. */
struct hop {
	struct address addr;
	u32 checked; /* when the kernel was asked */
	u32 ifindex;
	u16 version; /* grows when the entry gets another neighbour */
	u8 family, valid;
	u8 macs[12]; /* destination, source: the head of the frame */
};

struct counter {
	u64 packets_in, bytes_in, packets_out, bytes_out, flows;
};

struct clock {
	u32 now;   /* ms */
	u32 epoch; /* grows every ROUTE_MS: sessions then ask for their route again */
};

/* The scalars of one half. */
struct setting {
	u32 service_mask;
	u32 set_mask[2]; /* of the session sets that have local addresses, IPv4 and IPv6 */
	u32 local_ok[2];
	struct address local[2];
	struct address local_mask[2];
	struct address source[2];
	u32 inside_count;
	u32 inside_timeout[TIMEOUTS];
	struct address inside[8];
	struct address inside_mask[8];
	u8 inside_family[8];
};

/* Written by the owner at any moment. */
struct control {
	u32 active; /* the half packets use */
	u32 sample_drops;
	u32 sample_all;
	u32 sample_vip;
	u64 key[2]; /* of the hash of flows */
};

enum { SAMPLE_BYTES = 192 };

struct sample {
	u64 time; /* boot clock, ns */
	u32 ifindex;
	u16 length, vip;
	u32 reason;
	u32 held; /* bytes of data */
	u8 data[SAMPLE_BYTES];
};

/* A CPU's own line: its turn in round robins, its head in the journal. */
struct local_state {
	u32 turn;
	u32 head;
	u64 spare[7];
};

#endif
