#include "jobs/asking.hpp"

#include <future>
#include <memory>

namespace jobs {
namespace {

// `call(done)` begins; its answer comes on a thread of the store, perhaps when nobody waits any more.
template <class Answer, class Call>
std::pair<outcome, Answer> wait_for(const Call& call) {
    const auto promised = std::make_shared<std::promise<std::pair<outcome, Answer>>>();
    auto coming = promised->get_future();
    call([promised](outcome how, Answer answer) { promised->set_value({how, std::move(answer)}); });
    if (coming.wait_for(asking_max) != std::future_status::ready) return {outcome::unavailable, {}};
    return coming.get();
}

struct nothing {};

template <class Call>
outcome wait_for_outcome(const Call& call) {
    return wait_for<nothing>([&](auto done) { call([done](outcome how) { done(how, {}); }); }).first;
}

}  // namespace

std::pair<outcome, summary> ask_find(store& of, const std::string& id) {
    return wait_for<summary>([&](auto done) { of.find(id, {}, done); });
}

std::pair<outcome, std::vector<summary>> ask_list(store& of, const filter& which) {
    return wait_for<std::vector<summary>>([&](auto done) { of.list(which, done); });
}

std::pair<outcome, std::vector<attempt_entry>> ask_history(store& of, const std::string& id) {
    return wait_for<std::vector<attempt_entry>>([&](auto done) { of.history(id, done); });
}

outcome ask_cancel(store& of, const std::string& id) {
    return wait_for_outcome([&](auto done) { of.cancel(id, {}, done); });
}

outcome ask_redrive(store& of, const std::string& id) {
    return wait_for_outcome([&](auto done) { of.redrive(id, done); });
}

}  // namespace jobs
