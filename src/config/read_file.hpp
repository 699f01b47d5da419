// A small text file as a string.
#pragma once

#include <cstddef>
#include <expected>
#include <string>

namespace config {

// Error: the end of a sentence whose subject is the file ("cannot be read: ...").
std::expected<std::string, std::string> read_file(const std::string& path, std::size_t bytes_max);

}  // namespace config
