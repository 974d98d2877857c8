"""Processes of dbt that import and parse nothing anew: forks of one that has imported and parsed.

To import dbt takes 3 s, to parse the project 10, and a run of the tests has some hundred processes
of dbt, most of them on a data folder of their own. What a fork runs is what `.venv/bin/dbt` runs,
in the environment and the folder that it was given.
"""

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO
from unittest.mock import patch

_ONE_AT_A_TIME = threading.Lock()
_PARSING_READS = ("DBT_TARGET", "FLAGMART_CLICKHOUSE_DATABASE", "FLAGMART_CLICKHOUSE_CLUSTER")
"""What of the environment is in a parsed project, by `profiles.yml`."""
_BEFORE_COMMAND = {"--no-use-colors": 1, "--quiet": 1, "--warn-error": 1, "--warn-error-options": 2}
_CHANGES_PARSING = {"--target", "-t", "--profile", "--profiles-dir", "--project-dir"}
_NEEDS_PROJECT = {"build", "compile", "list", "ls", "run", "run-operation", "seed", "show", "test"}
_SAID, _OWN = ("stdout", "stderr"), "stderr-of-all"
_FILES = (
    *("dbt_project.yml", "profiles.yml", "models", "macros", "seeds"),
    *("tests/generic", "tests/singular"),
)


def dbt_process(
    arguments: Sequence[str], project: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """`dbt ARGUMENTS` in `project`, with what it printed."""
    with _forked(arguments, project, env) as process:
        said = process.stdout.read()
    return subprocess.CompletedProcess(
        ["dbt", *arguments], process.returncode, said, process.stderr
    )


def killed_dbt(arguments: Sequence[str], project: Path, env: Mapping[str, str], when: str) -> None:
    """`dbt ARGUMENTS`, killed as soon as a line that it prints has `when`."""
    with _forked(arguments, project, env) as process:
        assert any(when in line for line in process.stdout), when
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.read()
    assert process.returncode == -signal.SIGKILL


@dataclass
class _Process:
    pid: int
    stdout: TextIO
    stderr: str = ""
    returncode: int = 0


@contextmanager
def _forked(arguments: Sequence[str], project: Path, env: Mapping[str, str]) -> Iterator[_Process]:
    with _ONE_AT_A_TIME:
        server, stdout, stderr = _server()
        request = {"arguments": list(arguments), "project": str(project), "env": dict(env)}
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        pid = server.stdout.readline()
        assert pid, (stderr.parent / _OWN).read_text("utf-8")
        process = _Process(int(pid), stdout.open(encoding="utf-8"))
        try:
            with process.stdout:
                yield process
        finally:
            # also where a test fails, so that the next one hears of its own process
            process.returncode = int(server.stdout.readline())
            process.stderr = stderr.read_text("utf-8")


@cache
def _server() -> tuple["subprocess.Popen[str]", Path, Path]:
    """One for each process of pytest, and where its forks print; all end with it."""
    folder = tempfile.TemporaryDirectory(prefix="flagmart-dbt-")
    stdout, stderr = (Path(folder.name, name) for name in _SAID)
    os.mkfifo(stdout)
    with Path(folder.name, _OWN).open("w", encoding="utf-8") as own:
        server = subprocess.Popen(
            [sys.executable, __file__, folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=own,
            text=True,
        )
    atexit.register(folder.cleanup)
    atexit.register(server.wait)
    atexit.register(server.kill)
    return server, stdout, stderr


class _Parsed:
    """Projects as dbt parsed them, the newest last."""

    KEPT = 12

    def __init__(self, folder: Path) -> None:
        from dbt.cli import requires
        from dbt.parser.manifest import ManifestLoader
        from dbt_common.events.event_manager import EventManager

        state_of = ManifestLoader.build_manifest_state_check

        def state_but_for_the_address(loader: ManifestLoader) -> Any:
            """With another path or port nothing is parsed otherwise."""
            state: Any = state_of(loader)  # type: ignore[no-untyped-call]
            state.profile_hash = type(state.profile_hash).from_contents("")
            return state

        patch.object(
            ManifestLoader, "build_manifest_state_check", state_but_for_the_address
        ).start()
        patch.object(requires, "setup_manifest", _of_this_process(requires.setup_manifest)).start()
        patch.object(EventManager, "fire_event", _fire_what_is_shown(EventManager)).start()
        self.folder = folder
        self.found: dict[Any, Any] = {}

    def manifest(self, arguments: Sequence[str], project: Path, env: Mapping[str, str]) -> Any:
        """What a command needs of the project; None where it must see for itself.

        So it is where parsing fails or warns, since it is the command that has to say so.
        """
        said = list(arguments)
        first = 0
        while first < len(said) and said[first] in _BEFORE_COMMAND:
            first += _BEFORE_COMMAND[said[first]]
        if said[first] not in _NEEDS_PROJECT or _CHANGES_PARSING.intersection(said):
            return None
        variables = said[said.index("--vars") + 1] if "--vars" in said else "{}"
        place = (str(project), variables, *map(env.get, _PARSING_READS))
        key = (place, *_state(project))
        if key not in self.found:
            from dbt.cli.main import dbtRunner

            # what was parsed there before is read, and what has changed since is parsed
            paths = {"DBT_TARGET_PATH": f"{abs(hash(place))}", "DBT_LOG_PATH": "logs"}
            here = {**env, **{name: str(self.folder / path) for name, path in paths.items()}}
            with patch.dict(os.environ, here, clear=True):
                os.chdir(project)
                parsed = dbtRunner().invoke(
                    ["--warn-error", "--quiet", "parse", "--no-write-json", "--vars", variables]
                )
            self.found[key] = parsed.result if parsed.success else None
            for oldest in list(self.found)[: -self.KEPT]:
                del self.found[oldest]
        return self.found[key]


def _of_this_process(set_up: Callable[..., None]) -> Callable[..., None]:
    """What was parsed before is written as of the process that uses it, as dbt does itself."""
    from dbt_common.invocation import get_invocation_id

    def setup_manifest(ctx: Any, *others: Any, **more: Any) -> None:
        set_up(ctx, *others, **more)
        known = ctx.obj["manifest"].metadata
        known.invocation_id = get_invocation_id()
        known.generated_at = datetime.now(UTC).replace(tzinfo=None)

    return setup_manifest


def _fire_what_is_shown(manager: type[Any]) -> Callable[..., None]:
    """As dbt fires events, but for those that no log shows: to make them is a fifth of a build."""
    fire = manager.fire_event

    def fire_event(self: Any, e: Any, level: Any = None, *others: Any, **more: Any) -> None:
        debug = type(e.level_tag()).DEBUG
        shown = self.callbacks or any(log.level == debug for log in self.loggers)
        if shown or (level or e.level_tag()) != debug:
            fire(self, e, level, *others, **more)

    return fire_event


def _state(project: Path) -> Iterator[tuple[str, int, int]]:
    for name in _FILES:
        within = project / name
        for path in sorted(within.rglob("*")) if within.is_dir() else [within]:
            found = path.stat()
            yield str(path), found.st_mtime_ns, found.st_size


def _serve(folder: Path) -> None:
    from dbt.cli.main import cli

    for name in ("adapters.clickhouse", "adapters.duckdb", "task.build"):
        import_module(f"dbt.{name}")  # here, and not in each fork
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    projects = _Parsed(folder)
    stdout, stderr = (folder / name for name in _SAID)
    for line in sys.stdin:
        request = json.loads(line)
        arguments, project, env = request["arguments"], Path(request["project"]), request["env"]
        manifest = projects.manifest(arguments, project, env)
        gc.freeze()  # what is not looked at in a fork is not copied
        pid = os.fork()
        if pid == 0:
            os.chdir(project)
            os.environ.clear()
            os.environ.update(env)
            # the other parser works in threads, which a fork of a process that used it has not
            os.environ["DBT_STATIC_PARSER"] = "false"
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(os.open(stdout, os.O_WRONLY), 1)
            os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            sys.argv = ["dbt", *arguments]
            try:
                cli(arguments, prog_name="dbt", obj={"manifest": manifest})
            except SystemExit as ended:
                # as Python ends, but for taking apart what it shares with this process
                atexit._run_exitfuncs()
                sys.stdout.flush()
                os._exit(ended.code if isinstance(ended.code, int) else 1)
        answers.write(f"{pid}\n")
        answers.flush()
        _, status = os.waitpid(pid, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


if __name__ == "__main__":
    del sys.path[0]  # this folder, whose `secrets` is not Python's
    _serve(Path(sys.argv[1]))
