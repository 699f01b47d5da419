#include "governance/jwks_keeper.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "governance/jwks_test_server.hpp"
#include "governance/jwt.hpp"
#include "governance/jwt_signing.hpp"

namespace governance {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto patience = 20s;  // for what must come; nothing waits so long but a failure

jwt_options options_for(const std::string& url) {
    jwt_options made;
    made.jwks_url = url;
    made.issuer = test_issuer;
    made.audience = test_audience;
    made.jwks_refresh = 1h;
    made.jwks_retry = 1h;
    made.jwks_timeout = 10s;
    return made;
}

const signing_key& first() {
    static const signing_key key = signing_key::ec();
    return key;
}
const signing_key& second() {
    static const signing_key key = signing_key::ec();
    return key;
}
std::string set_of_first() { return key_set_text({first().jwk("first")}); }
std::string set_of_both() { return key_set_text({first().jwk("first"), second().jwk("second")}); }

// What a keeper says, in order, and a way to wait for it.
class told {
public:
    jwks_keeper::listeners listeners() {
        return {
            .changed =
                [this](std::shared_ptr<const key_set> keys) { add("changed " + std::to_string(keys->keys.size())); },
            .failing = [this](const std::string& why) { add("failing: " + why); },
            .recovered = [this] { add("recovered"); }};
    }
    void add(std::string what) {
        const std::lock_guard lock(mutex_);
        all_.push_back(std::move(what));
        changed_.notify_all();
    }
    std::vector<std::string> after(std::size_t count) {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, patience, [&] { return all_.size() >= count; });
        return all_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::string> all_;
};

void refresh_and_wait(jwks_keeper& keeper) {
    std::promise<void> done;
    if (keeper.refresh([&done] { done.set_value(); })) done.get_future().wait();
}

// What the first fetch says of this answer.
std::string complaint_of(const jwt_options& options) {
    told events;
    jwks_keeper keeper(options, events.listeners());
    const auto all = events.after(1);
    EXPECT_EQ(keeper.current(), nullptr);
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? "" : all[0];
}
std::string complaint_about(std::string answer) {
    jwks_test_server server(std::move(answer));
    return complaint_of(options_for(server.url()));
}

TEST(jwks_keeper, fetches_the_set_at_the_start) {
    jwks_test_server server(http_answer(set_of_both()));
    told events;
    jwks_keeper keeper(options_for(server.url()), events.listeners());
    EXPECT_THAT(events.after(1), ElementsAre("changed 2"));
    ASSERT_TRUE(keeper.current());
    EXPECT_TRUE(keeper.current()->has("second"));
    EXPECT_THAT(server.last_request(), HasSubstr("GET /jwks.json HTTP/1.1\r\n"));
    EXPECT_THAT(server.last_request(), HasSubstr("User-Agent: claude-proxy\r\n"));
}

TEST(jwks_keeper, fetches_again_when_the_set_is_old) {
    jwks_test_server server(http_answer(set_of_first()));
    jwt_options options = options_for(server.url());
    options.jwks_refresh = 20ms;
    told events;
    const jwks_keeper keeper(options, events.listeners());
    ASSERT_TRUE(server.wait_for_requests(4));
    EXPECT_THAT(events.after(1), ElementsAre("changed 1"));  // told once: it is the same set
    server.answer_with(http_answer(set_of_both()));
    EXPECT_THAT(events.after(2), ElementsAre("changed 1", "changed 2"));
    server.answer_with(http_answer(R"({"keys":[]})"));  // all withdrawn
    EXPECT_THAT(events.after(3), ElementsAre("changed 1", "changed 2", "changed 0"));
    EXPECT_TRUE(keeper.current()->keys.empty());
}

TEST(jwks_keeper, a_token_of_a_key_nobody_has_seen_is_verified_after_one_fetch) {
    jwks_test_server server(http_answer(set_of_first()));
    jwt_options options = options_for(server.url());
    options.jwks_retry = 1ms;
    told events;
    jwks_keeper keeper(options, events.listeners());
    token_verifier verifier(options);
    const std::string token = signed_token(second(), R"({"alg":"ES256","kid":"second"})", payload_with());
    events.after(1);
    verifier.use(keeper.current());
    ASSERT_FALSE(verifier.check(token, test_now));
    ASSERT_TRUE(verifier.may_be_of_newer_key(token));
    server.answer_with(http_answer(set_of_both()));  // the issuer rotates
    // Refused until jwks_retry is over; may still share the first fetch, which had the old set.
    while (!keeper.current()->has("second")) refresh_and_wait(keeper);
    EXPECT_EQ(server.requests(), 2);
    verifier.use(keeper.current());
    const auto outcome = verifier.check(token, test_now);
    EXPECT_TRUE(outcome) << outcome.error().detail;
    EXPECT_FALSE(verifier.may_be_of_newer_key(token));
}

TEST(jwks_keeper, strangers_cannot_make_it_ask_more_often_than_it_may) {
    jwks_test_server server(http_answer(set_of_first()));
    told events;
    jwks_keeper keeper(options_for(server.url()), events.listeners());  // jwks_retry is an hour
    events.after(1);
    while (keeper.refresh([] {})) std::this_thread::yield();  // the end of the first fetch
    for (int number = 0; number < 1'000; ++number)
        EXPECT_FALSE(keeper.refresh([] { ADD_FAILURE() << "called although it was refused"; }));
    EXPECT_EQ(server.requests(), 1);
}

TEST(jwks_keeper, all_who_wait_during_a_fetch_share_it) {
    jwks_test_server server(http_answer(set_of_first()));
    server.hold();
    told events;
    jwks_keeper keeper(options_for(server.url()), events.listeners());
    ASSERT_TRUE(server.wait_for_requests(1));
    std::atomic<std::size_t> called = 0;
    std::promise<void> last;
    const auto count = [&] {
        if (++called == jwks_keeper::waiting_max) last.set_value();
    };
    for (std::size_t number = 0; number < jwks_keeper::waiting_max; ++number) EXPECT_TRUE(keeper.refresh(count));
    EXPECT_FALSE(keeper.refresh(count));
    server.go_on();
    EXPECT_EQ(last.get_future().wait_for(patience), std::future_status::ready);
    EXPECT_EQ(server.requests(), 1);
    EXPECT_TRUE(keeper.current());
}

TEST(jwks_keeper, the_last_good_set_stays_while_the_endpoint_is_down) {
    jwks_test_server server(http_answer(set_of_first()));
    jwt_options options = options_for(server.url());
    options.jwks_refresh = 20ms;
    options.jwks_retry = 10ms;
    told events;
    const jwks_keeper keeper(options, events.listeners());
    events.after(1);
    server.answer_with(http_answer("busy", "503 Service Unavailable"));
    EXPECT_THAT(events.after(2), ElementsAre("changed 1", "failing: answers with status 503"));
    ASSERT_TRUE(server.wait_for_requests(server.requests() + 5));
    EXPECT_TRUE(keeper.current()->has("first"));
    server.answer_with(http_answer(set_of_first()));
    // Said once, although it failed five times and more.
    EXPECT_THAT(events.after(3), ElementsAre("changed 1", "failing: answers with status 503", "recovered"));
    server.answer_with(http_answer("{}"));
    EXPECT_THAT(events.after(4).back(), HasSubstr("answers with what is no key set"));  // another outage
    server.answer_with(http_answer(set_of_both()));
    EXPECT_THAT(events.after(6).back(), "recovered");
    EXPECT_TRUE(keeper.current()->has("second"));
}

TEST(jwks_keeper, starts_without_the_endpoint_and_finds_it_later) {
    std::uint16_t port = 0;
    {
        const jwks_test_server gone("");
        port = gone.port();
    }
    jwt_options options = options_for("http://127.0.0.1:" + std::to_string(port) + "/jwks.json");
    options.jwks_retry = 10ms;
    told events;
    const jwks_keeper keeper(options, events.listeners());
    EXPECT_THAT(events.after(1), ElementsAre(HasSubstr("failing: cannot be read: Couldn't connect")));
    EXPECT_EQ(keeper.current(), nullptr);
    const jwks_test_server server(http_answer(set_of_first()), nullptr, port);
    EXPECT_THAT(events.after(3), ElementsAre(HasSubstr("failing"), "changed 1", "recovered"));
}

TEST(jwks_keeper, a_redirect_is_not_followed) {
    const jwks_test_server target(http_answer(set_of_first()));
    for (const char* status : {"301 Moved", "302 Found", "307 Temporary Redirect"}) {
        EXPECT_EQ(complaint_about(http_answer("", status, "location: " + target.url() + "\r\n")),
                  "failing: answers with status " + std::string(status).substr(0, 3));
    }
    EXPECT_EQ(target.requests(), 0);
}

TEST(jwks_keeper, an_answer_that_is_too_large_is_refused) {
    const std::string too_large = R"({"keys":[]})" + std::string(1 << 20, ' ');
    EXPECT_EQ(complaint_about(http_answer(too_large)), "failing: answers with more than 1048576 bytes");
    EXPECT_EQ(complaint_about("HTTP/1.1 200 OK\r\n\r\n" + too_large), "failing: answers with more than 1048576 bytes");
    // Exactly as large as it may be.
    const std::string body = set_of_first();
    jwks_test_server server(http_answer(body + std::string((1 << 20) - body.size(), ' ')));
    told events;
    const jwks_keeper keeper(options_for(server.url()), events.listeners());
    EXPECT_THAT(events.after(1), ElementsAre("changed 1"));
}

TEST(jwks_keeper, other_answers_than_a_set_are_refused) {
    for (const char* status :
         {"204 No Content", "206 Partial Content", "401 Unauthorized", "404 Not Found", "500 Oops"})
        EXPECT_THAT(complaint_about(http_answer(set_of_first(), status)), HasSubstr("answers with status"));
    EXPECT_THAT(complaint_about(http_answer("<html></html>")), HasSubstr("no key set: The JWKS is not a JSON object"));
    EXPECT_THAT(complaint_about(http_answer("")), HasSubstr("no key set"));
    EXPECT_THAT(complaint_about("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"keys\":[]}"),
                HasSubstr("cannot be read"));
    EXPECT_THAT(complaint_about("no http at all"), HasSubstr("cannot be read"));
    EXPECT_THAT(complaint_about(""), HasSubstr("cannot be read"));
}

TEST(jwks_keeper, an_endpoint_that_does_not_answer_is_given_up) {
    jwks_test_server server("");
    server.hold();
    jwt_options options = options_for(server.url());
    options.jwks_timeout = 50ms;
    EXPECT_EQ(complaint_of(options), "failing: cannot be read: Timeout was reached");
}

TEST(jwks_keeper, ends_at_once_while_a_fetch_is_under_way) {
    jwks_test_server server("");
    server.hold();
    told events;
    std::atomic<bool> called = false;
    const auto before = std::chrono::steady_clock::now();
    {
        jwks_keeper keeper(options_for(server.url()), events.listeners());
        ASSERT_TRUE(server.wait_for_requests(1));
        EXPECT_TRUE(keeper.refresh([&called] { called = true; }));
    }
    EXPECT_TRUE(called);                                       // nobody is left waiting
    EXPECT_LT(std::chrono::steady_clock::now() - before, 5s);  // the fetch alone might take 10 s
    EXPECT_TRUE(events.after(0).empty());
}

TEST(jwks_keeper, a_certificate_is_verified) {
    const test_certificate own("127.0.0.1"), of_other_host("127.0.0.2");
    const auto file = std::filesystem::path(testing::TempDir()) / ("jwks-ca-" + std::to_string(getpid()) + ".pem");
    std::ofstream(file) << own.pem() << of_other_host.pem();
    {
        const jwks_test_server server(http_answer(set_of_first()), &own);
        EXPECT_THAT(complaint_of(options_for(server.url())), HasSubstr("cannot be read: SSL peer certificate"));
        jwt_options trusting = options_for(server.url());
        trusting.ca_file = file.string();
        told events;
        const jwks_keeper keeper(trusting, events.listeners());
        EXPECT_THAT(events.after(1), ElementsAre("changed 1"));
    }
    {
        const jwks_test_server server(http_answer(set_of_first()), &of_other_host);
        jwt_options trusting = options_for(server.url());
        trusting.ca_file = file.string();
        EXPECT_THAT(complaint_of(trusting), HasSubstr("cannot be read: SSL peer certificate"));
    }
    std::filesystem::remove(file);
}

TEST(jwks_keeper, reads_no_file) {
    EXPECT_THAT(complaint_of(options_for("file:///etc/hostname")), HasSubstr("cannot be read: Unsupported protocol"));
}

}  // namespace
}  // namespace governance
