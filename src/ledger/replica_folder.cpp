#include "ledger/replica_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

namespace ledger {
namespace {

constexpr std::string_view prefix = "rep_";
constexpr std::size_t random_characters = 24;
constexpr int tries = 5;  // another process would have to adopt a folder in the instant of its making, five times

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

std::string new_replica() {
    constexpr std::string_view alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    std::string name(prefix);
    while (name.size() < prefix.size() + random_characters) {
        std::array<unsigned char, 64> bytes;
        if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) fail("getrandom");
        for (const unsigned char byte : bytes) {
            const std::size_t digit = byte & 63;
            if (digit < alphabet.size() && name.size() < prefix.size() + random_characters) name += alphabet[digit];
        }
    }
    return name;
}

// The locked lock file of a folder, -1 when somebody else has it or has removed it under our hands.
int try_lock(const std::string& folder) {
    std::string path = folder;
    path += "/lock";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        if (errno == ENOENT) return -1;
        fail("open " + path);
    }
    struct stat opened{};
    struct stat named{};
    const bool is_ours = ::flock(fd, LOCK_EX | LOCK_NB) == 0 && ::fstat(fd, &opened) == 0 &&
                         ::stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino;
    if (is_ours) return fd;
    ::close(fd);
    return -1;
}

}  // namespace

replica_folder replica_folder::make(const std::string& directory) {
    std::filesystem::create_directories(directory);
    for (int i = 0; i < tries; ++i) {
        std::string replica = new_replica();
        std::string path = directory;
        path.append("/").append(replica);
        if (::mkdir(path.c_str(), 0700) != 0) fail("mkdir " + path);
        // Between these two lines another process may find the folder unlocked and adopt it, empty as it is.
        if (const int lock = try_lock(path); lock >= 0) return {std::move(replica), std::move(path), lock};
    }
    errno = EBUSY;
    fail("lock a folder in " + directory);
}

std::optional<replica_folder> replica_folder::adopt(const std::string& directory, const std::string& replica) {
    std::string path = directory + "/" + replica;
    const int lock = try_lock(path);
    if (lock < 0) return std::nullopt;
    return replica_folder(replica, std::move(path), lock);
}

std::vector<std::string> replica_folder::list(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code ignored;  // a folder that is not there has no replicas
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        std::string name = entry.path().filename().string();
        if (name.starts_with(prefix)) names.push_back(std::move(name));
    }
    return names;
}

replica_folder::replica_folder(replica_folder&& from) noexcept
    : replica_(std::move(from.replica_)), path_(std::move(from.path_)), lock_(std::exchange(from.lock_, -1)) {}

replica_folder::~replica_folder() {
    if (lock_ >= 0) ::close(lock_);
}

std::vector<std::string> replica_folder::files() const {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
        if (entry.path().filename() != "lock") paths.push_back(entry.path().string());
    }
    return paths;
}

void replica_folder::sync() const {
    const int fd = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fail("open " + path_);
    const int synced = ::fsync(fd);
    ::close(fd);
    if (synced != 0) fail("fsync " + path_);
}

void replica_folder::remove_empty() const noexcept {
    std::error_code failed;
    std::filesystem::directory_iterator entries(path_, failed);
    if (failed) return;
    for (const auto& entry : entries) {
        if (entry.path().filename() != "lock") return;
    }
    // The lock file first, while it is held: whoever opened it meanwhile sees that its name is gone.
    ::unlink((path_ + "/lock").c_str());
    ::rmdir(path_.c_str());
}

}  // namespace ledger
