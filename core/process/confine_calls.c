/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that serving mail needs: those of files, sockets, memory, time and threads. All
 * others fail as if the kernel did not know them (ENOSYS), for which libraries have another way;
 * those that nothing here ever needs, and that take over a machine, fail with EPERM. Nobody is
 * ended for a call.
 */
#include "process/confine.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Sanitizers look at the process with calls that are none of ours. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

static const char *const allowed[] = {
	/* files */
	"read",
	"write",
	"readv",
	"writev",
	"pread64",
	"pwrite64",
	"preadv",
	"pwritev",
	"preadv2",
	"pwritev2",
	"open",
	"openat",
	"openat2",
	"close",
	"close_range",
	"lseek",
	"_llseek",
	"stat",
	"fstat",
	"lstat",
	"stat64",
	"fstat64",
	"lstat64",
	"newfstatat",
	"fstatat64",
	"statx",
	"statfs",
	"fstatfs",
	"statfs64",
	"fstatfs64",
	"access",
	"faccessat",
	"faccessat2",
	"readlink",
	"readlinkat",
	"getdents",
	"getdents64",
	"mkdir",
	"mkdirat",
	"rmdir",
	"unlink",
	"unlinkat",
	"rename",
	"renameat",
	"renameat2",
	"link",
	"linkat",
	"fsync",
	"fdatasync",
	"sync_file_range",
	"fallocate",
	"ftruncate",
	"ftruncate64",
	"truncate",
	"truncate64",
	"flock",
	"fcntl",
	"fcntl64",
	"dup",
	"dup2",
	"dup3",
	"pipe",
	"pipe2",
	"fadvise64",
	"fadvise64_64",
	"readahead",
	"copy_file_range",
	"sendfile",
	"sendfile64",
	"chmod",
	"fchmod",
	"fchmodat",
	"umask",
	"utimensat",
	"getcwd",
	"memfd_create",
	"inotify_init1",
	"inotify_add_watch",
	"inotify_rm_watch",
	/* memory */
	"mmap",
	"mmap2",
	"munmap",
	"mremap",
	"mprotect",
	"madvise",
	"msync",
	"mincore",
	"mlock",
	"mlock2",
	"munlock",
	"brk",
	"membarrier",
	/* sockets */
	"connect",
	"accept",
	"accept4",
	"bind",
	"getsockname",
	"getpeername",
	"getsockopt",
	"setsockopt",
	"shutdown",
	"send",
	"sendto",
	"sendmsg",
	"sendmmsg",
	"recv",
	"recvfrom",
	"recvmsg",
	"recvmmsg",
	"socketpair",
	/* waiting */
	"poll",
	"ppoll",
	"ppoll_time64",
	"select",
	"_newselect",
	"pselect6",
	"pselect6_time64",
	"epoll_create",
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"eventfd",
	"eventfd2",
	"timerfd_create",
	"timerfd_settime",
	"timerfd_gettime",
	"signalfd",
	"signalfd4",
	"nanosleep",
	"clock_nanosleep",
	"clock_nanosleep_time64",
	"restart_syscall",
	"pause",
	/* threads and signals */
	"futex",
	"futex_time64",
	"futex_waitv",
	"set_robust_list",
	"get_robust_list",
	"rseq",
	"set_tid_address",
	"sched_yield",
	"sched_getaffinity",
	"sched_getparam",
	"sched_getscheduler",
	"sched_get_priority_max",
	"sched_get_priority_min",
	"getcpu",
	"exit",
	"exit_group",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigreturn",
	"rt_sigsuspend",
	"rt_sigtimedwait",
	"rt_sigpending",
	"sigaltstack",
	"setitimer",
	"getitimer",
	"alarm",
	"wait4",
	"waitid",
	"arch_prctl",
	"prctl",
	/* time, and who we are */
	"clock_gettime",
	"clock_gettime64",
	"clock_getres",
	"clock_getres_time64",
	"gettimeofday",
	"time",
	"times",
	"getrandom",
	"getrusage",
	"getrlimit",
	"ugetrlimit",
	"uname",
	"sysinfo",
	"getpid",
	"getppid",
	"gettid",
	"getpgrp",
	"getpgid",
	"getsid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"getresuid",
	"getresgid",
	"getgroups",
	"capget",
};

/* What a stranger would want. */
static const char *const refused[] = {
	"execve",
	"execveat",
	"fork",
	"vfork",
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"listen",
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"keyctl",
	"add_key",
	"request_key",
	"mount",
	"umount2",
	"move_mount",
	"fsopen",
	"fsmount",
	"open_tree",
	"pivot_root",
	"chroot",
	"setns",
	"unshare",
	"init_module",
	"finit_module",
	"delete_module",
	"kexec_load",
	"kexec_file_load",
	"reboot",
	"swapon",
	"swapoff",
	"mknod",
	"mknodat",
	"setuid",
	"setgid",
	"setreuid",
	"setregid",
	"setresuid",
	"setresgid",
	"setfsuid",
	"setfsgid",
	"setgroups",
	"capset",
	"chown",
	"fchown",
	"lchown",
	"fchownat",
	"symlink",
	"symlinkat",
	"settimeofday",
	"clock_settime",
	"adjtimex",
	"clock_adjtime",
	"sethostname",
	"setdomainname",
	"personality",
	"iopl",
	"ioperm",
	"acct",
	"quotactl",
	"syslog",
	"open_by_handle_at",
	"pidfd_open",
	"pidfd_getfd",
	"pidfd_send_signal",
	"rt_sigqueueinfo",
	"rt_tgsigqueueinfo",
	"tkill",
	"setpriority",
	"setrlimit",
	"shmget",
	"shmat",
};

/* One argument of a call; the mask is for SCMP_CMP_MASKED_EQ, where it comes before the value. */
static struct scmp_arg_cmp argument(unsigned number, enum scmp_compare how, scmp_datum_t value,
                                    scmp_datum_t masked)
{
	return (struct scmp_arg_cmp){.arg = number, .op = how, .datum_a = value, .datum_b = masked};
}

/* Calls that are allowed with some arguments only. 0, or less: what libseccomp says. */
static int add_conditions(scmp_filter_ctx filter)
{
	const scmp_datum_t self = (scmp_datum_t)getpid();
	const struct {
		int call;
		struct scmp_arg_cmp argument;
	} conditions[] = {
		{SCMP_SYS(socket), argument(0, SCMP_CMP_EQ, AF_UNIX, 0)},
		{SCMP_SYS(socket), argument(0, SCMP_CMP_EQ, AF_INET, 0)},
		{SCMP_SYS(socket), argument(0, SCMP_CMP_EQ, AF_INET6, 0)},
		{SCMP_SYS(socket), argument(0, SCMP_CMP_EQ, AF_NETLINK, 0)},
		/* Threads, and nothing that is a process. */
		{SCMP_SYS(clone), argument(0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)},
		/* Our own limits may be asked for. */
		{SCMP_SYS(prlimit64), argument(2, SCMP_CMP_EQ, 0, 0)},
		/* No words into somebody's terminal. */
		{SCMP_SYS(ioctl), argument(1, SCMP_CMP_NE, TIOCSTI, 0)},
		/* Signals to ourselves: abort() is one. */
		{SCMP_SYS(tgkill), argument(0, SCMP_CMP_EQ, self, 0)},
		{SCMP_SYS(kill), argument(0, SCMP_CMP_EQ, self, 0)},
	};
	int result = 0;

	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]) && result == 0; i++)
		result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, conditions[i].call, 1,
		                                &conditions[i].argument);
	return result;
}

/* Names that this architecture does not have are passed over. */
static int add_names(scmp_filter_ctx filter, uint32_t action, const char *const *names,
                     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);
		int result;

		if (number == __NR_SCMP_ERROR || number < 0)
			continue;
		result = seccomp_rule_add(filter, action, number, 0);
		if (result != 0)
			return result;
	}
	return 0;
}

enum pn_status pn_confine_calls(struct pn_error *error)
{
#ifdef HAS_SANITIZER
	(void)error;
	(void)add_conditions;
	(void)add_names;
	(void)allowed;
	(void)refused;
	return PN_OK;
#else
	scmp_filter_ctx filter =
		seccomp_init(SCMP_ACT_ERRNO(ENOSYS)); /* gives up new privileges, too */
	int result = filter == NULL ? -ENOMEM : 0;

	if (result == 0)
		result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	/* The calls of every message are looked for first. */
	if (result == 0)
		result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (result == 0)
		result = add_names(filter, SCMP_ACT_ALLOW, allowed,
		                   sizeof(allowed) / sizeof(allowed[0]));
	if (result == 0)
		result = add_names(filter, SCMP_ACT_ERRNO(EPERM), refused,
		                   sizeof(refused) / sizeof(refused[0]));
	if (result == 0)
		result = add_conditions(filter);
	if (result == 0)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result == 0
	               ? PN_OK
	               : pn_fail_errno(error, -result, "cannot confine system calls with seccomp");
#endif
}
