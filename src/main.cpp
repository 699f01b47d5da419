#include <malloc.h>

#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "app/commands.hpp"

namespace {

// By its own bounds (128 KiB) malloc gives the pages of a large body back to the kernel after every request and fetches
// them anew for the next: more than a third of the CPU of a request with 200 KB. At most so much stays free per thread.
constexpr int kept_free_bytes = 4 << 20;
// Larger blocks still come from the kernel and go back to it: of those a few leave holes that nothing else fits into.
constexpr int largest_kept_block_bytes = 384 << 10;

void keep_freed_memory() {
    mallopt(M_TRIM_THRESHOLD, kept_free_bytes);
    mallopt(M_MMAP_THRESHOLD, largest_kept_block_bytes);
}

}  // namespace

int main(int argc, char** argv) {
    keep_freed_memory();
    try {
        return app::run_command(argc, argv);
    } catch (const std::exception& problem) {
        fmt::print(stderr, "claude-proxy: {}\n", problem.what());
        return 1;
    }
}
