// Answers by Idempotency-Key: a second request with the same key joins the first while it runs, and gets the finished
// answer again for a named time, so that a client that repeats a call never pays twice.
//
// An entry belongs to the caller's key and holds a digest of the body: another body under the same key is a conflict.
// Only whole answers of status 200 are kept; when the first request fails, whoever waits for it is told, and the next
// one that asks begins anew. All reactors of the process share the book; replicas do not.
// Thread rule: any thread; a lock is held for moments only, and only requests with the header come here.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gateway {

// What the upstream said to one request, as it comes: written by the request that leads, read by those that join.
class recorded_answer {
public:
    // The leading request. `begin` forgets what an attempt before had brought, unless somebody has seen it.
    void begin();
    void head(int status, std::string reason, std::string headers, bool event_stream);
    void append(std::string_view payload);
    void show();  // no other attempt will follow: who joined may read
    void fail();  // the rest will not come

    // Those that join.
    struct progress {
        bool visible = false;   // head and body so far may be sent
        bool finished = false;  // the body is whole
        bool failed = false;
        std::size_t bytes = 0;  // of the body so far
    };
    progress now() const;
    // Body bytes from `from` on, at most `max`.
    std::string part(std::size_t from, std::size_t max) const;
    struct first_lines {
        int status = 0;
        std::string reason;
        std::string headers;
        bool event_stream = false;
        std::string request_id;  // of the request that led
    };
    first_lines lines() const;
    // Calls `wake` once at the next change, or at once when `seen` is not the state any more.
    void when_changed(const progress& seen, std::function<void()> wake);

private:
    friend class answer_book;
    recorded_answer(std::string request_id, std::size_t bytes_max) : bytes_max_(bytes_max) {
        lines_.request_id = std::move(request_id);
    }
    void finish();
    void changed();

    const std::size_t bytes_max_;  // a longer body is not kept: joined requests end, later ones begin anew
    mutable std::mutex mutex_;
    first_lines lines_;
    std::string body_;
    progress state_;
    std::vector<std::function<void()>> waiting_;
};

using body_digest = std::array<unsigned char, 32>;
body_digest digest_of(std::string_view body);  // SHA-256

class answer_book {
public:
    static constexpr std::size_t key_bytes_max = 255;  // of an Idempotency-Key

    // `bytes_max`: of all finished answers; the oldest go first. One answer may have a quarter of it.
    answer_book(std::chrono::milliseconds keep, std::uint64_t bytes_max) : keep_(keep), bytes_max_(bytes_max) {}

    enum class part : std::uint8_t { leads, joins, conflicts, in_doubt };
    struct claim {
        part as = part::leads;
        std::shared_ptr<recorded_answer> answer;  // of leads and joins
    };
    // `key`: of the caller and the header together. Who leads ends with `finish`, `drop` or `doubt`, with the answer it
    // was given: when that became too long to keep, another one may lead by now.
    claim take(const std::string& key, const body_digest& body, std::string_view request_id, std::int64_t now_ms);
    void finish(const std::string& key, recorded_answer& answer, std::int64_t now_ms);
    void drop(const std::string& key, recorded_answer& answer);
    // What the request has done cannot be told, and nobody may do it again: the key is in doubt for as long as an
    // answer would have been kept.
    void doubt(const std::string& key, recorded_answer& answer, std::int64_t now_ms);

private:
    struct entry {
        body_digest body;
        std::shared_ptr<recorded_answer> answer;
        bool in_doubt = false;
        std::int64_t expires_ms = 0;  // 0: running
        std::uint64_t bytes = 0;
        std::list<std::string>::iterator place;  // in finished_
    };
    void keep(const std::string& key, entry& done, std::size_t bytes, std::int64_t now_ms);
    void forget_old(std::int64_t now_ms);

    const std::chrono::milliseconds keep_;
    const std::uint64_t bytes_max_;
    std::mutex mutex_;
    std::unordered_map<std::string, entry> entries_;
    std::list<std::string> finished_;  // oldest first
    std::uint64_t bytes_ = 0;
};

}  // namespace gateway
