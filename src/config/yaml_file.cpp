#include "config/yaml_file.hpp"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <set>

#include "base/yaml_documents.hpp"
#include "config/read_file.hpp"

namespace config {

std::expected<std::vector<yaml_entry>, std::vector<std::string>> read_yaml_file(const std::string& path) {
    constexpr std::size_t bytes_max = 1 << 20;
    using problems_of = std::vector<std::string>;
    const auto text = read_file(path, bytes_max);
    if (!text) return std::unexpected(problems_of{text.error()});
    std::vector<yaml_entry> entries;
    problems_of problems;
    try {
        if (base::goes_on_after_the_first_document(*text))
            return std::unexpected(problems_of{"must be one YAML document, not several"});
        const YAML::Node root = YAML::Load(*text);
        if (!root.IsDefined() || root.IsNull()) return entries;  // nothing but comments
        if (!root.IsMap()) return std::unexpected(problems_of{"must be a YAML mapping: lines of `name: value`"});
        std::set<std::string> seen;
        for (const auto& item : root) {
            const int line = item.first.Mark().line + 1;
            const auto refuse = [&problems, line](std::string_view why) {
                problems.push_back(fmt::format("line {}: {}", line, why));
            };
            if (!item.first.IsScalar()) {
                refuse("a key must be a name");
                continue;
            }
            const std::string key = item.first.Scalar();
            if (key == "<<") {
                refuse("merge keys (`<<`) are not supported; write the values out");
            } else if (!seen.insert(key).second) {
                refuse(fmt::format("`{}` is set a second time; remove one of the two", key));
            } else if (item.second.IsNull()) {
                refuse(fmt::format("`{}` has no value; give one or remove the line", key));
            } else if (!item.second.IsScalar()) {
                refuse(fmt::format("`{}` must be a single value, not a list or a mapping", key));
            } else {
                entries.push_back({key, item.second.Scalar(), line});
            }
        }
    } catch (const YAML::Exception& problem) {
        const int line = problem.mark.is_null() ? 0 : problem.mark.line + 1;
        return std::unexpected(problems_of{fmt::format("line {}: is not YAML: {}", line, problem.msg)});
    }
    if (!problems.empty()) return std::unexpected(std::move(problems));
    return entries;
}

}  // namespace config
