// The door to Linux and the C library: what Swift can't import (variadic calls, macros with arguments) or has no name for.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static inline char **clinux_environment(void) { return environ; }

static inline int clinux_errno(void) { return errno; }
static inline int clinux_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
static inline int clinux_ioctl(int fd, unsigned long request, unsigned long argument) { return ioctl(fd, request, argument); }
static inline int clinux_ioctl_pointer(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }
static inline int clinux_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? flags : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}
/// An advisory lock on the whole file, for the life of the open file description (F_OFD_SETLK); -1 and EAGAIN where another holds it.
static inline int clinux_lock(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &lock);
}

static inline int clinux_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }
static inline int clinux_pidfd_send_signal(int pidfd, int signal) { return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0); }

/// waitid(P_PIDFD): the exit status as a shell would give it (128 + signal for a killed child); -1 and errno while it runs or on error.
static inline int clinux_reap(pid_t pid, int flags) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | flags) < 0) return -1;
    if (info.si_pid == 0) { errno = EAGAIN; return -1; }
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static inline _Bool clinux_is_directory(mode_t mode) { return S_ISDIR(mode); }
static inline _Bool clinux_is_regular(mode_t mode) { return S_ISREG(mode); }
static inline _Bool clinux_is_block(mode_t mode) { return S_ISBLK(mode); }
static inline unsigned clinux_major(dev_t device) { return major(device); }
static inline unsigned clinux_minor(dev_t device) { return minor(device); }
static inline dev_t clinux_makedev(unsigned major, unsigned minor) { return makedev(major, minor); }

static inline long long clinux_clock_ns(clockid_t clock) {
    struct timespec now;
    return clock_gettime(clock, &now) < 0 ? 0 : (long long)now.tv_sec * 1000000000LL + now.tv_nsec;
}

/// How many processors this thread may run on (sched_getaffinity), which is what dockerd takes for all there are; -1 and errno.
static inline int clinux_processors(void) {
    cpu_set_t allowed;
    return sched_getaffinity(0, sizeof allowed, &allowed) < 0 ? -1 : CPU_COUNT(&allowed);
}

static inline int clinux_block_size(int fd, unsigned long long *bytes) { return ioctl(fd, BLKGETSIZE64, bytes); }
static inline int clinux_block_discard(int fd, unsigned long long from, unsigned long long bytes) {
    unsigned long long range[2] = {from, bytes};
    return ioctl(fd, BLKDISCARD, range);
}
static inline int clinux_block_zero(int fd, unsigned long long from, unsigned long long bytes) {
    unsigned long long range[2] = {from, bytes};
    return ioctl(fd, BLKZEROOUT, range);
}
static inline int clinux_block_read_only(int fd) {
    int flag = 0;
    return ioctl(fd, BLKROGET, &flag) < 0 ? -1 : flag != 0;
}
static inline int clinux_block_reread(int fd) { return ioctl(fd, BLKFLSBUF, 0); }

/// LOOP_CTL_GET_FREE: the number of a free loop device.
static inline int clinux_loop_free(int control) { return ioctl(control, LOOP_CTL_GET_FREE); }
/// LOOP_CONFIGURE: `file` behind the loop device, gone by itself when nobody holds it (LO_FLAGS_AUTOCLEAR). `large`: with sectors of 4 KiB and,
/// where the file allows it, without a second copy of its data in memory.
static inline int clinux_loop_attach(int loop, int file, const char *name, _Bool read_only, _Bool large) {
    struct loop_config config;
    memset(&config, 0, sizeof config);
    config.fd = (unsigned)file;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0) | (large ? LO_FLAGS_DIRECT_IO : 0);
    if (large) config.block_size = 4096;
    strncpy((char *)config.info.lo_file_name, name, LO_NAME_SIZE - 1);
    return ioctl(loop, LOOP_CONFIGURE, &config);
}

/// DM_LIST_VERSIONS: whether device-mapper has this target now. `control` is /dev/mapper/control.
static inline int clinux_mapper_has_target(int control, const char *name) {
    union { struct dm_ioctl head; char bytes[16384]; } answer;
    memset(&answer, 0, sizeof answer);
    answer.head.version[0] = DM_VERSION_MAJOR;
    answer.head.data_size = sizeof answer;
    answer.head.data_start = sizeof answer.head;
    if (ioctl(control, DM_LIST_VERSIONS, &answer) < 0 || answer.head.data_start >= answer.head.data_size) return 0;
    size_t at = answer.head.data_start;
    while (at + sizeof(struct dm_target_versions) < sizeof answer) {
        const struct dm_target_versions *target = (const struct dm_target_versions *)(answer.bytes + at);
        if (strncmp(target->name, name, sizeof answer - at - sizeof *target) == 0) return 1;
        if (target->next == 0) break;
        at += target->next;
    }
    return 0;
}

/// A signalfd for INT, TERM and HUP, which are blocked for the rest of the program; CLD is left alone (pidfds tell of children).
static inline int clinux_signal_descriptor(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}
static inline int clinux_read_signal(int fd) {
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}
static inline void clinux_ignore_pipe_signal(void) { signal(SIGPIPE, SIG_IGN); }

/// A stream socket of a family that doesn't wait, and may take a port whose last connections still linger (as sshd's listeners may).
static inline int clinux_stream_socket(int family) {
    int yes = 1, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    return fd;
}
/// bind(2) to a numeric IPv4 or IPv6 address and a port.
static inline int clinux_bind(int fd, const char *address, unsigned short port) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, address, &four.sin_addr) == 1) return bind(fd, (struct sockaddr *)&four, sizeof four);
    if (inet_pton(AF_INET6, address, &six.sin6_addr) == 1) return bind(fd, (struct sockaddr *)&six, sizeof six);
    errno = EINVAL;
    return -1;
}
/// The local port of a bound socket (getsockname); -1 and errno on error.
static inline int clinux_bound_port(int fd) {
    struct sockaddr_in6 address;
    socklen_t length = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) return -1;
    return ntohs(address.sin6_port); // At the same place in both families.
}

/// Closes what an error that is already known has made useless.
static inline void clinux_close_keeping_errno(int fd) {
    int code = errno;
    close(fd);
    errno = code;
}
/// A socket that doesn't wait and hears of each change of the nftables rules in this network namespace (NFNLGRP_NFTABLES); -1 and errno.
static inline int clinux_rules_socket(void) {
    struct sockaddr_nl group = {.nl_family = AF_NETLINK, .nl_groups = 1U << (NFNLGRP_NFTABLES - 1)};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    if (fd < 0 || bind(fd, (struct sockaddr *)&group, sizeof group) == 0) return fd;
    clinux_close_keeping_errno(fd);
    return -1;
}
/// Takes what such a socket has heard; whether any of it is about a table of this name, or was lost (ENOBUFS). Every message about a table,
/// or something in one, has the table's name as its first attribute, whose type is 1 (NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, …).
static inline _Bool clinux_rules_changed(int fd, const char *table) {
    _Alignas(struct nlmsghdr) char heard[16384];
    const size_t head = NLMSG_LENGTH(sizeof(struct nfgenmsg)), name = head + sizeof(struct nlattr), size = strlen(table) + 1;
    _Bool changed = 0;
    for (int count = 0; count < 1024; count++) {
        ssize_t got = recv(fd, heard, sizeof heard, MSG_TRUNC);
        if (got < 0 && errno != ENOBUFS) break;
        if (got < 0 || (size_t)got > sizeof heard) { changed = 1; continue; }
        int left = (int)got;
        const struct nlmsghdr *one = (const struct nlmsghdr *)heard;
        for (; NLMSG_OK(one, left); one = NLMSG_NEXT(one, left)) {
            const struct nlattr *first = (const struct nlattr *)((const char *)one + head);
            if (one->nlmsg_len >= name + size && first->nla_type == 1 && memcmp((const char *)one + name, table, size) == 0) changed = 1;
        }
    }
    return changed;
}

/// posix_spawn of `path` with its own session if asked, no inherited signal mask, and the three descriptors given (-1: /dev/null).
static inline int clinux_spawn(pid_t *pid, const char *path, char *const arguments[], char *const environment[],
                               int input, int output, int error, int own_session) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0) return code;
    code = posix_spawnattr_init(&attributes);
    if (code != 0) { posix_spawn_file_actions_destroy(&actions); return code; }
    int given[3] = {input, output, error};
    for (int index = 0; index < 3 && code == 0; index++) {
        if (given[index] >= 0) code = posix_spawn_file_actions_adddup2(&actions, given[index], index);
        else code = posix_spawn_file_actions_addopen(&actions, index, "/dev/null", index == 0 ? O_RDONLY : O_WRONLY, 0);
    }
    // Whatever a library opened without O_CLOEXEC must not live on in a tunnel or an engine that outlives us.
    if (code == 0) code = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    if (code == 0) code = posix_spawnattr_setsigmask(&attributes, &none);
    if (code == 0) code = posix_spawnattr_setsigdefault(&attributes, &defaults);
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (own_session) flags |= POSIX_SPAWN_SETSID;
    if (code == 0) code = posix_spawnattr_setflags(&attributes, flags);
    if (code == 0) code = posix_spawnp(pid, path, &actions, &attributes, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return code;
}

/// Two ends of a connection that keeps messages apart and says at once when the other end is gone (AF_UNIX, SOCK_SEQPACKET).
static inline int clinux_message_pair(int *one, int *other) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -1;
    *one = ends[0];
    *other = ends[1];
    return 0;
}
static inline ssize_t clinux_send_message(int fd, const void *bytes, size_t count) {
    return send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}
/// fork(2), for a program with one thread: the child has `kept` and standard error open and nothing else, goes by another name, and no
/// signal to the whole group ends it: it is to see how its parent ends.
static inline pid_t clinux_fork_keeping(int kept, const char *name) {
    pid_t pid = fork();
    if (pid != 0) return pid;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, 0);
    dup2(null, 1);
    if (kept > 3) close_range(3, (unsigned)kept - 1, 0);
    close_range((unsigned)kept + 1, ~0U, 0);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    prctl(PR_SET_NAME, name, 0, 0, 0);
    return 0;
}

/// A non-blocking TCP connect to an IPv4 address in dotted form; the descriptor, or -1. It becomes readable when the other side greets.
static inline int clinux_connect(const char *address, unsigned short port) {
    struct sockaddr_in to;
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1) { errno = EINVAL; return -1; }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        clinux_close_keeping_errno(fd);
        return -1;
    }
    return fd;
}

/// A unix socket of a type, and the address for a path (at most 107 bytes) or, after an @, a name in the abstract namespace; -1.
static inline int clinux_unix_socket(const char *path, int type, struct sockaddr_un *address, socklen_t *size) {
    size_t length = strlen(path);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length >= sizeof address->sun_path) { errno = ENAMETOOLONG; return -1; }
    memcpy(address->sun_path, path, length);
    if (path[0] == '@') address->sun_path[0] = 0;
    *size = offsetof(struct sockaddr_un, sun_path) + length;
    return socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
}
/// A listening unix stream socket at a path where nothing may be yet; it does not wait.
static inline int clinux_unix_listen(const char *path, int backlog) {
    struct sockaddr_un address;
    socklen_t size;
    int fd = clinux_unix_socket(path, SOCK_STREAM | SOCK_NONBLOCK, &address, &size);
    if (fd < 0) return -1;
    if (bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, backlog) == 0) return fd;
    clinux_close_keeping_errno(fd);
    return -1;
}
/// connect(2) to a unix stream socket; the descriptor, which waits, or -1.
static inline int clinux_unix_connect(const char *path) {
    struct sockaddr_un address;
    socklen_t size;
    int fd = clinux_unix_socket(path, SOCK_STREAM, &address, &size);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&address, size) == 0) return fd;
    clinux_close_keeping_errno(fd);
    return -1;
}
/// Sends one datagram to a unix socket; 0 or -1. It does not wait.
static inline int clinux_unix_tell(const char *path, const char *text) {
    struct sockaddr_un address;
    socklen_t size;
    int fd = clinux_unix_socket(path, SOCK_DGRAM | SOCK_NONBLOCK, &address, &size);
    if (fd < 0) return -1;
    ssize_t sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
    clinux_close_keeping_errno(fd);
    return sent < 0 ? -1 : 0;
}
static inline int clinux_accept(int fd) { return accept4(fd, NULL, NULL, SOCK_CLOEXEC); }
/// SO_PEERCRED: who connected, as the kernel noted it then; user and process by our own namespaces.
static inline int clinux_peer(int fd, pid_t *pid, uid_t *uid) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -1;
    *pid = peer.pid;
    *uid = peer.uid;
    return 0;
}
/// The first bytes that have come, left where they are; how many, or -1. It does not wait.
static inline ssize_t clinux_peek(int fd, void *bytes, size_t count) { return recv(fd, bytes, count, MSG_PEEK | MSG_DONTWAIT); }

/// No core dump, and no look at our memory by other processes of the same user (PR_SET_DUMPABLE, RLIMIT_CORE).
static inline int clinux_keep_memory_private(void) {
    struct rlimit none = {0, 0};
    return setrlimit(RLIMIT_CORE, &none) < 0 ? -1 : prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
/// The hard limit of open files of this process and, where they don't say otherwise, of its children (RLIMIT_NOFILE).
static inline long long clinux_open_files_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 1024;
    return limit.rlim_max > 1048576 ? 1048576 : (long long)limit.rlim_max;
}
/// MAP_FAILED is a cast, which Swift can't import: NULL instead.
static inline void *clinux_map_memory(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static inline void clinux_prompt_signal_set(sigset_t *set) {
    sigemptyset(set);
    int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    for (size_t index = 0; index < sizeof signals / sizeof signals[0]; index++) sigaddset(set, signals[index]);
}
/// A signalfd for what a person at a terminal may send while a passphrase is typed; these signals wait from now on.
static inline int clinux_prompt_signals(void) {
    sigset_t set;
    clinux_prompt_signal_set(&set);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}
/// Lets them through again; those that wait do now what they do.
static inline void clinux_end_prompt_signals(void) {
    sigset_t set;
    clinux_prompt_signal_set(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}
