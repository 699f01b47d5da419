#include "multipart.hpp"

#include <algorithm>
#include <vector>

#include "api_error.hpp"
#include "text.hpp"

namespace sim {

namespace {

constexpr std::size_t part_head_bytes_max = 16384;

// A parameter of a header such as `form-data; name="file"; filename="a.txt"`.
std::string parameter_of(std::string_view value, std::string_view name) {
    const std::string wanted = std::string(name) + "=";
    for (std::size_t at = 0; (at = value.find(wanted, at)) != std::string_view::npos; ++at) {
        if (at > 0 && value[at - 1] != ' ' && value[at - 1] != ';') continue;
        std::string_view rest = value.substr(at + wanted.size());
        if (!rest.starts_with('"')) return std::string(trim(rest.substr(0, std::min(rest.find(';'), rest.size()))));
        std::string text;
        for (std::size_t in = 1; in < rest.size() && rest[in] != '"'; ++in) {
            if (rest[in] == '\\' && in + 1 < rest.size()) ++in;
            text += rest[in];
        }
        return text;
    }
    return {};
}

class form_scanner {
public:
    form_scanner(request_reader& body, const form_reader& reader, std::string boundary)
        : body_(body), reader_(reader), delimiter_("\r\n--" + std::move(boundary)), buffer_("\r\n") {}

    void run() {
        skip_to_delimiter();
        while (!at_the_end()) {
            reader_.begin(read_head());
            copy_data();
            reader_.end();
        }
        while (fill()) buffer_.clear();  // the epilogue
    }

private:
    bool fill() {
        const std::size_t before = buffer_.size();
        buffer_.resize(before + step);
        const std::size_t got = body_.read_body(buffer_.data() + before, step);
        buffer_.resize(before + got);
        return got > 0;
    }

    void need_more() {
        if (!fill()) throw invalid("multipart body: unexpected end");
    }

    void skip_to_delimiter() {
        std::size_t at = 0;
        while ((at = buffer_.find(delimiter_)) == std::string::npos) {
            if (buffer_.size() > part_head_bytes_max) throw invalid("multipart body: no boundary");
            need_more();
        }
        buffer_.erase(0, at + delimiter_.size());
    }

    // Behind a delimiter: "--" ends the form, a line end begins a part.
    bool at_the_end() {
        while (buffer_.size() < 2) need_more();
        if (buffer_.starts_with("--")) return true;
        const auto line_end = buffer_.find("\r\n");
        if (line_end != 0) throw invalid("multipart body: bad boundary line");
        return false;
    }

    form_part read_head() {
        std::size_t end = 0;
        while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
            if (buffer_.size() > part_head_bytes_max) throw invalid("multipart body: part head too long");
            need_more();
        }
        form_part part;
        std::string_view head(buffer_.data() + 2, end - std::min<std::size_t>(end, 2));
        while (!head.empty()) {
            const auto stop = std::min(head.find("\r\n"), head.size());
            const std::string_view line = head.substr(0, stop);
            head.remove_prefix(std::min(stop + 2, head.size()));
            const auto colon = std::min(line.find(':'), line.size());
            const std::string name = lower(line.substr(0, colon));
            const std::string_view value = trim(line.substr(std::min(colon + 1, line.size())));
            if (name == "content-disposition") {
                part.name = parameter_of(value, "name");
                part.filename = parameter_of(value, "filename");
            } else if (name == "content-type") {
                part.content_type = value;
            }
        }
        buffer_.erase(0, end + 2);  // keeps the line end that a delimiter may begin with
        first_data_ = true;
        return part;
    }

    void copy_data() {
        // The line end that closed the head is not data, yet an empty part's delimiter begins with it.
        for (;;) {
            const auto at = buffer_.find(delimiter_);
            if (at != std::string::npos) {
                hand_over(at);
                buffer_.erase(0, delimiter_.size());
                return;
            }
            // What may be the beginning of a delimiter stays.
            if (buffer_.size() > delimiter_.size()) hand_over(buffer_.size() - delimiter_.size() + 1);
            need_more();
        }
    }

    // Passes on the first `count` bytes of the buffer, without the line end before the very first data.
    void hand_over(std::size_t count) {
        std::string_view bytes = std::string_view(buffer_).substr(0, count);
        if (first_data_) bytes.remove_prefix(std::min<std::size_t>(2, count));
        first_data_ = false;
        if (!bytes.empty()) reader_.data(bytes);
        buffer_.erase(0, count);
    }

    static constexpr std::size_t step = 65536;

    request_reader& body_;
    const form_reader& reader_;
    const std::string delimiter_;
    std::string buffer_;
    bool first_data_ = false;
};

}  // namespace

void read_form(const request& asked, request_reader& body, const form_reader& reader) {
    const std::string_view type = asked.value("content-type");
    const std::string boundary = parameter_of(type, "boundary");
    if (!lower(type).starts_with("multipart/form-data") || boundary.empty()) {
        throw invalid("content-type: multipart/form-data with a boundary is required");
    }
    form_scanner(body, reader, boundary).run();
}

}  // namespace sim
