/* For profilers: fill, then some operations, in this very process, without clocks or turns. */
#include <stdio.h>

#include "tests/bench/operate.h"
#include "tests/bench/works.h"

static bool work_untimed(struct contender *c, const struct options *o, const struct order *order) {
    static struct answer answer;
    struct work work;
    answer = (struct answer){0};
    if (!work_init(&work, &c->jobs[0]))
        return contender_complain(c, "out of memory");
    fill_store(&work, order, &answer);
    for (uint64_t done = 0; !answer.trouble[0] && done < o->count; done += STRETCH_OPS) {
        block_draw(&work.block, STRETCH_OPS, &order->popularity, &work.random, order->read_percent);
        time_block(&work, order, &answer);
    }
    work_end(&work);
    return !answer.trouble[0] || contender_complain(c, answer.trouble);
}

bool run_untimed(const struct options *o, const struct dataset *data) {
    struct store_setup setup = {
        .keys = data->keys, .value_size = (size_t)data->value_size, .touch = true};
    struct order order = {
        .read_percent = (unsigned)o->reads.values[0], .cpu = ANY_CPU, .batch = o->works[WORK_MANY]};
    popularity_init(&order.popularity, data->keys, o->zipfs.values[0]);
    contenders_begin(o, &setup, NULL);
    bool ok = true;
    for (unsigned i = 0; ok && i < STORES; i++) {
        struct contender *c = contender_in_turn(0, i);
        ok = !c || work_untimed(c, o, &order);
    }
    contenders_end();
    return ok;
}
