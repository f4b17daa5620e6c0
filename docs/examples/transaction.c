/* Several keys that change together or not at all, also when the process is killed between. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shmkv/shmkv.h>

enum { FROM, TO }; /* places among the keys */

static void ok(int err) {
    if (err) {
        fprintf(stderr, "%s\n", shmkv_error_detail());
        exit(1);
    }
}

static int balance_of(shmkv_txn_t *txn, size_t account, int64_t *balance) {
    struct shmkv_item item;
    int err = shmkv_txn_get(txn, account, &item);
    if (!err)
        memcpy(balance, item.data, sizeof *balance);
    return err;
}

static int set_balance(shmkv_txn_t *txn, size_t account, int64_t balance) {
    struct shmkv_item item = {.type = SHMKV_INT64, .data = &balance, .len = sizeof balance};
    return shmkv_txn_put(txn, account, &item);
}

/* What it returns, if not SHMKV_OK, undoes everything and is returned by the transaction. */
enum { NOT_ENOUGH = 1 };

/* Called again, on fresh values, if somebody changes one of the keys meanwhile: it should do
 * nothing but this. No lock is held. */
static int move(void *arg, shmkv_txn_t *txn) {
    const int64_t *amount = arg;
    int64_t from, to;
    int err = balance_of(txn, FROM, &from);
    if (!err)
        err = balance_of(txn, TO, &to);
    if (!err)
        err = set_balance(txn, TO, to + *amount);
    if (!err)
        err = set_balance(txn, FROM, from - *amount);
    return !err && from < *amount ? NOT_ENOUGH : err;
}

static int transfer(shmkv_t *kv, const char *from, const char *to, int64_t amount) {
    const struct shmkv_bytes keys[] = {{from, strlen(from)}, {to, strlen(to)}};
    return shmkv_transaction(kv, 2, keys, move, &amount);
}

static void show(shmkv_t *kv) {
    int64_t alice, bob;
    ok(shmkv_get_i64(kv, "alice", 5, &alice));
    ok(shmkv_get_i64(kv, "bob", 3, &bob));
    printf("alice %lld, bob %lld\n", (long long)alice, (long long)bob);
}

int main(int argc, char **argv) {
    const char *segment = argc > 1 ? argv[1] : "example";
    shmkv_t *kv;
    ok(shmkv_open(segment, NULL, &kv));
    ok(shmkv_put_i64(kv, "alice", 5, 100));
    ok(shmkv_put_i64(kv, "bob", 3, 0));

    ok(transfer(kv, "alice", "bob", 70));
    show(kv);
    printf("70 more: %s\n", transfer(kv, "alice", "bob", 70) == NOT_ENOUGH ? "not enough" : "?");
    show(kv);
    printf("to carol: %s\n", shmkv_error_name(transfer(kv, "bob", "carol", 1)));
    show(kv);

    ok(shmkv_close(kv));
    ok(shmkv_unlink(segment));
    return 0;
}

/* It prints:
 *
 * alice 30, bob 70
 * 70 more: not enough
 * alice 30, bob 70
 * to carol: SHMKV_ENOTFOUND
 * alice 30, bob 70
 */
