// Followers of logs, on the replica whose worker writes and on others, wherever they were cut: each sees the bytes of
// the log, all of them and once.
#include <condition_variable>
#include <random>
#include <thread>

#include "anthropic/event_log.hpp"
#include "jobs/tail.hpp"
#include "jobs_suite.hpp"

namespace jobs {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t take_bytes = 1 << 20;

// One who reads a log until its end.
class reader {
public:
    reader(tail& on, const summary& about, std::uint64_t after, tail::interest what = tail::interest::log)
        : follower_(on.follow(about, after, what, [bell = bell_] { bell->ring(); })) {}

    bool is_taken() const { return follower_ != nullptr; }
    const std::string& bytes() const { return bytes_; }
    std::uint64_t seen() const { return seen_; }
    bool is_lost() const { return lost_; }
    int wakes() const { return bell_->rung; }

    // What is there now; true: it was the end.
    bool take(std::size_t bytes_max = take_bytes) {
        const auto portion = follower_->take(bytes_max);
        for (const auto& piece : portion.pieces) {
            bytes_ += anthropic::skip_to_after(piece->bytes, piece->first_id, portion.after);
            seen_ = std::max(seen_, piece->last_id);
        }
        lost_ = portion.lost;
        took_ = !portion.pieces.empty();
        return portion.ended;
    }
    // Reads on until the end, or until nothing came for so long; true: it was the end.
    bool read_to_end(milliseconds patience = milliseconds(10'000), std::size_t bytes_max = take_bytes) {
        for (;;) {
            if (take(bytes_max)) return true;
            if (lost_) return false;
            if (!took_ && !wait(patience)) return false;
        }
    }
    bool read_to(std::uint64_t event, milliseconds patience = milliseconds(10'000)) {
        while (seen_ < event) {
            take();
            if (!took_ && !wait(patience)) return false;
        }
        return true;
    }
    bool wait(milliseconds patience) { return bell_->wait(patience * contract::time_scale()); }

private:
    // The tail may ring it after the reader has gone.
    struct bell {
        std::mutex mutex;
        std::condition_variable changed;
        bool is_new = false;
        std::atomic<int> rung{0};

        void ring() {
            const std::lock_guard lock(mutex);
            is_new = true;
            ++rung;
            changed.notify_one();
        }
        bool wait(milliseconds patience) {
            std::unique_lock lock(mutex);
            const bool heard = changed.wait_for(lock, patience, [this] { return is_new; });
            is_new = false;
            return heard;
        }
    };

    const std::shared_ptr<bell> bell_ = std::make_shared<bell>();
    std::string bytes_;
    std::uint64_t seen_ = 0;
    bool lost_ = false, took_ = false;
    std::unique_ptr<tail::follower> follower_;
};

// A store and those who follow on it.
class replica {
public:
    replica(std::unique_ptr<waiting_store> store, const options& rules)
        : store_(std::move(store)), tail_(store_->itself(), rules) {
        store_->itself().on_change([this](const change& news) { tail_.on_change(news); });
    }
    ~replica() {
        tail_.stop();
        store_.reset();
    }
    replica(const replica&) = delete;
    replica& operator=(const replica&) = delete;

    waiting_store& store() { return *store_; }
    tail& following() { return tail_; }
    reader follow(const std::string& id, std::uint64_t after = 0, tail::interest what = tail::interest::log) {
        return {tail_, store_->of(id), after, what};
    }

private:
    std::unique_ptr<waiting_store> store_;
    tail tail_;
};

class job_tail : public jobs_suite {
protected:
    job_tail() { rules.poll_every = milliseconds(20); }
    void never_look() { rules.poll_every = milliseconds(3'600'000); }

    std::unique_ptr<replica> start(std::string name) { return std::make_unique<replica>(open(std::move(name)), rules); }
    // A job that runs on that replica.
    claimed running(replica& on) {
        EXPECT_EQ(on.store().submit(job_of("team_1")).how, outcome::done);
        auto claims = on.store().claim(1);
        EXPECT_EQ(claims.size(), 1);
        return std::move(claims.at(0));
    }
    static void write(replica& on, const claimed& job, std::uint64_t first, std::uint64_t count = 1) {
        EXPECT_EQ(on.store().append(job.about.id, job.about.attempt, piece(first, count)), outcome::done);
    }
    static void end(replica& on, const claimed& job, ending::way how = ending::way::succeeded) {
        auto last = ending_of(job, how);
        last.result = "{}";
        EXPECT_EQ(on.store().finish(last), outcome::done);
    }
    // Of events that begin with the one of id `first`, those after `after`.
    static std::string beyond(const std::string& events, std::uint64_t after, std::uint64_t first = 1) {
        return std::string(anthropic::skip_to_after(events, first, after));
    }
};
RUN_ON_EVERY_DATABASE(job_tail);

TEST_P(job_tail, where_the_worker_runs_its_pieces_come_without_a_look_at_the_database) {
    never_look();
    const auto here = start("replica_1");
    const auto job = running(*here);
    auto one = here->follow(job.about.id);
    EXPECT_FALSE(one.take());
    write(*here, job, 1, 3);
    write(*here, job, 4);
    ASSERT_TRUE(one.read_to(4));
    const auto before = here->following().counted().replays.load();
    auto two = here->follow(job.about.id);
    end(*here, job);
    EXPECT_TRUE(one.read_to_end());
    EXPECT_TRUE(two.read_to_end());
    EXPECT_EQ(one.bytes(), here->store().log(job.about.id));
    EXPECT_EQ(two.bytes(), one.bytes());
    EXPECT_EQ(here->following().counted().replays, before) << "what is kept serves the second one";
    EXPECT_EQ(here->following().counted().looks, 0u);
}

TEST_P(job_tail, on_another_replica_a_look_finds_what_has_changed) {
    const auto here = start("replica_1"), there = start("replica_2");
    const auto job = running(*here);
    auto one = there->follow(job.about.id);
    for (std::uint64_t event = 1; event <= 5; ++event) {
        write(*here, job, event);
        ASSERT_TRUE(one.read_to(event));
    }
    end(*here, job);
    EXPECT_TRUE(one.read_to_end());
    EXPECT_EQ(one.bytes(), here->store().log(job.about.id));
}

TEST_P(job_tail, a_wake_brings_the_look_forward) {
    never_look();
    const auto here = start("replica_1"), there = start("replica_2");
    const auto job = running(*here);
    auto one = there->follow(job.about.id);
    write(*here, job, 1);
    there->following().wake("job_nobody_follows");
    there->following().wake(job.about.id);
    ASSERT_TRUE(one.read_to(1));
    end(*here, job);
    there->following().wake(job.about.id);
    EXPECT_TRUE(one.read_to_end());
}

TEST_P(job_tail, who_was_cut_after_any_event_goes_on_there_on_any_replica) {
    const auto here = start("replica_1"), there = start("replica_2");
    const auto job = running(*here);
    const std::string& id = job.about.id;
    std::uint64_t next = 1;
    for (const std::uint64_t count : {1u, 5u, 1u, 9u, 3u}) {
        write(*here, job, next, count);
        next += count;
    }
    // While it runs, and when it has ended.
    for (const bool ended : {false, true}) {
        if (ended) end(*here, job);
        const std::string log = here->store().log(id);
        for (std::uint64_t after = 0; after < next; ++after) {
            for (auto* const on : {here.get(), there.get()}) {
                auto one = on->follow(id, after);
                if (ended) {
                    ASSERT_TRUE(one.read_to_end()) << after;
                } else if (after + 1 < next) {
                    ASSERT_TRUE(one.read_to(next - 1)) << after;
                }
                ASSERT_EQ(one.bytes(), beyond(log, after)) << after;
            }
        }
    }
}

TEST_P(job_tail, who_is_slow_gets_from_the_database_what_is_not_kept_any_more) {
    rules.tail_job_bytes_max = 200;
    const auto here = start("replica_1");
    const auto job = running(*here);
    auto slow = here->follow(job.about.id);
    EXPECT_FALSE(slow.take());
    for (std::uint64_t event = 1; event <= 50; ++event) write(*here, job, event);
    EXPECT_LE(here->following().counted().kept_bytes, 200u);
    end(*here, job);
    EXPECT_TRUE(slow.read_to_end(milliseconds(10'000), 1)) << "a piece at a time";
    EXPECT_EQ(slow.bytes(), here->store().log(job.about.id));
    EXPECT_GT(here->following().counted().replays, 0u);
}

TEST_P(job_tail, a_long_log_comes_in_portions) {
    const auto here = start("replica_1");
    const auto job = running(*here);
    const std::string line(60'000, 'x');
    for (std::uint64_t event = 1; event <= 40; ++event) {
        log_piece big{event, event, "id: " + std::to_string(event) + "\ndata: " + line + "\n\n"};
        EXPECT_EQ(here->store().append(job.about.id, job.about.attempt, std::move(big)), outcome::done);
    }
    end(*here, job);
    std::vector<std::unique_ptr<reader>> all;
    for (int i = 0; i < 5; ++i)
        all.push_back(std::make_unique<reader>(here->following(), here->store().of(job.about.id), 0));
    const std::string log = here->store().log(job.about.id);
    for (const auto& each : all) {
        EXPECT_TRUE(each->read_to_end());
        EXPECT_TRUE(each->bytes() == log) << each->bytes().size() << " of " << log.size();
    }
}

TEST_P(job_tail, who_waits_for_the_end_is_not_woken_before) {
    const auto here = start("replica_1"), there = start("replica_2");
    const auto job = running(*here);
    auto one = here->follow(job.about.id, 0, tail::interest::end);
    auto two = there->follow(job.about.id, 0, tail::interest::end);
    auto log = there->follow(job.about.id);
    EXPECT_FALSE(one.take() || two.take());
    for (std::uint64_t event = 1; event <= 10; ++event) write(*here, job, event);
    ASSERT_TRUE(log.read_to(10));
    EXPECT_EQ(one.wakes() + two.wakes(), 0);
    end(*here, job, ending::way::failed);
    EXPECT_TRUE(one.read_to_end());
    EXPECT_TRUE(two.read_to_end());
    EXPECT_EQ(one.bytes() + two.bytes(), "");
    EXPECT_EQ(one.wakes(), 1);
    EXPECT_EQ(two.wakes(), 1);
}

TEST_P(job_tail, a_queued_job_that_is_cancelled_or_expires_ends_its_followers) {
    const auto here = start("replica_1"), there = start("replica_2");
    auto gone = job_of("team_1"), late = job_of("team_1");
    late.expires_at = now() + 1'000;
    here->store().submit(gone);
    here->store().submit(late);
    for (const auto& id : {gone.id, late.id}) {
        auto one = here->follow(id), two = there->follow(id);
        EXPECT_FALSE(one.take() || two.take());
        if (id == gone.id) {
            EXPECT_EQ(here->store().cancel(id), outcome::done);
        } else {
            tick(2'000);
            EXPECT_EQ(here->store().sweep().expired, 1u);
        }
        EXPECT_TRUE(one.read_to_end());
        EXPECT_TRUE(two.read_to_end());
        EXPECT_EQ(one.bytes(), here->store().log(id));
        EXPECT_EQ(two.bytes(), one.bytes());
    }
}

TEST_P(job_tail, a_redriven_job_does_not_end_where_it_once_was_dead) {
    rules.attempts_max = 1;
    const auto here = start("replica_1"), there = start("replica_2");
    auto what = job_of("team_1");
    what.attempts_max = 1;
    here->store().submit(what);
    auto job = here->store().claim(1).at(0);
    write(*here, job, 1, 2);
    end(*here, job, ending::way::retry);
    ASSERT_EQ(here->store().of(what.id).state, status::dead);
    auto old = here->follow(what.id);  // keeps what is known of the job, the end included
    ASSERT_EQ(here->store().redrive(what.id), outcome::done);
    auto one = here->follow(what.id), two = there->follow(what.id);
    ASSERT_TRUE(one.read_to(3) && two.read_to(3)) << "the event `job` of the first end is among them";
    EXPECT_FALSE(one.take() || two.take());
    job = here->store().claim(1).at(0);
    EXPECT_EQ(job.events, 3u);
    write(*here, job, 4, 2);
    end(*here, job);
    EXPECT_TRUE(one.read_to_end());
    EXPECT_TRUE(two.read_to_end());
    EXPECT_TRUE(old.read_to_end());
    EXPECT_EQ(one.bytes(), here->store().log(what.id));
    EXPECT_EQ(two.bytes(), one.bytes());
    EXPECT_EQ(old.bytes(), one.bytes());
}

TEST_P(job_tail, a_job_that_is_deleted_while_it_is_read_is_lost) {
    rules.tail_job_bytes_max = 0;
    const auto here = start("replica_1");
    const auto job = running(*here);
    write(*here, job, 1, 2);
    end(*here, job);
    const auto about = here->store().of(job.about.id);
    ASSERT_EQ(here->store().remove(job.about.id), outcome::done);
    reader one(here->following(), about, 0);
    EXPECT_FALSE(one.read_to_end());
    EXPECT_TRUE(one.is_lost());
}

// A look on this replica finds neither the end nor the job.
TEST_P(job_tail, a_job_that_ends_and_is_deleted_between_two_looks_is_lost_for_all_its_followers) {
    never_look();
    const auto here = start("replica_1"), there = start("replica_2");
    const auto job = running(*here);
    write(*here, job, 1, 2);
    auto log = there->follow(job.about.id), end_only = there->follow(job.about.id, 0, tail::interest::end);
    ASSERT_TRUE(log.read_to(2));
    EXPECT_FALSE(log.take());
    EXPECT_FALSE(end_only.take());
    end(*here, job);
    ASSERT_EQ(here->store().remove(job.about.id), outcome::done);
    there->following().wake(job.about.id);
    EXPECT_FALSE(log.read_to_end());
    EXPECT_TRUE(log.is_lost());
    EXPECT_FALSE(end_only.read_to_end());
    EXPECT_TRUE(end_only.is_lost());
}

TEST_P(job_tail, followers_are_counted_bounded_and_forgotten) {
    rules.followers_max = 3;
    const auto here = start("replica_1");
    const auto job = running(*here), other = running(*here);
    {
        auto one = here->follow(job.about.id), two = here->follow(job.about.id), three = here->follow(other.about.id);
        EXPECT_TRUE(one.is_taken() && two.is_taken() && three.is_taken());
        EXPECT_FALSE(here->follow(job.about.id).is_taken());
        EXPECT_EQ(here->following().counted().followers, 3u);
        EXPECT_EQ(here->following().counted().jobs, 2u);
        write(*here, job, 1);
        ASSERT_TRUE(one.read_to(1) && two.read_to(1));
        EXPECT_GT(here->following().counted().kept_bytes, 0u);
    }
    EXPECT_EQ(here->following().counted().followers, 0u);
    EXPECT_EQ(here->following().counted().jobs, 0u);
    EXPECT_EQ(here->following().counted().kept_bytes, 0u);
    EXPECT_TRUE(here->follow(job.about.id).is_taken());
}

// Writers on two replicas, followers on both that are cut at random and go on anywhere.
TEST_P(job_tail, many_who_come_and_go_all_see_the_same_bytes) {
    constexpr int jobs_count = 8, events = 40, readers = 24;
    rules.tail_job_bytes_max = 500;
    const auto here = start("replica_1"), there = start("replica_2");
    replica* const both[] = {here.get(), there.get()};
    std::vector<claimed> all;
    for (int i = 0; i < jobs_count; ++i) all.push_back(running(*both[i % 2]));
    std::vector<std::thread> threads;
    for (int i = 0; i < jobs_count; ++i) {
        threads.emplace_back([&, i] {
            std::mt19937 random(static_cast<unsigned>(i));
            for (std::uint64_t next = 1; next <= events;) {
                const std::uint64_t count = std::min<std::uint64_t>(1 + random() % 4, events + 1 - next);
                write(*both[i % 2], all[static_cast<std::size_t>(i)], next, count);
                next += count;
            }
            end(*both[i % 2], all[static_cast<std::size_t>(i)]);
        });
    }
    std::vector<std::string> seen(readers);
    std::atomic<int> ended{0};
    for (int i = 0; i < readers; ++i) {
        threads.emplace_back([&, i] {
            std::mt19937 random(static_cast<unsigned>(1'000 + i));
            const std::string id = all[static_cast<std::size_t>(i % jobs_count)].about.id;
            std::string& bytes = seen[static_cast<std::size_t>(i)];
            for (std::uint64_t after = 0;;) {
                auto one = both[random() % 2]->follow(id, after);
                const std::uint64_t until = after + 1 + random() % 15;
                bool is_end = false;
                while (!is_end && one.seen() < until) {
                    is_end = one.take(1 + random() % 300);
                    if (!is_end && !one.wait(milliseconds(random() % 3 == 0 ? 1 : 50))) continue;
                }
                // It was cut in the middle of what it had taken: the events are whole, the connection is not.
                const std::string whole = one.bytes();
                const std::uint64_t last =
                    is_end ? one.seen()
                           : std::max(after, one.seen() - std::min<std::uint64_t>(one.seen() - after, random() % 3));
                const std::string dropped = beyond(whole, last, after + 1);
                bytes += whole.substr(0, whole.size() - dropped.size());
                after = last;
                if (is_end) break;
            }
            ++ended;
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(ended, readers);
    for (int i = 0; i < readers; ++i) {
        EXPECT_EQ(seen[static_cast<std::size_t>(i)],
                  here->store().log(all[static_cast<std::size_t>(i % jobs_count)].about.id))
            << i;
    }
}

}  // namespace
}  // namespace jobs
