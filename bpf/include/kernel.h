/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The kernel's structs as far as Hauberk reads them: only the fields used, in
 * any order, because the loader relocates every access by the running
 * kernel's BTF (preserve_access_index). A field that only some kernels have
 * stands in a flavour, `struct name___why`.
 */
#ifndef HAUBERK_KERNEL_H
#define HAUBERK_KERNEL_H

#include "helpers.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	u32 val;
} kuid_t;

typedef struct {
	u32 val;
} kgid_t;

struct qstr {
	u32 len;
	const unsigned char *name;
};

struct super_block {
	u32 s_dev;
};

struct inode {
	u16 i_mode;
	unsigned long i_ino;
	u32 i_nlink;
	u32 i_rdev;
	s64 i_size;
	struct super_block *i_sb;
};

/* i_mtime: split since 6.11, called __i_mtime since 6.7. */
struct inode___split {
	s64 i_mtime_sec;
	u32 i_mtime_nsec;
};

struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};

struct inode___renamed {
	struct timespec64 __i_mtime;
};

struct inode___plain {
	struct timespec64 i_mtime;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	struct path f_path;
	void *private_data;
};

struct fdtable {
	u32 max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path pwd;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
};

struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
};

struct upid {
	int nr;
};

struct pid {
	struct upid numbers[1];
};

struct tty_struct {
	char name[64];
};

enum pid_type {
	PIDTYPE_PID,
	PIDTYPE_TGID,
	PIDTYPE_PGID,
	PIDTYPE_SID,
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	u32 flags;
	struct pid *pids[4];
	struct tty_struct *tty;
};

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t euid;
};

struct kernfs_node {
	u64 id;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup_subsys_state *subsys[12];
	struct cgroup *dfl_cgrp;
};

enum cgroup_subsys_id {
	memory_cgrp_id = 1,
	pids_cgrp_id = 2,
};

struct task_struct {
	int pid;
	int tgid;
	u64 start_boottime;
	int exit_code;
	kuid_t loginuid;
	char comm[16];
	struct mm_struct *mm;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	const struct cred *cred;
	struct fs_struct *fs;
	struct files_struct *files;
	struct signal_struct *signal;
	struct css_set *cgroups;
};

struct in6_addr {
	u8 bytes[16];
};

struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	u16 sk_protocol;
	u16 sk_type;
	int sk_err;
};

struct socket {
	short type;
	struct sock *sk;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

/* Registers that keep a system call's arguments until its end. */
struct pt_regs___x86 {
	unsigned long di;
	unsigned long si;
	unsigned long dx;
};

struct pt_regs___arm64 {
	u64 regs[31];
};

#pragma clang attribute pop

#endif
