// Plays a worker for the tests of the API: claims jobs of a database, writes events that it is given, ends jobs. It
// shares the store with the gateway and runs in a process of its own, so that for every gateway it is another replica.
//
//     job_player DATABASE_URL          one command a line; one line of answer each
//     claim N                          "id attempt events" of each claimed job, separated by blanks
//     append ID ATTEMPT FIRST LAST HEX
//     finish ID ATTEMPT WAY [HEX of the result or error]
#include <cstdio>
#include <future>
#include <iostream>
#include <sstream>
#include <string>

#include "jobs/store.hpp"

namespace {

std::string from_hex(const std::string& text) {
    std::string made;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2)
        made.push_back(static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16)));
    return made;
}

std::string name_of(jobs::outcome how) {
    switch (how) {
        case jobs::outcome::done:
            return "done";
        case jobs::outcome::not_found:
            return "not_found";
        case jobs::outcome::conflict:
            return "conflict";
        case jobs::outcome::fenced:
            return "fenced";
        case jobs::outcome::too_many:
            return "too_many";
        case jobs::outcome::unavailable:
            return "unavailable";
        case jobs::outcome::refused:
            return "refused";
    }
    return "unknown";
}

std::string answer_to(const std::string& line, jobs::store& store) {
    std::istringstream words(line);
    std::string command, id, bytes;
    words >> command;
    std::promise<std::string> told;
    auto answer = told.get_future();
    const auto tell = [&told](jobs::outcome how) { told.set_value(name_of(how)); };
    if (command == "claim") {
        std::size_t count = 1;
        words >> count;
        store.claim(count, jobs::lane::realtime, [&told](jobs::outcome how, std::vector<jobs::claimed> claims) {
            std::string text = name_of(how);
            for (const auto& each : claims) {
                text +=
                    " " + each.about.id + " " + std::to_string(each.about.attempt) + " " + std::to_string(each.events);
            }
            told.set_value(text);
        });
    } else if (command == "append") {
        std::uint32_t attempt = 0;
        jobs::log_piece piece;
        words >> id >> attempt >> piece.first_id >> piece.last_id >> bytes;
        piece.bytes = from_hex(bytes);
        store.append(id, attempt, std::move(piece), tell);
    } else if (command == "finish") {
        jobs::ending how;
        std::string way;
        words >> how.id >> how.attempt >> way >> bytes;
        using enum jobs::ending::way;
        how.how = way == "succeeded" ? succeeded : way == "failed" ? failed : way == "cancelled" ? cancelled : retry;
        (how.how == succeeded ? how.result : how.error) = from_hex(bytes);
        store.finish(std::move(how), tell);
    } else {
        return "unknown";
    }
    return answer.get();
}

}  // namespace

int main(int count, char** words) {
    if (count != 2) return 2;
    database::options where;
    where.url = base::secret(words[1]);
    jobs::options rules;
    rules.lease = std::chrono::minutes(10);
    jobs::store store(where, rules, "player");
    for (std::string line; std::getline(std::cin, line);) std::cout << answer_to(line, store) << std::endl;
    return 0;
}
