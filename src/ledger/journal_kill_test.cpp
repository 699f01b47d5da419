// What a process leaves behind when it is killed between any two of its instructions: it is stopped after each one,
// and its files are read as the next process would read them.
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "ledger/journal.hpp"
#include "ledger/mapped_file.hpp"
#include "ledger/record.hpp"
#include "ledger/segment.hpp"

namespace ledger {
namespace {

constexpr int records_watched = 5;

attempt numbered(std::uint32_t number) {
    attempt made;
    made.request_id = "req_cp_watched";
    made.number = number;
    made.started_ms = 1'000;
    made.team_id = "team_a";
    made.key_id = "key_b";
    made.model = "claude-x";
    made.tags = "[\"blue\"]";
    return made;
}

// The child's whole life. Watched is what lies between the two stops.
[[noreturn]] void live(const options& settings) {
    journal j(settings);
    lane& l = j.add_lane();
    const auto first = l.open(numbered(1));
    const auto second = l.open(numbered(2));
    const auto third = l.open(numbered(3));
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    l.finish(first, numbered(1), {});
    const auto fourth = l.open(numbered(4));  // in the place of the first
    l.finish(third, numbered(3), {});
    l.finish(second, numbered(2), {});  // and into the next file
    l.refuse({});
    l.finish(fourth, numbered(4), {});
    ::raise(SIGSTOP);
    ::_exit(0);
}

// What the files say of each attempt.
struct state {
    bool open[records_watched] = {};
    bool finished[records_watched] = {};
    bool is_sound = true;
};

class watched_files {
public:
    explicit watched_files(const std::string& folder) {
        for (const auto& entry : std::filesystem::directory_iterator(folder)) {
            const std::string path = entry.path().string();
            if (path.find(".segment.") != std::string::npos) segments_.push_back(mapped_file::open(path));
            if (path.find(".open.") != std::string::npos) tables_.push_back(mapped_file::open(path));
        }
    }
    state look() const {
        state seen;
        for (const mapped_file& file : segments_) {
            std::uint64_t at = segment_header_bytes;
            const std::uint64_t used = marks_of(file).used;
            for (std::size_t bytes = 0;
                 (bytes = whole_record({file.data() + at, file.size() - at}, marks_of(file).generation)) > 0;
                 at += bytes) {
                if (kind_of(file.data() + at) != record_kind::attempt) continue;
                bool& finished = seen.finished[read_attempt(file.data() + at).numbers.number];
                seen.is_sound = seen.is_sound && !finished;  // each once
                finished = true;
            }
            seen.is_sound = seen.is_sound && used <= at;  // only whole records are published
        }
        for (const mapped_file& file : tables_) {
            for (std::size_t slot = 1; slot <= records_watched; ++slot) {
                const std::byte* at = file.data() + slot * slot_bytes;
                if (!slot_is_open(at)) continue;
                seen.is_sound = seen.is_sound && slot_is_whole(at);
                if (seen.is_sound) seen.open[read_slot(at).numbers.number] = true;
            }
        }
        return seen;
    }

private:
    std::vector<mapped_file> segments_;
    std::vector<mapped_file> tables_;
};

TEST(journal_kill, at_no_instruction_is_an_attempt_lost_or_half_there) {
    options settings;
    std::string pattern = std::filesystem::temp_directory_path().string() + "/journal_kill_test_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    settings.directory = pattern;
    settings.segment_bytes = segment_header_bytes + record_bytes_max;
    settings.open_attempts_max = 8;
    const pid_t child = ::fork();
    if (child == 0) live(settings);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
    ASSERT_TRUE(WIFSTOPPED(status)) << "the child could not be traced";
    const std::string replica = std::filesystem::directory_iterator(pattern)->path().string();
    const watched_files files(replica);
    state before = files.look();
    EXPECT_TRUE(before.open[1] && before.open[2] && before.open[3] && !before.finished[1]);
    std::uint64_t instructions = 0, moments = 0;
    bool is_over = false;
    while (!is_over && !HasFailure()) {
        ASSERT_EQ(::ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr), 0);
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSTOPPED(status));
        is_over = WSTOPSIG(status) == SIGSTOP;
        ++instructions;
        const state now = files.look();
        EXPECT_TRUE(now.is_sound) << "after instruction " << instructions;
        for (int i = 1; i < records_watched; ++i) {
            const bool was_there = before.open[i] || before.finished[i];
            EXPECT_TRUE(!was_there || now.open[i] || now.finished[i]) << i << " after instruction " << instructions;
            EXPECT_TRUE(now.finished[i] || !before.finished[i]) << i << " after instruction " << instructions;
            moments += now.open[i] && now.finished[i];
        }
        before = now;
    }
    for (int i = 1; i < records_watched; ++i) {
        EXPECT_TRUE(before.finished[i]) << i;
        EXPECT_FALSE(before.open[i]) << i;
    }
    EXPECT_GT(instructions, 500u);
    EXPECT_GT(moments, 0u) << "between the record and the slot";
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    std::filesystem::remove_all(pattern);
}

}  // namespace
}  // namespace ledger
