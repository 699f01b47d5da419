"""What C++ and test code must not say."""

import re

# Call, what to write instead. A call is matched in code, never in comments or strings.
BANNED_CALLS = [
    (r"\b(?:strcpy|strcat|stpcpy)\s*\(", "std::string or std::string_view: no length is checked"),
    (r"\bv?sprintf\s*\(", "fmt::format or fmt::format_to"),
    (r"\b(?:atoi|atol|atoll|atof)\s*\(", "std::from_chars: atoi reports no error"),
    (r"\bstd::sto(?:i|l|ll|ul|ull|f|d)\b", "std::from_chars: sto* throws and accepts leading blanks and signs"),
    (r"\bstrto(?:l|ll|ul|ull|d|f)\s*\(", "std::from_chars: strto* accepts leading blanks and signs"),
    (r"\b(?:gets|scanf|sscanf|fscanf)\s*\(", "a parser of the bytes at hand"),
    (r"(?<![\w:])(?:system|popen)\s*\(", "nothing is executed: there is no replacement"),
    (r"\bs?rand(?:_r)?\s*\(", "<random>, or RAND_bytes where it must not be guessed"),
    (r"\bstrtok(?:_r)?\s*\(", "std::string_view::find"),
    (r"\b(?:localtime|gmtime|ctime|asctime)\s*\(", "localtime_r or gmtime_r: these share one buffer"),
    (r"\binet_(?:ntoa|addr|aton)\s*\(", "getnameinfo or inet_ntop: IPv4 only"),
    (r"\bgethostby(?:name|addr)\s*\(", "net::resolver"),
    (r"(?<![\w.>:])(?:u|nano)?sleep\s*\(", "a wait on a net::timer: a reactor never sleeps"),
    (r"\bstd::(?:basic_)?regex\b", "a hand-written scan: std::regex recurses on its input"),
    (r"\bstd::async\b", "a thread with an owner"),
    (r"\busing\s+namespace\s+std\s*;", "the names that are needed"),
    (r"\b(?:setjmp|longjmp|alloca)\s*\(", "nothing: destructors are skipped or the stack overflows"),
]
# Allowed in the files named; elsewhere in src/ the replacement is the way. The resolver's thread is detached because
# getaddrinfo cannot be interrupted, and its state outlives it; that of postgres_cancel.cpp because of PQcancel. The
# main thread of serve.cpp is no reactor.
RESTRICTED_CALLS = [
    (
        r"\.\s*detach\s*\(\s*\)",
        {"src/net/resolver.cpp", "src/database/postgres_cancel.cpp"},
        "a thread that somebody joins",
    ),
    (r"\bsleep_(?:for|until)\s*\(", {"src/app/serve.cpp"}, "a wait on a net::timer: a reactor never sleeps"),
    (r"\b(?:secure_)?getenv\s*\(", set(), "config::environment: settings are read in one place"),
]
PRINTS = re.compile(
    r"\bstd::(?:cout|cerr|clog|puts|printf|print|println)\b|(?<![\w.>:])(?:f|v|vf)?printf\s*\("
    r"|(?<![\w.>:])f?puts\s*\(|\bfmt::print\s*\("
)
PRINTING_FILES = re.compile(r"src/app/|src/main\.cpp$")

CATCH_ALL = re.compile(r"\bcatch\s*\(\s*\.\.\.\s*\)")
# The request frame, the frame of every spawned task, and main.
CATCH_ALL_FILES = {"src/gateway/front.cpp", "src/net/reactor.cpp", "src/main.cpp"}

MUTED = re.compile(
    r"\bGTEST_SKIP\b|\bDISABLED_\w|\b(?:TEST|TEST_F|TEST_P)\s*\(\s*\w+\s*,\s*DISABLED"
    r"|\bpytest\.(?:mark\.)?(?:skip|skipif|xfail|importorskip)\b"
    r"|\bunittest\.(?:skip|expectedFailure)|\bself\.skipTest\b"
    r"|\b(?:test|it|describe)\.(?:skip|todo|only)\b|\bskip\s*:\s*(?:true|['\"])"
)


def banned_calls(tree):
    """Calls that cannot be used safely, or not here, with the replacement named."""
    for path in tree.under("src", ".cpp", ".hpp") + tree.under("sim", ".cpp", ".hpp"):
        if path.endswith("_test.cpp"):
            continue
        rules = [(re.compile(pattern), set(), better) for pattern, better in BANNED_CALLS]
        if path.startswith("src/"):
            rules += [(re.compile(pattern), files, better) for pattern, files, better in RESTRICTED_CALLS]
        if path.startswith("src/config/"):
            rules = [rule for rule in rules if "getenv" not in rule[0].pattern]
        for number, line in tree.code_lines(path):
            for pattern, files, better in rules:
                if (match := pattern.search(line)) and path not in files:
                    yield (path, number, f"{match[0].strip()}: use {better}")


def no_debug_prints(tree):
    """Only src/app and src/main.cpp print; everything else logs through telemetry."""
    for path in tree.under("src", ".cpp", ".hpp"):
        if PRINTING_FILES.match(path) or path.endswith("_test.cpp"):
            continue
        for number, line in tree.code_lines(path):
            if match := PRINTS.search(line):
                yield (path, number, f"{match[0].strip()}: log through telemetry::hub")


def catch_all_has_three_places(tree):
    """`catch (...)` stands in the request frame, the task frame and main; elsewhere only to clean up and rethrow."""
    for path in tree.under("src", ".cpp", ".hpp"):
        if path in CATCH_ALL_FILES or path.endswith("_test.cpp"):
            continue
        code = "\n".join(line for _, line in tree.code_lines(path))
        for match in CATCH_ALL.finditer(code):
            block = code[match.end() :].split("}", 1)[0]
            if not re.search(r"\bthrow\s*;", block):
                number = code.count("\n", 0, match.start()) + 1
                yield (path, number, "catch (...) swallows what nobody expected")


# Terraform's provider and moto are on no public mirror of Debian or npm: where they are not, tests/infra says so.
MAY_SKIP = {"tests/infra/conftest.py"}


def no_muted_tests(tree):
    """No test is skipped, disabled or expected to fail: what cannot run is said by a failure (but in tests/infra)."""
    for path in tree.paths:
        if path in MAY_SKIP:
            continue
        is_test = path.startswith("tests/") or path.endswith(("_test.cpp", "_test.py"))
        if not is_test or path.startswith("tools/") or not path.endswith((".cpp", ".py", ".mjs", ".js", ".ts", ".cjs")):
            continue
        for number, line in tree.lines(path):
            if match := MUTED.search(line):
                yield (path, number, f"{match[0]}: make it run or delete it")


RULES = [banned_calls, no_debug_prints, catch_all_has_three_places, no_muted_tests]
