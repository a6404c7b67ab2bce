/* An fdatasync that fails or hangs on command, to be preloaded: while there is a file "$FDATASYNC.fail" it answers EIO, while
   there is one "$FDATASYNC.hang" it does not answer. Each call that succeeds is a byte more in "$FDATASYNC.count", each one
   that fails in "$FDATASYNC.failed", each one that hangs, when it begins to, in "$FDATASYNC.hung". */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static char fail[512], hang[512], count[512], failed[512], hung[512];

/* nginx takes the environment away from its workers: it is read before. */
__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("FDATASYNC");

    if (at) {
        snprintf(fail, sizeof fail, "%s.fail", at);
        snprintf(hang, sizeof hang, "%s.hang", at);
        snprintf(count, sizeof count, "%s.count", at);
        snprintf(failed, sizeof failed, "%s.failed", at);
        snprintf(hung, sizeof hung, "%s.hung", at);
    }
}

static void note(const char *name)
{
    int log;

    if (name[0] && (log = open(name, O_WRONLY | O_APPEND)) >= 0) {
        if (write(log, "+", 1) != 1) { /* nobody counts */ }
        close(log);
    }
}

int fdatasync(int fd)
{
    for (int hangs = 0; hang[0] && access(hang, F_OK) == 0; hangs = 1) {
        if (!hangs) {
            note(hung);
        }
        poll(NULL, 0, 5);
    }
    if (fail[0] && access(fail, F_OK) == 0) {
        note(failed);
        errno = EIO;
        return -1;
    }
    if (syscall(SYS_fdatasync, fd) != 0) {
        return -1;
    }
    note(count);
    return 0;
}
