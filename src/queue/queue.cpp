#include "queue/queue.hpp"

#include "queue/embedded.hpp"
#include "queue/sqs.hpp"

namespace queue {
namespace {

bool is_embedded(const options& settings) { return settings.url == "embedded"; }

}  // namespace

std::unique_ptr<port> open(const options& settings) {
    if (is_embedded(settings)) return std::make_unique<embedded_queue>(settings);
    return std::make_unique<sqs_queue>(settings);
}

std::vector<std::string> create(const options& settings) {
    return is_embedded(settings) ? std::vector<std::string>() : create_sqs(settings);
}

}  // namespace queue
