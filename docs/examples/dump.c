/* All entries out as a stream, and in again: a backup, or the way to another machine. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <shmkv/shmkv.h>

static void ok(int err) {
    if (err) {
        fprintf(stderr, "%s\n", shmkv_error_detail());
        exit(1);
    }
}

int main(int argc, char **argv) {
    const char *segment = argc > 1 ? argv[1] : "example";
    FILE *file = tmpfile();
    if (!file)
        return 1;
    int fd = fileno(file);
    shmkv_t *kv;
    uint64_t entries;
    ok(shmkv_open(segment, NULL, &kv));
    ok(shmkv_put_text(kv, "name", 4, "Ada", 3));
    ok(shmkv_put_i64(kv, "born", 4, 1815));

    ok(shmkv_dump(kv, fd, SHMKV_DUMP_SNAPSHOT, &entries)); /* as of one moment */
    printf("dumped %llu\n", (unsigned long long)entries);

    ok(shmkv_put_i64(kv, "born", 4, 0));
    ok(shmkv_put_i64(kv, "added", 5, 1));

    /* Only what is absent; then what is there is replaced; then what is not in the dump goes, too,
     * all at once. */
    int64_t born;
    lseek(fd, 0, SEEK_SET);
    ok(shmkv_load(kv, fd, SHMKV_LOAD_KEEP, &entries));
    ok(shmkv_get_i64(kv, "born", 4, &born));
    printf("keep: %llu stored, born %lld\n", (unsigned long long)entries, (long long)born);
    lseek(fd, 0, SEEK_SET);
    ok(shmkv_load(kv, fd, 0, &entries));
    ok(shmkv_get_i64(kv, "born", 4, &born));
    printf("load: %llu stored, born %lld\n", (unsigned long long)entries, (long long)born);
    lseek(fd, 0, SEEK_SET);
    ok(shmkv_load(kv, fd, SHMKV_LOAD_REPLACE, &entries));
    ok(shmkv_count(kv, &entries));
    printf("replace: %llu entries\n", (unsigned long long)entries);

    /* One that is cut off is refused, and then nothing is replaced. */
    if (ftruncate(fd, 40) || lseek(fd, 0, SEEK_SET))
        return 1;
    printf("cut off: %s\n", shmkv_error_name(shmkv_load(kv, fd, SHMKV_LOAD_REPLACE, &entries)));

    fclose(file);
    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * dumped 2
 * keep: 0 stored, born 0
 * load: 2 stored, born 1815
 * replace: 2 entries
 * cut off: SHMKV_EDUMP
 */
