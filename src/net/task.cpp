#include "net/task.hpp"

#include <array>
#include <new>

namespace net::detail {
namespace {

constexpr std::size_t step_bytes = 16;  // frames are kept by size, rounded up to what malloc rounds up to
constexpr std::size_t kept_frame_bytes_max = 16'384;
#if defined(__SANITIZE_ADDRESS__) || (defined(__has_feature) && __has_feature(address_sanitizer))
constexpr unsigned kept_per_size_max = 0;  // so that AddressSanitizer sees every use of a dead frame
#else
constexpr unsigned kept_per_size_max = 64;  // per thread; the rest goes back to the allocator
#endif

struct kept_frames {
    struct entry {
        entry* next;
    };
    struct shelf {
        entry* first = nullptr;
        unsigned count = 0;
    };
    std::array<shelf, kept_frame_bytes_max / step_bytes> shelves{};

    ~kept_frames() {
        for (auto& each : shelves) {
            while (each.first) ::operator delete(std::exchange(each.first, each.first->next));
            each.count = kept_per_size_max;  // a frame released after this goes straight to the allocator
        }
    }
};

thread_local kept_frames kept;

std::size_t shelf_of(std::size_t size) { return (size - 1) / step_bytes; }

}  // namespace

void* allocate_frame(std::size_t size) {
    const std::size_t index = shelf_of(size);
    if (index >= kept.shelves.size()) return ::operator new(size);
    auto& shelf = kept.shelves[index];
    if (!shelf.first) return ::operator new((index + 1) * step_bytes);
    --shelf.count;
    return std::exchange(shelf.first, shelf.first->next);
}

void release_frame(void* frame, std::size_t size) noexcept {
    const std::size_t index = shelf_of(size);
    if (index >= kept.shelves.size() || kept.shelves[index].count >= kept_per_size_max) {
        ::operator delete(frame);
        return;
    }
    auto& shelf = kept.shelves[index];
    shelf.first = ::new (frame) kept_frames::entry{shelf.first};
    ++shelf.count;
}

}  // namespace net::detail
