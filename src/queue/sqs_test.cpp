// What SQS may answer and a server of tests never does: batches of which a part fails, and answers that are strange.
#include "queue/sqs.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "aws/test_server.hpp"

namespace queue {
namespace {

using namespace std::chrono_literals;

class scripted {
public:
    // What is answered to the calls in turn; the last answer stands.
    explicit scripted(std::vector<std::string> answers)
        : answers_(std::move(answers)), server_([this](const aws::test_request&) {
              const auto at = std::min<std::size_t>(asked_++, answers_.size() - 1);
              return answers_[at].empty() ? aws::http_answer("{}", "500 Internal Server Error")
                                          : aws::http_answer(answers_[at] == "nothing" ? "" : answers_[at]);
          }) {}
    options settings() const {
        options made;
        made.url = "http://127.0.0.1:1/000000000000/jobs";
        made.aws.region = "eu-west-1";
        made.aws.endpoint_url_sqs = server_.url();
        made.aws.access_key_id = made.aws.secret_access_key = base::secret("x");
        made.aws.attempts_max = 2;
        made.aws.backoff_first = made.aws.backoff_max = 1ms;
        return made;
    }
    std::string operation(std::size_t call) const { return server_.requests().at(call).header("x-amz-target"); }
    std::string body(std::size_t call) const { return server_.requests().at(call).body; }
    std::size_t calls() const { return server_.requests().size(); }

private:
    const std::vector<std::string> answers_;
    std::atomic<std::size_t> asked_ = 0;
    aws::test_server server_;
};

std::vector<message> messages(std::size_t count) {
    std::vector<message> made;
    for (std::size_t i = 0; i < count; ++i) made.push_back({"job_" + std::to_string(i)});
    return made;
}

std::string successes(std::size_t count) {
    std::string made = R"({"Successful":[)";
    for (std::size_t i = 0; i < count; ++i)
        made += (i == 0 ? R"({"Id":")" : R"(,{"Id":")") + std::to_string(i) + R"(","MessageId":"m"})";
    return made + R"(],"Failed":[]})";
}

using indexes = std::vector<std::size_t>;

TEST(sqs, entries_that_the_service_failed_to_do_are_sent_again_and_those_that_it_refused_are_told) {
    scripted sqs({R"({"Successful":[{"Id":"0"}],"Failed":[
                      {"Id":"1","SenderFault":false,"Code":"InternalError"},
                      {"Id":"2","SenderFault":true,"Code":"InvalidMessageContents"}]})",
                  R"({"Successful":[{"Id":"1"}]})"});
    sqs_queue on(sqs.settings());
    EXPECT_EQ(on.send(messages(3)), indexes{2});
    ASSERT_EQ(sqs.calls(), 2u);
    EXPECT_NE(sqs.body(1).find(R"("Entries":[{"Id":"1","MessageBody":"job_1","DelaySeconds":0}])"), std::string::npos)
        << sqs.body(1);
    EXPECT_EQ(on.counts().sent, 2u);
    EXPECT_EQ(on.counts().not_taken, 1u);
}

TEST(sqs, entries_that_no_answer_names_are_not_taken) {
    scripted sqs({R"({"Successful":[{"Id":"1"},{"Id":"9"},{"Id":7},5]})", "{}"});
    sqs_queue on(sqs.settings());
    EXPECT_EQ(on.send(messages(2)), indexes{0});
    EXPECT_EQ(sqs.calls(), sqs.settings().batch_attempts_max);
}

TEST(sqs, messages_behind_a_call_that_fails_are_not_taken) {
    scripted sqs({successes(10), ""});
    sqs_queue on(sqs.settings());
    const auto left = on.send(messages(25));
    ASSERT_EQ(left.size(), 15u);
    EXPECT_EQ(left.front(), 10u);
    EXPECT_EQ(left.back(), 24u);
    EXPECT_EQ(sqs.calls(), 3u) << "ten, ten more twice, and no third batch";
}

TEST(sqs, a_send_of_which_nothing_is_taken_throws) {
    scripted sqs({""});
    sqs_queue on(sqs.settings());
    EXPECT_THROW(on.send(messages(1)), failure);
    EXPECT_EQ(on.counts().failures, 1u);
    EXPECT_EQ(on.counts().sent, 0u);
}

TEST(sqs, receipts_that_mean_nothing_any_more_are_ignored_and_other_refusals_thrown) {
    scripted sqs({R"({"Successful":[{"Id":"0"}],"Failed":[
                      {"Id":"1","SenderFault":true,"Code":"ReceiptHandleIsInvalid"},
                      {"Id":"2","SenderFault":true,"Code":"AWS.SimpleQueueService.MessageNotInflight"}]})",
                  R"({"Successful":[],"Failed":[{"Id":"0","SenderFault":true,"Code":"AccessDenied"}]})"});
    sqs_queue on(sqs.settings());
    const std::vector<std::string> receipts{"a", "b", "c"};
    on.extend(receipts, 30s);
    EXPECT_EQ(on.counts().extended, 1u);
    EXPECT_EQ(sqs.operation(0), "AmazonSQS.ChangeMessageVisibilityBatch");
    EXPECT_NE(sqs.body(0).find(R"({"Id":"0","ReceiptHandle":"a","VisibilityTimeout":30})"), std::string::npos)
        << sqs.body(0);
    try {
        on.remove(std::span(receipts).first(1));
        ADD_FAILURE() << "it did not fail";
    } catch (const failure& problem) {
        EXPECT_FALSE(problem.may_retry);
        EXPECT_STREQ(problem.what(), "AmazonSQS.DeleteMessageBatch: AccessDenied for one of 1 entries");
    }
}

TEST(sqs, an_empty_body_is_an_empty_receive_and_nonsense_a_failure_that_may_pass) {
    scripted sqs({"nothing", "{}", R"({"Messages":[7,{"Body":"job_1","ReceiptHandle":"r"}]})", "<html>"});
    sqs_queue on(sqs.settings());
    EXPECT_TRUE(on.receive(10, 0ms).empty());
    EXPECT_TRUE(on.receive(10, 0ms).empty());
    const auto one = on.receive(99, 1ms);
    ASSERT_EQ(one.size(), 1u);
    EXPECT_EQ(one.front().body, "job_1");
    EXPECT_EQ(one.front().receipt, "r");
    EXPECT_EQ(one.front().receives, 1u);
    EXPECT_NE(sqs.body(2).find(R"("MaxNumberOfMessages":10,"WaitTimeSeconds":1,"VisibilityTimeout":60)"),
              std::string::npos)
        << sqs.body(2);
    try {
        on.receive(1, 0ms);
        ADD_FAILURE() << "it did not fail";
    } catch (const failure& problem) {
        EXPECT_TRUE(problem.may_retry);
    }
    EXPECT_EQ(on.counts().received, 1u);
}

TEST(sqs, is_asked_for_its_depth_only_now_and_then) {
    scripted sqs({R"({"Attributes":{"ApproximateNumberOfMessages":"7","ApproximateNumberOfMessagesNotVisible":"2",
                      "RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-west-1:1:lost\"}"}})",
                  R"({"Attributes":{"ApproximateNumberOfMessages":"3","ApproximateNumberOfMessagesNotVisible":"1"}})"});
    auto settings = sqs.settings();
    settings.depth_every = 1h;
    sqs_queue on(settings);
    for (int i = 0; i < 3; ++i) {
        const auto seen = on.look();
        EXPECT_EQ(seen.waiting, 7u);
        EXPECT_EQ(seen.in_flight, 2u);
        EXPECT_EQ(seen.delayed, 0u);
        EXPECT_EQ(seen.dead, 4u);
    }
    EXPECT_EQ(sqs.calls(), 2u);
    EXPECT_NE(sqs.body(1).find(R"("QueueUrl":"http://127.0.0.1:1/000000000000/lost")"), std::string::npos)
        << sqs.body(1);
}

TEST(sqs, a_redrive_leaves_in_the_dead_letter_queue_what_could_not_be_sent) {
    scripted sqs({R"({"Attributes":{"RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-west-1:1:lost\"}"}})",
                  R"({"Messages":[{"Body":"a","ReceiptHandle":"ra"},{"Body":"b","ReceiptHandle":"rb"}]})",
                  R"({"Successful":[{"Id":"1"}],"Failed":[{"Id":"0","SenderFault":true,"Code":"X"}]})",
                  R"({"Successful":[{"Id":"0"}]})", "{}"});
    sqs_queue on(sqs.settings());
    EXPECT_EQ(on.redrive(100), 1u);
    EXPECT_EQ(sqs.operation(3), "AmazonSQS.DeleteMessageBatch");
    EXPECT_NE(sqs.body(3).find(R"("Entries":[{"Id":"0","ReceiptHandle":"rb"}])"), std::string::npos) << sqs.body(3);
    EXPECT_NE(sqs.body(3).find("/lost\""), std::string::npos) << sqs.body(3);
}

}  // namespace
}  // namespace queue
