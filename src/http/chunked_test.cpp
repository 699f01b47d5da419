#include "http/chunked.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using http::chunk_decoder;

struct decoded {
    std::string payload;
    chunk_decoder::status state = chunk_decoder::status::more;
    std::size_t consumed = 0;
};

decoded decode(const std::vector<std::string>& pieces) {
    chunk_decoder decoder;
    decoded all;
    for (std::string piece : pieces) {
        const auto outcome = decoder.decode(piece);
        all.payload.append(piece, 0, outcome.payload);
        all.consumed += outcome.consumed;
        all.state = outcome.state;
        if (outcome.state != chunk_decoder::status::more) break;
    }
    return all;
}

const std::string two_chunks = "5\r\nhello\r\n00007;name=\"v\"\r\n, world\r\n0\r\nx-trailer: 1\r\n\r\n";

TEST(chunked, payload_is_found_at_every_split) {
    for (std::size_t split = 0; split <= two_chunks.size(); ++split) {
        const auto result = decode({two_chunks.substr(0, split), two_chunks.substr(split)});
        EXPECT_EQ(result.payload, "hello, world") << split;
        EXPECT_EQ(result.state, chunk_decoder::status::complete);
        EXPECT_EQ(result.consumed, two_chunks.size());
    }
    std::vector<std::string> bytes;
    for (const char c : two_chunks) bytes.emplace_back(1, c);
    EXPECT_EQ(decode(bytes).payload, "hello, world");
}

TEST(chunked, bytes_behind_the_end_are_left_alone) {
    const auto result = decode({"0\r\n\r\nGET / HTTP/1.1\r\n"});
    EXPECT_EQ(result.state, chunk_decoder::status::complete);
    EXPECT_EQ(result.consumed, 5u);
}

TEST(chunked, malformed_framing_is_refused) {
    for (const std::string text :
         {"\r\n", "x\r\n", "-1\r\n", "+1\r\na\r\n", "0x1\r\na\r\n", " 1\r\na\r\n", "1 \r\na\r\n", "1\na\r\n",
          "1\r\nab\r\n", "1\r\na\n", "1\r\na\r1", "1\ra", "1111111111111111\r\n", "1;e\nx\r\na\r\n",
          "0\r\nbad trailer\r\n\r\n", "0\r\n a: b\r\n\r\n", "0\r\ncontent-length: 5\r\n\r\n",
          "0\r\ntransfer-encoding: chunked\r\n\r\n", "0\r\na: b\n\r\n"}) {
        EXPECT_EQ(decode({text}).state, chunk_decoder::status::malformed) << text;
    }
    EXPECT_EQ(decode({"1;" + std::string(5000, 'x') + "\r\na\r\n"}).state, chunk_decoder::status::malformed);
    EXPECT_EQ(decode({"0\r\na: " + std::string(9000, 'x') + "\r\n\r\n"}).state, chunk_decoder::status::malformed);
}

TEST(chunked, a_size_line_is_hexadecimal) {
    std::array<char, 18> line;
    EXPECT_EQ(std::string(line.data(), http::chunk_size_line(0x1a2b, line)), "1a2b\r\n");
    EXPECT_EQ(std::string(line.data(), http::chunk_size_line(SIZE_MAX, line)), "ffffffffffffffff\r\n");
}

}  // namespace
