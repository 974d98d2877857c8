"""A bad network: Toxiproxy between whoever sends and a server."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from support.go_tools import built

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMAND = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"
_OPENER = build_opener(ProxyHandler({}))
"""Whatever proxy the environment names is not asked."""


@dataclass(frozen=True)
class Toxic:
    """What happens to a connection; see Toxiproxy's README for kinds and what each is told."""

    kind: str
    told: dict[str, int]
    towards_server: bool = False
    share: float = 1.0
    """Of connections that it happens to."""


@contextmanager
def between(server: str, *toxics: Toxic) -> Iterator[str]:
    """An address by which `server` is reached, until the block ends.

    Args:
        server: `http://host:port`.
        toxics: all at once.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [built(_COMMAND), "-host", "127.0.0.1", "-port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        api = f"http://127.0.0.1:{port}"
        _wait_for(api, process)
        proxy = _post(
            f"{api}/proxies",
            {"name": "way", "listen": "127.0.0.1:0", "upstream": server.rpartition("/")[2]},
        )
        for number, toxic in enumerate(toxics):
            _post(
                f"{api}/proxies/way/toxics",
                {
                    "name": str(number),
                    "type": toxic.kind,
                    "stream": "upstream" if toxic.towards_server else "downstream",
                    "toxicity": toxic.share,
                    "attributes": toxic.told,
                },
            )
        yield f"http://{proxy['listen']}"
    finally:
        process.kill()
        process.communicate()


def _wait_for(api: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        try:
            _OPENER.open(f"{api}/version", timeout=5).close()
        except URLError:
            time.sleep(0.05)
        else:
            return
    process.kill()
    raise RuntimeError(f"Toxiproxy does not answer at {api}: {process.communicate()[0]!r}")


def _post(url: str, document: dict[str, Any]) -> Any:
    request = Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
    with _OPENER.open(request, timeout=10) as answer:
        return json.load(answer)
