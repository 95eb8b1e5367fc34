/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What goes through the rings. Go's twins are generated from the BTF of this
 * file (bpf2go -type). All fields are in the byte order of the machine. */
#ifndef HAUBERK_RECORDS_H
#define HAUBERK_RECORDS_H

#include "helpers.h"

enum {
	MAX_COMPONENTS = 48,  /* of a path; deeper ones are cut and flagged */
	TEXT_BYTES = 8192,    /* paths and script of one exec */
	MAX_SCRIPT = 512,
	MAX_ARGS = 32768,     /* argv as sent; the true length is kept */
	MAX_CLAIM = 1024,     /* a path as a caller wrote it */

	NO_SUBSYSTEM = 0xffffffff,
	NO_UID = 0xffffffff,

	SIGNAL_GROUP_EXIT = 4,
	FAMILY_INET = 2,
	FAMILY_INET6 = 10,
	PROTOCOL_TCP = 6,
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_LISTEN = 10,
	ERROR_PERMISSION = 1,
	ERROR_ACCESS = 13,
	ERROR_ABORTED = 103,
	AT_CWD = -100,
};

enum record_type {
	RECORD_EXEC = 1,
	RECORD_FORK = 2,
	RECORD_EXIT = 3,
	RECORD_SOCKET = 4,
	RECORD_DENIED = 5,
	RECORD_CGROUP = 6,
};

enum record_flag {
	FLAG_PATH_CUT = 1,
	FLAG_FROM_MEMORY = 2, /* the executable has no name in any directory */
	FLAG_ARGS_FAULT = 4,  /* argv could not be read */
};

enum slot {
	SLOT_PROCESS = 0,
	SLOT_SOCKET = 1,
	SLOTS = 2,
};

enum ring {
	RING_BULK = 0,
	RING_PRIORITY = 1,
};

/* When the reader of the bulk ring wants to be woken. */
enum armed {
	ARMED_NOT = 0,
	ARMED_FULL = 1, /* at control.wake_bytes */
	ARMED_ANY = 2,  /* at the next record */
};

enum socket_direction {
	DIRECTION_OUT = 1,
	DIRECTION_IN = 2,
	DIRECTION_LISTEN = 3,
};

struct control {
	u32 armed;
	u32 wake_bytes;
	/* Kept by the readers, so that the account outlives one of them. */
	u64 bulk_seen;
	u64 priority_seen;
};

struct account {
	u64 bulk_made;
	u64 bulk_lost;
	u64 priority_made;
	u64 priority_lost;
	u64 second;  /* of boot time, in 2^30 ns */
	u32 denied;  /* sent in it */
	u32 pad;
	u64 limited; /* not made, over denied_per_second */
};

struct record {
	u8 type;
	u8 flags;
	u8 slot;
	u8 pad;
	u16 cpu;
	u16 pad2;
	u64 sequence;
	u64 time; /* ns since boot */
};

struct who {
	u32 pid;
	u32 uid;
	u64 start; /* ns since boot */
};

struct ids {
	u64 start;
	u64 parent_start;
	u64 cgroup;
	u32 pid;
	u32 parent;
	u32 uid;
	u32 gid;
	u32 effective_uid;
	u32 login_uid;
	u32 session;
	u32 pad;
	u8 name[16];
	u8 terminal[16];
};

struct exec_record {
	struct record head;
	struct ids ids;
	u64 inode;
	u64 size;
	s64 modified;
	u32 modified_nsec;
	u32 device;
	u32 args_length;
	u32 args_stored;
	u16 path_length;
	u16 directory_length;
	u16 script_length;
	u8 stream[3]; /* type of fd 0, 1, 2: bits 12 to 15 of its mode; 0: closed */
	u8 pad;
	u32 stdin_device;
	u32 pad2;
	/* path, directory: components, leaf first; script: text and NUL; argv */
};

struct fork_record {
	struct record head;
	u64 start;
	u64 parent_start;
	u32 pid;
	u32 parent;
};

struct exit_record {
	struct record head;
	u64 start;
	u32 pid;
	s32 code; /* as wait(2) gives it */
};

struct socket_record {
	struct record head;
	struct who who;
	u8 local[16];
	u8 remote[16];
	u16 local_port;  /* host order */
	u16 remote_port; /* network order */
	u16 family;
	u8 direction;
	u8 pad;
	s32 error;
	u32 pad2;
};

struct denied_record {
	struct record head;
	struct who who;
	u64 flags;
	s32 error;
	s32 directory; /* descriptor a relative path starts from, AT_CWD */
	u32 path_length;
	u32 pad;
	/* path and NUL */
};

struct cgroup_record {
	struct record head;
	u64 id;
	u32 path_length;
	u32 pad;
	/* path and NUL */
};

struct scratch {
	union {
		struct {
			struct exec_record exec;
			u8 text[TEXT_BYTES + MAX_ARGS];
		};
		struct {
			struct denied_record denied;
			u8 denied_text[MAX_CLAIM];
		};
		struct {
			struct cgroup_record cgroup;
			u8 cgroup_text[MAX_CLAIM];
		};
	};
};

/* The context of tracepoint/syscalls/sys_exit_*. */
struct exit_context {
	u64 common;
	s64 number;
	s64 result;
};

#endif
