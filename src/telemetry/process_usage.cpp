#include "telemetry/process_usage.hpp"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <sstream>
#include <string>

namespace telemetry {
namespace {

double open_descriptors() {
    const char* const directory = "/proc/self/fd";
    struct stat facts{};
    // Since Linux 6.2 the size of this directory is the number of descriptors; reading thousands of entries is slow.
    if (stat(directory, &facts) == 0 && facts.st_size > 0) return static_cast<double>(facts.st_size);
    DIR* const entries = opendir(directory);
    if (!entries) return 0;
    long count = -3;  // ".", ".." and the one we read with
    while (readdir(entries)) ++count;
    closedir(entries);
    return static_cast<double>(count);
}

// The boot's time is constant: it is read once.
double boot_time_seconds() {
    static const double known = [] {
        std::ifstream file("/proc/stat");
        for (std::string word; file >> word;) {
            if (word != "btime") continue;
            double seconds = 0;
            file >> seconds;
            return seconds;
        }
        return 0.0;
    }();
    return known;
}

}  // namespace

process_usage read_process_usage() {
    process_usage read;
    rusage used{};
    if (getrusage(RUSAGE_SELF, &used) == 0) {
        const auto seconds = [](const timeval& time) {
            return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
        };
        read.cpu_seconds = seconds(used.ru_utime) + seconds(used.ru_stime);
    }
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) read.max_fds = static_cast<double>(files.rlim_cur);
    read.open_fds = open_descriptors();

    // The name in parentheses may hold anything, spaces and parentheses included: fields count from its end (proc(5)).
    std::ifstream file("/proc/self/stat");
    std::string line;
    std::getline(file, line);
    const std::size_t name_end = line.rfind(')');
    if (name_end == std::string::npos) return read;
    std::istringstream fields(line.substr(name_end + 1));
    constexpr int first_field = 3, threads_field = 20, start_field = 22, virtual_field = 23, resident_field = 24;
    std::string word;
    for (int field = first_field; field <= resident_field && fields >> word; ++field) {
        const auto number = [&word] {
            double value = 0;
            std::from_chars(word.data(), word.data() + word.size(), value);
            return value;
        };
        if (field == threads_field) read.threads = number();
        if (field == start_field)
            read.start_time_seconds = boot_time_seconds() + number() / static_cast<double>(sysconf(_SC_CLK_TCK));
        if (field == virtual_field) read.virtual_bytes = number();
        if (field == resident_field) read.resident_bytes = number() * static_cast<double>(sysconf(_SC_PAGESIZE));
    }
    return read;
}

}  // namespace telemetry
