/* SPDX-License-Identifier: Apache-2.0 */
/*
 * burglar: what somebody would try whose code runs in a worker. A client that says
 * hello as "try-WHAT" is told "WHAT: done" when it worked, else "WHAT: " and why
 * not. It is stopped by the kernel, or by nothing: there is no check in it.
 */
#include <postern/module.h>
#include <postern/option.h>
#include <postern/session.h>
#include <postern/stage.h>
#include <postern/text.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct burglar_config {
	const char
		*house; /* a directory that nobody may reach: no PATH, so that no option names it */
	const char *config; /* a file that the gateway may read */
	uint32_t victim;    /* a process of the same user */
};

static const struct pn_option burglar_options[] = {
	PN_OPTION_STRING(struct burglar_config, house, "/nonexistent",
                         .summary = "A directory that is none of the gateway's business."),
	PN_OPTION_STRING(struct burglar_config, config, "/nonexistent",
                         .summary = "A file of the gateway's."),
	PN_OPTION_COUNT(struct burglar_config, victim, "0", .minimum_text = "0",
                        .maximum_text = "4194304", .summary = "A process to meddle with."),
	PN_OPTION_TABLE_END,
};

static char text[1024];

static const char *in_house(const struct burglar_config *config, const char *name)
{
	snprintf(text, sizeof(text), "%s/%s", config->house, name);
	return text;
}

/* Descriptors that were got are given back: what counts is that they were. */
static int got(int descriptor)
{
	if (descriptor >= 0)
		close(descriptor);
	return descriptor >= 0 ? 0 : -1;
}

/* ---- files ---- */

static int read_passwords(const struct burglar_config *config)
{
	(void)config;
	return got(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int read_secret(const struct burglar_config *config)
{
	return got(open(in_house(config, "secret"), O_RDONLY | O_CLOEXEC));
}

static int list_house(const struct burglar_config *config)
{
	return got(open(config->house, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int list_root(const struct burglar_config *config)
{
	(void)config;
	return got(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int write_there(const struct burglar_config *config)
{
	return got(open(in_house(config, "secret"), O_WRONLY | O_CLOEXEC));
}

static int create_there(const struct burglar_config *config)
{
	return got(open(in_house(config, "mine"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int create_in_tmp(const struct burglar_config *config)
{
	(void)config;
	return got(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

static int truncate_there(const struct burglar_config *config)
{
	return truncate(in_house(config, "secret"), 0);
}

static int remove_there(const struct burglar_config *config)
{
	return unlink(in_house(config, "secret"));
}

static int make_directory(const struct burglar_config *config)
{
	return mkdir(in_house(config, "directory"), 0700);
}

static int write_config(const struct burglar_config *config)
{
	return got(open(config->config, O_WRONLY | O_APPEND | O_CLOEXEC));
}

static int remove_config(const struct burglar_config *config)
{
	return unlink(config->config);
}

static int link_out(const struct burglar_config *config)
{
	return link(config->config, in_house(config, "link"));
}

static int make_device(const struct burglar_config *config)
{
	return mknod(in_house(config, "disk"), S_IFBLK | 0600, makedev(254, 0));
}

static int read_memory_of_machine(const struct burglar_config *config)
{
	(void)config;
	return got(open("/dev/mem", O_RDONLY | O_CLOEXEC));
}

static int change_kernel(const struct burglar_config *config)
{
	(void)config;
	return got(open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC));
}

static int load_library(const struct burglar_config *config)
{
	void *library = dlopen(in_house(config, "library.so"), RTLD_NOW | RTLD_LOCAL);

	errno = library == NULL ? EACCES : 0;
	return library == NULL ? -1 : 0;
}

/* ---- programs ---- */

static int fork_one(const struct burglar_config *config)
{
	pid_t child = fork();

	(void)config;
	if (child == 0)
		_exit(0);
	return child > 0 && waitpid(child, NULL, 0) == child ? 0 : -1;
}

static int run_shell(const struct burglar_config *config)
{
	(void)config;
	return system("exit 0") == 0 ? 0 : -1;
}

/* What works replaces us: as good as "done" to who looks at the worker. */
static int execute(const struct burglar_config *config)
{
	char *arguments[] = {(char[]){"true"}, NULL};

	(void)config;
	return execve("/bin/true", arguments, NULL);
}

static int execute_memory(const struct burglar_config *config)
{
	char *arguments[] = {(char[]){"true"}, NULL};
	int file = memfd_create("program", 0);
	char bytes[65536];
	ssize_t size;
	int from = open("/bin/true", O_RDONLY | O_CLOEXEC);

	(void)config;
	while (from >= 0 && (size = read(from, bytes, sizeof(bytes))) > 0)
		(void)!write(file, bytes, (size_t)size);
	return (int)syscall(SYS_execveat, file, "", arguments, NULL, AT_EMPTY_PATH);
}

/* ---- other processes ---- */

static int trace(const struct burglar_config *config)
{
	return (int)ptrace(PTRACE_ATTACH, (pid_t)config->victim, NULL, NULL);
}

static int look_into(const struct burglar_config *config)
{
	char byte;
	struct iovec ours = {&byte, 1};
	struct iovec theirs = {&text, 1};

	return process_vm_readv((pid_t)config->victim, &ours, 1, &theirs, 1, 0) == 1 ? 0 : -1;
}

static int open_memory(const struct burglar_config *config)
{
	snprintf(text, sizeof(text), "/proc/%u/mem", config->victim);
	return got(open(text, O_RDONLY | O_CLOEXEC));
}

static int read_environment(const struct burglar_config *config)
{
	snprintf(text, sizeof(text), "/proc/%u/environ", config->victim);
	return got(open(text, O_RDONLY | O_CLOEXEC));
}

static int signal_victim(const struct burglar_config *config)
{
	return kill((pid_t)config->victim, SIGUSR1);
}

static int signal_thread(const struct burglar_config *config)
{
	return (int)syscall(SYS_tgkill, config->victim, config->victim, SIGUSR1);
}

static int signal_everybody(const struct burglar_config *config)
{
	(void)config;
	return kill(-1, 0);
}

static int hold_victim(const struct burglar_config *config)
{
	return got((int)syscall(SYS_pidfd_open, config->victim, 0));
}

/* ---- sockets ---- */

static int listen_anew(const struct burglar_config *config)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = 0};
	int line = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int result;

	(void)config;
	result = bind(line, (const struct sockaddr *)&address, sizeof(address)) == 0
	                 ? listen(line, 1)
	                 : -1;
	got(line);
	return result;
}

static int take_port(const struct burglar_config *config)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
	int line = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int result = bind(line, (const struct sockaddr *)&address, sizeof(address));

	(void)config;
	got(line);
	return result;
}

static int sniff(const struct burglar_config *config)
{
	(void)config;
	return got(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int speak_raw(const struct burglar_config *config)
{
	(void)config;
	return got(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
}

/* ---- the machine ---- */

static int become_root(const struct burglar_config *config)
{
	(void)config;
	return setuid(0);
}

static int take_capabilities(const struct burglar_config *config)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct all[2] = {{.permitted = 1, .effective = 1}, {0}};

	(void)config;
	return (int)syscall(SYS_capset, &header, all);
}

static int new_namespace(const struct burglar_config *config)
{
	(void)config;
	return unshare(CLONE_NEWUSER);
}

static int mount_something(const struct burglar_config *config)
{
	return mount("none", config->house, "tmpfs", 0, NULL);
}

static int change_root(const struct burglar_config *config)
{
	return chroot(config->house);
}

static int load_program_into_kernel(const struct burglar_config *config)
{
	(void)config;
	return got((int)syscall(SYS_bpf, 0, text, sizeof(text)));
}

static int watch_processor(const struct burglar_config *config)
{
	(void)config;
	return got((int)syscall(SYS_perf_event_open, text, 0, -1, -1, 0));
}

static int use_rings(const struct burglar_config *config)
{
	memset(text, 0, sizeof(text));
	(void)config;
	return got((int)syscall(SYS_io_uring_setup, 1, text));
}

static int use_keys(const struct burglar_config *config)
{
	(void)config;
	return syscall(SYS_add_key, "user", "postern", "x", 1, -2) >= 0 ? 0 : -1;
}

static int handle_faults(const struct burglar_config *config)
{
	(void)config;
	return got((int)syscall(SYS_userfaultfd, O_CLOEXEC | 1));
}

static int type_into_terminal(const struct burglar_config *config)
{
	int terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int result = ioctl(terminal, TIOCSTI, "x");

	(void)config;
	got(terminal);
	return result;
}

static int raise_limits(const struct burglar_config *config)
{
	struct rlimit limit;

	(void)config;
	return getrlimit(RLIMIT_CORE, &limit) == 0 ? setrlimit(RLIMIT_CORE, &limit) : -1;
}

static const struct {
	const char *name;
	int (*run)(const struct burglar_config *config);
} tries[] = {
	{"read_passwords", read_passwords},
	{"read_secret", read_secret},
	{"list_house", list_house},
	{"list_root", list_root},
	{"write_there", write_there},
	{"create_there", create_there},
	{"create_in_tmp", create_in_tmp},
	{"truncate_there", truncate_there},
	{"remove_there", remove_there},
	{"make_directory", make_directory},
	{"write_config", write_config},
	{"remove_config", remove_config},
	{"link_out", link_out},
	{"make_device", make_device},
	{"read_memory_of_machine", read_memory_of_machine},
	{"change_kernel", change_kernel},
	{"load_library", load_library},
	{"fork_one", fork_one},
	{"run_shell", run_shell},
	{"execute", execute},
	{"execute_memory", execute_memory},
	{"trace", trace},
	{"look_into", look_into},
	{"open_memory", open_memory},
	{"read_environment", read_environment},
	{"signal_victim", signal_victim},
	{"signal_thread", signal_thread},
	{"signal_everybody", signal_everybody},
	{"hold_victim", hold_victim},
	{"listen_anew", listen_anew},
	{"take_port", take_port},
	{"sniff", sniff},
	{"speak_raw", speak_raw},
	{"become_root", become_root},
	{"take_capabilities", take_capabilities},
	{"new_namespace", new_namespace},
	{"mount_something", mount_something},
	{"change_root", change_root},
	{"load_program_into_kernel", load_program_into_kernel},
	{"watch_processor", watch_processor},
	{"use_rings", use_rings},
	{"use_keys", use_keys},
	{"handle_faults", handle_faults},
	{"type_into_terminal", type_into_terminal},
	{"raise_limits", raise_limits},
};

static enum pn_verdict at_hello(const struct pn_stage_call *call)
{
	struct pn_slice hello = pn_session_hello(call->session);
	struct pn_slice wish;

	if (hello.size < 4 || memcmp(hello.data, "try-", 4) != 0)
		return PN_VERDICT_CONTINUE;
	wish = pn_slice_make(hello.data + 4, hello.size - 4);
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		int result;

		if (!pn_slice_equal(wish, pn_slice_of(tries[i].name)))
			continue;
		errno = 0;
		result = tries[i].run(call->config);
		return pn_refuse(call, 550, "5.7.1", "%s: %s", tries[i].name,
		                 result == 0 ? "done" : strerror(errno));
	}
	return pn_refuse(call, 550, "5.7.1", "%.*s: unknown", PN_SLICE_ARGS(wish));
}

static const struct pn_hook burglar_hooks[] = {
	{.stage = PN_STAGE_CLIENT_HELLO, .run = at_hello, .summary = "Tries what it is asked to."},
	{.stage = PN_STAGE_NONE},
};

PN_MODULE(burglar, .version = "1.0", .summary = "Tries what a stranger in a worker would.",
          .options = burglar_options, .config_size = sizeof(struct burglar_config),
          .hooks = burglar_hooks, );
