#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "database/connection.hpp"

namespace {

// Whether some other process has a lock on the bytes that SQLite locks while a file is in use.
bool is_locked(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    constexpr off_t shared_first = 0x40000002;
    constexpr off_t shared_size = 510;
    struct flock asked{};
    asked.l_type = F_WRLCK;
    asked.l_whence = SEEK_SET;
    asked.l_start = shared_first;
    asked.l_len = shared_size;
    const bool known = file >= 0 && ::fcntl(file, F_GETLK, &asked) == 0;
    return known && asked.l_type != F_UNLCK;
}

// Without the lock another process that looks into the file and leaves takes the WAL away: the file is damaged then.
TEST(sqlite, another_connection_of_the_process_does_not_give_up_the_lock_on_the_file) {
    std::string folder = (std::filesystem::temp_directory_path() / "claude-proxy-sqlite-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    const std::string path = folder + "/test.db";
    const auto first = database::open("sqlite:" + path, {});
    first->execute("CREATE TABLE claude_proxy.t (a BIGINT)");
    const auto second = database::open("sqlite:" + path, {});
    second->execute("INSERT INTO claude_proxy.t (a) VALUES (1)");

    const pid_t child = ::fork();
    if (child == 0) ::_exit(is_locked(path) ? 0 : 1);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the file is not locked any more";
    std::filesystem::remove_all(folder);
}

}  // namespace
