"""Each check can fail: small documents with one mistake, and the same without it."""

import types

import checks
import facts
import pytest
from markdown import Document, slug
from runner import Checkout, Problem, told


def findings(check, text, *given):
    return [says for _, says in check(Document("docs/x.md", text), *given)]


def word(options=(), **below):
    made = types.SimpleNamespace(options=set(options), below=below)
    return made


ROOT_WORD = word(
    serve=word({"--with-worker"}),
    keys=word(create=word({"--name", "--team"}), list=word({"--team"})),
    usage=word({"--by"}),
)
SCRAPE = facts.Scrape(
    "# TYPE claude_proxy_jobs gauge\n"
    'claude_proxy_jobs{status="queued"} 0\n'
    "# TYPE claude_proxy_overhead_seconds histogram\n"
    'claude_proxy_overhead_seconds_bucket{le="1"} 0\n',
    {"claude_proxy_rare_total", "claude_proxy_late"},
)
ROUTES = {("GET", "/admin/v1/teams/{}"), ("POST", "/v1/jobs"), ("*", "/v1/**"), ("*", "/v1/files/**")}


def test_a_link_that_leads_nowhere():
    other = Document("docs/y.md", "# A `b` c\n\n## Twice\n\n## Twice\n")
    documents = {"docs/y.md": other}

    files = {"docs/y.md", "README.md", "docs/x.md"}

    def of(text):
        return findings(checks.links_resolve, text, documents, files.__contains__)

    assert of("[a](y.md) [b](y.md#a-b-c) [c](../README.md) [`q`](y.md#twice-1) [w](https://example.com/x)") == []
    assert of("[a](z.md)") == ["the link z.md leads nowhere"]
    assert of("[a](../y.md)") == ["the link ../y.md leads nowhere"]
    assert of("[a](y.md#nothing)") == ["docs/y.md has no heading for #nothing"]
    assert of("[a](y.md#twice-2)") == ["docs/y.md has no heading for #twice-2"]
    assert of("[ref]: z.md") == ["the link z.md leads nowhere"]
    assert of("`[a](z.md)`\n\n```\n[a](z.md)\n```\n") == [], "code is no link"


def test_anchors_are_those_of_github():
    assert slug("Why a drain cuts *no* stream?") == "why-a-drain-cuts-no-stream"
    assert slug("`serve` and [worker](x.md), the_two") == "serve-and-worker-the_two"
    assert slug("A - B") == "a---b"


def test_a_path_that_is_not_there():
    def of(text):
        return findings(checks.paths_in_code_exist, text, {"tools/test.sh"}.__contains__, ["tools/test.sh"])

    assert of("```sh\ntools/test.sh release\n```") == of("```sh\nls tools/*.sh\n```") == []
    assert of("```sh\ntools/tset.sh release\n```") == ["tools/tset.sh does not exist"]
    assert of("text\n\n    bench/none --quick\n") == ["bench/none does not exist"]


def test_words_and_options_of_the_command_line():
    def of(text):
        return findings(checks.words_exist, text, ROOT_WORD)

    assert of("`claude-proxy keys create --name x | jq .` `claude-proxy <word> --help` `keys list` `usage`") == []
    assert of("```sh\naws ecs list-tasks --cluster claude-proxy --services b\n```") == [], "that is a name"
    assert of("```sh\necho x | A=$B claude-proxy keys make\n```") == ["`claude-proxy keys` has no word make"]
    assert of("```sh\nA=1 claude-proxy keys create \\\n  --team x  # --none\n```") == []
    assert of("`claude-proxy keys make`") == ["`claude-proxy keys` has no word make"]
    assert of("`keys make`") == ["`claude-proxy keys` has no word make"]
    assert of("`claude-proxy run`") == ["`claude-proxy` has no word run"]
    assert of("`claude-proxy keys list --name x`") == ["`claude-proxy keys list` has no option --name"]
    assert of("```sh\nclaude-proxy serve \\\n  --with-work\n```") == ["`claude-proxy serve` has no option --with-work"]


def test_options_of_scripts():
    def of(text):
        return findings(checks.script_options_exist, text, lambda _: {"--env"}, lambda path: path != "tools/none.sh")

    assert of("`infra/scripts/a.sh --env prod`") == of("`infra/scripts/tf.sh prod plan --none`") == []
    assert of("```sh\nX=1 infra/scripts/a.sh \\\n  --environment prod\n```") == [
        "infra/scripts/a.sh has no option --environment"
    ]
    assert of("```sh\ntools/with_servers bench/run.py --only x\n```") == ["bench/run.py has no option --only"]


def test_options_alone_and_words_of_make():
    assert findings(checks.flags_exist, "`--env`, `--env prod`", {"--env"}) == []
    assert findings(checks.flags_exist, "`--evn`", {"--env"}) == ["no program has the option --evn"]
    assert findings(checks.make_words_exist, "`make test`", {"test"}) == []
    assert findings(checks.make_words_exist, "```sh\nmake tset\n```", {"test"}) == ["the Makefile has no word tset"]


def test_settings():
    def of(text):
        return findings(checks.settings_exist, text, {"CLAUDE_PROXY_LISTEN"}, {"CLAUDE_PROXY_BIN"})

    assert of("CLAUDE_PROXY_LISTEN and `CLAUDE_PROXY_BIN`, CLAUDE_PROXY_*") == []
    assert of("CLAUDE_PROXY_LISTENS") == ["`claude-proxy serve --help` has no setting CLAUDE_PROXY_LISTENS"]
    assert findings(checks.variables_exist, "`SMOKE_KEY`, `TF_VAR_x`, `HTTP`, A_B, `YOUR_NAME`", {"SMOKE_KEY"}) == []
    assert findings(checks.variables_exist, "```sh\nMY_KEY=1\necho $MY_KEY\n```", set()) == []
    assert findings(checks.variables_exist, "`SMOKE_KEYS`", {"SMOKE_KEY"}) == ["nothing knows the variable SMOKE_KEYS"]


def test_metrics():
    def of(text):
        return findings(checks.metrics_exist, text, SCRAPE)

    assert of('`claude_proxy_jobs{status="queued"}` `claude_proxy_overhead_seconds_bucket`') == []
    assert of("claude_proxy_*, claude_proxy_x_(a|b), grep claude_proxy_x_ `claude_proxy.jobs`") == []
    assert of('`claude_proxy_rare_total{any="x"}` `claude_proxy_late_bucket`') == []
    assert of("`claude_proxy_job`") == ["there is no metric claude_proxy_job"]
    assert of("`claude_proxy_jobs_bucket`") == ["there is no metric claude_proxy_jobs_bucket"]
    assert of('`claude_proxy_jobs{state="queued"}`') == ["claude_proxy_jobs has no label state"]


def test_expressions_of_prometheus():
    def of(text):
        return findings(checks.expressions_parse, text, facts.promql_problem)

    assert of("`sum(rate(claude_proxy_jobs[5m]))` `sum(x)` `claude_proxy_jobs`") == []
    assert of("```promql\n# a\nup{job=\"a\"}  # b\n```\n") == []
    assert len(of("`sum(rate(claude_proxy_jobs[5m])`")) == len(of("```promql\nsum(up\n```\n")) == 1


def test_routes():
    def of(text):
        return findings(checks.routes_exist, text, ROUTES)

    assert of("`GET /admin/v1/teams/{id or name}[?x=]` `POST /v1/jobs?a=b` `DELETE /v1/files/{id}`") == []
    assert of("```sh\ncurl http://127.0.0.1:8080/v1/jobs -d x\n```") == []
    assert of("`GET /admin/v1/keys`") == ["there is no route GET /admin/v1/keys"]
    assert of("`POST /admin/v1/teams/{id}`") == ["there is no route POST /admin/v1/teams/{}"]
    assert of("`GET /v1/teams`") == ["there is no route GET /v1/teams"], "what is only passed on does not count"
    assert of("`GET`, `PATCH /admin/v1/teams/{id}`") == ["there is no route PATCH /admin/v1/teams/{}"]
    assert of("```sh\ncurl http://127.0.0.1:8081/admin/v2/teams\n```") == ["there is no route /admin/v2/teams"]


def test_names():
    assert findings(checks.identifiers_exist, "`budget_alert` `not a_name`", {"budget_alert"}) == []
    assert findings(checks.identifiers_exist, "`budget_alarm`", {"budget_alert"}) == ["no source knows `budget_alarm`"]

    def of(text):
        return findings(checks.terraform_names_exist, text, {"waf_mode", "origin_secrets"}, {"queue_url"}, {"api"})

    assert of("`-var waf_mode=block` `TF_VAR_origin_secrets` `claude-proxy-api`") == []
    assert of('`infra/scripts/tf.sh prod output -raw queue_url` `waf_mode = "block"`') == []
    assert of("`-var waf=block`") == ["Terraform has no variable waf"]
    assert of("`TF_VAR_secrets`") == ["Terraform has no variable secrets"]
    assert of("`infra/scripts/tf.sh prod output -raw queue`") == ["Terraform has no output queue"]
    assert of("`claude-proxy-apis`") == ["nothing in infra/terraform is called claude-proxy-apis"]
    assert of('`waf_modes = "block"`') == ["Terraform has no variable waf_modes"]


def test_what_is_not_told():
    table = "| metric | labels |\n|---|---|\n| `claude_proxy_jobs` | status |\n| `claude_proxy_overhead_seconds` | |\n"
    assert findings(checks.metrics_told, table, SCRAPE) == []
    assert findings(checks.metrics_told, table.replace("status", ""), SCRAPE) == [
        "the row of claude_proxy_jobs does not tell its label status"
    ]
    assert findings(checks.metrics_told, "nothing", SCRAPE) == [
        "the metric claude_proxy_jobs has no row",
        "the metric claude_proxy_overhead_seconds has no row",
    ]
    assert findings(checks.routes_told, "`GET /admin/v1/teams/{id}`", ROUTES, "/admin/v1/") == []
    assert findings(checks.routes_told, "`GET /admin/v1/teams`", ROUTES, "/admin/v1/") == [
        "the route GET /admin/v1/teams/{} is not told"
    ]
    one = [Document("docs/x.md", "`serve`, `keys create`, `usage`")]
    assert [says for _, says in checks.events_told(one, {"serve", "listening"})] == ["the event listening is not told"]
    assert [says for _, says in checks.words_told(one, ROOT_WORD)] == ["`claude-proxy keys list` is not told"]


def test_blocks_are_found_with_their_outputs():
    text = "1. item\n\n   ```sh runnable\n   a\n     b\n   ```\n\n   ```text output\n   c\n   ```\n\n```sh\nd\n```\n"
    ((block, output),) = Document("x.md", text).runnable()
    assert (block.line, block.text, output.text) == (4, "a\n  b", "c")
    ((_, output),) = Document("x.md", "```sh runnable\na\n```\n```sh\nb\n```\n").runnable()
    assert output is None


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        ("a\nb\n", "a\nb", True),
        ("a\nb", "a\nb", True),
        ("a\nb\n", "a", False),
        ("a\nb\nc\n", "...\nc", True),
        ("a\nb\nc\n", "a\n...", True),
        ("a\nb\nc\n", "...\nb\n...", True),
        ("a\nb\n", "...\nc\n...", False),
        ("schema 2.\n", "schema ...", True),
        ("schema 2.\n", "schemas ...", False),
        ("a.c\n", "abc", False),
    ],
)
def test_output_is_compared(output, expected, same):
    assert told(output, expected) is same


def test_a_block_that_fails_or_prints_something_else():
    def document(body, output=None):
        text = f"```sh runnable\n{body}\n```\n"
        return Document("x.md", text + (f"\n```text output\n{output}\n```\n" if output else ""))

    with Checkout() as checkout:
        checkout.check(document("A=one; curl -sS http://127.0.0.1:8080/health >/dev/null"))
        checkout.check(document("echo $A; claude-proxy version | wc -l", "one\n1"))  # what the block before has set
        for wrong in ("false; true", "claude-proxy nothing", "echo $UNSET", "false | cat"):
            with pytest.raises(Problem, match="ended with"):
                checkout.check(document(wrong))
        with pytest.raises(Problem, match="should have printed"):
            checkout.check(document("echo two", "one"))
