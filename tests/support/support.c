#include "tests/support/support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHM_DIR "/dev/shm"
#define GATE_TIMEOUT_MS 60000

/* A test that cannot go on for a reason of its own. */
static _Noreturn void give_up(const char *what) {
    fprintf(stderr, "test support: %s: %s\n", what, strerror(errno));
    abort();
}

uint64_t random_u64(void) {
    uint64_t r;
    if (random_bytes(&r, sizeof r) != SHMKV_OK)
        give_up("getrandom");
    return r;
}

/* ------------------------------------------------------------------------ names */

static char prefix[64];
static unsigned names_made;

void names_begin(void) {
    const char *given = getenv("SHMKV_TEST_PREFIX");
    if (*prefix)
        return;
    if (given)
        snprintf(prefix, sizeof prefix, "%.60s", given);
    else
        snprintf(prefix, sizeof prefix, "shmkv-test-%ld-%08x", (long)getpid(), (unsigned)random_u64());
}

/* Names live as long as the process; the list is what a leak checker finds them by. */
struct text {
    struct text *next;
    char text[];
};
static struct text *texts;

static const char *text_copy(const char *text) {
    struct text *copy = malloc(sizeof *copy + strlen(text) + 1);
    if (!copy)
        give_up("malloc");
    strcpy(copy->text, text);
    copy->next = texts;
    texts = copy;
    return copy->text;
}

const char *unique_name(void) {
    char name[NAME_MAX];
    names_begin();
    snprintf(name, sizeof name, "%s-%ld-%u", prefix, (long)getpid(), names_made++);
    return text_copy(name);
}

const char *scratch_dir(void) {
    static char dir[PATH_MAX];
    names_begin();
    if (!*dir) {
        snprintf(dir, sizeof dir, SHM_DIR "/%s-%ld.d", prefix, (long)getpid());
        if (mkdir(dir, 0700) != 0 && errno != EEXIST)
            give_up(dir);
    }
    return dir;
}

const char *scratch_path(const char *entry) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", scratch_dir(), entry);
    return text_copy(path);
}

const char *shm_path(const char *name) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, SHM_DIR "/%s", name);
    return text_copy(path);
}

static void each_entry(const char *dir, void (*fn)(const char *path, const char *entry, void *arg), void *arg) {
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[PATH_MAX];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (snprintf(path, sizeof path, "%s/%s", dir, e->d_name) < (int)sizeof path)
            fn(path, e->d_name, arg);
    }
    closedir(d);
}

static void remove_tree(const char *path, const char *entry, void *arg) {
    (void)entry;
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        each_entry(path, remove_tree, arg);
        rmdir(path);
    } else {
        unlink(path);
    }
}

struct sweep {
    unsigned found;
    bool report;
};

static void sweep_entry(const char *path, const char *entry, void *arg) {
    struct sweep *s = arg;
    if (strncmp(entry, prefix, strlen(prefix)) != 0)
        return;
    /* An empty scratch directory is no leftover. */
    if (rmdir(path) == 0)
        return;
    s->found++;
    if (s->report)
        fprintf(stderr, "left behind: %s\n", path);
    remove_tree(path, entry, NULL);
}

unsigned names_sweep(bool report) {
    struct sweep s = {0, report};
    if (*prefix)
        each_entry(SHM_DIR, sweep_entry, &s);
    return s.found;
}

static void count_entry(const char *path, const char *entry, void *arg) {
    (void)path;
    (void)entry;
    ++*(unsigned *)arg;
}

unsigned directory_count(const char *dir) {
    unsigned n = 0;
    each_entry(dir, count_entry, &n);
    return n;
}

/* --------------------------------------------------------------------- processes */

pid_t child_start(void (*body)(void *), void *arg) {
    pid_t parent = getpid(), pid;
    fflush(NULL);
    pid = fork();
    if (pid < 0)
        give_up("fork");
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(99);
    body(arg);
    fflush(NULL);
    _exit(0);
}

int child_wait(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) != pid)
        if (errno != EINTR)
            give_up("waitpid");
    return status;
}

bool child_succeeded(pid_t pid) {
    int status = child_wait(pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool child_kill(pid_t pid) {
    kill(pid, SIGKILL);
    int status = child_wait(pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

bool child_stop(pid_t pid) {
    int status;
    kill(pid, SIGSTOP);
    while (waitpid(pid, &status, WUNTRACED) != pid)
        if (errno != EINTR)
            give_up("waitpid");
    return WIFSTOPPED(status);
}

void child_continue(pid_t pid) { kill(pid, SIGCONT); }

void child_asleep(pid_t pid) {
    char path[40], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    while (state != 'S') {
        FILE *f = fopen(path, "r");
        if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1 || state == 'Z')
            give_up(path);
        fclose(f);
        sched_yield();
    }
}

struct gate gate_new(void) {
    struct gate g;
    if (pipe2(g.ends, O_CLOEXEC) != 0)
        give_up("pipe");
    return g;
}

void gate_open(const struct gate *g) {
    while (write(g->ends[1], "", 1) != 1)
        if (errno != EINTR)
            give_up("gate");
}

/* @p opener: a descriptor that becomes readable when nobody will open it any more, or -1. */
static bool gate_wait_or(const struct gate *g, int opener) {
    uint64_t deadline = now_ms() + GATE_TIMEOUT_MS;
    struct pollfd p[] = {{.fd = g->ends[0], .events = POLLIN}, {.fd = opener, .events = POLLIN}};
    for (uint64_t now; (now = now_ms()) < deadline;) {
        char byte;
        if (poll(p, 2, (int)(deadline - now)) < 1)
            continue;
        if (p[0].revents ? read(g->ends[0], &byte, 1) == 1 : p[1].revents)
            return p[0].revents;
    }
    return false;
}
bool gate_wait(const struct gate *g) { return gate_wait_or(g, -1); }
bool gate_wait_from(const struct gate *g, pid_t opener) {
    int fd = (int)syscall(SYS_pidfd_open, opener, 0);
    if (fd < 0)
        give_up("pidfd_open");
    bool open = gate_wait_or(g, fd);
    close(fd);
    return open;
}

void *shared_memory(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        give_up("mmap");
    return p;
}

bool running_as_root(void) { return geteuid() == 0; }

uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------------ inside */

struct segment *segment_of(shmkv_t *kv) { return atomic_load(&kv->seg); }

uint64_t hash_of(shmkv_t *kv, const void *key, size_t key_len) {
    return hash_bytes(key, key_len, segment_of(kv)->seed);
}

void key_find(struct key_search *s, char key[KEY_TEXT_SIZE]) {
    for (;;) {
        int n = snprintf(key, KEY_TEXT_SIZE, "%s-%llu", s->prefix, (unsigned long long)s->next++);
        uint64_t hash = hash_bytes(key, (size_t)n, s->seed);
        if (((hash ^ s->value) & s->mask) == 0 && (s->bucket < 0 || hash_bucket(hash) == (unsigned)s->bucket))
            return;
    }
}

struct key_search search_like(shmkv_t *kv, const char *key, unsigned depth, bool bucket, const char *prefix_) {
    struct segment *seg = segment_of(kv);
    uint64_t hash = hash_of(kv, key, strlen(key));
    return (struct key_search){
        .seed = seg->seed,
        .mask = (1ULL << (seg->shard_bits + depth)) - 1,
        .value = hash,
        .bucket = bucket ? (int)hash_bucket(hash) : -1,
        .prefix = prefix_,
    };
}

struct key_search search_shard(shmkv_t *kv, uint32_t shard, const char *prefix_) {
    struct segment *seg = segment_of(kv);
    return (struct key_search){.seed = seg->seed, .mask = seg->shard_count - 1, .value = shard, .bucket = -1, .prefix = prefix_};
}

static int open_raw(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        give_up(path);
    return fd;
}

void file_patch(const char *path, uint64_t offset, const void *bytes, size_t len) {
    int fd = open_raw(path, O_RDWR);
    if (pwrite(fd, bytes, len, (off_t)offset) != (ssize_t)len)
        give_up(path);
    close(fd);
}

void file_read(const char *path, uint64_t offset, void *bytes, size_t len) {
    int fd = open_raw(path, O_RDONLY);
    if (pread(fd, bytes, len, (off_t)offset) != (ssize_t)len)
        give_up(path);
    close(fd);
}

void header_reseal(const char *path) {
    header_t h;
    file_read(path, 0, &h, sizeof h);
    uint64_t checksum = hash_bytes(&h, offsetof(header_t, checksum), 0);
    file_patch(path, offsetof(header_t, checksum), &checksum, sizeof checksum);
}

void file_copy(const char *from, const char *to) {
    int in = open_raw(from, O_RDONLY), out = open_raw(to, O_RDWR | O_CREAT | O_TRUNC);
    struct stat st;
    if (fstat(in, &st) != 0 || fallocate(out, 0, 0, st.st_size) != 0)
        give_up(to);
    static char buf[1 << 16];
    for (off_t at = 0; at < st.st_size;) {
        ssize_t n = pread(in, buf, sizeof buf, at);
        if (n <= 0 || pwrite(out, buf, (size_t)n, at) != n)
            give_up(to);
        at += n;
    }
    close(in);
    close(out);
}

/* ------------------------------------------------------------------------ random */

struct random random_begin(const char *what) {
    const char *given = getenv("SHMKV_TEST_SEED");
    struct random r = {given ? strtoull(given, NULL, 0) : random_u64() >> 32};
    printf("%s: SHMKV_TEST_SEED=%llu\n", what, (unsigned long long)r.state);
    fflush(stdout); /* a test that dies by a signal has told its seed, and a child does not tell it again */
    return r;
}

/* SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, 2014). */
uint64_t random_next(struct random *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t random_below(struct random *r, uint64_t n) { return random_next(r) % n; }
