/* Changes that depend on what is there: decided and made in one step, so nobody comes between. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shmkv/shmkv.h>

static void ok(int err) {
    if (err) {
        fprintf(stderr, "%s\n", shmkv_error_detail());
        exit(1);
    }
}

static struct shmkv_item text(const char *string) {
    return (struct shmkv_item){.type = SHMKV_TEXT, .data = string, .len = strlen(string)};
}

/* Called again if somebody else changes the value meanwhile. */
static int exclaim(void *arg, const struct shmkv_item *old, struct shmkv_item *new_) {
    char *buf = arg;
    if (!old)
        return SHMKV_ENOTFOUND; /* leave it absent */
    memcpy(buf, old->data, old->len);
    buf[old->len] = '!';
    new_->data = buf;
    new_->len = old->len + 1;
    return SHMKV_OK;
}

int main(int argc, char **argv) {
    const char *segment = argc > 1 ? argv[1] : "example";
    shmkv_t *kv;
    ok(shmkv_open(segment, NULL, &kv));
    struct shmkv_item one = text("one"), two = text("two"), three = text("three"), found;
    char buf[64];

    /* Only if absent; only if present. */
    ok(shmkv_add(kv, "k", 1, &one, NULL));
    printf("add again: %s\n", shmkv_error_name(shmkv_add(kv, "k", 1, &two, NULL)));
    printf("replace another: %s\n", shmkv_error_name(shmkv_replace(kv, "other", 5, &two, NULL)));

    /* Only if nobody has changed it since it was read. */
    ok(shmkv_get_item(kv, "k", 1, buf, sizeof buf, &found));
    ok(shmkv_cas(kv, "k", 1, found.version, &two));
    printf("once more: %s\n", shmkv_error_name(shmkv_cas(kv, "k", 1, found.version, &three)));
    ok(shmkv_cas_value(kv, "k", 1, &two, &three)); /* by its value */

    /* Store one value and get the one before. */
    ok(shmkv_swap(kv, "k", 1, &one, buf, sizeof buf, &found));
    printf("swapped for %.*s\n", (int)found.len, buf);

    /* What is there, or else this. */
    ok(shmkv_get_or_set(kv, "k", 1, &two, buf, sizeof buf, &found));
    printf("there was %.*s\n", (int)found.len, buf);

    ok(shmkv_update(kv, "k", 1, exclaim, buf));
    ok(shmkv_append_text(kv, "k", 1, "!", 1, NULL));

    /* Remove it and get what it was: one of all who try. */
    ok(shmkv_take(kv, "k", 1, buf, sizeof buf, &found));
    printf("took %.*s\n", (int)found.len, buf);
    printf("take again: %s\n", shmkv_error_name(shmkv_take(kv, "k", 1, buf, sizeof buf, &found)));

    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * add again: SHMKV_EEXISTS
 * replace another: SHMKV_ENOTFOUND
 * once more: SHMKV_ECHANGED
 * swapped for three
 * there was one
 * took one!!
 * take again: SHMKV_ENOTFOUND
 */
