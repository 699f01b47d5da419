// Goes through a whole JSON text and tells of its members at any depth, by their decoded names. For what is asked
// seldom; member_scanner is for what every request needs.
//
// Derive, call `walk`. Exact on valid JSON, however it is spelled; survives any bytes. What a tool was called with
// (`input`) and the schemas and examples of tools are the client's own data: nothing in them is told. Thread rule: one
// thread at a time; no I/O, no clock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace anthropic {

class member_walk {
public:
    member_walk(const member_walk&) = delete;
    member_walk& operator=(const member_walk&) = delete;

protected:
    using marks = std::uint8_t;  // what the deriving class knows of an open object or list: bits of its own

    member_walk() = default;
    ~member_walk() = default;

    void walk(std::string_view body);
    void stop() { stopped_ = true; }

    // Open objects and lists around the member that is told of; 1 for the members of the outermost object.
    std::size_t depth() const { return levels_.size(); }
    marks around() const { return levels_.empty() ? marks{0} : levels_.back(); }  // of the innermost
    void mark(marks more) {
        if (!levels_.empty()) levels_.back() |= more;
    }

    // An object or list begins, the value of the member `name` (empty: the element of a list); its marks.
    virtual marks on_open(std::string_view name) = 0;
    virtual void on_close() {}  // it ends; depth() and around() are still its own
    // A member with a string (as it stands between its quotes), or with anything else (as written).
    virtual void on_text(std::string_view name, std::string_view between_quotes) = 0;
    virtual void on_scalar(std::string_view, std::string_view) {}

    // What stands between the quotes means; empty for a bad escape.
    static std::string decoded(std::string_view between_quotes);

private:
    void open(std::string_view name);
    void close();
    void on_string();
    std::string_view take_string();

    std::string_view body_;
    std::size_t at_ = 0;
    std::vector<marks> levels_;
    bool stopped_ = false;
};

}  // namespace anthropic
