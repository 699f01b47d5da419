#include "telemetry/log_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

namespace telemetry {
namespace {

constexpr int fruitless_writes_max = 64;  // in a row, on a device that says writable and takes nothing

// Our own view of the same pipe or terminal that does not block. The flag cannot be set on the descriptor we were
// given: it is shared with whoever else writes there. Nothing when the system does not allow it.
int reopen_without_blocking(int fd) {
    std::array<char, 32> path{};
    std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd);
    return open(path.data(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

std::uint64_t lines_in(std::string_view text) {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

log_output::log_output(int fd, std::chrono::milliseconds stall) : fd_(fd), stall_(stall) {
    struct stat kind{};
    if (fstat(fd, &kind) != 0) return;
    socket_ = S_ISSOCK(kind.st_mode);
    if (S_ISFIFO(kind.st_mode) || (S_ISCHR(kind.st_mode) && isatty(fd) == 1)) {
        const int opened = reopen_without_blocking(fd);
        own_ = opened >= 0;
        if (own_) fd_ = opened;
    }
}

log_output::~log_output() {
    if (own_) close(fd_);
}

// Writes what goes now. False: the reader is gone or the device is broken.
bool log_output::write_some(std::string_view& bytes) {
    for (;;) {
        const ssize_t wrote = socket_ ? send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                                      : ::write(fd_, bytes.data(), bytes.size());
        if (wrote >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(wrote));
            return true;
        }
        if (errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK;
    }
}

bool log_output::wait_writable() const {
    pollfd waiting{fd_, POLLOUT, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(stall_.count()));
    return ready > 0 || (ready < 0 && errno == EINTR);
}

std::uint64_t log_output::write(std::string_view lines) {
    if (broken_line_ && !lines.empty()) {  // end the torn line, so that only that one is unreadable
        std::string_view end = "\n";
        write_some(end);
        broken_line_ = !end.empty();
        if (broken_line_) return lines_in(lines);
    }
    std::string_view rest = lines;
    int fruitless = 0;
    while (!rest.empty()) {
        const std::size_t before = rest.size();
        if (!write_some(rest)) break;
        if (rest.size() < before) {
            stalled_ = false;
            fruitless = 0;
        } else if (stalled_ || ++fruitless > fruitless_writes_max || !wait_writable()) {
            stalled_ = true;
            break;
        }
    }
    const std::size_t written = lines.size() - rest.size();
    if (written > 0) broken_line_ = lines[written - 1] != '\n';
    return lines_in(rest);
}

}  // namespace telemetry
