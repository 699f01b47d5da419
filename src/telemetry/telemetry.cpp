#include "telemetry/telemetry.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "base/signals_blocked.hpp"
#include "telemetry/line.hpp"
#include "telemetry/log_output.hpp"
#include "telemetry/metrics.hpp"
#include "telemetry/request_line.hpp"

namespace telemetry {
namespace {

using steady = std::chrono::steady_clock;

constexpr std::size_t event_bytes_max = 1 << 20;  // lines of hub::log between two rounds; more are lost
constexpr std::size_t write_bytes = 256 * 1024;   // lines gathered for one write
constexpr std::size_t records_a_round = 512;      // of a lane, then the writer is woken: they are still in the cache
constexpr std::size_t spent_records_max = 1024;   // kept for reuse, a lane
constexpr std::size_t capacity_kept_max = 8192;   // records; a burst's memory goes back
constexpr std::chrono::seconds dropped_said_every{1};
constexpr int writer_nice_more = 5;  // than the process: a quarter of a CPU that the reactors use up is still enough

// Records on their way to the writer. The ones behind `used` are spent: they come back from the writer with their
// strings, and moving a new record in hands those to the reactor, so that what one thread allocated it also frees.
struct batch {
    std::vector<request_record> records;
    std::size_t used = 0;
    std::uint64_t dropped = 0;

    void reset() {
        used = 0;
        dropped = 0;
        if (records.capacity() > capacity_kept_max) {
            records = {};
        } else if (records.size() > spent_records_max) {
            records.resize(spent_records_max);
        }
    }
};

class buffered_lane final : public lane {
public:
    buffered_lane(std::size_t records_max, std::function<void()> wake)
        : records_max_(records_max), wake_(std::move(wake)) {}

    void record(request_record&& finished) override {
        bool is_worth_a_round = false;
        {
            const std::lock_guard lock(mutex_);  // contended only in the moment the writer swaps
            if (filling_.used >= records_max_) {
                ++filling_.dropped;
                return;
            }
            if (filling_.used == filling_.records.size()) {
                filling_.records.push_back(std::move(finished));
            } else {
                filling_.records[filling_.used] = std::move(finished);
            }
            is_worth_a_round = ++filling_.used == std::min(records_a_round, (records_max_ + 1) / 2);
        }
        if (is_worth_a_round) wake_();
    }

    void swap(batch& with) {
        const std::lock_guard lock(mutex_);
        std::swap(filling_, with);
    }

private:
    const std::size_t records_max_;
    const std::function<void()> wake_;
    std::mutex mutex_;
    batch filling_;  // guarded by mutex_
};

// A lane and what the writer has taken out of it.
struct lane_entry {
    std::unique_ptr<buffered_lane> lane;
    batch taken{};  // the writer's own
};

}  // namespace

struct hub::state {
    state(options chosen, int out_fd) : settings(chosen), output(out_fd) {}

    const options settings;

    std::mutex mutex;  // guards the next seven; never taken with a lane's mutex held
    std::condition_variable changed;
    std::vector<std::unique_ptr<lane_entry>> lanes;
    std::string events;
    std::uint64_t events_lost = 0;
    std::vector<std::function<void(std::string)>> scrapes;
    bool wanted = false;
    bool stopping = false;

    metrics counted;  // add() by any thread, the rest by the writer

    // The writer's own.
    log_output output;
    std::string lines;
    std::uint64_t dropped_unsaid = 0;
    steady::time_point dropped_said{};

    std::thread writer;

    void wake() {
        const std::lock_guard lock(mutex);
        wanted = true;
        changed.notify_one();
    }

    void write_lines() {
        if (lines.empty()) return;
        counted.count_lost(output.write(lines));
        lines.clear();
        if (lines.capacity() > 4 * write_bytes) lines = std::string();
    }

    void say_dropped(bool now) {
        if (dropped_unsaid == 0 || (!now && steady::now() - dropped_said < dropped_said_every)) return;
        dropped_said = steady::now();
        begin_line(lines, settings.form, std::chrono::system_clock::now(), level::warn, "log_records_dropped");
        append_field(lines, settings.form, "records", std::to_string(dropped_unsaid));
        lines.append(settings.form == format::json ? "}\n" : "\n");
        dropped_unsaid = 0;
    }

    void run() {
        std::vector<lane_entry*> known;
        std::vector<std::function<void(std::string)>> asked;
        for (bool last = false; !last;) {
            {
                std::unique_lock lock(mutex);
                changed.wait_for(lock, settings.flush_every, [this] { return wanted || stopping; });
                wanted = false;
                last = stopping;
                lines.swap(events);  // both keep their capacity
                asked.swap(scrapes);
                counted.count_lost(std::exchange(events_lost, 0));
                for (std::size_t i = known.size(); i < lanes.size(); ++i) known.push_back(lanes[i].get());
            }
            round(known, asked, last);
            asked.clear();
        }
    }

    // Counts first, so that a scrape sees what was recorded before it was asked, then writes, which may have to wait.
    void round(const std::vector<lane_entry*>& known, const std::vector<std::function<void(std::string)>>& asked,
               bool last) {
        for (lane_entry* const entry : known) {
            batch& taken = entry->taken;
            entry->lane->swap(taken);
            counted.count_dropped(taken.dropped);
            dropped_unsaid += taken.dropped;
            for (std::size_t i = 0; i < taken.used; ++i) counted.count(taken.records[i]);
        }
        if (!asked.empty()) {
            const std::string text = counted.text();
            for (const auto& done : asked) done(text);
        }
        for (lane_entry* const entry : known) {
            batch& taken = entry->taken;
            for (std::size_t i = 0; i < taken.used; ++i) {
                const request_record& finished = taken.records[i];
                if (settings.level_min > level::info && severity_of(finished) < settings.level_min) continue;
                append_request(lines, finished, settings.form);
                if (lines.size() >= write_bytes) write_lines();
            }
            taken.reset();
        }
        say_dropped(last);
        write_lines();
    }
};

hub::hub(options settings, int out_fd) : state_(std::make_unique<state>(settings, out_fd)) {
    const base::signals_blocked here;
    state_->writer = std::thread([own = state_.get()] {
        pthread_setname_np(pthread_self(), "telemetry");
        // Lines can wait, requests should not: on a busy CPU the reactors go first.
        const auto self = static_cast<id_t>(gettid());
        setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + writer_nice_more);
        own->run();
    });
}

hub::~hub() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stopping = true;
        state_->changed.notify_one();
    }
    state_->writer.join();
}

lane& hub::add_lane() {
    auto made = std::make_unique<lane_entry>(
        std::make_unique<buffered_lane>(state_->settings.records_max, [own = state_.get()] { own->wake(); }));
    lane& added = *made->lane;
    const std::lock_guard lock(state_->mutex);
    state_->lanes.push_back(std::move(made));
    return added;
}

void hub::log(level severity, std::string_view event, std::initializer_list<field> fields) {
    const options& settings = state_->settings;
    if (severity < settings.level_min) return;
    std::string line;
    begin_line(line, settings.form, std::chrono::system_clock::now(), severity, event);
    for (const auto& [name, value] : fields) append_field(line, settings.form, name, value);
    line.append(settings.form == format::json ? "}\n" : "\n");
    const std::lock_guard lock(state_->mutex);
    if (state_->events.size() + line.size() > event_bytes_max) {
        ++state_->events_lost;
        return;
    }
    state_->events.append(line);
    if (std::exchange(state_->wanted, true)) return;
    state_->changed.notify_one();
}

void hub::add_gauge(std::string name, std::string help, std::function<double()> read, metric_label label) {
    state_->counted.add(metric_kind::gauge, std::move(name), std::move(help), std::move(read), std::move(label));
}

void hub::add_counter(std::string name, std::string help, std::function<double()> read, metric_label label) {
    state_->counted.add(metric_kind::counter, std::move(name), std::move(help), std::move(read), std::move(label));
}

std::string hub::scrape() {
    const auto promised = std::make_shared<std::promise<std::string>>();
    auto text = promised->get_future();
    scrape_async([promised](std::string made) { promised->set_value(std::move(made)); });
    return text.get();
}

void hub::scrape_async(std::function<void(std::string)> done) {
    const std::lock_guard lock(state_->mutex);
    state_->scrapes.push_back(std::move(done));
    state_->wanted = true;
    state_->changed.notify_one();
}

}  // namespace telemetry
