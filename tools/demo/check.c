/*
 * The C part of the demonstration: looks up every package of the file, again and again
 * while the others write. A package may not be there yet; one that is there must have the
 * version that the file gives, and one that was there must not be gone.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shmkv/shmkv.h>

enum { ENOUGH = 200, FIELD = 1024 };

struct package {
    char *key, *version;
    bool seen;
};

struct packages {
    struct package *array;
    size_t count, room;
};

/* Not an assert: a demonstration that cannot go on says why. */
static void require(bool condition, const char *what, const char *which) {
    if (condition)
        return;
    fprintf(stderr, "[c]      %s: %s\n", what, which);
    exit(1);
}

static void add_package(struct packages *list, const char *name, const char *arch,
                        const char *version) {
    char key[2 * FIELD];

    if (!*name || !*arch || !*version)
        return;
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 256;
        list->array = realloc(list->array, list->room * sizeof *list->array);
        require(list->array != NULL, "out of memory", name);
    }
    snprintf(key, sizeof key, "%s:%s", name, arch);
    struct package *package = &list->array[list->count++];
    *package = (struct package){.key = strdup(key), .version = strdup(version)};
    require(package->key && package->version, "out of memory", name);
}

/* If @p line is the field @p name, copy its value. */
static void read_field(const char *line, const char *name, char value[FIELD]) {
    size_t len = strlen(name);

    if (strncmp(line, name, len) == 0 && strncmp(line + len, ": ", 2) == 0)
        snprintf(value, FIELD, "%s", line + len + 2);
}

static struct packages read_packages(const char *path) {
    char name[FIELD] = "", arch[FIELD] = "", version[FIELD] = "";
    struct packages list = {0};
    char *line = NULL;
    size_t room = 0;

    FILE *in = fopen(path, "r");
    require(in != NULL, "cannot read", path);
    while (getline(&line, &room, in) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        read_field(line, "Package", name);
        read_field(line, "Architecture", arch);
        read_field(line, "Version", version);
        if (!*line) {
            add_package(&list, name, arch, version);
            *name = *arch = *version = '\0';
        }
    }
    add_package(&list, name, arch, version);
    free(line);
    fclose(in);
    return list;
}

/* Look up one package. False if it is not there. */
static bool check_package(shmkv_t *kv, const struct package *package) {
    char version[FIELD];
    size_t len;

    int err = shmkv_get(kv, package->key, strlen(package->key), version, sizeof version, &len);
    if (err == SHMKV_ENOTFOUND)
        return false;
    require(err == SHMKV_OK, package->key, shmkv_strerror(err));
    require(len == strlen(package->version) && memcmp(version, package->version, len) == 0,
            "not the version that the file gives", package->key);
    return true;
}

/* Look up all of them; how many are there. */
static size_t check_packages(shmkv_t *kv, struct packages *list) {
    size_t found = 0;

    for (size_t i = 0; i < list->count; i++) {
        struct package *package = &list->array[i];
        bool here = check_package(kv, package);
        require(here || !package->seen, "it was there and is gone", package->key);
        package->seen = here;
        found += here;
    }
    return found;
}

/* Say a word to Perl, which waits for it. */
static void tell(const char *word) {
    ssize_t len = (ssize_t)strlen(word);

    require(write(3, word, (size_t)len) == len, "nobody listens", "descriptor 3");
}

int main(int argc, char **argv) {
    unsigned long rounds = 0;
    bool complete = false;
    size_t found = 0;
    uint64_t entries;
    shmkv_t *kv;

    setvbuf(stdout, NULL, _IOLBF, 0);
    require(argc == 3, "usage", "check SEGMENT FILE");
    struct packages list = read_packages(argv[2]);
    require(shmkv_open(argv[1], NULL, &kv) == SHMKV_OK, "cannot open", shmkv_error_detail());
    require(shmkv_count(kv, &entries) == SHMKV_OK, "cannot count", shmkv_error_detail());
    printf("[c]      process %d: opened '%s' SHARED, and sees %llu entries\n", (int)getpid(),
           argv[1], (unsigned long long)entries);
    tell("attached\n");
    while (!complete) {
        /* Asked first: what is looked up below is then in a complete store. */
        complete = shmkv_exists(kv, "demo/complete", 13) == SHMKV_OK;
        found = check_packages(kv, &list);
        if (++rounds == ENOUGH)
            tell("enough\n");
    }
    require(found == list.count, "packages are missing", argv[2]);
    printf("[c]      looked up %zu packages %lu times; every version as in the file\n", found,
           rounds);
    return shmkv_close(kv) == SHMKV_OK ? 0 : 1;
}
