#include "database/postgres_wire.hpp"

#include <endian.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace database {
namespace {

constexpr std::uint32_t null_length = 0xFFFFFFFF;  // -1

char* put(char* to, std::uint32_t number) {
    number = htobe32(number);
    std::memcpy(to, &number, sizeof number);
    return to + sizeof number;
}

char* put(char* to, std::uint64_t number) {
    number = htobe64(number);
    std::memcpy(to, &number, sizeof number);
    return to + sizeof number;
}

}  // namespace

void write_array(std::string& into, const batch& rows, std::size_t column) {
    const bool is_integer = rows.columns()[column].is == column::type::integer;
    // Sized first, so that the loop that writes checks no room.
    constexpr std::size_t head_bytes = 20, length_bytes = 4, integer_bytes = 8;
    std::size_t bytes = head_bytes;
    bool has_null = false;
    for (std::size_t row = 0; row < rows.rows(); ++row) {
        const auto& cell = rows.at(row, column);
        has_null |= cell.null;
        bytes += length_bytes + (cell.null ? 0 : is_integer ? integer_bytes : cell.bytes);
    }
    into.resize(bytes);
    char* to = into.data();
    to = put(to, std::uint32_t{1});  // dimensions
    to = put(to, std::uint32_t{has_null});
    to = put(to, std::uint32_t{is_integer ? postgres_int8 : postgres_text});
    to = put(to, static_cast<std::uint32_t>(rows.rows()));
    to = put(to, std::uint32_t{1});  // the first index
    for (std::size_t row = 0; row < rows.rows(); ++row) {
        const auto& cell = rows.at(row, column);
        if (cell.null) {
            to = put(to, null_length);
        } else if (is_integer) {
            to = put(to, static_cast<std::uint32_t>(integer_bytes));
            to = put(to, static_cast<std::uint64_t>(cell.number));
        } else {
            const auto text = rows.text(cell);
            to = put(to, static_cast<std::uint32_t>(text.size()));
            to = std::copy(text.begin(), text.end(), to);
        }
    }
}

std::string insert_statement(const batch& rows) {
    std::string names, arrays;
    for (std::size_t i = 0; i < rows.columns().size(); ++i) {
        const auto& column = rows.columns()[i];
        const char* type = column.is == column::type::integer ? "bigint" : "text";
        fmt::format_to(std::back_inserter(names), "{}{}", i ? ", " : "", column.name);
        fmt::format_to(std::back_inserter(arrays), "{}${}::{}[]", i ? ", " : "", i + 1, type);
    }
    auto sql =
        fmt::format("INSERT INTO {} ({}) SELECT * FROM unnest({}) {}", rows.table(), names, arrays, rows.on_conflict());
    if (!rows.returning().empty()) fmt::format_to(std::back_inserter(sql), " RETURNING {}", rows.returning());
    return sql;
}

std::string_view trouble_with_url(std::string_view url) {
    const auto scheme = url.find("://");
    if (scheme == std::string_view::npos) return "has no scheme";
    const auto rest = url.substr(scheme + 3, url.find('?') - scheme - 3);
    const auto authority = rest.substr(0, rest.find('/'));
    if (std::count(rest.begin(), rest.end(), '@') > std::count(authority.begin(), authority.end(), '@') ||
        std::count(authority.begin(), authority.end(), '@') > 1) {
        return "has an @ too many: in a password / is %2F and @ is %40";
    }
    // What follows the last colon of each host is its port; the colons of an IPv6 address stand in brackets.
    auto hosts = authority.substr(authority.find('@') + 1);
    while (!hosts.empty()) {
        const auto host = hosts.substr(0, hosts.find(','));
        hosts.remove_prefix(std::min(host.size() + 1, hosts.size()));
        const auto after_address = host.substr(host.rfind(']') + 1);
        const auto colon = after_address.find(':');
        const auto port = colon == std::string_view::npos ? "" : after_address.substr(colon + 1);
        if (port.find_first_not_of("0123456789") != std::string_view::npos) {
            return "has a port that is no number: in a password / is %2F, ? is %3F and # is %23";
        }
    }
    return {};
}

}  // namespace database
