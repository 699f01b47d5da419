// What only a queue outside of the process has: it is made, named, away, silent or somebody else's.
#include <functional>
#include <future>
#include <utility>

#include "queue_fixture.hpp"

namespace contract {
namespace {

template <class Work>
std::pair<bool, std::string> problem_of(Work work) {
    try {
        work();
    } catch (const queue::failure& problem) {
        return {problem.may_retry, problem.what()};
    }
    throw std::runtime_error("it did not fail");
}

using lines = std::vector<std::string>;

class an_sqs_queue : public queue_suite {};
INSTANTIATE_TEST_SUITE_P(on, an_sqs_queue, testing::Values("local_aws_sqs", "fauxqs"), name_of_queue);

TEST_P(an_sqs_queue, is_made_once_with_its_dead_letter_queue) {
    auto settings = settings_on(variable());
    settings.receives_max = 7;
    const std::string dead = settings.url + "-dead";
    EXPECT_EQ(queue::create(settings),
              (lines{"The dead-letter queue " + dead + " was made.",
                     "The queue " + settings.url + " was made; after 7 receives a message goes to " + dead + "."}));
    const lines there{"The queue " + settings.url + " is there; after 7 receives a message goes to " + dead + "."};
    EXPECT_EQ(queue::create(settings), there);
    settings.receives_max = 9;
    auto told = there;
    told.push_back("The settings want 9 receives; the queue was left as it is.");
    EXPECT_EQ(queue::create(settings), told);
    queue::open(settings)->send(messages_of({"job_a"}));
    EXPECT_EQ(queue::create(settings), told);
    EXPECT_EQ(queue::open(settings)->look().waiting, 1u) << "making it again took nothing";
}

TEST_P(an_sqs_queue, that_is_not_there_is_told_with_the_cure) {
    auto settings = settings_on(variable());
    const auto on = queue::open(settings);
    for (const auto& work : std::vector<std::function<void()>>{
             [&] { on->send(messages_of({"a"})); }, [&] { on->receive(1, 1s); },
             [&] { on->remove(std::vector<std::string>{"r"}); }, [&] { on->look(); }, [&] { on->redrive(1); }}) {
        const auto [may_retry, text] = problem_of(work);
        EXPECT_FALSE(may_retry);
        EXPECT_NE(text.find("`claude-proxy migrate --with-queue`"), std::string::npos) << text;
    }
    EXPECT_EQ(on->counts().failures, 5u);
    queue::create(settings);
    EXPECT_TRUE(on->send(messages_of({"a"})).empty()) << "no restart is needed";
    // The same by its URL.
    settings.url = settings.aws.endpoint_url_sqs + "/000000000000/" + settings.url + "x";
    const auto [may_retry, text] = problem_of([&] { queue::open(settings)->send(messages_of({"a"})); });
    EXPECT_FALSE(may_retry);
    EXPECT_NE(text.find("QueueDoesNotExist"), std::string::npos) << text;
    EXPECT_NE(text.find("`claude-proxy migrate --with-queue`"), std::string::npos) << text;
}

TEST_P(an_sqs_queue, is_the_same_by_name_and_by_url) {
    auto settings = settings_on(variable());
    queue::create(settings);
    const auto by_name = queue::open(settings);
    settings.url = settings.aws.endpoint_url_sqs + "/000000000000/" + settings.url;
    const auto by_url = queue::open(settings);
    by_name->send(messages_of({"job_a"}));
    EXPECT_EQ(bodies_of(receive_all(*by_url, 1)), bodies{"job_a"});
    EXPECT_EQ(by_url->look().in_flight, 1u);
    // Without an endpoint of its own the URL tells where it is.
    settings.aws.endpoint_url_sqs.clear();
    EXPECT_EQ(queue::open(settings)->look().in_flight, 1u);
}

class a_queue_that_fails : public queue_suite {
public:
    std::string server() const { return std::string_view(GetParam()) == "fauxqs" ? "fauxqs" : "sqs"; }
    queue::options settings() const {
        auto made = settings_on(variable());
        made.aws.attempts_max = 2;
        return made;
    }
};
INSTANTIATE_TEST_SUITE_P(on, a_queue_that_fails, testing::Values("local_aws_sqs", "fauxqs"), name_of_queue);

TEST_P(a_queue_that_fails, is_a_failure_that_may_pass_and_works_again_when_it_is_back) {
    const auto given = settings();
    queue::create(given);
    const auto on = queue::open(given);
    on->send(messages_of({"job_a"}));
    const auto taken = receive_all(*on, 1);
    ASSERT_EQ(taken.size(), 1u);
    {
        outage away("kill " + server(), "start " + server());
        for (const auto& work :
             std::vector<std::function<void()>>{[&] { on->send(messages_of({"job_b"})); }, [&] { on->receive(1, 1s); },
                                                [&] { on->remove(receipts_of(taken)); },
                                                [&] { on->extend(receipts_of(taken), 30s); }, [&] { on->look(); }}) {
            const auto [may_retry, text] = problem_of(work);
            EXPECT_TRUE(may_retry) << text;
        }
        EXPECT_EQ(on->counts().failures, 5u);
    }
    queue::create(given);  // these servers forget
    EXPECT_TRUE(on->send(messages_of({"job_c"})).empty());
    EXPECT_EQ(bodies_of(receive_all(*on, 1)), bodies{"job_c"});
}

TEST_P(a_queue_that_fails, ends_a_wait_when_it_dies) {
    const auto given = settings();
    queue::create(given);
    const auto on = queue::open(given);
    on->look();  // the URL is known, and the connection open
    auto waiting = std::async(std::launch::async, [&] { return problem_of([&] { on->receive(1, 20s); }); });
    EXPECT_EQ(waiting.wait_for(500ms), std::future_status::timeout);
    const auto began = steady::now();
    outage away("kill " + server(), "start " + server());
    EXPECT_TRUE(waiting.get().first);
    EXPECT_LT(steady::now() - began, 10s);
}

TEST_P(a_queue_that_fails, is_given_up_in_time_when_it_says_nothing) {
    auto given = settings();
    queue::create(given);
    given.aws.call_timeout = 300ms;
    const auto on = queue::open(given);
    on->look();
    outage away("freeze " + server(), "thaw " + server());
    const auto began = steady::now();
    EXPECT_TRUE(problem_of([&] { on->send(messages_of({"job_a"})); }).first);
    EXPECT_TRUE(problem_of([&] { on->receive(1, 1s); }).first);
    EXPECT_LT(steady::now() - began, 10s);
}

}  // namespace
}  // namespace contract
