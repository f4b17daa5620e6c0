#include "tests/bench/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/operate.h"

static bool send_all(int fd, const void *bytes, size_t len) {
    const char *p = bytes;
    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n, len -= (size_t)n;
    }
    return true;
}

static bool receive_all(int fd, void *bytes, size_t len) {
    char *p = bytes;
    while (len) {
        ssize_t n = recv(fd, p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n, len -= (size_t)n;
    }
    return true;
}

static int worker_main(const struct job *job, int socket, struct answer *answer) {
    struct work work;
    struct order order;
    /* Not to outlive the driver, whatever happens to it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Ctrl-C is for the driver, which removes the files. */
    signal(SIGINT, SIG_IGN);
    if (!work_init(&work, job))
        return 1;
    while (receive_all(socket, &order, sizeof order)) {
        memset(answer, 0, sizeof *answer);
        order.work(&work, &order, answer);
        if (!send_all(socket, "", 1))
            break;
    }
    work_end(&work);
    return 0;
}

bool worker_start(struct worker *w, const struct job *job) {
    int sockets[2];
    struct answer *answer =
        mmap(NULL, sizeof *answer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (answer == MAP_FAILED)
        return false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
        munmap(answer, sizeof *answer);
        return false;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(sockets[0]);
        _exit(worker_main(job, sockets[1], answer));
    }
    close(sockets[1]);
    *w = (struct worker){.pid = pid, .socket = sockets[0], .answer = answer};
    if (pid < 0) {
        close(sockets[0]);
        munmap(answer, sizeof *answer);
        return false;
    }
    return true;
}

bool worker_order(const struct worker *w, const struct order *order) {
    return send_all(w->socket, order, sizeof *order);
}

bool worker_wait(const struct worker *w) {
    char done;
    return receive_all(w->socket, &done, sizeof done);
}

void worker_end(struct worker *w) {
    /* Workers that were begun later have a copy of the socket, so closing it is not enough. */
    shutdown(w->socket, SHUT_RDWR);
    close(w->socket);
    while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    munmap(w->answer, sizeof *w->answer);
}
