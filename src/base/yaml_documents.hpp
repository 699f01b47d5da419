// One guard before YAML is read: yaml-cpp passes over what stands behind the first document in silence (YAML::Load), or
// never comes back from it (YAML::LoadAll, on a stray bracket or comma). Plain function; any thread.
#pragma once

#include <string>

namespace base {

// Whether anything stands behind the first document: another one, or what belongs to none, as a stray bracket. Throws
// YAML::Exception for text that is no YAML.
bool goes_on_after_the_first_document(const std::string& text);

}  // namespace base
