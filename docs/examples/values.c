/* Values with a type, which other languages find as values of their own. */
#include <inttypes.h>
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

static void show(shmkv_t *kv, const char *key) {
    char buf[256];
    struct shmkv_item item;
    ok(shmkv_get_item(kv, key, strlen(key), buf, sizeof buf, &item));
    switch (item.type) {
    case SHMKV_TEXT:
        printf("%s: the text \"%.*s\"\n", key, (int)item.len, buf);
        break;
    case SHMKV_JSON:
        printf("%s: JSON, %.*s\n", key, (int)item.len, buf);
        break;
    case SHMKV_NULL:
        printf("%s: null\n", key);
        break;
    default:
        printf("%s: %zu bytes of type %d\n", key, item.len, item.type);
    }
}

int main(int argc, char **argv) {
    const char *segment = argc > 1 ? argv[1] : "example";
    shmkv_t *kv;
    ok(shmkv_open(segment, NULL, &kv));

    ok(shmkv_put_text(kv, "name", 4, "Ren\xc3\xa9", 5)); /* UTF-8, which is checked */
    ok(shmkv_put_i64(kv, "age", 3, 42));
    ok(shmkv_put_f64(kv, "height", 6, 1.82));
    ok(shmkv_put_bool(kv, "member", 6, 1));
    ok(shmkv_put_null(kv, "email", 5));
    ok(shmkv_put_json(kv, "tags", 4, "[\"a\",1]", 7)); /* lists and dictionaries elsewhere */
    show(kv, "name");
    show(kv, "email");
    show(kv, "tags");

    int64_t age;
    double height;
    int member;
    ok(shmkv_get_i64(kv, "age", 3, &age));
    ok(shmkv_get_f64(kv, "height", 6, &height));
    ok(shmkv_get_bool(kv, "member", 6, &member));
    printf("%" PRId64 ", %.2f, %s\n", age, height, member ? "a member" : "no member");

    /* Nothing is converted. */
    printf("height as an integer: %s\n", shmkv_error_name(shmkv_get_i64(kv, "height", 6, &age)));
    printf("bad text: %s\n", shmkv_error_name(shmkv_put_text(kv, "name", 4, "\xff", 1)));

    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * name: the text "René"
 * email: null
 * tags: JSON, ["a",1]
 * 42, 1.82, a member
 * height as an integer: SHMKV_ETYPE
 * bad text: SHMKV_EVALUE
 */
