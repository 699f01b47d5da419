"""Every rule of tools/tidy notices what it is for: a small clean tree, and one canary or more a rule."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))


def load_tidy():
    loader = importlib.machinery.SourceFileLoader("tidy", os.path.join(HERE, "tidy"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("tidy", loader))
    loader.exec_module(module)
    return module


tidy = load_tidy()

ARCHITECTURE = """# Architecture

## Who may include whom

| folder | may include | reads wrong if it includes |
|---|---|---|
| `base` | nothing of ours | `<sys/*>` |
| `http` | `base` | anything above |
| `config` | `base`, `*/options.hpp` | behaviour |
| `main` | everything | - |
"""
ERROR_HPP = """// Errors.
#pragma once
namespace base {
constexpr std::string_view invalid = "invalid_request_error";
        case bad_framing: return {400, invalid, "bad_framing", fault::client, false};
        case internal: return {500, "api_error", "internal", fault::ours, true};
}  // namespace base
"""
OPERATIONS = """# Operations

Set `CLAUDE_PROXY_LISTEN`; watch claude_proxy_requests_total and claude_proxy_request_seconds_bucket. See
[the readme](../README.md#start) and `http/parse.cpp`.

| reason | status | type | whose | retry |
|---|---|---|---|---|
| `bad_framing` | 400 | `invalid_request_error` | client | no |
| `internal` | 500 | `api_error` | ours | yes |
"""
PARSE_CPP = """#include "http/parse.hpp"
// Not a print: printf("x"); limit 20'000, '"'.
int limit = 20'000; char quote = '"';
"""
MAIN_CPP = """#include "http/parse.hpp"
#include "config/settings.hpp"
const char* names[] = {"requests_total", "request_seconds"};
"""
CLEAN = {
    "README.md": "# Name\n\n## Start\n\nRun `make test`; see [the table](ARCHITECTURE.md) and `src/http/`.\n",
    "ARCHITECTURE.md": ARCHITECTURE,
    "Makefile": "test:\n\t@tools/test.sh\n",
    ".env.example": "# Where to listen.\n#CLAUDE_PROXY_LISTEN=127.0.0.1:8080\n",
    "docs/operations.md": OPERATIONS,
    "src/base/error.hpp": ERROR_HPP,
    "src/http/options.hpp": "#pragma once\n#include <cstdint>\n",
    "src/http/parse.hpp": '#pragma once\n#include "base/error.hpp"\n',
    "src/http/parse.cpp": PARSE_CPP,
    "src/config/settings.hpp": '#pragma once\n#include "http/options.hpp"\n',
    "src/main.cpp": MAIN_CPP,
    "sim/server.hpp": "#pragma once\n",
    "sim/main.cpp": '#include "server.hpp"\nint main() {}\n',
    "tests/unit_test.py": "def test_it():\n    assert True\n",
}
LONG = "x" * 121

# Rule, what is changed in the clean tree (None: removed; "+text": appended), and a word of the message.
CANARIES = [
    (
        "include_direction",
        {"src/base/error.hpp": '+#include "http/options.hpp"\n'},
        "base must not include http/options.hpp",
    ),
    (
        "include_direction",
        {"src/config/settings.hpp": '+#include "http/parse.hpp"\n'},
        "config must not include http/parse.hpp",
    ),
    ("include_direction", {"src/base/error.hpp": "+#include <sys/socket.h>\n"}, "<sys/socket.h>"),
    ("include_direction", {"src/jobs/job_test.cpp": "int x;\n"}, "src/jobs has no row"),
    ("include_direction", {"ARCHITECTURE.md": "+| `gone` | `base` | - |\n"}, "src/gone does not exist"),
    ("include_direction", {"ARCHITECTURE.md": None, "README.md": "# Name\n\n## Start\n"}, "has no row"),
    (
        "include_table_has_no_cycle",
        {"ARCHITECTURE.md": ARCHITECTURE.replace("| nothing of ours |", "| `http` |")},
        "may include itself",
    ),
    ("include_resolves", {"src/main.cpp": '+#include "server.hpp"\n'}, "not below src/"),
    ("include_resolves", {"src/main.cpp": '+#include "../sim/server.hpp"\n'}, "not below src/"),
    ("include_resolves", {"sim/main.cpp": '+#include "base/error.hpp"\n'}, "not below sim/"),
    ("header_stands_alone", {"src/http/options.hpp": "#include <cstdint>\n"}, "#pragma once"),
    ("header_stands_alone", {"src/http/parse.cpp": '#include <string>\n#include "http/parse.hpp"\n'}, "first include"),
    ("no_dead_files", {"src/http/unused.hpp": "#pragma once\n"}, "nobody includes"),
    ("no_dead_files", {"src/http/orphan.cpp": "int orphan;\n"}, "no header of its own"),
    ("banned_calls", {"src/main.cpp": "+int number = atoi(text);\n"}, "std::from_chars"),
    ("banned_calls", {"src/main.cpp": "+std::regex pattern;\n"}, "std::regex"),
    ("banned_calls", {"src/main.cpp": "+void f() { worker.detach(); }\n"}, "joins"),
    ("banned_calls", {"sim/main.cpp": "+int status = system(command);\n"}, "nothing is executed"),
    ("banned_calls", {"src/main.cpp": "+void f() { std::this_thread::sleep_for(second); }\n"}, "never sleeps"),
    ("no_debug_prints", {"src/http/parse.cpp": "+void f() { std::cerr << 1; }\n"}, "telemetry"),
    ("no_debug_prints", {"src/http/parse.cpp": "+void f() { printf(text); }\n"}, "telemetry"),
    ("catch_all_has_three_places", {"src/http/parse.cpp": "+void f() { try { g(); } catch (...) { } }\n"}, "swallows"),
    ("no_muted_tests", {"src/http/parse_test.cpp": "TEST(a, b) { GTEST_SKIP(); }\n"}, "GTEST_SKIP"),
    ("no_muted_tests", {"tests/unit_test.py": "+@pytest.mark.skip\ndef test_b(): pass\n"}, "pytest.mark.skip"),
    ("no_muted_tests", {"tests/sdk/a.test.mjs": "test.skip('a', () => {});\n"}, "test.skip"),
    ("no_oversized_files", {"src/http/parse.cpp": "+" + "int x;\n" * 501}, "lines, more than 500"),
    ("no_long_lines", {"src/http/parse.cpp": f"+// {LONG}\n"}, "columns"),
    ("no_long_lines", {"README.md": f"+{LONG} words\n"}, "columns"),
    ("white_space", {"src/http/parse.cpp": "+int x; \n"}, "end of the line"),
    ("white_space", {"src/http/parse.cpp": "+\tint x;\n"}, "tab"),
    ("white_space", {"src/http/parse.cpp": "+int x;\r\n"}, "carriage return"),
    ("white_space", {"src/http/parse.cpp": "+int x;"}, "no newline"),
    ("no_leftovers", {"src/http/parse.cpp": "+// FIX" "ME: later\n"}, "finish it"),
    ("nothing_of_one_machine", {"README.md": "+See /ro" "ot/notes.txt.\n"}, "a path of one machine"),
    ("nothing_of_one_machine", {"README.md": "+See `/ho" "me/alice/x`.\n"}, "a path of one machine"),
    (
        "nothing_of_one_machine",
        {"tests/sdk/package-lock.json": '{"resol' 'ved": "https://mirror.example/npm/x.tgz"}\n'},
        "not the public registry",
    ),
    ("nothing_of_one_machine", {"tests/sdk/.npmrc": "registry=https://mirror.example/\n"}, "belongs to the machine"),
    (
        "nothing_of_one_machine",
        {"tools/x.sh": "npm ci --regi" "stry https://mirror.example\n"},
        "belongs to the machine",
    ),
    ("no_secrets", {"README.md": "+sk-ant-api03-" + "aB3" * 20 + "\n"}, "credential"),
    ("no_secrets", {"src/main.cpp": '+const char* id = "AKIA' + "ABCD" * 4 + '";\n'}, "credential"),
    ("scripts_can_run", {"tools/x.sh": "#!/bin/sh\n"}, "not executable"),
    ("paths_in_prose_exist", {"README.md": "+The start is in `src/http/gone.cpp`.\n"}, "does not exist"),
    ("paths_in_prose_exist", {"README.md": "+Jobs are in `jobs/`.\n"}, "does not exist"),
    (
        "paths_in_prose_exist",
        {"docs/operations.md": "+See `http/gone.hpp`, `docs/*.txt`.\n"},
        "`docs/*.txt` does not exist",
    ),
    ("links_resolve", {"README.md": "+[gone](docs/gone.md)\n"}, "leads nowhere"),
    ("links_resolve", {"README.md": "+[gone](docs/operations.md#nothing)\n"}, "no heading"),
    ("settings_in_prose_exist", {"README.md": "+Set CLAUDE_PROXY_LISTENS.\n"}, "not in .env.example"),
    ("metrics_in_prose_exist", {"README.md": "+Watch claude_proxy_requests_lost.\n"}, "no source has"),
    ("error_table_is_true", {"docs/operations.md": OPERATIONS.replace("| 500 |", "| 503 |")}, "internal"),
    ("error_table_is_true", {"src/base/error.hpp": ERROR_HPP.replace("400, invalid", "422, invalid")}, "bad_framing"),
    (
        "error_table_is_true",
        {"src/base/error.hpp": '+        case late: return {504, "api_error", "late", fault::upstream, true};\n'},
        "late of base/error.hpp has no row",
    ),
    ("words_of_make_exist", {"README.md": "+Then `make coffee`.\n"}, "no word coffee"),
    ("words_of_make_exist", {"README.md": "+```\nmake tea\n```\n"}, "no word tea"),
]


def findings_of(changes):
    """What tidy finds in the clean tree with these changes."""
    files = dict(CLEAN)
    for path, text in changes.items():
        files[path] = files.get(path, "") + text[1:] if text and text.startswith("+") else text
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            if text is None:
                continue
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8", newline="") as file:
                file.write(text)
        return tidy.check(tidy.Tree(root))


class TidyTest(unittest.TestCase):
    def test_a_clean_tree_has_no_findings(self):
        self.assertEqual([str(finding) for finding in findings_of({})], [])

    def test_every_rule_has_a_canary(self):
        self.assertEqual({rule.__name__ for rule in tidy.RULES}, {rule for rule, _, _ in CANARIES})

    def test_a_catch_all_that_rethrows_is_allowed(self):
        cleanup = "+void f() { try { g(); } catch (...) { close(fd); throw; } }\n"
        self.assertEqual(findings_of({"src/http/parse.cpp": cleanup}), [])

    def test_comments_and_literals_are_not_code(self):
        source = '+/* std::cerr\n printf( */ const char* a = "atoi(x)"; auto b = R"x(system("a"))x"; // rand()\n'
        self.assertEqual(findings_of({"src/http/parse.cpp": source}), [])

    def test_a_source_of_a_header_of_its_folder_is_alive(self):
        self.assertEqual(findings_of({"src/http/peek.cpp": '#include "http/parse.hpp"\n' "int peek;\n"}), [])

    def test_a_source_named_by_its_table_is_alive(self):
        changes = {"src/http/get.cpp": "int get;\n", "src/http/parse.cpp": "+// get.cpp\nextern int get;\n"}
        self.assertEqual(findings_of(changes), [])

    def test_generated_folders_are_not_read(self):
        self.assertEqual(findings_of({"build/x.cpp": "\t\n", "tests/sdk/node_modules/x/x.md": "`src/gone.cpp`\n"}), [])

    def test_the_graph_marks_what_is_not_allowed(self):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**CLEAN, "src/base/error.hpp": '#include "http/options.hpp"\n'}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            graph = "\n".join(tidy.includes.graph(tidy.Tree(root)))
        self.assertRegex(graph, r"base +-> !http \(1\)")
        self.assertRegex(graph, r"config +-> http \(1\)")

    def test_the_exit_code_tells(self):
        with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()) as printed:
            with open(os.path.join(root, "README.md"), "w", encoding="utf-8") as file:
                file.write("`docs/gone.md` \n")
            arguments, sys.argv = sys.argv, ["tidy", "--root", root]
            try:
                self.assertEqual(tidy.main(), 1)
            finally:
                sys.argv = arguments
        self.assertIn("2 broken, 2 findings in 1 files", printed.getvalue())


def make_canary_test(rule, changes, words):
    def test(self):
        findings = findings_of(changes)
        self.assertTrue(
            any(finding.rule == rule and words in finding.message for finding in findings),
            f"{rule} did not say '{words}' but {[str(finding) for finding in findings]}",
        )

    return test


for index, (rule_name, canary, message) in enumerate(CANARIES):
    setattr(TidyTest, f"test_canary_{index:02}_{rule_name}", make_canary_test(rule_name, canary, message))

if __name__ == "__main__":
    unittest.main()
