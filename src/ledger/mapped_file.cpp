#include "ledger/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace ledger {
namespace {

constexpr std::size_t page_bytes = 4096;

[[noreturn]] void fail(int code, const std::string& what) {
    throw std::system_error(code, std::generic_category(), what);
}

struct descriptor {
    int fd;
    ~descriptor() {
        if (fd >= 0) ::close(fd);
    }
};

std::byte* map(int fd, std::size_t bytes, const std::string& path) {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) fail(errno, "mmap " + path);
    return static_cast<std::byte*>(memory);
}

}  // namespace

mapped_file mapped_file::create(std::string path, std::size_t bytes) {
    const descriptor file{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (file.fd < 0) fail(errno, "create " + path);
    try {
        if (const int code = ::posix_fallocate(file.fd, 0, static_cast<off_t>(bytes)); code != 0)
            fail(code, "allocate " + path);
        std::byte* memory = map(file.fd, bytes, path);
        return {std::move(path), memory, bytes};
    } catch (const std::system_error&) {
        ::unlink(path.c_str());
        throw;
    }
}

mapped_file mapped_file::open(std::string path) {
    const descriptor file{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
    struct stat facts{};
    if (file.fd < 0 || ::fstat(file.fd, &facts) != 0) fail(errno, "open " + path);
    if (facts.st_size == 0) return {std::move(path), nullptr, 0};  // killed between making and allocating it
    std::byte* memory = map(file.fd, static_cast<std::size_t>(facts.st_size), path);
    return {std::move(path), memory, static_cast<std::size_t>(facts.st_size)};
}

mapped_file::mapped_file(mapped_file&& from) noexcept
    : path_(std::move(from.path_)), data_(std::exchange(from.data_, nullptr)), bytes_(std::exchange(from.bytes_, 0)) {}

mapped_file::~mapped_file() {
    if (data_ != nullptr) ::munmap(data_, bytes_);
}

void mapped_file::sync(std::size_t offset, std::size_t bytes) const {
    const std::size_t begin = offset / page_bytes * page_bytes;
    const std::size_t end = std::min(bytes_, offset + bytes);
    if (begin < end && ::msync(data_ + begin, end - begin, MS_SYNC) != 0) fail(errno, "msync " + path_);
}

void mapped_file::populate(std::size_t offset, std::size_t bytes) const noexcept {
    const std::size_t begin = offset / page_bytes * page_bytes;
    const std::size_t end = std::min(bytes_, offset + bytes);
#if defined(MADV_POPULATE_WRITE)
    if (begin < end) ::madvise(data_ + begin, end - begin, MADV_POPULATE_WRITE);
#else
    if (begin < end) ::madvise(data_ + begin, end - begin, MADV_WILLNEED);
#endif
}

void mapped_file::forget() const noexcept {
    if (data_ != nullptr) ::madvise(data_, bytes_, MADV_DONTNEED);
}

void mapped_file::remove() const noexcept { ::unlink(path_.c_str()); }

}  // namespace ledger
