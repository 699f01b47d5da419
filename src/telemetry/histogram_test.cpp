#include "telemetry/histogram.hpp"

#include <gtest/gtest.h>

#include "telemetry/metrics.hpp"

namespace telemetry {
namespace {

using counts = std::vector<std::uint64_t>;

TEST(histogram, counts_up_to_each_bound_and_beyond) {
    histogram seconds{0.1, 1, 10};
    EXPECT_EQ(seconds.cumulative(), (counts{0, 0, 0, 0}));
    for (const double took : {0.05, 0.1, 0.5, 10.0, 11.0}) seconds.observe(took);
    EXPECT_EQ(seconds.cumulative(), (counts{2, 3, 4, 5})) << "a bound belongs to its own bucket";
    EXPECT_NEAR(seconds.sum(), 21.65, 1e-6);
}

TEST(histogram, takes_what_a_clock_that_was_put_back_says_for_nothing) {
    histogram seconds{1};
    seconds.observe(-5);
    EXPECT_EQ(seconds.cumulative(), (counts{1, 1}));
    EXPECT_EQ(seconds.sum(), 0);
}

TEST(histogram, is_told_as_prometheus_reads_it) {
    histogram seconds{0.5, 2};
    seconds.observe(1);
    seconds.observe(3);
    metrics counted;
    counted.add_histogram("job_start_seconds", "Start.", seconds);
    const std::string text = counted.text();
    for (const char* line :
         {"# TYPE claude_proxy_job_start_seconds histogram", R"(claude_proxy_job_start_seconds_bucket{le="0.5"} 0)",
          R"(claude_proxy_job_start_seconds_bucket{le="2"} 1)", R"(claude_proxy_job_start_seconds_bucket{le="+Inf"} 2)",
          "claude_proxy_job_start_seconds_sum 4", "claude_proxy_job_start_seconds_count 2"}) {
        EXPECT_NE(text.find(std::string(line) + "\n"), std::string::npos) << line << " in " << text;
    }
}

}  // namespace
}  // namespace telemetry
