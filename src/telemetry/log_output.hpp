// Where log lines go: a descriptor that may be a file, a pipe, a terminal or a socket, and whose reader may be slow or
// gone. A reader that takes nothing costs log lines after a bounded wait, never the process and never the requests.
// Thread rule: one thread, which must have SIGPIPE blocked or ignored.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

namespace telemetry {

class log_output {
public:
    static constexpr std::chrono::milliseconds stall_max{2'000};

    // The descriptor stays the caller's. A reader that takes nothing for `stall` loses lines.
    explicit log_output(int fd, std::chrono::milliseconds stall = stall_max);
    ~log_output();
    log_output(const log_output&) = delete;
    log_output& operator=(const log_output&) = delete;

    // Whole lines, each with its newline. Returns how many of them are lost.
    std::uint64_t write(std::string_view lines);

private:
    bool write_some(std::string_view& bytes);
    bool wait_writable() const;

    int fd_;
    const std::chrono::milliseconds stall_;
    bool own_ = false;
    bool socket_ = false;
    bool broken_line_ = false;  // the last thing written was a part of a line
    bool stalled_ = false;      // the last write gave up: do not wait again before something goes through
};

}  // namespace telemetry
