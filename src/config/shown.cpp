// The settings in force, for administrators.
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>

#include "config/settings.hpp"
#include "config/table.hpp"

namespace config {
namespace {

// What `table::show` does not tell, because it shows defaults.
struct teller {
    settings& from;

    std::string operator()(const table::secret& field) const { return field.at(from).empty() ? "" : "***"; }
    std::string operator()(const table::secret_line& field) const { return field.at(from).empty() ? "" : "***"; }
    std::string operator()(const table::secret_list& field) const { return field.at(from).empty() ? "" : "***"; }
    // Where a database is may be told, who asks it may not: everything up to the host, and what follows a path.
    std::string operator()(const table::secret_url& field) const {
        const std::string_view url = field.at(from).reveal();
        const std::size_t scheme = url.find("://");
        if (scheme == std::string_view::npos) return std::string(url);
        std::string_view rest = url.substr(scheme + 3);
        rest = rest.substr(0, rest.find('?'));
        const std::size_t host = rest.rfind('@');
        const std::string_view start = url.substr(0, scheme + 3);
        if (host == std::string_view::npos) return std::string(start).append(rest);
        return std::string(start).append("***").append(rest.substr(host));
    }
    std::string operator()(const table::log_format&) const {
        return from.log.form == telemetry::format::json ? "json" : "text";
    }
    std::string operator()(const auto&) const { return {}; }
};

bool is_told_otherwise(const table::kind& value) {
    return std::holds_alternative<table::secret>(value) || std::holds_alternative<table::secret_line>(value) ||
           std::holds_alternative<table::secret_list>(value) || std::holds_alternative<table::secret_url>(value) ||
           std::holds_alternative<table::log_format>(value);
}

}  // namespace

std::string shown(const settings& from) {
    settings copy = from;
    boost::json::object all;
    for (const auto& row : table::rows()) {
        if (std::holds_alternative<table::config_path>(row.value)) continue;  // its settings are told one by one
        const std::string text =
            is_told_otherwise(row.value) ? std::visit(teller{copy}, row.value) : table::show(row, copy);
        all.emplace(row.name, boost::json::string(text));
    }
    return boost::json::serialize(all);
}

}  // namespace config
