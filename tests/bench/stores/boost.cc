// Boost.Interprocess: boost::unordered_map in a managed file, under its interprocess mutex.
#include "tests/bench/stores/store.h"

#ifdef SHMKV_BENCH_BOOST

#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/containers/vector.hpp>
#include <boost/interprocess/managed_mapped_file.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/unordered_map.hpp>

#include <array>
#include <cstring>
#include <functional>
#include <memory>

namespace {

namespace ipc = boost::interprocess;

using Segment = ipc::managed_mapped_file;
using Key = std::array<unsigned char, KEY_SIZE>;
using Value = ipc::vector<unsigned char, ipc::allocator<unsigned char, Segment::segment_manager>>;
using Pair = std::pair<const Key, Value>;

// The keys are random bits already.
struct KeyHash {
    std::size_t operator()(const Key &key) const {
        std::size_t h;
        std::memcpy(&h, key.data(), sizeof h);
        return h;
    }
};

using Map = boost::unordered_map<Key, Value, KeyHash, std::equal_to<Key>,
                                 ipc::allocator<Pair, Segment::segment_manager>>;

struct Handle {
    Segment segment;
    ipc::interprocess_mutex *mutex;
    Map *map;
};

// The file is sparse: what is not used is not there.
std::uint64_t segment_size(const store_setup &setup) {
    return setup.keys * (setup.value_size + 256) * 2 + (64ULL << 20);
}

void *open_store(const store_setup &setup, bool fresh) try {
    auto h = std::make_unique<Handle>();
    h->segment = fresh ? Segment(ipc::create_only, setup.path, segment_size(setup))
                       : Segment(ipc::open_only, setup.path);
    h->mutex = h->segment.find_or_construct<ipc::interprocess_mutex>("mutex")();
    h->map = h->segment.find_or_construct<Map>("map")(setup.grows ? 1 : setup.keys, KeyHash(), std::equal_to<Key>(),
                                                      h->segment.get_segment_manager());
    return h.release();
} catch (const std::exception &) {
    return nullptr;
}

void *create(const store_setup *setup) { return open_store(*setup, true); }
void *attach(const store_setup *setup) { return open_store(*setup, false); }
void detach(void *handle) { delete static_cast<Handle *>(handle); }

// The caller holds the mutex.
int copy_out(const Handle *h, const void *key, void *value, size_t size) {
    Key k;
    std::memcpy(k.data(), key, KEY_SIZE);
    auto found = h->map->find(k);
    if (found == h->map->end() || found->second.size() != size)
        return -1;
    std::memcpy(value, found->second.data(), size);
    return 0;
}

int get(void *handle, const void *key, void *value, size_t size) try {
    auto *h = static_cast<Handle *>(handle);
    ipc::scoped_lock<ipc::interprocess_mutex> lock(*h->mutex);
    return copy_out(h, key, value, size);
} catch (const std::exception &) {
    return -1;
}

int put(void *handle, const void *key, const void *value, size_t size) try {
    auto *h = static_cast<Handle *>(handle);
    const auto *bytes = static_cast<const unsigned char *>(value);
    Key k;
    std::memcpy(k.data(), key, KEY_SIZE);
    ipc::scoped_lock<ipc::interprocess_mutex> lock(*h->mutex);
    auto found = h->map->find(k);
    if (found == h->map->end())
        h->map->emplace(k, Value(bytes, bytes + size, h->segment.get_segment_manager()));
    else
        found->second.assign(bytes, bytes + size);
    return 0;
} catch (const std::exception &) {
    return -1;
}

int get_many(void *handle, const uint8_t *keys, unsigned n, uint8_t *values, size_t size) try {
    auto *h = static_cast<Handle *>(handle);
    ipc::scoped_lock<ipc::interprocess_mutex> lock(*h->mutex);
    for (unsigned i = 0; i < n; i++)
        if (copy_out(h, keys + i * KEY_SIZE, values + i * size, size) != 0)
            return -1;
    return 0;
} catch (const std::exception &) {
    return -1;
}

int remove_key(void *handle, const void *key) try {
    auto *h = static_cast<Handle *>(handle);
    Key k;
    std::memcpy(k.data(), key, KEY_SIZE);
    ipc::scoped_lock<ipc::interprocess_mutex> lock(*h->mutex);
    return h->map->erase(k) == 1 ? 0 : -1;
} catch (const std::exception &) {
    return -1;
}

}  // namespace

#else

namespace {
constexpr void *(*create)(const store_setup *) = nullptr;
constexpr void *(*attach)(const store_setup *) = nullptr;
constexpr void (*detach)(void *) = nullptr;
constexpr int (*get)(void *, const void *, void *, size_t) = nullptr;
constexpr int (*put)(void *, const void *, const void *, size_t) = nullptr;
constexpr int (*get_many)(void *, const uint8_t *, unsigned, uint8_t *, size_t) = nullptr;
constexpr int (*remove_key)(void *, const void *) = nullptr;
}  // namespace

#endif

extern "C" const store store_boost = {
    "boost",
    "Boost.Interprocess, unordered_map under an interprocess mutex",
    "libboost-dev",
    create,
    attach,
    detach,
    nullptr,
    get,
    put,
    get_many,
    remove_key,
    nullptr,
    2.5,
    false,
};
