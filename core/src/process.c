/*
 * Facts about processes, from the kernel: what an owner slot says of its owner,
 * and whether that process is still the one it was. Spec 4.4.
 *
 * A pid means something only within its PID namespace and boot, and /proc shows
 * whatever it was mounted for. So a process is called gone only when all of that
 * is known to fit; in doubt it lives.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

static ssize_t read_file(const char *path, char *buf, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, buf, size - 1);
    close(fd);
    buf[n > 0 ? n : 0] = '\0';
    return n;
}

static int hex_digit(char c) {
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

int boot_id_read(uint8_t id[16]) {
    char text[64];
    if (read_file("/proc/sys/kernel/random/boot_id", text, sizeof text) < 36)
        return -1;
    size_t n = 0;
    for (const char *p = text; *p && n < 16; p++)
        if (isxdigit((unsigned char)p[0]) && isxdigit((unsigned char)p[1])) {
            id[n++] = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
            p++;
        }
    return n == 16 ? 0 : -1;
}

void program_name_read(uint8_t name[32]) {
    char text[32];
    memset(name, 0, 32);
    if (read_file("/proc/self/comm", text, sizeof text) <= 0)
        return;
    text[strcspn(text, "\n")] = '\0';
    memcpy(name, text, strlen(text));
}

uint64_t pid_namespace(void) {
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

struct process_stat {
    char state;
    long threads;
    uint64_t start_time;
};

/* Fields 3, 20 and 22 of a stat in /proc; the name, field 2, may contain anything. */
static bool read_process_stat(const char *path, struct process_stat *ps) {
    char text[1024];
    if (read_file(path, text, sizeof text) <= 0)
        return false;
    const char *p = strrchr(text, ')');
    unsigned long long start;
    if (!p ||
        sscanf(p + 1,
               " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld %*s %llu",
               &ps->state, &ps->threads, &start) != 3)
        return false;
    ps->start_time = start;
    return true;
}

/* Not /proc/PID/stat, but the main thread's, which has the process's state and start time.
 * qemu-user makes up the former for one who reads his own, in a forked child with the parent's
 * time: others, who see the true one, would call him gone and take his locks. */
#define LEADER_STAT_SIZE 48

/* The part of a slot that says who the owner is. */
#define FACTS_BEGIN offsetof(owner_t, pid)
#define FACTS_SIZE (offsetof(owner_t, unused_88) - FACTS_BEGIN)

/* Write into a slot who we are. Others may be reading it, and take a mixture for what
 * it is worth: what counts is the owner lock, and the generation in the state word. */
void process_introduce(owner_t *own) {
    struct process_stat ps = {0};
    char stat_of_leader[LEADER_STAT_SIZE];
    owner_t us = {.pid = (uint32_t)getpid(), .uid = (uint32_t)geteuid()};
    us.pid_ns = pid_namespace();
    /* "self": in another namespace's /proc our number is somebody else's. */
    snprintf(stat_of_leader, sizeof stat_of_leader, "/proc/self/task/%u/stat", us.pid);
    us.start_time = read_process_stat(stat_of_leader, &ps) ? ps.start_time : 0;
    us.attached_ns = wall_ns();
    if (boot_id_read(us.boot_id) != 0)
        memset(us.boot_id, 0, sizeof us.boot_id);
    program_name_read(us.name);
    racy_store((uint8_t *)own + FACTS_BEGIN, (const uint8_t *)&us + FACTS_BEGIN, FACTS_SIZE);
}

/* What a slot says of its owner, as it was read: it may change at any time. */
owner_t process_facts(const owner_t *own) {
    owner_t facts = {0};
    racy_copy((uint8_t *)&facts + FACTS_BEGIN, (const uint8_t *)own + FACTS_BEGIN, FACTS_SIZE);
    return facts;
}

/* Same boot and PID namespace: its pid means the same to us. */
static bool pid_comparable(const owner_t *facts) {
    uint8_t boot[16];
    return facts->pid_ns && facts->pid_ns == pid_namespace() && boot_id_read(boot) == 0 &&
           memcmp(boot, facts->boot_id, sizeof boot) == 0;
}

/* [LOCK-19] /proc speaks of our PID namespace, and shows us to ourselves. */
static bool proc_is_ours(void) {
    char self[16];
    ssize_t n = readlink("/proc/self", self, sizeof self - 1);
    if (n <= 0)
        return false;
    self[n] = '\0';
    return atol(self) == (long)getpid();
}

static bool owner_stat(const owner_t *facts, struct process_stat *ps) {
    char path[LEADER_STAT_SIZE];
    snprintf(path, sizeof path, "/proc/%u/task/%u/stat", facts->pid, facts->pid);
    return pid_comparable(facts) && proc_is_ours() && read_process_stat(path, ps);
}

/* Start times are shifted by time namespaces. */
static bool same_time_namespace(const owner_t *facts) {
    char path[32];
    struct stat theirs, ours;
    snprintf(path, sizeof path, "/proc/%u/ns/time", facts->pid);
    return stat(path, &theirs) == 0 && stat("/proc/self/ns/time", &ours) == 0 &&
           theirs.st_ino == ours.st_ino;
}

/* The lock is held, but perhaps by a child that inherited the descriptor: then
 * the process itself must still be there. [LOCK-18] True only when that is
 * certain. */
bool process_gone(const owner_t *facts) {
    if (!pid_comparable(facts))
        return false;
    if (kill((pid_t)facts->pid, 0) != 0 && errno == ESRCH)
        return true;
    struct process_stat ps;
    if (!owner_stat(facts, &ps))
        return false;
    if (ps.state == 'X' || (ps.state == 'Z' && ps.threads <= 1))
        return true;
    return facts->start_time && ps.start_time != facts->start_time && same_time_namespace(facts);
}

bool process_stopped(const owner_t *facts) {
    struct process_stat ps;
    return owner_stat(facts, &ps) && (ps.state == 'T' || ps.state == 't');
}
