// Loaded before libc (LD_PRELOAD) into every process of the governor's: lets the nth call of one function fail, once, with one errno.
// The plan and the counts lie in a file that all these processes map; see `run`. Other programs that inherit it are left alone.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

// In the order of FUNCTIONS in `run`.
enum function {
    OPEN, READ, WRITE, PREAD, PWRITE, FSYNC, RENAME, UNLINK, MKDIR, RMDIR, READLINK, FALLOCATE, FTRUNCATE, IOCTL, MOUNT, UMOUNT2, FSOPEN,
    FSCONFIG, FSMOUNT, SOCKET, CONNECT, ACCEPT4, BIND, LISTEN, SEND, RECV, POSIX_SPAWNP, FORK, PIPE2, SOCKETPAIR, POLL, GETRANDOM,
    MEMFD_CREATE, CHMOD, CHOWN, OPENDIR, STATVFS, MLOCK, FUNCTIONS
};

struct plan {
    int function, error;
    long nth;
    atomic_long counts[FUNCTIONS];
    atomic_int fired;
};

static struct plan *plan;

__attribute__((constructor)) static void begin(void) {
    char program[4096];
    const char *path = getenv("SUBLET_NTH_CALL");
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (!path || length < 9) return;
    program[length] = 0;
    if (strcmp(program + length - 9, "/governor")) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *memory = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory != MAP_FAILED) plan = memory;
}

static int fails(enum function function) {
    if (!plan) return 0;
    long number = atomic_fetch_add(&plan->counts[function], 1) + 1;
    if (plan->function != (int)function || number != plan->nth) return 0;
    atomic_store(&plan->fired, 1);
    errno = plan->error;
    return 1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define WRAP(NUMBER, result, failure, name, parameters, arguments) \
    result name parameters {                                        \
        REAL(name);                                                 \
        return fails(NUMBER) ? (failure) : real arguments;          \
    }

int open(const char *path, int flags, ...) {
    REAL(open);
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return fails(OPEN) ? -1 : real(path, flags, mode);
}
int ioctl(int file, unsigned long request, ...) {
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    return fails(IOCTL) ? -1 : real(file, request, argument);
}
// This one answers with the error itself.
int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                 char *const words[], char *const environment[]) {
    REAL(posix_spawnp);
    return fails(POSIX_SPAWNP) ? plan->error : real(pid, file, actions, attributes, words, environment);
}
WRAP(READ, ssize_t, -1, read, (int a, void *b, size_t c), (a, b, c))
WRAP(WRITE, ssize_t, -1, write, (int a, const void *b, size_t c), (a, b, c))
WRAP(PREAD, ssize_t, -1, pread, (int a, void *b, size_t c, off_t d), (a, b, c, d))
WRAP(PWRITE, ssize_t, -1, pwrite, (int a, const void *b, size_t c, off_t d), (a, b, c, d))
WRAP(FSYNC, int, -1, fsync, (int a), (a))
WRAP(RENAME, int, -1, rename, (const char *a, const char *b), (a, b))
WRAP(UNLINK, int, -1, unlink, (const char *a), (a))
WRAP(MKDIR, int, -1, mkdir, (const char *a, mode_t b), (a, b))
WRAP(RMDIR, int, -1, rmdir, (const char *a), (a))
WRAP(READLINK, ssize_t, -1, readlink, (const char *a, char *b, size_t c), (a, b, c))
WRAP(FALLOCATE, int, -1, fallocate, (int a, int b, off_t c, off_t d), (a, b, c, d))
WRAP(FTRUNCATE, int, -1, ftruncate, (int a, off_t b), (a, b))
WRAP(MOUNT, int, -1, mount, (const char *a, const char *b, const char *c, unsigned long d, const void *e), (a, b, c, d, e))
WRAP(UMOUNT2, int, -1, umount2, (const char *a, int b), (a, b))
WRAP(FSOPEN, int, -1, fsopen, (const char *a, unsigned b), (a, b))
WRAP(FSCONFIG, int, -1, fsconfig, (int a, unsigned b, const char *c, const void *d, int e), (a, b, c, d, e))
WRAP(FSMOUNT, int, -1, fsmount, (int a, unsigned b, unsigned c), (a, b, c))
WRAP(SOCKET, int, -1, socket, (int a, int b, int c), (a, b, c))
WRAP(CONNECT, int, -1, connect, (int a, const struct sockaddr *b, socklen_t c), (a, b, c))
WRAP(ACCEPT4, int, -1, accept4, (int a, struct sockaddr *b, socklen_t *c, int d), (a, b, c, d))
WRAP(BIND, int, -1, bind, (int a, const struct sockaddr *b, socklen_t c), (a, b, c))
WRAP(LISTEN, int, -1, listen, (int a, int b), (a, b))
WRAP(SEND, ssize_t, -1, send, (int a, const void *b, size_t c, int d), (a, b, c, d))
WRAP(RECV, ssize_t, -1, recv, (int a, void *b, size_t c, int d), (a, b, c, d))
WRAP(FORK, pid_t, -1, fork, (void), ())
WRAP(PIPE2, int, -1, pipe2, (int a[2], int b), (a, b))
WRAP(SOCKETPAIR, int, -1, socketpair, (int a, int b, int c, int d[2]), (a, b, c, d))
WRAP(POLL, int, -1, poll, (struct pollfd *a, nfds_t b, int c), (a, b, c))
WRAP(GETRANDOM, ssize_t, -1, getrandom, (void *a, size_t b, unsigned c), (a, b, c))
WRAP(MEMFD_CREATE, int, -1, memfd_create, (const char *a, unsigned b), (a, b))
WRAP(CHMOD, int, -1, chmod, (const char *a, mode_t b), (a, b))
WRAP(CHOWN, int, -1, chown, (const char *a, uid_t b, gid_t c), (a, b, c))
WRAP(OPENDIR, DIR *, NULL, opendir, (const char *a), (a))
WRAP(STATVFS, int, -1, statvfs, (const char *a, struct statvfs *b), (a, b))
WRAP(MLOCK, int, -1, mlock, (const void *a, size_t b), (a, b))
