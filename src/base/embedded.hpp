// Files of the repository that the binary carries: migrations/*.sql and data/*.yaml, written into it by the build
// (tools/embed.cmake). Any thread.
#pragma once

#include <span>
#include <string_view>

namespace base {

struct embedded_file {
    std::string_view path;  // "migrations/0001_tenancy.sql"
    std::string_view text;
};

std::span<const embedded_file> embedded_files();  // sorted by path

}  // namespace base
