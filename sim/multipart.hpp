// multipart/form-data, read as a stream: a part is handed over piece by piece and never held whole.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "http.hpp"

namespace sim {

struct form_part {
    std::string name;
    std::string filename;      // empty: a plain field
    std::string content_type;  // empty: none given
};

struct form_reader {
    std::function<void(const form_part&)> begin;
    std::function<void(std::string_view)> data;
    std::function<void()> end;
};

// Reads the whole body. Throws api_error 400 when it is no multipart body or ends early.
void read_form(const request& asked, request_reader& body, const form_reader& reader);

}  // namespace sim
