#include <fmt/format.h>

#include "app/doctor_checks.hpp"

namespace app {

doctor_check check_secrets(const settings_source& source,
                           const std::expected<settings_source::reading, settings_source::failure>& read) {
    using result = doctor_check::result;
    if (!read) {
        const bool away = read.error().what == settings_source::trouble::away;
        return {"secrets", result::fail, fmt::format("{}", fmt::join(read.error().problems, " ")),
                away ? "a process that runs goes on; one that starts needs it" : "correct what the sentence names"};
    }
    if (read->settings.secrets.id.empty()) return {"secrets", result::ok, "from the environment"};
    const std::string text =
        fmt::format("{}, version {}: {}", source.name(), read->version.short_id(),
                    read->members.empty() ? "nothing" : fmt::format("{}", fmt::join(read->members, ", ")));
    if (!read->members.empty()) return {"secrets", result::ok, text};
    return {"secrets", result::warn, text, "put settings into it: infra/scripts/rotate_secret.sh"};
}

}  // namespace app
