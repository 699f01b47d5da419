// The file of CLAUDE_PROXY_CONFIG: one YAML mapping from names to scalars. No setting is known here.
#pragma once

#include <expected>
#include <string>
#include <vector>

namespace config {

struct yaml_entry {
    std::string key;
    std::string value;
    int line = 0;  // from 1
};

// All problems at once, each the end of a sentence whose subject is the file ("line 3: ..."). Lists and mappings as
// values, keys that occur twice, merge keys (`<<`, which the YAML library would drop silently) and a second document
// are refused.
std::expected<std::vector<yaml_entry>, std::vector<std::string>> read_yaml_file(const std::string& path);

}  // namespace config
