"""dbt as a child of `flagmart sync`: it ends when its parent does, and not before.

A signal for the whole group (Ctrl-C, systemd, a container that stops) is the parent's to hear, who
lets this step end. Of a parent that was killed a build must not go on: on DuckDB it would hold the
file, and on ClickHouse call a build finished that another one has begun.
"""

import os
import signal
import threading


def main() -> None:
    """Run dbt with this process's arguments, as long as somebody holds its stdin open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    from dbt.cli.main import cli

    cli()


def _end_with_the_parent() -> None:
    # not sys.stdin, whose lock the interpreter wants for its own end
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
