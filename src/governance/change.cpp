#include "governance/change.hpp"

#include "anthropic/json_text.hpp"
#include "governance/audit.hpp"
#include "governance/validation.hpp"

namespace governance {
namespace {

constexpr std::size_t actor_bytes_max = 256;

// The name of whoever asks comes from outside (a user's name of the system): it must not make the entry unwritable.
std::string printable(std::string_view name) {
    std::string text(anthropic::utf8_prefix(name, actor_bytes_max));
    const bool plain = is_utf8(text);
    for (char& c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !plain)) c = '?';
    }
    return text;
}

}  // namespace

change::change(database::connection& where, const actor& who, time_ms when)
    : on(where), by(who), at(when), whole_(where) {
    const auto moved = on.execute(
        "UPDATE claude_proxy.state SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = 'generation'");
    if (moved != 1) throw database::failure(database::failure_kind::invalid, "the database has no generation");
}

void change::record(std::string_view action, std::string_view target, std::string details) {
    append_audit(on, {.seq = 0,
                      .at = at,
                      .actor = printable(by.id),
                      .role = std::string(name_of(by.as)),
                      .action = std::string(action),
                      .target = std::string(target),
                      .details = std::move(details),
                      .previous_hash = {},
                      .hash = {}});
    recorded_ = true;
}

base::result<void> may_change(const actor& by) {
    if (by.as == role::operator_ || by.as == role::admin) return {};
    return base::fail(base::errc::permission_denied, "changes need a key of role operator or admin");
}

base::result<void> may_touch(const actor& by, role kind) {
    if (kind == role::client || by.as == role::admin) return {};
    return base::fail(base::errc::permission_denied, "the keys of administrators need a key of role admin");
}

}  // namespace governance
