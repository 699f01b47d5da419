"""Compiles the mock upstream and the load generator when their sources are newer, and writes the request bodies."""
import pathlib
import shutil
import subprocess

from contender import HERE, NotRunnable
from make_bodies import write_bodies
from workloads import STREAM_BODIES

SOURCES = HERE / "src"
COMPILERS = {"clang++-19": "-std=c++23", "g++": "-std=c++20"}
FLAGS = ["-O2", "-Wall", "-Wextra"]


def build_tools(work: pathlib.Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    newest = max(file.stat().st_mtime for file in SOURCES.iterdir())
    for name in ("mock_upstream", "gwload"):
        program = work / name
        if not program.exists() or program.stat().st_mtime < newest:
            compile_tool(SOURCES / f"{name}.cpp", program)
    write_bodies(work / "bodies", STREAM_BODIES)


def compile_tool(source: pathlib.Path, program: pathlib.Path) -> None:
    for compiler, standard in COMPILERS.items():
        if shutil.which(compiler):
            print(f"compiling {program.name} with {compiler}", flush=True)
            subprocess.run([compiler, standard, *FLAGS, "-o", program, source], check=True)
            return
    raise NotRunnable("no C++ compiler; run: apt-get install -y clang-19")
