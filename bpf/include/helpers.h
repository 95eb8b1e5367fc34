/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The part of the BPF environment that Hauberk's programs use: integer types,
 * map declaration macros, the helpers (ids from include/uapi/linux/bpf.h) and
 * the CO-RE relocations of clang. Written so that building needs clang alone.
 */
#ifndef HAUBERK_HELPERS_H
#define HAUBERK_HELPERS_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef signed long long s64;
typedef _Bool bool;

enum {
	false = 0,
	true = 1,
};

#define SEC(name) __attribute__((section(name), used))
#define inline_always inline __attribute__((always_inline))
#define not_inline __attribute__((noinline))

/* Map definitions as libbpf's BTF format has them. */
#define map_uint(name, val) int(*name)[val]
#define map_type(name, val) typeof(val) *name

enum {
	MAP_HASH = 1,
	MAP_ARRAY = 2,
	MAP_PERCPU_ARRAY = 6,
	MAP_LRU_HASH = 9,
	MAP_RINGBUF = 27,
	MAP_F_MMAPABLE = 1 << 10,
};

enum {
	RB_NO_WAKEUP = 1,
	RB_FORCE_WAKEUP = 2,
	RB_AVAIL_DATA = 0,
};

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*map_delete)(void *map, const void *key) = (void *)3;
static u32 (*smp_processor_id)(void) = (void *)8;
static u64 (*current_pid_tgid)(void) = (void *)14;
static u64 (*current_uid_gid)(void) = (void *)15;
static u64 (*current_task)(void) = (void *)35;
static u64 (*current_cgroup_id)(void) = (void *)80;
static long (*read_user)(void *dst, u32 size, const void *src) = (void *)112;
static long (*read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static long (*read_user_str)(void *dst, u32 size, const void *src) = (void *)114;
static long (*read_kernel_str)(void *dst, u32 size, const void *src) = (void *)115;
static u64 (*ktime_boot)(void) = (void *)125;
static long (*seq_write)(void *seq, const void *data, u32 size) = (void *)127;
static long (*ring_output)(void *ring, const void *data, u64 size, u64 flags) = (void *)130;
static void *(*ring_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*ring_discard)(void *data, u64 flags) = (void *)133;
static u64 (*ring_query)(void *ring, u64 flags) = (void *)134;
static long (*task_pt_regs)(void *task) = (void *)175;
static void *(*current_task_btf)(void) = (void *)158;

/* CO-RE: a read through a relocated address, and what the kernel has. */
#define core_read(dst, src) read_kernel((dst), sizeof(*(dst)), (const void *)__builtin_preserve_access_index(src))
#define field_exists(field) __builtin_preserve_field_info(field, 2)
#define field_offset(field) __builtin_preserve_field_info(field, 0)
#define enum_value(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, 1)
#define enum_value_exists(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, 0)

/* Bounds clang must not optimise away, because the verifier looks for them. */
#define keep_below(var, mask) asm volatile("%0 &= %1" : "+r"(var) : "i"(mask))
#define keep(var) asm volatile("" : "+r"(var))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
