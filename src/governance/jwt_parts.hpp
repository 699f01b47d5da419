// What tokens and key sets are made of: base64url and JSON objects, read strictly. Plain functions; any thread.
#pragma once

#include <jansson.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace governance {

struct json_release {
    void operator()(json_t* value) const { json_decref(value); }
};
using json_ptr = std::unique_ptr<json_t, json_release>;

// A whole JSON object in which no name stands twice at any depth; null for everything else. Two parsers that take
// different ones of two equal names would see different tokens, so such a text is no token.
json_ptr parse_json_object(std::string_view text);

// A member of an object that is a string; nothing when it is absent or something else. Lives as long as the object.
std::optional<std::string_view> string_in(const json_t* object, std::string_view name);

// RFC 4648 5 without padding, in its one canonical form: no foreign character, no spare bits that are set. So no two
// texts mean the same bytes. Nothing for everything else; empty text is empty bytes.
std::optional<std::string> decode_base64url(std::string_view text);

}  // namespace governance
