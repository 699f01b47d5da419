// What a power cut would leave: a submit that was answered has been flushed to the disk. Only SQLite has to be asked
// for that; PostgreSQL does so by itself.
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>

#include "database/migrations.hpp"
#include "jobs/store.hpp"

#include <gtest/gtest.h>

namespace {

std::atomic<int> flushes{0};

}  // namespace

// In the place of the C library's, for SQLite in this process too: they count.
extern "C" int fdatasync(int fd) {
    ++flushes;
    return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
extern "C" int fsync(int fd) {
    ++flushes;
    return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace jobs {
namespace {

class folder {
public:
    folder() : path_(std::filesystem::temp_directory_path() / ("jobs-durable-" + std::to_string(::getpid()))) {
        std::filesystem::create_directories(path_);
    }
    ~folder() { std::filesystem::remove_all(path_); }
    folder(const folder&) = delete;
    folder& operator=(const folder&) = delete;
    std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
    const std::filesystem::path path_;
};

outcome submit(store& to, const std::string& id) {
    submission job;
    job.id = id;
    job.who = {.team_id = "team_1", .key_id = "key_1", .subject = {}};
    job.model = "claude-sonnet-4-5";
    job.request = R"({"model":"claude-sonnet-4-5"})";
    job.created_at = 1'800'000'000'000;
    job.expires_at = job.created_at + 86'400'000;
    std::promise<outcome> told;
    to.submit(std::move(job), [&](store::submitted answer) { told.set_value(answer.how); });
    return told.get_future().get();
}

TEST(jobs_durable, a_submit_that_was_answered_is_on_the_disk) {
    const folder here;
    database::options where;
    where.url = base::secret("sqlite:" + here.file("jobs.db"));
    database::migrate(*database::open(where.url.reveal(), where));
    const options rules;
    store jobs(where, rules, "replica_1");
    ASSERT_EQ(submit(jobs, "job_0"), outcome::done);  // the first one of a file flushes in any case
    for (int i = 1; i <= 5; ++i) {
        const int before = flushes;
        ASSERT_EQ(submit(jobs, "job_" + std::to_string(i)), outcome::done);
        EXPECT_GT(flushes, before) << i;
    }
}

}  // namespace
}  // namespace jobs
