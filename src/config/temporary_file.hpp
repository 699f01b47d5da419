// A file for one test; gone with the object.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace config {

class temporary_file {
public:
    explicit temporary_file(std::string_view content) {
        static int number = 0;
        path_ = std::filesystem::path(testing::TempDir()) /
                ("claude-proxy-" + std::to_string(getpid()) + "-" + std::to_string(++number));
        std::ofstream(path_, std::ios::binary) << content;
    }
    ~temporary_file() { std::filesystem::remove(path_); }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;

    std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

}  // namespace config
