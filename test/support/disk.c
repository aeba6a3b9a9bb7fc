/*
 * A disk that waits or fails on request, put in front of the real one with LD_PRELOAD. While the file $ROLLCALL_DISK.hold
 * exists, nothing becomes durable; while $ROLLCALL_DISK.fail does, syncs fail; while $ROLLCALL_DISK.full does, writes do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_set(const char *state) {
  char path[4096];
  const char *disk = getenv("ROLLCALL_DISK");
  if (disk == NULL) return 0;
  snprintf(path, sizeof path, "%s.%s", disk, state);
  return access(path, F_OK) == 0;
}

static int refused(const char *state, int error) {
  while (is_set("hold")) usleep(2000);
  if (!is_set(state)) return 0;
  errno = error;
  return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fdatasync(int fd) { return refused("fail", EIO) ? -1 : REAL(fdatasync)(fd); }
int fsync(int fd) { return refused("fail", EIO) ? -1 : REAL(fsync)(fd); }
int msync(void *at, size_t length, int flags);
int msync(void *at, size_t length, int flags) { return refused("fail", EIO) ? -1 : REAL(msync)(at, length, flags); }

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
  if (is_set("full")) return errno = ENOSPC, -1;
  return REAL(pwrite64)(fd, bytes, length, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
  if (is_set("full")) return errno = ENOSPC, -1;
  return REAL(pwritev64)(fd, parts, count, at);
}
