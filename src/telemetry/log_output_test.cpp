#include "telemetry/log_output.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

namespace telemetry {
namespace {

using std::chrono::milliseconds;

// Two ends of a pipe or a pair of sockets; the reading one first. SIGPIPE is ignored, as the class asks.
class log_output_to : public testing::Test {
protected:
    log_output_to() : before_(signal(SIGPIPE, SIG_IGN)) {}
    ~log_output_to() override {
        for (const int fd : ends_) {
            if (fd >= 0) close(fd);
        }
        signal(SIGPIPE, before_);
    }

    int open_pipe(int bytes = 4096) {
        EXPECT_EQ(pipe2(ends_.data(), O_CLOEXEC), 0);
        EXPECT_EQ(fcntl(ends_[1], F_SETPIPE_SZ, bytes), bytes);
        return ends_[1];
    }
    void close_reader() {
        close(ends_[0]);
        ends_[0] = -1;
    }
    // All that is in the pipe now, without waiting.
    std::string drain() {
        std::string text;
        std::array<char, 4096> piece;
        fcntl(ends_[0], F_SETFL, O_NONBLOCK);
        for (ssize_t size; (size = read(ends_[0], piece.data(), piece.size())) > 0;)
            text.append(piece.data(), static_cast<std::size_t>(size));
        return text;
    }

    std::array<int, 2> ends_{-1, -1};

private:
    void (*before_)(int);
};

const std::string line(999, 'x');

std::string lines_of(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += line + "\n";
    return text;
}

TEST_F(log_output_to, a_pipe_writes_whole_lines) {
    log_output output(open_pipe());
    EXPECT_EQ(output.write("one\ntwo\n"), 0u);
    EXPECT_EQ(output.write(""), 0u);
    EXPECT_EQ(drain(), "one\ntwo\n");
}

TEST_F(log_output_to, a_pipe_whose_reader_is_gone_loses_lines_and_nothing_else) {
    log_output output(open_pipe());
    close_reader();
    EXPECT_EQ(output.write("one\ntwo\n"), 2u);
    EXPECT_EQ(output.write("three\n"), 1u);
}

TEST_F(log_output_to, a_pipe_that_nobody_reads_gives_up_after_the_stall) {
    log_output output(open_pipe(), milliseconds(20));
    EXPECT_EQ(output.write(lines_of(10)), 6u) << "4096 bytes hold four lines";
    EXPECT_EQ(output.write(lines_of(3)), 3u);
}

TEST_F(log_output_to, a_stalled_pipe_is_not_waited_for_again_before_it_takes_something) {
    log_output output(open_pipe(), milliseconds(300));
    const std::string quarter =
        std::string(1023, 'x') + "\n";  // no line is torn: that would be another reason to give up
    EXPECT_EQ(output.write(quarter + quarter + quarter + quarter + quarter), 1u);
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 100; ++i) EXPECT_EQ(output.write("again\n"), 1u);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(3'000)) << "100 waits would take 30 s";
}

TEST_F(log_output_to, a_stalled_pipe_goes_on_with_a_new_line_when_it_is_read_again) {
    log_output output(open_pipe(), milliseconds(20));
    output.write(lines_of(10));
    const std::string torn = drain();
    EXPECT_EQ(torn.size(), 4096u);
    EXPECT_EQ(output.write("next\n"), 0u);
    EXPECT_EQ(drain(), "\nnext\n") << "only the torn line is unreadable";
    EXPECT_EQ(output.write("after\n"), 0u);
    EXPECT_EQ(drain(), "after\n");
}

TEST_F(log_output_to, a_slow_reader_gets_everything) {
    const std::string all = lines_of(500);
    log_output output(open_pipe());
    std::string got;
    std::thread reader([this, &got, size = all.size()] {
        std::array<char, 777> piece;
        while (got.size() < size) {
            const ssize_t count = read(ends_[0], piece.data(), piece.size());
            if (count <= 0) break;
            got.append(piece.data(), static_cast<std::size_t>(count));
        }
    });
    EXPECT_EQ(output.write(all), 0u);
    reader.join();
    EXPECT_TRUE(got == all);
}

TEST_F(log_output_to, a_shared_pipe_stays_blocking_for_its_other_writers) {
    const int fd = open_pipe();
    const log_output output(fd);
    EXPECT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(log_output_to, a_socket_that_nobody_reads_gives_up_after_the_stall) {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()), 0);
    log_output output(ends_[1], milliseconds(20));
    EXPECT_EQ(output.write("one\n"), 0u);
    EXPECT_EQ(drain(), "one\n");
    EXPECT_GT(output.write(lines_of(4'000)), 0u);
    close_reader();
    EXPECT_EQ(output.write("gone\n"), 1u);
}

TEST_F(log_output_to, a_file_is_appended_to_where_it_stands) {
    ends_[0] = memfd_create("log", MFD_CLOEXEC);
    ASSERT_EQ(write(ends_[0], "before\n", 7), 7);
    {
        log_output output(ends_[0]);
        EXPECT_EQ(output.write("after\n"), 0u);
    }
    std::array<char, 32> text{};
    EXPECT_EQ(pread(ends_[0], text.data(), text.size(), 0), 13) << "and the descriptor is still open";
    EXPECT_STREQ(text.data(), "before\nafter\n");
}

TEST_F(log_output_to, a_descriptor_that_is_no_good_loses_lines) {
    log_output output(-1);
    EXPECT_EQ(output.write("one\n"), 1u);
}

}  // namespace
}  // namespace telemetry
