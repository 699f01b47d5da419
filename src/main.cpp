#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "app/commands.hpp"

int main(int argc, char** argv) {
    try {
        return app::run_command(argc, argv);
    } catch (const std::exception& problem) {
        fmt::print(stderr, "claude-proxy: {}\n", problem.what());
        return 1;
    }
}
