#include "ledger/journal.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "ledger/dead_replica.hpp"
#include "ledger/record.hpp"
#include "ledger/replica_folder.hpp"
#include "ledger/segment.hpp"

namespace ledger {
namespace {

namespace fs = std::filesystem;

class journal_folder : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = fs::temp_directory_path().string() + "/journal_test_XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        settings.directory = pattern;
        settings.segment_bytes = 64 * 1024;
        settings.bytes_max = 64ull << 20;
        settings.open_attempts_max = 4096;
    }
    void TearDown() override { fs::remove_all(settings.directory); }

    std::string folder_of(const std::string& replica) const { return settings.directory + "/" + replica; }

    // What a process finds that adopts the folder: ids of finished attempts in order of reading, then of open ones.
    struct found {
        std::vector<std::string> finished;
        std::vector<std::string> open;
        std::vector<std::string> damage;
        std::size_t refusals = 0;
    };
    static std::string id_of(const attempt_view& of) {
        return std::string(of[text::request_id]) + "." + std::to_string(of.numbers.number);
    }
    found adopt(const std::string& replica) const { return adopt_in(settings.directory, replica); }
    static found adopt_in(const std::string& directory, const std::string& replica) {
        found all;
        auto folder = replica_folder::adopt(directory, replica);
        if (!folder) {
            ADD_FAILURE() << replica << " is locked";
            return all;
        }
        dead_replica dead(std::move(*folder));
        EXPECT_FALSE(dead.is_foreign());
        std::vector<journal_row> rows;
        while (dead.take(rows, 7) > 0) {
            for (const journal_row& row : rows) {
                if (kind_of(row.bytes) == record_kind::refusal) {
                    ++all.refusals;
                } else {
                    all.finished.push_back(id_of(read_attempt(row.bytes)));
                }
            }
            rows.clear();
            dead.accept();
        }
        for (const journal_row& row : dead.open_attempts(1)) all.open.push_back(id_of(read_slot(row.bytes)));
        all.damage = dead.damage();
        return all;
    }

    options settings;
};

attempt numbered(const std::string& request) {
    attempt made;
    made.request_id = request;
    made.started_ms = 1000;
    made.finished_ms = 2000;
    made.team_id = "team_a";
    made.key_id = "key_b";
    made.model = "claude-x";
    made.cost = 5;
    return made;
}

std::vector<std::string> ids_read(journal& from, std::size_t most = 1'000'000) {
    std::vector<const std::byte*> records;
    from.take(records, most);
    std::vector<std::string> ids;
    for (const std::byte* each : records) ids.emplace_back(read_attempt(each)[text::request_id]);
    return ids;
}

TEST_F(journal_folder, finished_attempts_are_read_once_and_in_order) {
    journal j(settings);
    lane& l = j.add_lane();
    std::vector<std::string> written;
    for (int i = 0; i < 1000; ++i) {
        const std::string id = "req_" + std::to_string(i);
        const auto slot = l.open(numbered(id));
        ASSERT_NE(slot, lane::no_slot);
        l.finish(slot, numbered(id), {});
        written.push_back(id);
        if (i % 100 == 0) j.prepare();
    }
    EXPECT_EQ(j.unread(), 1000u);
    EXPECT_EQ(ids_read(j, 10), std::vector(written.begin(), written.begin() + 10));
    EXPECT_EQ(ids_read(j, 700).size(), 700u);
    j.rewind();
    EXPECT_EQ(ids_read(j, 600), std::vector(written.begin(), written.begin() + 600)) << "they were not accepted";
    j.accept();
    EXPECT_EQ(j.unread(), 400u);
    EXPECT_EQ(ids_read(j), std::vector(written.begin() + 600, written.end()));
    j.accept();
    EXPECT_EQ(j.unread(), 0u);
    EXPECT_TRUE(ids_read(j).empty());
    EXPECT_EQ(j.damaged(), 0u);
    EXPECT_LE(fs::file_size(folder_of(j.replica()) + "/lane0.open.1"), 1u << 20);
}

TEST_F(journal_folder, read_segments_are_deleted_and_an_empty_folder_goes_with_its_journal) {
    std::string folder;
    {
        journal j(settings);
        lane& l = j.add_lane();
        folder = folder_of(j.replica());
        const auto before = j.bytes();
        for (int round = 0; round < 20; ++round) {
            for (int i = 0; i < 500; ++i) l.finish(l.open(numbered("r")), numbered("r"), {});
            ids_read(j);
            j.accept();
        }
        EXPECT_LE(j.bytes(), before + 4 * settings.segment_bytes) << "ten thousand rows have passed through";
        EXPECT_TRUE(fs::exists(folder));
    }
    EXPECT_FALSE(fs::exists(folder));
}

TEST_F(journal_folder, a_file_that_is_used_again_gives_nothing_of_what_it_held_before) {
    std::string name;
    std::vector<std::string> left;
    {
        journal j(settings);
        name = j.replica();
        lane& l = j.add_lane();
        std::uint64_t written = 0;
        const auto finish = [&](const std::string& id) { l.finish(l.open(numbered(id)), numbered(id), {}); };
        while (written < 10 * settings.segment_bytes) {
            finish("before");
            written += plan(numbered("before"), 0).bytes;
            if (written % 7 == 0) {
                ids_read(j);
                j.accept();
                j.prepare();
            }
        }
        ids_read(j);
        j.accept();
        // Records of the same length as the earlier ones behind them.
        for (int i = 0; i < 3; ++i) {
            const std::string id = "left_" + std::to_string(i);
            finish(id);
            left.push_back(id + ".1");
        }
        EXPECT_EQ(j.unread(), 3u);
        EXPECT_LE(j.bytes(), 6 * settings.segment_bytes + (1u << 20));
    }
    std::uint32_t used_again = 0;
    for (const auto& entry : fs::directory_iterator(folder_of(name))) {
        if (entry.path().string().find(".segment.") == std::string::npos) continue;
        used_again = std::max(used_again, marks_of(mapped_file::open(entry.path().string())).generation);
    }
    EXPECT_GT(used_again, 0u);
    const found all = adopt(name);
    EXPECT_EQ(all.finished, left);
    EXPECT_TRUE(all.damage.empty());
}

TEST_F(journal_folder, the_folder_stays_while_a_row_or_an_open_attempt_is_in_it) {
    std::string first, second;
    {
        journal j(settings);
        lane& l = j.add_lane();
        first = j.replica();
        l.finish(l.open(numbered("done")), numbered("done"), {});
        l.refuse({});
    }
    {
        journal j(settings);
        second = j.replica();
        j.add_lane().open(numbered("under_way"));
    }
    const found one = adopt(first);
    EXPECT_EQ(one.finished, std::vector<std::string>{"done.1"});
    EXPECT_EQ(one.refusals, 1u);
    EXPECT_TRUE(one.open.empty());
    const found two = adopt(second);
    EXPECT_TRUE(two.finished.empty());
    EXPECT_EQ(two.open, std::vector<std::string>{"under_way.1"});
}

TEST_F(journal_folder, a_living_journal_cannot_be_adopted_and_a_dead_one_only_once) {
    auto j = std::make_unique<journal>(settings);
    const std::string name = j->replica();
    j->add_lane().open(numbered("under_way"));
    EXPECT_EQ(name.size(), 28u);
    EXPECT_TRUE(name.starts_with("rep_"));
    EXPECT_FALSE(replica_folder::adopt(settings.directory, name));
    j.reset();
    auto adopted = replica_folder::adopt(settings.directory, name);
    ASSERT_TRUE(adopted);
    EXPECT_FALSE(replica_folder::adopt(settings.directory, name));
    EXPECT_FALSE(replica_folder::adopt(settings.directory, "rep_never"));
    {
        dead_replica dead(std::move(*adopted));
        dead.remove();
    }
    EXPECT_FALSE(replica_folder::adopt(settings.directory, name));
    EXPECT_TRUE(replica_folder::list(settings.directory).empty());
}

TEST_F(journal_folder, a_full_journal_opens_nothing_and_still_finishes_what_is_open) {
    settings.bytes_max = 1 << 20;
    settings.open_attempts_max = 100'000;
    journal j(settings);
    lane& l = j.add_lane();
    const std::string large_id = "large";
    attempt large = numbered(large_id);
    const std::string user_agent(160, 'u');
    const std::string subject(128, 's');
    large.user_agent = user_agent;
    large.subject = subject;
    std::vector<lane::slot> open;
    for (lane::slot each = l.open(large); each != lane::no_slot; each = l.open(large)) {
        open.push_back(each);
        ASSERT_LT(open.size(), 10'000u);
    }
    EXPECT_GT(open.size(), 50u);
    EXPECT_EQ(j.open_attempts(), open.size());
    EXPECT_LE(j.bytes(), settings.bytes_max);
    l.refuse({});
    EXPECT_EQ(j.refusals_dropped(), 1u);
    // The dearest record there can be: every text at its longest, many iterations.
    const std::string endless(1000, 'e');
    attempt done = large;
    done.team_id = done.key_id = done.model = done.route = done.message_id = done.stop_reason = endless;
    done.usage.iterations.resize(40);
    const std::vector<account_id> accounts(accounts_max, 3);
    for (const lane::slot each : open) l.finish(each, done, accounts);
    EXPECT_EQ(ids_read(j).size(), open.size());
    EXPECT_LE(j.bytes(), settings.bytes_max);
    for (lane::slot each = l.open(large); each != lane::no_slot; each = l.open(large)) l.finish(each, done, accounts);
    EXPECT_LE(j.bytes(), settings.bytes_max);
    EXPECT_EQ(j.open_attempts(), 0u) << "full of finished ones that have not reached the database";
    j.accept();
    EXPECT_NE(l.open(large), lane::no_slot);
}

TEST_F(journal_folder, more_attempts_are_not_open_than_allowed) {
    settings.open_attempts_max = 1500;
    journal j(settings);
    lane& l = j.add_lane();
    std::vector<lane::slot> open;
    for (int i = 0; i < 1500; ++i) {
        open.push_back(l.open(numbered("r" + std::to_string(i))));
        ASSERT_NE(open.back(), lane::no_slot) << i;
        j.prepare();
    }
    EXPECT_EQ(std::set(open.begin(), open.end()).size(), 1500u);
    EXPECT_EQ(l.open(numbered("one too many")), lane::no_slot);
    l.finish(open[700], numbered("r700"), {});
    EXPECT_EQ(l.open(numbered("another")), open[700]);
}

TEST_F(journal_folder, a_torn_record_ends_its_segment_and_says_so) {
    std::string name;
    {
        journal j(settings);
        name = j.replica();
        lane& l = j.add_lane();
        for (int i = 0; i < 10; ++i) l.finish(l.open(numbered("r" + std::to_string(i))), numbered("r"), {});
    }
    const std::string segment = folder_of(name) + "/lane0.segment.0";
    std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
    const std::string id = "r";
    const attempt one = numbered(id);
    const auto length = static_cast<std::streamoff>(plan(one, 0).bytes);
    file.seekp(static_cast<std::streamoff>(segment_header_bytes) + 4 * length + 100);
    file.put('#');
    file.close();
    const found all = adopt(name);
    EXPECT_EQ(all.finished.size(), 4u);
    ASSERT_EQ(all.damage.size(), 1u);
    EXPECT_NE(all.damage[0].find("cannot be read"), std::string::npos);
}

TEST_F(journal_folder, a_record_that_was_written_and_not_published_counts) {
    std::string name;
    {
        journal j(settings);
        name = j.replica();
        lane& l = j.add_lane();
        for (int i = 0; i < 3; ++i) l.finish(l.open(numbered("r")), numbered("r"), {});
    }
    const std::string segment = folder_of(name) + "/lane0.segment.0";
    std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
    const std::uint64_t used = segment_header_bytes;  // as if nothing had been published
    file.seekp(64);
    file.write(reinterpret_cast<const char*>(&used), sizeof used);
    file.close();
    EXPECT_EQ(adopt(name).finished.size(), 3u);
}

TEST_F(journal_folder, the_journal_of_another_release_is_left_alone) {
    std::string name;
    {
        journal j(settings);
        name = j.replica();
        lane& l = j.add_lane();
        l.finish(l.open(numbered("r")), numbered("r"), {});
    }
    std::fstream file(folder_of(name) + "/lane0.segment.0", std::ios::in | std::ios::out | std::ios::binary);
    file.write("cpjrnl99", 8);
    file.close();
    dead_replica dead(std::move(*replica_folder::adopt(settings.directory, name)));
    EXPECT_TRUE(dead.is_foreign());
    std::vector<journal_row> rows;
    EXPECT_EQ(dead.take(rows, 10), 0u);
}

TEST_F(journal_folder, files_that_were_never_written_are_empty) {
    std::string name;
    {
        journal j(settings);
        name = j.replica();
        lane& l = j.add_lane();
        l.finish(l.open(numbered("r")), numbered("r"), {});
    }
    std::ofstream(folder_of(name) + "/lane0.segment.98");
    std::ofstream(folder_of(name) + "/lane0.segment.99") << std::string(5000, '\0');
    std::ofstream(folder_of(name) + "/lane0.open.97");
    const found all = adopt(name);
    EXPECT_EQ(all.finished, std::vector<std::string>{"r.1"});
    EXPECT_TRUE(all.damage.empty());
}

// At every step of a journal's life its folder is copied, as a kill -9 would leave it, and read.
TEST_F(journal_folder, killed_after_any_step_nothing_finished_is_lost_and_the_rest_is_open) {
    journal j(settings);
    lane& l = j.add_lane();
    std::multiset<std::string> finished, open;
    int copies = 0;
    const auto check = [&] {
        const std::string copy = settings.directory + "_copy";
        fs::remove_all(copy);
        fs::create_directories(copy);
        fs::copy(folder_of(j.replica()), copy + "/rep_copy");
        const found all = adopt_in(copy, "rep_copy");
        fs::remove_all(copy);
        ++copies;
        EXPECT_EQ(std::multiset(all.finished.begin(), all.finished.end()), finished);
        EXPECT_EQ(std::multiset(all.open.begin(), all.open.end()), open);
        EXPECT_TRUE(all.damage.empty());
    };
    std::vector<std::pair<lane::slot, std::string>> under_way;
    for (int i = 0; i < 300; ++i) {
        if (i % 5 != 4) {
            const std::string id = "r" + std::to_string(i);
            under_way.emplace_back(l.open(numbered(id)), id);
            open.insert(id + ".1");
        } else {
            const auto [slot, id] = under_way[under_way.size() / 2];
            under_way.erase(under_way.begin() + static_cast<std::ptrdiff_t>(under_way.size() / 2));
            l.finish(slot, numbered(id), {});
            open.erase(id + ".1");
            finished.insert(id + ".1");
        }
        if (i % 7 == 0) check();
        if (i == 150) {
            for (const std::string& id : ids_read(j)) finished.erase(id + ".1");
            j.accept();
            check();
        }
    }
    for (const auto& [slot, id] : under_way) {
        l.finish(slot, numbered(id), {});
        open.erase(id + ".1");
        finished.insert(id + ".1");
    }
    check();
    EXPECT_GT(copies, 40);
}

// A child writes as fast as it can and tells through a pipe what it has finished; it is killed in the middle.
TEST_F(journal_folder, a_killed_process_leaves_every_attempt_that_it_finished) {
    for (int round = 0; round < 10; ++round) {
        int told[2];
        ASSERT_EQ(::pipe(told), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(told[0]);
            journal j(settings);
            lane& l = j.add_lane();
            std::uint32_t number = 0;
            for (;; ++number) {
                const std::string id = "r" + std::to_string(number);
                const auto slot = l.open(numbered(id));
                if (slot == lane::no_slot) break;
                l.finish(slot, numbered(id), {});
                if (::write(told[1], &number, sizeof number) != sizeof number) break;
                if (number % 50 == 0) j.prepare();
            }
            for (;;) ::pause();
        }
        ::close(told[1]);
        std::uint32_t last = 0;
        std::uint32_t number = 0;
        const int until = 100 + round * 37;
        for (int i = 0; i < until && ::read(told[0], &number, sizeof number) == sizeof number; ++i) last = number;
        ASSERT_EQ(::kill(child, SIGKILL), 0);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        while (::read(told[0], &number, sizeof number) == sizeof number) last = number;
        ::close(told[0]);
        const auto left = replica_folder::list(settings.directory);
        ASSERT_EQ(left.size(), 1u);
        found all = adopt(left[0]);
        EXPECT_TRUE(all.damage.empty());
        EXPECT_LE(all.open.size(), 1u);
        const std::set<std::string> once(all.finished.begin(), all.finished.end());
        EXPECT_EQ(once.size(), all.finished.size());
        ASSERT_GE(all.finished.size(), last + 1u);
        ASSERT_LE(all.finished.size(), last + 3u) << "at most what was finished and not told";
        for (std::uint32_t i = 0; i <= last; ++i) ASSERT_TRUE(once.contains("r" + std::to_string(i) + ".1")) << i;
        dead_replica(std::move(*replica_folder::adopt(settings.directory, left[0]))).remove();
    }
}

TEST_F(journal_folder, lanes_write_while_another_thread_reads) {
    constexpr int lanes = 4;
    constexpr int each = 5000;
    journal j(settings);
    std::vector<lane*> all;
    for (int i = 0; i < lanes; ++i) all.push_back(&j.add_lane());
    std::vector<std::thread> reactors;
    for (int i = 0; i < lanes; ++i) {
        reactors.emplace_back([&, i] {
            std::vector<std::pair<lane::slot, std::string>> open;
            for (int n = 0; n < each; ++n) {
                const std::string id = std::to_string(i) + "_" + std::to_string(n);
                lane::slot slot = lane::no_slot;
                while ((slot = all[static_cast<std::size_t>(i)]->open(numbered(id))) == lane::no_slot)
                    std::this_thread::yield();
                open.emplace_back(slot, id);
                if (open.size() < 100 && n + 1 < each) continue;
                for (const auto& [which, name] : open)
                    all[static_cast<std::size_t>(i)]->finish(which, numbered(name), {});
                open.clear();
            }
        });
    }
    std::set<std::string> seen;
    std::size_t count = 0;
    std::thread keeper([&] {
        for (int i = 0; i < 50; ++i) {
            j.prepare();
            j.sync();
            std::this_thread::yield();
        }
    });
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (count < lanes * each && std::chrono::steady_clock::now() < deadline) {
        j.prepare();
        const auto ids = ids_read(j, 700);
        count += ids.size();
        seen.insert(ids.begin(), ids.end());
        j.accept();
    }
    for (std::thread& reactor : reactors) reactor.join();
    keeper.join();
    EXPECT_EQ(count, static_cast<std::size_t>(lanes * each));
    EXPECT_EQ(seen.size(), count);
    EXPECT_EQ(j.damaged(), 0u);
    EXPECT_EQ(j.open_attempts(), 0u);
}

}  // namespace
}  // namespace ledger
