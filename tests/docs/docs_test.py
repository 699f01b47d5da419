"""The documents tell the truth: links, commands, settings, metrics, routes, names; and they leave nothing out."""

import functools
import glob

import checks
import facts
import pytest
from markdown import Document
from runner import Checkout, Problem
from support.client import Client, request
from support.gateway import DEFAULTS, Gateway, Simulator
from support.servers import PgBouncer, Postgres, Redis

PATTERNS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "infra/**/*.md")
PATTERNS += ("bench/README.md", "sim/README.md")
# Read by the tests, the build or the tools: they are no settings of the gateway.
NOT_SETTINGS = {"CLAUDE_PROXY_BIN", "CLAUDE_PROXY_VERSION"}
# What is quoted and is not ours: options and words of other programs and languages, placeholders of a document.
FOREIGN_FLAGS = {"--desired-count", "--init"}  # aws, docker
FOREIGN_NAMES = {"snake_case", "rule_action_override"}
FOREIGN_NAMES |= {"proxy_next_upstream", "non_idempotent", "least_conn", "worker_shutdown_timeout"}  # nginx
ROLES = {"claude_proxy_a", "claude_proxy_b"}  # of PostgreSQL, and no metrics


@functools.cache
def documents():
    paths = {path for pattern in PATTERNS for path in glob.glob(pattern, root_dir=facts.ROOT, recursive=True)}
    return {path: Document(path, facts.read(path)) for path in sorted(paths & set(facts.files()))}


def told(check, *given):
    """Every finding of one check over all documents fails the test, each with its place. Decisions are of their day:
    only their links have to hold."""
    found = []
    for path, document in documents().items():
        if path.startswith("docs/adr/") and check is not checks.links_resolve:
            continue
        found += [f"{path}:{line}: {says}" for line, says in check(document, *given)]
    assert not found, "\n" + "\n".join(found)


@pytest.fixture(scope="module")
def gateway():
    """One with all its parts: some metrics are told only where there is Redis."""
    simulator = Simulator("--listen", "127.0.0.1:0")
    with Redis() as redis, Gateway(simulator.url, words=("serve", "--with-worker"), REDIS_URL=redis.url) as made:
        yield made
    simulator.stop()


@pytest.fixture(scope="module")
def scrape(gateway):
    return facts.scrape_after_traffic(gateway)


def test_there_are_documents():
    assert {"README.md", "docs/HANDOVER_README.md", "infra/README.md", "docs/operations.md"} <= set(documents())


def test_links_lead_somewhere():
    told(checks.links_resolve, documents(), facts.exists)


def test_paths_in_commands_exist():
    told(checks.paths_in_code_exist, facts.exists, facts.files())


def test_the_command_line_has_these_words_and_options():
    told(checks.words_exist, facts.command_line())


def test_scripts_have_these_options():
    told(checks.script_options_exist, facts.script_options, facts.exists)


def test_options_that_are_quoted_alone_exist():
    known = facts.command_line().all_options() | facts.simulator_options() | FOREIGN_FLAGS
    for script in facts.scripts() + ["bench/run.py", "bench/bench", "tools/run.sh", "tools/tidy", "tools/lint.sh"]:
        known |= facts.script_options(script)
    told(checks.flags_exist, known)


def test_make_has_these_words():
    told(checks.make_words_exist, facts.make_words())


def test_settings_exist():
    told(checks.settings_exist, facts.settings(), NOT_SETTINGS)
    short = {name.removeprefix("CLAUDE_PROXY_") for name in facts.settings()}  # "of `CLAUDE_PROXY_`: `KEY_PEPPER`, ..."
    told(checks.variables_exist, facts.words() | facts.settings() | short)


def test_metrics_exist(scrape):
    scrape.others |= ROLES
    told(checks.metrics_exist, scrape)


def test_expressions_of_prometheus_parse():
    told(checks.expressions_parse, facts.promql_problem)


def test_routes_exist(gateway):
    told(checks.routes_exist, facts.routes())
    # The tables that were read are those that answer.
    headers = [("x-api-key", DEFAULTS["CLAUDE_PROXY_ADMIN_KEY"])]
    for method, path in sorted(facts.routes()):
        if method == "GET" and path.startswith("/admin") and "{" not in path:
            with Client(gateway.admin_port) as client:
                assert client.ask(request("GET", path, headers=headers, key=None)).status == 200, path


def test_quoted_names_exist():
    told(checks.identifiers_exist, facts.words() | FOREIGN_NAMES)


def test_names_of_terraform_exist():
    variables, outputs, endings = facts.terraform()
    told(checks.terraform_names_exist, variables, outputs, endings | {"governed"})  # a contender of bench/


def test_nothing_is_left_untold(scrape):
    operations, administration = documents()["docs/operations.md"], documents()["docs/administration.md"]
    found = [*checks.metrics_told(operations, scrape)]
    found += checks.routes_told(administration, facts.routes(), "/admin/v1/")
    found += checks.words_told(documents().values(), facts.command_line())
    assert {"listening", "queue_away", "queue_back", "webhook_delivered"} <= facts.log_events()
    found += checks.events_told(documents().values(), facts.log_events())
    assert not found, "\n" + "\n".join(says for _, says in found)


@pytest.fixture(scope="module")
def supabase():
    """What docs/SUPABASE.md needs: a pooler in transaction mode, an owner of a project, an empty project."""
    with Postgres() as server, PgBouncer(server) as pooler:
        direct, empty = server.create_database("gateway"), server.create_database("empty")
        server.sql("CREATE ROLE owner LOGIN CREATEROLE")
        server.sql("CREATE DATABASE project OWNER owner")
        yield {
            "DATABASE_URL": pooler.url("gateway", "gateway"),
            "DATABASE_DIRECT_URL": direct,
            "ADMIN_URL": server.url("project", "owner"),
            "ROLE_URL": server.url("project", "claude_proxy"),
            "EMPTY_URL": empty,
        }


@pytest.mark.parametrize("path", [path for path, document in documents().items() if document.runnable()])
def test_marked_commands_run(path, request):
    more = request.getfixturevalue("supabase") if path == "docs/SUPABASE.md" else {}
    with Checkout(**more) as checkout:
        try:
            checkout.check(documents()[path])
        except Problem as problem:
            pytest.fail(str(problem), pytrace=False)


def test_every_runbook_has_commands_that_run():
    """A marker that is misspelt would run nothing."""
    runbooks = ("HANDOVER_README", "OPERATIONAL_RUNBOOK_FULL", "DEPLOYMENT_RUNBOOK", "SUPABASE")
    for name in (*runbooks, "administration", "jobs"):
        assert documents()[f"docs/{name}.md"].runnable(), name
    marks = {block.info for document in documents().values() for block in document.blocks if " " in block.info}
    assert marks <= {"sh runnable", "text output"}, marks
    for path, document in documents().items():
        outputs = sum(block.is_output for block in document.blocks)
        assert outputs == sum(expected is not None for _, expected in document.runnable()), f"{path}: a lonely output"
