// Goes through the server-sent events of a text that is complete: a chunk of a job's log, a recorded stream. For bytes
// that still arrive see sse_scanner.hpp and event_log.hpp.
//
// By the rules of server-sent events: lines end in LF, CR or CRLF, several data lines are joined by line feeds, a block
// without data is no event, and what is not ended by a blank line is none either. Thread rule: one thread at a time.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace anthropic {

class event_text {
public:
    explicit event_text(std::string_view text);

    bool next();  // to the next event; false behind the last

    std::string_view name() const { return name_; }  // empty when the event has none
    std::string_view data() const { return is_joined_ ? std::string_view(joined_) : data_; }  // dies with next()

private:
    std::optional<std::string_view> take_line();
    void add_data(std::string_view line);

    std::string_view rest_;
    std::string_view name_, data_;
    std::string joined_;  // used when there are several data lines
    bool has_data_ = false, is_joined_ = false;
};

}  // namespace anthropic
