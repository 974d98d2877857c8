"""Start the front: `python -m support.clickhouse`, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

# The engine takes the process's time zone once, when it is loaded.
os.environ["TZ"] = "UTC"
time.tzset()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m support.clickhouse",
        description="ClickHouse's engine behind its HTTP interface, on 127.0.0.1.",
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the data is kept")
    parser.add_argument("--port", type=int, default=8123, help="0 for any that is free")
    parser.add_argument("--user", default="default")
    parser.add_argument("--password", default="flagmart")
    parser.add_argument("--config", type=Path, help="ClickHouse's config.xml, with clusters")
    parser.add_argument("--users", type=Path, help="ClickHouse's users.xml, of the one user")
    parser.add_argument(
        "--reader-password", help="for user `reader`, who may change nothing, not even a setting"
    )
    parser.add_argument(
        "--child",
        action="store_true",
        help="print the address as JSON, and stop when stdin is closed",
    )
    return parser.parse_args()


def _stop(*_: object) -> None:
    raise SystemExit(0)


def _stop_with_stdin() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve until a signal comes, or with `--child` until the parent is gone."""
    given = _arguments()
    import filelock

    from support.clickhouse.engine import Engine
    from support.clickhouse.front import Front, Server

    given.folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(given.folder / "front.lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise SystemExit(
            f"{given.folder}: another front is running on this data; stop it first"
        ) from None
    engine = Engine(given.folder / "engine", given.config, given.users)
    front = Front(engine, given.user, given.password, given.reader_password)
    try:
        server = Server(("127.0.0.1", given.port), front)
    except OSError as error:
        raise SystemExit(
            f"127.0.0.1:{given.port}: {error.strerror}; choose another --port"
        ) from None
    signal.signal(signal.SIGTERM, _stop)
    port = server.server_address[1]
    if given.child:
        print(json.dumps({"port": port, "version": engine.version}), flush=True)
        threading.Thread(target=_stop_with_stdin, daemon=True).start()
    else:
        print(f"# ClickHouse {engine.version} at http://127.0.0.1:{port}, data in {given.folder}")
        for name, value in (
            ("DBT_TARGET", "clickhouse"),
            ("FLAGMART_CLICKHOUSE_HOST", "127.0.0.1"),
            ("FLAGMART_CLICKHOUSE_PORT", port),
            ("FLAGMART_CLICKHOUSE_USER", given.user),
            ("DBT_ENV_SECRET_CLICKHOUSE_PASSWORD", given.password),
        ):
            print(f"export {name}={value}")
        print("# until Ctrl-C", flush=True)
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        server.serve_forever(poll_interval=0.1)
    # What is running is cut off, as by a server that dies: the engine's data stands that.
    os._exit(0)


if __name__ == "__main__":
    main()
