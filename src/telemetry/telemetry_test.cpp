#include "telemetry/telemetry.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <sstream>
#include <thread>

namespace telemetry {
namespace {

using namespace std::chrono_literals;

constexpr options patient{.flush_every = std::chrono::hours(1)};  // only asks and bounds wake this writer

request_record request(std::string id, int status = 200) {
    request_record made;
    made.request_id = std::move(id);
    made.route = "messages";
    made.status = status;
    return made;
}

// A file in memory to log into.
class log_file {
public:
    log_file() : fd_(memfd_create("log", MFD_CLOEXEC)) {}
    ~log_file() { close(fd_); }
    int fd() const { return fd_; }
    std::string text() const {
        std::string all;
        std::array<char, 65536> piece;
        for (ssize_t size; (size = pread(fd_, piece.data(), piece.size(), static_cast<off_t>(all.size()))) > 0;) {
            all.append(piece.data(), static_cast<std::size_t>(size));
        }
        return all;
    }
    std::size_t count(std::string_view what) const {
        const std::string all = text();
        std::size_t found = 0;
        for (std::size_t at = all.find(what); at != std::string::npos; at = all.find(what, at + 1)) ++found;
        return found;
    }

private:
    int fd_;
};

// Keeps the writer busy, from construction to release.
class held_writer {
public:
    explicit held_writer(hub& of) {
        of.scrape_async([this](const std::string&) {
            holding_.set_value();
            go_on_.get_future().wait();
        });
        holding_.get_future().wait();
    }
    void release() { go_on_.set_value(); }

private:
    std::promise<void> holding_;
    std::promise<void> go_on_;
};

bool has_line(const std::string& text, const std::string& line) {
    return text.find("\n" + line + "\n") != std::string::npos;
}

TEST(telemetry_hub, writes_everything_that_was_recorded_before_its_end) {
    const log_file file;
    {
        hub made(patient, file.fd());
        lane& first = made.add_lane();
        lane& second = made.add_lane();
        first.record(request("req_1"));
        second.record(request("req_2", 502));
        made.log(level::error, "task_failed", {{"what", "a \"thing\""}});
    }
    const std::string text = file.text();
    EXPECT_EQ(file.count("\n"), 3u) << text;
    EXPECT_EQ(file.count(R"("request_id":"req_1")"), 1u);
    EXPECT_EQ(file.count(R"("level":"warn","event":"request","request_id":"req_2")"), 1u);
    EXPECT_EQ(file.count(R"("level":"error","event":"task_failed","what":"a \"thing\""})"), 1u);
}

TEST(telemetry_hub, writes_events_as_text_too) {
    const log_file file;
    {
        hub made({.form = format::text}, file.fd());
        made.log(level::info, "listening", {{"listen", "127.0.0.1:8080"}, {"what", "two words"}});
    }
    EXPECT_EQ(file.text().substr(24), " info  listening listen=127.0.0.1:8080 what=\"two words\"\n");
}

TEST(telemetry_hub, leaves_out_what_is_below_the_level_but_counts_it) {
    const log_file file;
    {
        hub made({.level_min = level::warn, .flush_every = 1h}, file.fd());
        lane& requests = made.add_lane();
        requests.record(request("req_fine"));
        requests.record(request("req_bad", 500));
        made.log(level::info, "listening");
        made.log(level::warn, "cutting");
        EXPECT_TRUE(has_line(made.scrape(), R"(claude_proxy_requests_total{route="messages",status="200"} 1)"));
    }
    EXPECT_EQ(file.count("\n"), 2u) << file.text();
    EXPECT_EQ(file.count("req_bad"), 1u);
    EXPECT_EQ(file.count("cutting"), 1u);
}

TEST(telemetry_hub, a_scrape_sees_every_record_made_before_it) {
    const log_file file;
    hub made(patient, file.fd());
    lane& requests = made.add_lane();
    for (int i = 1; i <= 50; ++i) {
        requests.record(request("req"));
        EXPECT_TRUE(has_line(made.scrape(),
                             "claude_proxy_requests_total{route=\"messages\",status=\"200\"} " + std::to_string(i)));
    }
}

TEST(telemetry_hub, a_scrape_reads_gauges_and_counters) {
    const log_file file;
    hub made(patient, file.fd());
    double open = 3;
    made.add_gauge("connections_open", "Open.", [&open] { return open; });
    made.add_counter("connections_accepted_total", "Accepted.", [] { return 4.0; });
    std::string text = made.scrape();
    EXPECT_TRUE(has_line(text, "claude_proxy_connections_open 3"));
    EXPECT_TRUE(has_line(text, "claude_proxy_connections_accepted_total 4"));
    open = 2;
    EXPECT_TRUE(has_line(made.scrape(), "claude_proxy_connections_open 2"));
}

TEST(telemetry_hub, answers_scrapes_that_were_asked_before_its_end) {
    const log_file file;
    std::promise<std::string> text;
    {
        hub made(patient, file.fd());
        made.scrape_async([&text](std::string got) { text.set_value(std::move(got)); });
    }
    EXPECT_NE(text.get_future().get().find("claude_proxy_build_info"), std::string::npos);
}

TEST(telemetry_hub, a_full_lane_drops_counts_and_says_so) {
    const log_file file;
    {
        hub made({.flush_every = 1h, .records_max = 4}, file.fd());
        lane& requests = made.add_lane();
        held_writer writer(made);
        for (int i = 0; i < 6; ++i) requests.record(request("req_" + std::to_string(i)));
        writer.release();
        EXPECT_TRUE(has_line(made.scrape(), "claude_proxy_log_records_dropped_total 2"));
        requests.record(request("req_later"));
    }
    EXPECT_EQ(file.count(R"("event":"log_records_dropped","records":"2")"), 1u) << file.text();
    for (const char* kept : {"req_0", "req_3", "req_later"}) EXPECT_EQ(file.count(kept), 1u) << kept;
    for (const char* dropped : {"req_4", "req_5"}) EXPECT_EQ(file.count(dropped), 0u) << dropped;
}

TEST(telemetry_hub, reuses_records_without_mixing_them_up) {
    const log_file file;
    {
        hub made(patient, file.fd());
        lane& requests = made.add_lane();
        for (int round = 0; round < 3; ++round) {
            request_record first = request("req_long_enough_to_live_on_the_heap_" + std::to_string(round));
            first.reason = round == 0 ? "only_in_the_first_round" : "";
            requests.record(std::move(first));
            if (round == 0) requests.record(request("req_second"));
            made.scrape();
        }
    }
    EXPECT_EQ(file.count("only_in_the_first_round"), 1u) << file.text();
    EXPECT_EQ(file.count("req_second"), 1u);
    EXPECT_EQ(file.count("\n"), 4u);
}

TEST(telemetry_hub, wakes_when_a_lane_is_half_full_and_when_the_time_has_come) {
    for (const options& chosen : {options{.flush_every = 1h, .records_max = 8}, options{.flush_every = 2ms}}) {
        std::array<int, 2> ends{};
        ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
        {
            hub made(chosen, ends[1]);
            lane& requests = made.add_lane();
            for (int i = 0; i < 4; ++i) requests.record(request("req"));
            pollfd readable{ends[0], POLLIN, 0};
            EXPECT_EQ(poll(&readable, 1, 60'000), 1) << "nothing was written while the hub lived";
        }
        close(ends[0]);
        close(ends[1]);
    }
}

TEST(telemetry_hub, survives_a_log_whose_reader_is_gone) {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    close(ends[0]);
    {
        hub made(patient, ends[1]);  // nobody ignores SIGPIPE here: the writer has to block it
        lane& requests = made.add_lane();
        made.log(level::error, "one");
        requests.record(request("req"));
        made.scrape();
        EXPECT_EQ(made.scrape().find("claude_proxy_log_lines_lost_total 0\n"), std::string::npos);
    }
    close(ends[1]);
}

TEST(telemetry_hub, bounds_the_events_that_wait_for_the_writer) {
    const log_file file;
    {
        hub made(patient, file.fd());
        held_writer writer(made);
        const std::string large(100'000, 'x');
        for (int i = 0; i < 20; ++i) made.log(level::info, "large", {{"what", large}});
        writer.release();
        EXPECT_TRUE(has_line(made.scrape(), "claude_proxy_log_lines_lost_total 10"));
    }
    EXPECT_EQ(file.count("\"large\""), 10u) << "a MiB holds ten";
}

TEST(telemetry_hub, loses_nothing_between_many_threads) {
    constexpr int threads_count = 4, records_count = 5'000;
    const log_file file;
    {
        hub made({.flush_every = 1ms}, file.fd());
        std::vector<std::thread> threads;
        for (int number = 0; number < threads_count; ++number) {
            lane& requests = made.add_lane();
            threads.emplace_back([&made, &requests, number] {
                for (int i = 0; i < records_count; ++i) {
                    requests.record(request("req_" + std::to_string(number) + "_" + std::to_string(i) + "_"));
                    if (i % 1'000 == 0) made.log(level::info, "mark");
                    if (i % 2'000 == 0) made.scrape_async([](const std::string&) {});
                }
            });
        }
        for (auto& thread : threads) thread.join();
        EXPECT_TRUE(has_line(made.scrape(), R"(claude_proxy_requests_total{route="messages",status="200"} 20000)"));
    }
    const std::string text = file.text();
    EXPECT_EQ(file.count("\n"), threads_count * records_count + threads_count * 5u);
    std::istringstream lines(text);
    std::array<int, threads_count> next{};  // each lane's records come in order
    for (std::string line; std::getline(lines, line);) {
        ASSERT_TRUE(line.starts_with("{\"ts\":\"") && line.ends_with("}")) << line;
        const std::size_t at = line.find("\"req_");
        if (at == std::string::npos) continue;
        const std::size_t number = static_cast<std::size_t>(line[at + 5] - '0');
        EXPECT_EQ(std::stoi(line.substr(at + 7)), next.at(number)++) << line;
    }
}

TEST(telemetry_hub, has_a_writer_that_no_signal_can_reach) {
    const log_file file;
    hub made(patient, file.fd());
    made.scrape();  // the writer runs and has its name
    std::optional<std::string> blocked;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream status(task.path() / "status");
        std::string name;
        for (std::string word; status >> word;) {
            if (word == "Name:") status >> name;
            if (word == "SigBlk:" && name == "telemetry") status >> blocked.emplace();
        }
    }
    ASSERT_TRUE(blocked.has_value()) << "no thread is called telemetry";
    EXPECT_EQ(std::stoull(*blocked, nullptr, 16) & 0x7fff, 0x7effu) << "of the first fifteen all but SIGKILL (9)";
}

}  // namespace
}  // namespace telemetry
