// The account of one governed request: an open attempt in the journal before each call upstream, a finished row after
// it, priced; what the attempts cost together settles the budgets (admission.hpp).
#pragma once

#include "anthropic/request_view.hpp"
#include "gateway/admission.hpp"
#include "gateway/forward.hpp"

namespace gateway {

class accounting final : public attempt_observer {
public:
    accounting(exchange& x, service& s, const anthropic::request_view& view, admission& admitted);
    ~accounting() override;  // an attempt that nobody ended (the process stops) is estimated
    accounting(const accounting&) = delete;
    accounting& operator=(const accounting&) = delete;

    bool begin(std::uint32_t number) override;
    void end(const relay_outcome& how) override;
    // The hold is for one attempt: what those before were billed is held on top of it.
    bool covers_another() override;

private:
    void finish(const relay_outcome& how);

    exchange& x_;
    service& s_;
    const anthropic::request_view& view_;
    admission& admitted_;
    ledger::attempt row_;
    ledger::lane::slot slot_ = ledger::lane::no_slot;
};

// What an attempt is billed, from how it ended and what was seen of its usage. Pure.
struct bill {
    ledger::outcome result = ledger::outcome::failed;
    anthropic::usage usage;  // with the estimate of output that was seen and not counted
    base::pico_dollars cost = 0;
    base::pico_dollars low = 0;
    base::pico_dollars high = 0;
    bool unknown_model = false;
};
struct bill_facts {
    bool answered = false;  // the upstream's head came, with this status
    int status = 0;
    bool sent = false;                  // the request went out whole
    bool error_before_content = false;  // an error event inside a stream, before any content: nothing is billed
};
bill bill_of(const pricing::price_table& prices, const anthropic::metered& seen, const bill_facts& how,
             const pricing::answer_facts& asked, const pricing::bound& bound, std::uint64_t body_bytes);

}  // namespace gateway
