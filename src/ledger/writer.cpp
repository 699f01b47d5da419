#include "ledger/writer.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

#include "base/signals_blocked.hpp"
#include "database/migrations.hpp"
#include "ledger/dead_replica.hpp"
#include "ledger/record.hpp"

namespace ledger {
namespace {

using steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds backoff_first{100};
constexpr milliseconds backoff_most{5'000};
constexpr int busy_said_after = 3;  // a lock that is not to be had once or twice is no outage
constexpr std::chrono::seconds adopt_every{30};
constexpr std::chrono::hours partitions_every{6};  // this month's and the next one's are there: any time will do
constexpr std::size_t adopted_share = 4;           // of a batch is for dead processes: a quarter
constexpr int writer_nice_more = 5;                // rows can wait, requests should not

std::int64_t now_ms() {
    return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool is_hopeless(database::failure_kind why) {
    return why == database::failure_kind::conflict || why == database::failure_kind::invalid;
}

}  // namespace

struct writer::state {
    state(journal& of, const options& chosen, std::unique_ptr<database::connection> connection, writer_hooks all)
        : source(of), settings(chosen), on(std::move(connection)), hooks(std::move(all)) {}

    journal& source;
    const options settings;
    const std::unique_ptr<database::connection> on;
    const writer_hooks hooks;
    writer_counts counts;

    std::mutex mutex;  // guards the next three
    std::condition_variable changed;
    bool stopping = false;
    std::uint64_t flushes_wanted = 0;
    std::uint64_t flushes_done = 0;
    std::mutex trouble_mutex;

    // The writer thread's own.
    row_writer rows;
    std::vector<const std::byte*> records;
    std::vector<journal_row> pending;
    std::optional<dead_replica> dead;
    std::deque<std::string> to_adopt;
    std::set<std::string> foreign_said;
    steady::time_point adopt_next{};
    steady::time_point partitions_next{};
    std::optional<steady::time_point> outage_since;
    bool outage_said = false;
    int failed_in_a_row = 0;
    std::int64_t oldest_ms = 0;  // of the rows at hand; 0: none

    std::thread writing;
    std::thread keeping;

    void run();
    void keep();
    bool round();
    void gather();
    bool write_rows(std::span<const journal_row> some);
    bool reject(const journal_row& row, const std::string& why);
    void mind_partitions();
    void mind_dead();
    bool finish_dead();
    bool wait_out(const database::failure& why);
    void note_success();
    bool wait(milliseconds time);
    void note_counts();
    void say(const std::string& what) {
        const std::lock_guard lock(trouble_mutex);
        if (hooks.trouble) hooks.trouble(what);
    }
    bool is_stopping() {
        const std::lock_guard lock(mutex);
        return stopping;
    }
};

writer::writer(journal& of, const options& settings, std::unique_ptr<database::connection> on, writer_hooks hooks)
    : state_(std::make_unique<state>(of, settings, std::move(on), std::move(hooks))) {
    const base::signals_blocked here;
    state_->writing = std::thread([own = state_.get()] {
        pthread_setname_np(pthread_self(), "ledger");
        const auto self = static_cast<id_t>(gettid());
        setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + writer_nice_more);
        own->run();
    });
    state_->keeping = std::thread([own = state_.get()] {
        pthread_setname_np(pthread_self(), "ledger-keeper");
        own->keep();
    });
}

writer::~writer() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stopping = true;
        state_->changed.notify_all();
    }
    state_->writing.join();
    state_->keeping.join();
}

const writer_counts& writer::counts() const { return state_->counts; }

flush_result writer::flush(steady::time_point deadline) {
    {
        std::unique_lock lock(state_->mutex);
        const std::uint64_t mine = ++state_->flushes_wanted;
        state_->changed.notify_all();
        state_->changed.wait_until(lock, deadline, [&] { return state_->flushes_done >= mine; });
    }
    return {.rows_left = state_->source.unread(), .open_attempts = state_->source.open_attempts()};
}

// True when the time has passed or somebody waits for a flush; false when it is the end.
bool writer::state::wait(milliseconds time) {
    std::unique_lock lock(mutex);
    const std::uint64_t wanted = flushes_wanted;
    if (flushes_done != wanted) time = std::min(time, backoff_first);  // somebody has a deadline
    const auto is_wanted = [&] { return stopping || flushes_wanted != wanted; };
    changed.wait_for(lock, time, is_wanted);
    return !stopping;
}

void writer::state::run() {
    while (!is_stopping()) {
        try {
            if (round()) continue;
        } catch (const std::system_error& why) {  // files: of a dead process, or of rejected rows
            say(std::string("the journal cannot be read: ") + why.what());
            dead.reset();
            source.rewind();
        }
        if (!wait(settings.write_every)) return;
    }
}

// One turn; true when there may be more to do at once.
bool writer::state::round() {
    std::uint64_t flushes = 0;
    bool is_flushing = false;
    {
        const std::lock_guard lock(mutex);
        flushes = flushes_wanted;
        is_flushing = flushes != flushes_done;
    }
    source.prepare();
    mind_partitions();
    if (!is_flushing) mind_dead();
    gather();
    note_counts();
    if (!pending.empty() && !write_rows(pending)) return false;
    source.accept();
    if (dead) dead->accept();
    const bool had_own = !records.empty();
    const bool had_dead = pending.size() > records.size();
    if (dead && !had_dead && !is_flushing && !finish_dead()) return false;
    oldest_ms = 0;
    note_counts();
    const bool was_full = pending.size() >= settings.batch_rows_max;
    const std::lock_guard lock(mutex);
    if (!had_own) {  // all that was finished before this turn is in the database
        flushes_done = flushes;
        changed.notify_all();
    }
    const bool is_wanted = flushes_done != flushes_wanted;
    return was_full || is_wanted || had_dead || (!is_flushing && !to_adopt.empty());
}

void writer::state::gather() {
    const std::size_t most = settings.batch_rows_max;
    pending.clear();
    records.clear();
    if (dead) dead->take(pending, std::max<std::size_t>(1, most / adopted_share));  // however busy we are
    const std::size_t adopted = pending.size();
    source.take(records, most > adopted ? most - adopted : 0);
    oldest_ms = 0;
    for (const std::byte* record : records) {
        pending.push_back({.bytes = record, .replica = source.replica(), .is_own = true});
        const std::int64_t at = time_of(record);
        if (oldest_ms == 0 || at < oldest_ms) oldest_ms = at;
    }
    std::size_t more = 0;
    if (dead && adopted > 0 && pending.size() < most) more = dead->take(pending, most - pending.size());
    counts.rows_adopted += adopted + more;
}

void writer::state::note_counts() {
    counts.lag_ms = oldest_ms == 0 ? 0 : static_cast<std::uint64_t>(std::max<std::int64_t>(0, now_ms() - oldest_ms));
    counts.journal_bytes = source.bytes();
    counts.open_attempts = source.open_attempts();
}

// Writes the rows in one transaction, in several when one of them is refused. False: it is the end and they are not in
// the database, as far as is known.
bool writer::state::write_rows(std::span<const journal_row> some) {
    bool with_hook = true;
    for (;;) {
        try {
            const std::uint64_t inserted =
                rows.write(*on, some, with_hook ? hooks.in_transaction : sums_in_transaction{});
            note_success();
            counts.rows_written += inserted;
            ++counts.batches;
            if (hooks.written && !rows.sums().empty()) hooks.written(rows.sums());
            return true;
        } catch (const hook_failure& why) {
            ++counts.failures;
            if (is_hopeless(why.kind)) {
                say(std::string("budgets cannot note what was spent; the rows are written without: ") + why.what());
                with_hook = false;
            } else if (!wait_out(why)) {
                return false;
            }
        } catch (const database::failure& why) {
            ++counts.failures;
            if (is_hopeless(why.kind) && some.size() > 1) {
                const std::size_t half = some.size() / 2;
                return write_rows(some.first(half)) && write_rows(some.subspan(half));
            }
            if (is_hopeless(why.kind) && rows.is_sound(*on) && reject(some.front(), why.what())) return true;
            if (!wait_out(why)) return false;
        }
    }
}

bool writer::state::reject(const journal_row& row, const std::string& why) {
    const std::string line = row_writer::as_json(row, why, now_ms());
    const std::string path = settings.directory + "/rejected.jsonl";
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const bool written =
        fd >= 0 && ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && ::fsync(fd) == 0;
    if (fd >= 0) ::close(fd);
    say((written ? "the database refuses a row, it is in " : "the database refuses a row, and it cannot be put into ") +
        path + ": " + why);
    if (written) {
        note_success();
        ++counts.rows_rejected;
    }
    return written;
}

void writer::state::mind_partitions() {
    if (steady::now() < partitions_next) return;
    partitions_next = steady::now() + partitions_every;
    for (;;) {
        try {
            database::ensure_partitions(*on, now_ms());
            return;
        } catch (const database::failure& why) {
            ++counts.failures;
            if (is_hopeless(why.kind)) {  // rows without a month's partition go to the default one
                say(std::string("the partitions of the ledger cannot be made: ") + why.what());
                return;
            }
            if (!wait_out(why)) return;
        }
    }
}

void writer::state::mind_dead() {
    if (steady::now() >= adopt_next) {
        adopt_next = steady::now() + adopt_every;
        to_adopt.clear();
        for (std::string& name : replica_folder::list(settings.directory)) {
            if (name != source.replica()) to_adopt.push_back(std::move(name));
        }
    }
    while (!dead && !to_adopt.empty()) {
        const std::string name = std::move(to_adopt.front());
        to_adopt.pop_front();
        auto folder = replica_folder::adopt(settings.directory, name);
        if (!folder) continue;
        dead.emplace(std::move(*folder));
        if (dead->is_foreign()) {
            if (foreign_said.insert(name).second)
                say("the journal of " + name + " is of another release and stays where it is");
            dead.reset();
        }
    }
}

// All finished records are in the database; now what was open. False: it is the end.
bool writer::state::finish_dead() {
    const std::vector<journal_row> lost = dead->open_attempts(now_ms());
    std::span<const journal_row> left = lost;
    while (!left.empty()) {
        const auto some = left.first(std::min<std::size_t>(left.size(), settings.batch_rows_max));
        if (!write_rows(some)) return false;
        left = left.subspan(some.size());
    }
    counts.rows_adopted += lost.size();
    for (const std::string& what : dead->damage()) say("the journal is damaged: " + what);
    for (bool done = !hooks.adopted; !done;) {
        try {
            database::transaction together(*on);
            hooks.adopted(dead->replica(), *on);
            together.commit();
            note_success();
            done = true;
        } catch (const database::failure& why) {
            ++counts.failures;
            if (is_hopeless(why.kind)) {
                say("what the dead process " + dead->replica() + " held cannot be given back: " + why.what());
                done = true;
            } else if (!wait_out(why)) {
                return false;
            }
        }
    }
    dead->remove();
    dead.reset();
    return true;
}

// Waits before the next try; false when it is the end.
bool writer::state::wait_out(const database::failure& why) {
    if (!outage_since) outage_since = steady::now();
    ++failed_in_a_row;
    const bool is_worth_saying = why.kind != database::failure_kind::busy || failed_in_a_row >= busy_said_after;
    if (is_worth_saying && !outage_said) {
        outage_said = true;
        if (hooks.outage_began) hooks.outage_began(why.what());
    }
    const int doublings = std::min(failed_in_a_row - 1, 6);
    note_counts();
    return wait(std::min(backoff_most, backoff_first * (1 << doublings)));
}

void writer::state::note_success() {
    failed_in_a_row = 0;
    if (outage_said && hooks.outage_ended)
        hooks.outage_ended(std::chrono::duration_cast<milliseconds>(steady::now() - *outage_since));
    outage_said = false;
    outage_since.reset();
}

// The keeper: files ahead and the disk, whatever the database does.
void writer::state::keep() {
    std::string said;
    for (;;) {
        {
            std::unique_lock lock(mutex);
            if (changed.wait_for(lock, settings.sync_every, [&] { return stopping; })) return;
        }
        source.prepare();
        try {
            source.sync();
            said.clear();
        } catch (const std::system_error& why) {
            if (said != why.what()) say(std::string("the journal cannot be flushed: ") + why.what());
            said = why.what();
        }
    }
}

}  // namespace ledger
