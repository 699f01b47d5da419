#include "ledger/attempt.hpp"

namespace ledger {

std::string_view name_of(outcome what) {
    switch (what) {
        case outcome::complete:
            return "complete";
        case outcome::estimated:
            return "estimated";
        case outcome::failed:
            return "failed";
        case outcome::lost:
            return "lost";
    }
    return "failed";
}

}  // namespace ledger
