/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What happens on this host, as records of variable length in two rings.
 *
 * Every record made gets the next number of its (CPU, slot); one that finds
 * no room is counted as lost under the same slot. So for each slot, summed
 * over the CPUs: seen by the reader + lost = made, exactly.
 *
 * A slot is a context that cannot interrupt itself: tracepoints in process
 * context run with preemption off, the socket tracepoint may run in a softirq
 * on top of one of them.
 *
 * The programs touch only the tracepoints they need; none is on raw
 * sys_enter or sys_exit, which every system call of the host would pay for.
 */
#include "kernel.h"
#include "records.h"

char __license[] SEC("license") = "Dual BSD/GPL";

/* Set by the loader before the programs are verified. */
const volatile u32 cgroup_subsystem = NO_SUBSYSTEM; /* index of a v1 controller */
const volatile u32 cgroup_hierarchy = 0;	    /* id of the hierarchy cgroups are read from; 0: v2 */
const volatile u32 denied_per_second = 500;	    /* per CPU */
const volatile bool with_directory = true;	    /* exec records carry the working directory */

/* Gives these types to Go, as no map has them. */
const volatile struct {
	enum record_type type;
	enum record_flag flag;
	enum slot slot;
	enum ring ring;
	enum armed armed;
	enum socket_direction direction;
	struct fork_record fork;
	struct exit_record exit;
	struct socket_record socket;
	struct denied_record denied;
	struct cgroup_record cgroup;
	struct exec_record exec;
} words;

struct {
	map_uint(type, MAP_RINGBUF);
	map_uint(max_entries, 1 << 20);
} bulk SEC(".maps");

struct {
	map_uint(type, MAP_RINGBUF);
	map_uint(max_entries, 1 << 16);
} priority SEC(".maps");

struct {
	map_uint(type, MAP_PERCPU_ARRAY);
	map_uint(max_entries, SLOTS);
	map_type(key, u32);
	map_type(value, struct account);
} accounts SEC(".maps");

/* Shared with the reader by mmap. */
struct {
	map_uint(type, MAP_ARRAY);
	map_uint(max_entries, 1);
	map_uint(map_flags, MAP_F_MMAPABLE);
	map_type(key, u32);
	map_type(value, struct control);
} controls SEC(".maps");

/* One entry for each possible CPU, set by the loader: the values are larger
 * than a per-CPU map allows. */
struct {
	map_uint(type, MAP_ARRAY);
	map_uint(max_entries, 1);
	map_type(key, u32);
	map_type(value, struct scratch);
} scratches SEC(".maps");

/* Sockets between connect and its outcome, by address of struct sock. */
struct {
	map_uint(type, MAP_LRU_HASH);
	map_uint(max_entries, 4096);
	map_type(key, u64);
	map_type(value, struct who);
} connecting SEC(".maps");

/* wake_bulk tells the reader once, when it asked to be told. */
static inline_always void wake_bulk(void)
{
	u32 zero = 0;
	struct control *control = map_lookup(&controls, &zero);

	if (!control)
		return;
	u32 armed = control->armed;
	if (likely(armed == ARMED_NOT))
		return;
	if (armed == ARMED_FULL && ring_query(&bulk, RB_AVAIL_DATA) < control->wake_bytes)
		return;
	control->armed = ARMED_NOT;
	/* The record is committed already, so the reader cannot miss it. */
	void *empty = ring_reserve(&bulk, 8, 0);
	if (empty)
		ring_discard(empty, RB_FORCE_WAKEUP);
}

/* emit numbers the record, sends it or counts it as lost. */
static inline_always void emit(struct record *head, u8 type, u32 slot, u32 ring, u64 size)
{
	struct account *account = map_lookup(&accounts, &slot);

	if (!account)
		return;
	head->type = type;
	head->slot = slot;
	head->cpu = smp_processor_id();
	if (ring == RING_BULK) {
		head->sequence = account->bulk_made++;
		if (ring_output(&bulk, head, size, RB_NO_WAKEUP))
			account->bulk_lost++;
		wake_bulk();
	} else {
		head->sequence = account->priority_made++;
		if (ring_output(&priority, head, size, RB_FORCE_WAKEUP))
			account->priority_lost++;
	}
}

static inline_always struct scratch *own_scratch(void)
{
	u32 cpu = smp_processor_id();

	return map_lookup(&scratches, &cpu);
}

/* The four words that lie side by side in struct dentry on every kernel so
 * far; checked at load, so that they may be read at once. */
struct name_view {
	struct dentry *parent;
	u32 hash;
	u32 length;
	const unsigned char *name;
};

static inline_always void read_name(struct name_view *view, struct dentry *dentry)
{
	u32 at = field_offset(((struct dentry *)0)->d_parent);

	if (field_offset(((struct dentry *)0)->d_name) == at + 8 && field_offset(((struct qstr *)0)->len) == 4 &&
	    field_offset(((struct qstr *)0)->name) == 8) {
		read_kernel(view, sizeof(*view), (void *)dentry + at);
		return;
	}
	core_read(&view->parent, &dentry->d_parent);
	core_read(&view->length, &dentry->d_name.len);
	core_read(&view->name, &dentry->d_name.name);
}

/*
 * put_path appends the components of a path to the scratch text, leaf first,
 * each as a length byte and its bytes, and returns the new offset. It crosses
 * mounts up to the root of the mount namespace, as /proc/<pid>/exe does, but
 * does not stop at a chroot. It is global, so that the verifier walks its
 * loop once and not for each caller.
 */
not_inline u64 put_path(u64 offset, u64 dentry_address, u64 vfsmount_address)
{
	struct dentry *dentry = (void *)dentry_address, *root;
	struct vfsmount *vfsmount = (void *)vfsmount_address;
	struct scratch *scratch = own_scratch();

	if (!scratch)
		return 0;
	core_read(&root, &vfsmount->mnt_root);
	for (int i = 0; i < MAX_COMPONENTS; i++) {
		if (dentry == root) {
			struct mount *mount = (void *)vfsmount - field_offset(((struct mount *)0)->mnt);
			struct mount *above;

			core_read(&above, &mount->mnt_parent);
			if (above == mount)
				return offset;
			core_read(&dentry, &mount->mnt_mountpoint);
			vfsmount = (void *)above + field_offset(((struct mount *)0)->mnt);
			core_read(&root, &vfsmount->mnt_root);
			continue;
		}
		struct name_view view = {};

		read_name(&view, dentry);
		u64 length = view.length;
		keep_below(length, 0xff);
		if (view.parent == dentry && length == 1)
			return offset; /* the root of an unmounted tree */
		if (offset > TEXT_BYTES - 512)
			break;
		keep_below(offset, TEXT_BYTES - 1);
		scratch->text[offset] = length;
		read_kernel(&scratch->text[offset + 1], length, view.name);
		offset += length + 1;
		if (view.parent == dentry)
			return offset; /* in no tree: memfd, pipe */
		dentry = view.parent;
	}
	scratch->exec.head.flags |= FLAG_PATH_CUT;
	return offset;
}

static inline_always u64 cgroup_of(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	struct cgroup *cgroup = 0;
	struct kernfs_node *node;
	u64 id = 0;

	if (cgroup_subsystem == NO_SUBSYSTEM) {
		if (!set)
			return 0;
		cgroup = set->dfl_cgrp;
	} else {
		struct cgroup_subsys_state *state = 0;
		u32 index = cgroup_subsystem;

		read_kernel(&state, sizeof(state), (void *)set + field_offset(((struct css_set *)0)->subsys) + 8 * index);
		core_read(&cgroup, &state->cgroup);
	}
	core_read(&node, &cgroup->kn);
	core_read(&id, &node->id);
	return id;
}

static inline_always void put_modified(struct exec_record *record, struct inode *inode)
{
	if (field_exists(((struct inode___split *)0)->i_mtime_sec)) {
		struct inode___split *split = (void *)inode;
		core_read(&record->modified, &split->i_mtime_sec);
		core_read(&record->modified_nsec, &split->i_mtime_nsec);
		return;
	}
	struct timespec64 modified = {};
	if (field_exists(((struct inode___renamed *)0)->__i_mtime)) {
		struct inode___renamed *renamed = (void *)inode;
		core_read(&modified, &renamed->__i_mtime);
	} else {
		struct inode___plain *plain = (void *)inode;
		core_read(&modified, &plain->i_mtime);
	}
	record->modified = modified.tv_sec;
	record->modified_nsec = modified.tv_nsec;
}

/* put_streams says what file descriptors 0 to 2 are, as the type bits of
 * their mode, and the device of a terminal. */
static inline_always void put_streams(struct exec_record *record, struct task_struct *task)
{
	struct files_struct *files = task->files;
	struct file *open[3] = {};
	struct fdtable *table;

	record->stream[0] = record->stream[1] = record->stream[2] = 0;
	record->stdin_device = 0;
	if (!files)
		return;
	table = files->fdt;
	if (!table)
		return;
	read_kernel(open, sizeof(open), table->fd);
	for (int i = 0; i < 3; i++) {
		struct inode *inode = 0;
		u16 mode = 0;

		if (!open[i])
			continue;
		core_read(&inode, &open[i]->f_inode);
		core_read(&mode, &inode->i_mode);
		record->stream[i] = mode >> 12;
		if (i == 0 && mode >> 12 == 2)
			core_read(&record->stdin_device, &inode->i_rdev);
	}
}

static inline_always void put_ids(struct ids *ids, struct task_struct *task)
{
	const struct cred *cred = task->cred;
	struct signal_struct *signal = task->signal;
	struct tty_struct *tty = 0;
	struct pid *session = 0;

	ids->pid = task->tgid;
	ids->start = task->group_leader ? task->group_leader->start_boottime : task->start_boottime;
	ids->parent = task->real_parent ? task->real_parent->tgid : 0;
	ids->parent_start = 0;
	if (task->real_parent && task->real_parent->group_leader)
		ids->parent_start = task->real_parent->group_leader->start_boottime;
	ids->uid = cred ? cred->uid.val : 0;
	ids->gid = cred ? cred->gid.val : 0;
	ids->effective_uid = cred ? cred->euid.val : 0;
	ids->login_uid = NO_UID;
	if (field_exists(task->loginuid))
		ids->login_uid = task->loginuid.val;
	ids->cgroup = cgroup_of(task);
	read_kernel(ids->name, sizeof(ids->name), task->comm);
	ids->session = 0;
	ids->terminal[0] = 0;
	if (!signal)
		return;
	core_read(&session, &signal->pids[PIDTYPE_SID]);
	core_read(&ids->session, &session->numbers[0].nr);
	tty = signal->tty;
	if (tty)
		read_kernel_str(ids->terminal, sizeof(ids->terminal), tty->name);
}

SEC("tp_btf/sched_process_exec")
int on_exec(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct linux_binprm *program = (void *)ctx[2];
	struct scratch *scratch = own_scratch();

	if (!scratch)
		return 0;
	struct exec_record *record = &scratch->exec;
	struct file *file = program->file;
	struct path at;
	u64 offset = 0;

	record->head.flags = 0;
	record->head.time = ktime_boot();
	put_ids(&record->ids, task);
	put_streams(record, task);
	if (file) {
		struct inode *inode = file->f_inode;
		record->inode = inode->i_ino;
		record->size = inode->i_size;
		record->device = inode->i_sb ? inode->i_sb->s_dev : 0;
		if (!inode->i_nlink)
			record->head.flags |= FLAG_FROM_MEMORY;
		put_modified(record, inode);
		core_read(&at, &file->f_path);
		offset = put_path(0, (u64)at.dentry, (u64)at.mnt);
	}
	record->path_length = offset;
	record->directory_length = 0;
	if (with_directory && task->fs) {
		u64 before = offset;
		core_read(&at, &task->fs->pwd);
		offset = put_path(before, (u64)at.dentry, (u64)at.mnt);
		record->directory_length = offset - before;
	}
	record->script_length = 0;
	if (program->interp != program->filename) {
		keep_below(offset, TEXT_BYTES - 1);
		long length = read_kernel_str(&scratch->text[offset], MAX_SCRIPT, program->filename);
		if (length > 0 && length <= MAX_SCRIPT) {
			record->script_length = length;
			offset += length;
		}
	}

	struct mm_struct *mm = task->mm;
	u64 stored = 0;
	record->args_length = 0;
	if (mm) {
		u64 from = mm->arg_start;
		stored = mm->arg_end - from;
		record->args_length = stored > 0xffffffff ? 0xffffffff : stored;
		if (stored > MAX_ARGS)
			stored = MAX_ARGS;
		keep_below(offset, TEXT_BYTES - 1);
		if (read_user(&scratch->text[offset], stored, (void *)from)) {
			record->head.flags |= FLAG_ARGS_FAULT;
			stored = 0;
		}
	}
	record->args_stored = stored;
	u64 size = sizeof(*record) + offset + stored;
	keep(size);
	if (size > sizeof(*scratch))
		return 0; /* cannot be; says so to the verifier */
	emit(&record->head, RECORD_EXEC, SLOT_PROCESS, RING_BULK, size);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int on_fork(u64 *ctx)
{
	struct task_struct *child = (void *)ctx[1];
	struct fork_record record = {};

	if (child->pid != child->tgid)
		return 0; /* a thread */
	record.head.time = ktime_boot();
	record.pid = child->tgid;
	record.start = child->start_boottime;
	if (child->real_parent) {
		record.parent = child->real_parent->tgid;
		if (child->real_parent->group_leader)
			record.parent_start = child->real_parent->group_leader->start_boottime;
	}
	emit(&record.head, RECORD_FORK, SLOT_PROCESS, RING_BULK, sizeof(record));
	return 0;
}

SEC("tp_btf/sched_process_exit")
int on_exit(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct signal_struct *signal = task->signal;
	struct exit_record record = {};

	if (!signal || signal->live.counter)
		return 0; /* other threads live on */
	record.head.time = ktime_boot();
	record.pid = task->tgid;
	record.start = task->group_leader ? task->group_leader->start_boottime : 0;
	record.code = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : task->exit_code;
	emit(&record.head, RECORD_EXIT, SLOT_PROCESS, RING_BULK, sizeof(record));
	return 0;
}

static inline_always void put_who(struct who *who)
{
	struct task_struct *task = (void *)current_task();
	struct task_struct *leader = 0;

	who->pid = current_pid_tgid() >> 32;
	who->uid = current_uid_gid();
	core_read(&leader, &task->group_leader);
	core_read(&who->start, &leader->start_boottime);
}

static inline_always void put_ends(struct socket_record *record, struct sock *sock)
{
	core_read(&record->family, &sock->__sk_common.skc_family);
	core_read(&record->local_port, &sock->__sk_common.skc_num);
	core_read(&record->remote_port, &sock->__sk_common.skc_dport);
	if (record->family == FAMILY_INET6) {
		core_read((struct in6_addr *)record->local, &sock->__sk_common.skc_v6_rcv_saddr);
		core_read((struct in6_addr *)record->remote, &sock->__sk_common.skc_v6_daddr);
	} else {
		core_read((u32 *)record->local, &sock->__sk_common.skc_rcv_saddr);
		core_read((u32 *)record->remote, &sock->__sk_common.skc_daddr);
	}
}

/*
 * on_state sees connect in two steps: SYN_SENT is entered by the process that
 * connects, the outcome comes in a softirq, where the current process is
 * anybody's. LISTEN is entered by the process that listens.
 */
SEC("tp_btf/inet_sock_set_state")
int on_state(u64 *ctx)
{
	struct sock *sock = (void *)ctx[0];
	int from = (int)ctx[1], to = (int)ctx[2];
	struct socket_record record = {};
	u64 key = (u64)sock;

	if (sock->sk_protocol != PROTOCOL_TCP)
		return 0;
	if (to == TCP_SYN_SENT) {
		put_who(&record.who);
		map_update(&connecting, &key, &record.who, 0);
		return 0;
	}
	if (to == TCP_LISTEN) {
		put_who(&record.who);
		record.direction = DIRECTION_LISTEN;
	} else if (from == TCP_SYN_SENT) {
		struct who *who = map_lookup(&connecting, &key);
		if (!who)
			return 0;
		record.who = *who;
		map_delete(&connecting, &key);
		record.direction = DIRECTION_OUT;
		if (to != TCP_ESTABLISHED) {
			record.error = sock->sk_err;
			if (!record.error)
				record.error = ERROR_ABORTED;
		}
	} else {
		return 0;
	}
	record.head.time = ktime_boot();
	put_ends(&record, sock);
	emit(&record.head, RECORD_SOCKET, SLOT_SOCKET, RING_BULK, sizeof(record));
	return 0;
}

static inline_always struct file *open_file(long descriptor)
{
	struct task_struct *task = (void *)current_task();
	struct files_struct *files = 0;
	struct fdtable *table = 0;
	struct file **list = 0, *file = 0;
	u32 size = 0;

	core_read(&files, &task->files);
	core_read(&table, &files->fdt);
	core_read(&size, &table->max_fds);
	if (descriptor < 0 || descriptor >= size)
		return 0;
	core_read(&list, &table->fd);
	read_kernel(&file, sizeof(file), list + descriptor);
	return file;
}

static inline_always int accepted(struct exit_context *ctx)
{
	struct socket_record record = {};
	struct socket *socket = 0;
	struct sock *sock = 0;
	struct file *file;
	u16 protocol = 0;

	if (ctx->result < 0)
		return 0;
	file = open_file(ctx->result);
	if (!file)
		return 0;
	core_read(&socket, (struct socket **)&file->private_data);
	core_read(&sock, &socket->sk);
	core_read(&record.family, &sock->__sk_common.skc_family);
	if (record.family != FAMILY_INET && record.family != FAMILY_INET6)
		return 0;
	core_read(&protocol, &sock->sk_protocol);
	if (protocol != PROTOCOL_TCP)
		return 0;
	record.head.time = ktime_boot();
	put_who(&record.who);
	put_ends(&record, sock);
	record.direction = DIRECTION_IN;
	emit(&record.head, RECORD_SOCKET, SLOT_PROCESS, RING_BULK, sizeof(record));
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_accept")
int on_accept(struct exit_context *ctx)
{
	return accepted(ctx);
}

SEC("tracepoint/syscalls/sys_exit_accept4")
int on_accept4(struct exit_context *ctx)
{
	return accepted(ctx);
}

/* argument reads one of the first three arguments of the system call that
 * just ended. */
static inline_always u64 argument(int n)
{
	void *registers = (void *)task_pt_regs(current_task_btf());
	u64 value = 0;

	if (field_exists(((struct pt_regs___x86 *)0)->di)) {
		struct pt_regs___x86 *x86 = registers;
		if (n == 0)
			core_read(&value, &x86->di);
		else if (n == 1)
			core_read(&value, &x86->si);
		else
			core_read(&value, &x86->dx);
	} else {
		/* x0 holds the result by now; argument 0 is not needed there. */
		struct pt_regs___arm64 *arm64 = registers;
		core_read(&value, &arm64->regs[n]);
	}
	return value;
}

/* within_budget bounds the denials sent per second and CPU. */
static inline_always bool within_budget(u64 now)
{
	u32 slot = SLOT_PROCESS;
	struct account *account = map_lookup(&accounts, &slot);

	if (!account)
		return false;
	if (account->second != now >> 30) {
		account->second = now >> 30;
		account->denied = 0;
	}
	if (account->denied >= denied_per_second) {
		account->limited++;
		return false;
	}
	account->denied++;
	return true;
}

/* refused sends a denied open: the path as the caller wrote it, and the
 * descriptor of the directory it starts from when it is relative. */
static inline_always int refused(struct exit_context *ctx, int path_argument, int how_argument, bool how_is_struct)
{
	u64 flags = 0;

	if (ctx->result != -ERROR_ACCESS && ctx->result != -ERROR_PERMISSION)
		return 0;
	u64 now = ktime_boot();
	if (!within_budget(now))
		return 0;
	struct scratch *scratch = own_scratch();
	if (!scratch)
		return 0;
	struct denied_record *record = &scratch->denied;

	record->head.flags = 0;
	record->head.time = now;
	put_who(&record->who);
	record->error = -ctx->result;
	flags = argument(how_argument);
	if (how_is_struct) {
		u64 from = flags;
		if (read_user(&flags, sizeof(flags), (void *)from))
			flags = 0;
	}
	record->flags = flags;

	long length = read_user_str(scratch->denied_text, MAX_CLAIM, (void *)argument(path_argument));
	if (length <= 0 || length > MAX_CLAIM)
		return 0;
	record->path_length = length;
	record->directory = AT_CWD;
	if (path_argument == 1)
		record->directory = (s32)argument(0);
	emit(&record->head, RECORD_DENIED, SLOT_PROCESS, RING_PRIORITY, sizeof(*record) + length);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int on_openat(struct exit_context *ctx)
{
	return refused(ctx, 1, 2, false);
}

SEC("tracepoint/syscalls/sys_exit_openat2")
int on_openat2(struct exit_context *ctx)
{
	return refused(ctx, 1, 2, true);
}

SEC("tracepoint/syscalls/sys_exit_open")
int on_open(struct exit_context *ctx)
{
	return refused(ctx, 0, 1, false);
}

/* on_cgroup tells the reader the path of every cgroup that is made, before a
 * process can be in it. */
SEC("tp_btf/cgroup_mkdir")
int on_cgroup(u64 *ctx)
{
	struct cgroup *cgroup = (void *)ctx[0];
	const char *path = (void *)ctx[1];
	struct cgroup_record *record;
	struct scratch *scratch = own_scratch();

	if (!scratch || !cgroup->root || cgroup->root->hierarchy_id != cgroup_hierarchy)
		return 0;
	record = &scratch->cgroup;
	record->head.flags = 0;
	record->head.time = ktime_boot();
	record->id = cgroup->kn ? cgroup->kn->id : 0;
	long length = read_kernel_str(scratch->cgroup_text, MAX_CLAIM, path);
	if (length <= 0 || length > MAX_CLAIM)
		return 0;
	record->path_length = length;
	emit(&record->head, RECORD_CGROUP, SLOT_PROCESS, RING_BULK, sizeof(*record) + length);
	return 0;
}

/* snapshot lists the processes that run already, for the reader's start. */
SEC("iter/task")
int snapshot(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct ids ids = {};

	if (!task || task->pid != task->tgid)
		return 0;
	put_ids(&ids, task);
	seq_write(ctx->meta->seq, &ids, sizeof(ids));
	return 0;
}
