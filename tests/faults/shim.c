/* Inject a fault at the n-th system call that changes files below a folder: LD_PRELOAD this.
 *
 * fault_arm(prefix, n, mode, error, repeat): count such calls from now on; before call number n
 *   mode 0: do nothing, only count     mode 1: kill this process with SIGKILL     mode 2: fail with `error`
 *   mode 3: lose power: what no fsync has reached is dropped (error = 0), dropped or kept at random (1) or torn at a
 *           512-byte edge (2), then SIGKILL; renames that no fsync of their folder has reached may be undone
 *   mode 4: write half of what is asked (error = 0), or be interrupted once (EINTR, of calls that can be)
 *   repeat: fail every call from n on, not only that one (a full disk stays full)
 * Calls: open that creates, write, pwrite, ftruncate, fsync, rename, link, unlink, mkdir, rmdir. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char prefix[4096];
static long armed_at = -1, seen = 0;
static int mode = 0, error_code = 0, repeats = 0, armed = 0;
static char last[256];

void fault_arm(const char *where, long n, int how, int code, int again) {
  strncpy(prefix, where, sizeof prefix - 1);
  armed_at = n, mode = how, error_code = code, repeats = again, seen = 0, armed = 1;
}
void fault_disarm(void) { armed = 0; }
long fault_count(void) { return seen; }
const char *fault_last(void) { return last; }

/* state after a power loss: bytes of a file up to its last fsync, and renames not yet in their folder */
#define MANY 2048
static struct { char path[512]; off_t safe; int dirty; } files[MANY];
static struct { char to[512], old[512]; int open, had; } moves[MANY];
static int n_files = 0, n_moves = 0;
static unsigned dice = 1;
static int roll(void) { dice = dice * 1103515245u + 12345u; return (dice >> 16) & 0x7fff; }
void fault_seed(unsigned seed) { dice = seed, n_files = n_moves = 0; }

static int file_of(const char *path) {
  for (int i = 0; i < n_files; i++) if (!strcmp(files[i].path, path)) return i;
  if (n_files == MANY) return MANY - 1;
  struct stat st;
  snprintf(files[n_files].path, 512, "%s", path);
  files[n_files].safe = stat(path, &st) ? 0 : st.st_size;
  files[n_files].dirty = 0;
  return n_files++;
}
static void on_write(const char *path) { files[file_of(path)].dirty = 1; }
static void on_sync(const char *path) {
  struct stat st;
  if (stat(path, &st)) return;
  if (S_ISDIR(st.st_mode)) {
    size_t n = strlen(path);
    for (int i = 0; i < n_moves; i++)
      if (moves[i].open && !strncmp(moves[i].to, path, n) && !strchr(moves[i].to + n + 1, '/')) {
        moves[i].open = 0;
        if (moves[i].had) remove(moves[i].old);
      }
    return;
  }
  int i = file_of(path);
  files[i].safe = st.st_size, files[i].dirty = 0;
}
static int link_real(const char *a, const char *b);
static void on_rename(const char *a, const char *b) {
  int i = file_of(a), j = file_of(b);
  files[j].safe = files[i].safe, files[j].dirty = files[i].dirty;
  if (n_moves == MANY) return;
  snprintf(moves[n_moves].to, 512, "%s", b);
  snprintf(moves[n_moves].old, 512, "%.*s.power-%d", (int)strlen(prefix) - 1, prefix, n_moves);
  moves[n_moves].had = !link_real(b, moves[n_moves].old);
  moves[n_moves++].open = 1;
}
static int rename_real(const char *a, const char *b);
static void lose_power(int how) {
  armed = 0;
  for (int i = n_files - 1; i >= 0; i--) {
    struct stat st;
    if (!files[i].dirty || stat(files[i].path, &st) || st.st_size <= files[i].safe) continue;
    off_t keep = files[i].safe, extra = st.st_size - keep;
    if (how == 1 && roll() % 2) continue;
    if (how == 2) { /* edges of sectors inside the lost bytes */
      off_t first = (keep / 512 + 1) * 512, edges = keep + extra > first ? (keep + extra - first - 1) / 512 + 1 : 0;
      off_t choice = roll() % (int)(edges + 1);
      if (choice) keep = first + (choice - 1) * 512;
    }
    if (truncate(files[i].path, keep)) continue;
  }
  for (int i = n_moves - 1; i >= 0; i--) {
    if (!moves[i].open || (how != 0 && roll() % 2)) continue;
    if (moves[i].had) rename_real(moves[i].old, moves[i].to);
    else remove(moves[i].to);
  }
  kill(getpid(), SIGKILL);
}

static int below(const char *path) { return path && strncmp(path, prefix, strlen(prefix)) == 0; }

static int of_fd(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, 4095);
  if (n < 0) return 0;
  path[n] = 0;
  return below(path);
}

static __thread int halve = 0;

/* 1 if the call is to fail now, with errno set */
static int fault(const char *call) { /* a counted call */
  long now = __sync_add_and_fetch(&seen, 1);
  if (now < armed_at || armed_at < 0 || (now > armed_at && !repeats)) return 0;
  if (now == armed_at) snprintf(last, sizeof last, "%s", call);
  if (mode == 1) kill(getpid(), SIGKILL);
  if (mode == 3) lose_power(error_code);
  if (mode == 2 && (!strncmp(call, "unlink", 6) || !strcmp(call, "rmdir"))) return 0; /* a full disk can delete */
  if (mode == 2) { errno = error_code; return 1; }
  if (mode == 4 && !error_code && strstr(call, "write")) halve = 1;
  if (mode == 4 && error_code && (strstr(call, "write") || strstr(call, "sync") || !strncmp(call, "open", 4))) {
    errno = error_code;
    return 1;
  }
  return 0;
}
static size_t part(size_t n) { size_t now = halve && n > 1 ? n / 2 : n; halve = 0; return now; }

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__) = 0; \
  if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define ON_FD(fd, call) char path[4096]; if (armed && of_fd(fd, path) && fault(call)) return -1
#define ON_PATH(p, call) if (armed && below(p) && fault(call)) return -1

ssize_t write(int fd, const void *b, size_t n) { REAL(ssize_t, "write", int, const void *, size_t); ON_FD(fd, "write"); if (armed && of_fd(fd, path)) on_write(path); return real(fd, b, part(n)); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { REAL(ssize_t, "pwrite", int, const void *, size_t, off_t); ON_FD(fd, "pwrite"); if (armed && of_fd(fd, path)) on_write(path); return real(fd, b, part(n), o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t); ON_FD(fd, "pwrite64"); if (armed && of_fd(fd, path)) on_write(path); return real(fd, b, part(n), o); }
int ftruncate(int fd, off_t n) { REAL(int, "ftruncate", int, off_t); ON_FD(fd, "ftruncate"); return real(fd, n); }
int ftruncate64(int fd, off64_t n) { REAL(int, "ftruncate64", int, off64_t); ON_FD(fd, "ftruncate64"); return real(fd, n); }
int fsync(int fd) { REAL(int, "fsync", int); ON_FD(fd, "fsync"); if (armed && of_fd(fd, path)) on_sync(path); return real(fd); }
int fdatasync(int fd) { REAL(int, "fdatasync", int); ON_FD(fd, "fdatasync"); if (armed && of_fd(fd, path)) on_sync(path); return real(fd); }
int rename(const char *a, const char *b) { REAL(int, "rename", const char *, const char *); ON_PATH(b, "rename"); if (armed && below(b)) on_rename(a, b); return real(a, b); }
int link(const char *a, const char *b) { REAL(int, "link", const char *, const char *); ON_PATH(b, "link"); return real(a, b); }
int unlink(const char *p) { REAL(int, "unlink", const char *); ON_PATH(p, "unlink"); return real(p); }
int rmdir(const char *p) { REAL(int, "rmdir", const char *); ON_PATH(p, "rmdir"); return real(p); }
int mkdir(const char *p, mode_t m) { REAL(int, "mkdir", const char *, mode_t); ON_PATH(p, "mkdir"); return real(p, m); }
static int link_real(const char *a, const char *b) { REAL(int, "link", const char *, const char *); return real(a, b); }
static int rename_real(const char *a, const char *b) { REAL(int, "rename", const char *, const char *); return real(a, b); }
int renameat(int d, const char *a, int e, const char *b) { REAL(int, "renameat", int, const char *, int, const char *); ON_PATH(b, "renameat"); return real(d, a, e, b); }
int unlinkat(int d, const char *p, int f) { REAL(int, "unlinkat", int, const char *, int); ON_PATH(p, "unlinkat"); return real(d, p, f); }
int mkdirat(int d, const char *p, mode_t m) { REAL(int, "mkdirat", int, const char *, mode_t); ON_PATH(p, "mkdirat"); return real(d, p, m); }

#define OPEN(name) \
  int name(const char *p, int flags, ...) { \
    mode_t m = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); m = va_arg(a, mode_t); va_end(a); } \
    REAL(int, #name, const char *, int, ...); \
    if (flags & O_CREAT) { ON_PATH(p, "open"); } \
    return real(p, flags, m); \
  }
OPEN(open)
OPEN(open64)
int openat(int d, const char *p, int flags, ...) {
  mode_t m = 0;
  if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); m = va_arg(a, mode_t); va_end(a); }
  REAL(int, "openat", int, const char *, int, ...);
  if (flags & O_CREAT) { ON_PATH(p, "openat"); }
  return real(d, p, flags, m);
}
