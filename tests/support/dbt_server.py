"""Processes of dbt that import and parse nothing anew: forks of one that has imported dbt.

To import dbt takes 3 s, to parse the project 10, and a run of the tests has some hundred processes
of dbt, most of them on a data folder of their own. What a fork runs is what `.venv/bin/dbt` runs,
in the environment and the folder that it was given.
"""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

_ONE_AT_A_TIME = threading.Lock()
_PARSED = "partial_parse.msgpack"
_PARSING_READS = ("DBT_TARGET", "FLAGMART_CLICKHOUSE_DATABASE", "FLAGMART_CLICKHOUSE_CLUSTER")
"""What of the environment is in a parsed project, by `profiles.yml`."""


def dbt_process(
    arguments: Sequence[str], project: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """`dbt ARGUMENTS` in `project`, with what it printed."""
    with _ONE_AT_A_TIME:
        server, folder = _server()
        said = [folder / name for name in ("stdout", "stderr")]
        kept = folder / f"{abs(hash((project, *map(env.get, _PARSING_READS))))}"
        parsed = Path(env["DBT_TARGET_PATH"]) / _PARSED
        if kept.exists() and not parsed.exists():
            parsed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept, parsed)
        request = {
            "arguments": list(arguments),
            "project": str(project),
            "env": dict(env),
            "said": [str(path) for path in said],
        }
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        assert answer, "the process that dbt is forked from has ended"
        if not kept.exists() and parsed.exists():
            shutil.copyfile(parsed, kept)
        out, err = (path.read_text("utf-8") for path in said)
    return subprocess.CompletedProcess(["dbt", *arguments], int(answer), out, err)


@cache
def _server() -> tuple["subprocess.Popen[str]", Path]:
    """One for each process of pytest, and its folder; both end with it."""
    folder = tempfile.TemporaryDirectory(prefix="flagmart-dbt-")
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(folder.cleanup)
    atexit.register(server.wait)
    atexit.register(server.kill)
    return server, Path(folder.name)


def _serve() -> None:
    from dbt.cli.main import cli
    from dbt.parser.manifest import ManifestLoader

    for name in ("adapters.clickhouse", "adapters.duckdb", "task.build"):
        import_module(f"dbt.{name}")  # here, and not in each fork
    state_of = ManifestLoader.build_manifest_state_check

    def state_but_for_the_address(self: ManifestLoader) -> Any:
        """With another path or port nothing is parsed otherwise."""
        state: Any = state_of(self)  # type: ignore[no-untyped-call]
        state.profile_hash = type(state.profile_hash).from_contents("")
        return state

    patch.object(ManifestLoader, "build_manifest_state_check", state_but_for_the_address).start()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.chdir(request["project"])
            os.environ.clear()
            os.environ.update(request["env"])
            for number, path in enumerate([os.devnull, *request["said"]]):
                made = os.O_CREAT | os.O_TRUNC if number else 0
                os.dup2(os.open(path, os.O_RDWR | made), number)
            sys.argv = ["dbt", *request["arguments"]]
            cli(request["arguments"], prog_name="dbt")
        _, status = os.waitpid(pid, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


if __name__ == "__main__":
    del sys.path[0]  # this folder, whose `secrets` is not Python's
    _serve()
