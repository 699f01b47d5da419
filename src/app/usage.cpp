#include "app/admin_words.hpp"
namespace app { void add_usage(CLI::App&, chosen_command&); void add_usage(CLI::App&, chosen_command&) {} }
