/* Faults at every point at which a process changes a file whose name holds a given text.

   Put in front of the C library with LD_PRELOAD, it counts the calls that write, sync, truncate, rename or remove such a
   file. When call number `at` comes, it kills the process before the call, after half of a write, or lets the call fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { COUNT, KILL, KILL_HALFWAY, FULL_DISK, FAILING_DISK };

static long reached, fault_at;
static int fault_kind;
static char watched[256];

void shim_arm(const char *name, long at, int kind) {
    snprintf(watched, sizeof watched, "%s", name);
    reached = 0;
    fault_at = at;
    fault_kind = kind;
}

long shim_reached(void) { return reached; }

static int is_watched_name(const char *path) { return watched[0] && path && strstr(path, watched) != NULL; }

static int is_watched(int descriptor) {
    char link[64], path[4096];
    if (!watched[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_watched_name(path);
}

/* 0: go on; -1: fail with errno; 1: write half, then die. */
static int fault(void) {
    if (++reached != fault_at) return 0;
    if (fault_kind == KILL) kill(getpid(), SIGKILL);
    if (fault_kind == KILL_HALFWAY) return 1;
    if (fault_kind == COUNT) return 0;
    errno = fault_kind == FULL_DISK ? ENOSPC : EIO;
    return -1;
}

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

#define WRITES(name)                                                                           \
    ssize_t name(int d, const void *data, size_t n, off_t where) {                             \
        int what = is_watched(d) ? fault() : 0;                                                \
        if (what < 0) return -1;                                                               \
        if (what > 0) {                                                                        \
            REAL(ssize_t, name, int, const void *, size_t, off_t)(d, data, n / 2, where);      \
            kill(getpid(), SIGKILL);                                                           \
        }                                                                                      \
        return REAL(ssize_t, name, int, const void *, size_t, off_t)(d, data, n, where);       \
    }

WRITES(pwrite)
WRITES(pwrite64)

ssize_t write(int d, const void *data, size_t n) {
    int what = is_watched(d) ? fault() : 0;
    if (what < 0) return -1;
    if (what > 0) {
        REAL(ssize_t, write, int, const void *, size_t)(d, data, n / 2);
        kill(getpid(), SIGKILL);
    }
    return REAL(ssize_t, write, int, const void *, size_t)(d, data, n);
}

#define OTHER(name, declared, called, watch)                                                   \
    int name declared {                                                                        \
        int what = watch ? fault() : 0;                                                        \
        if (what < 0) return -1;                                                               \
        if (what > 0) kill(getpid(), SIGKILL);                                                 \
        return ((int(*) declared)dlsym(RTLD_NEXT, #name)) called;                              \
    }

OTHER(fsync, (int d), (d), is_watched(d))
OTHER(fdatasync, (int d), (d), is_watched(d))
OTHER(ftruncate, (int d, off_t n), (d, n), is_watched(d))
OTHER(ftruncate64, (int d, off_t n), (d, n), is_watched(d))
OTHER(unlink, (const char *path), (path), is_watched_name(path))
OTHER(rename, (const char *from, const char *to), (from, to), is_watched_name(to))
