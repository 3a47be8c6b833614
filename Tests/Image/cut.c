// Loaded before libc (LD_PRELOAD) into every process of a renter's machine: before the nth change of a file ends all of them, as a power cut
// does. Which that is, and how many there were, lies in a file that all of them map; see `account-test`.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct plan {
    long nth;
    atomic_long count;
};

static struct plan *plan;

__attribute__((constructor)) static void begin(void) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int file = real("/run/cut", O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *memory = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory != MAP_FAILED) plan = memory;
}

static void change(void) {
    if (!plan || atomic_fetch_add(&plan->count, 1) + 1 != plan->nth) return;
    // All but the namespace's first process, and us; then us.
    kill(-1, SIGKILL);
    raise(SIGKILL);
}

#define CHANGES (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)
#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define WRAP(name, parameters, arguments) \
    int name parameters {                 \
        REAL(name);                       \
        change();                         \
        return real arguments;            \
    }
#define WRAP_OPEN(name, parameters, ...)                        \
    int name parameters {                                       \
        REAL(name);                                             \
        va_list more;                                           \
        va_start(more, flags);                                  \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0; \
        va_end(more);                                           \
        if (flags & CHANGES) change();                          \
        return real(__VA_ARGS__, flags, mode);                  \
    }
#define WRAP_FOPEN(name)                               \
    FILE *name(const char *path, const char *mode) {   \
        REAL(name);                                    \
        if (strcmp(mode, "r") != 0) change();          \
        return real(path, mode);                       \
    }

WRAP_OPEN(open, (const char *path, int flags, ...), path)
WRAP_OPEN(open64, (const char *path, int flags, ...), path)
WRAP_OPEN(openat, (int folder, const char *path, int flags, ...), folder, path)
WRAP_OPEN(openat64, (int folder, const char *path, int flags, ...), folder, path)
WRAP_FOPEN(fopen)
WRAP_FOPEN(fopen64)
WRAP(rename, (const char *a, const char *b), (a, b))
WRAP(renameat, (int a, const char *b, int c, const char *d), (a, b, c, d))
WRAP(renameat2, (int a, const char *b, int c, const char *d, unsigned e), (a, b, c, d, e))
WRAP(link, (const char *a, const char *b), (a, b))
WRAP(linkat, (int a, const char *b, int c, const char *d, int e), (a, b, c, d, e))
WRAP(unlink, (const char *a), (a))
WRAP(unlinkat, (int a, const char *b, int c), (a, b, c))
WRAP(rmdir, (const char *a), (a))
WRAP(mkdir, (const char *a, mode_t b), (a, b))
WRAP(mkdirat, (int a, const char *b, mode_t c), (a, b, c))
WRAP(chmod, (const char *a, mode_t b), (a, b))
WRAP(fchmod, (int a, mode_t b), (a, b))
WRAP(chown, (const char *a, uid_t b, gid_t c), (a, b, c))
WRAP(fchown, (int a, uid_t b, gid_t c), (a, b, c))
WRAP(lchown, (const char *a, uid_t b, gid_t c), (a, b, c))
WRAP(fchownat, (int a, const char *b, uid_t c, gid_t d, int e), (a, b, c, d, e))
