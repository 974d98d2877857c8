"""Object stores that receive files: S3 and its like, Google Cloud Storage, Azure.

Credentials are each cloud's own affair: pyarrow finds them where that cloud's tools do. None is
ever a setting, and none reaches a message.
"""

from __future__ import annotations

import ctypes
import os
import posixpath
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from flagmart import durable
from flagmart.delivery.store import unfinished
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

SCHEMES = ("s3", "gs", "abfs")
_ENDPOINT_VARIABLES = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "gs": ("STORAGE_EMULATOR_HOST",),
    "abfs": (),
}
_SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
)
_SECRET_LENGTH = 8
"""Shorter ones are no secrets, and parts of words."""
_CHUNK = 16 << 20
"""Bytes read and sent at a time. Above pyarrow's 10 MB a part, so that no part is copied."""
_SHOWN = 300
"""Characters of a store's error that are passed on."""


@dataclass(frozen=True)
class Bucket:
    """An address in an object store; `str` gives it back, with an endpoint that is not usual."""

    scheme: str
    name: str
    """Of the bucket, or of Azure's container."""
    prefix: str
    """`/` between folders, none at either end; may be empty."""
    account: str = ""
    """Azure's storage account."""
    endpoint: str = ""
    """`https://host:port` of a store other than the cloud's own."""
    region: str = ""

    def __str__(self) -> str:
        name = f"{self.name}@{self.account}.dfs.core.windows.net" if self.account else self.name
        address = f"{self.scheme}://{name}" + (f"/{self.prefix}" if self.prefix else "")
        return f"{address}?endpoint={self.endpoint}" if self.endpoint else address


def is_bucket(address: str) -> bool:
    """Whether it is an address in an object store, by its first letters."""
    return address.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def parse(address: str, what: str, *, endpoint: str | None = "", region: str = "") -> Bucket:
    """Take an address apart; see Bucket.

    Args:
        address: `s3://bucket/folder`, `gs://bucket/folder`, `abfs://container/folder` or
            `abfs://container@account.dfs.core.windows.net/folder`. With `?endpoint=URL` it names
            its own endpoint.
        what: the setting or option it comes from, for messages.
        endpoint: taken where the address names none; where this is empty, too, the cloud's own
            variable is asked. None: the address says all there is.
        region: of an S3 bucket; then `AWS_REGION` or `AWS_DEFAULT_REGION` is asked.

    Raises:
        FlagmartError: it is no such address, or carries a user or password.
    """
    parts = urlsplit(address)
    query = parse_qs(parts.query)
    user, _, host = parts.netloc.rpartition("@")
    if parts.scheme not in SCHEMES or not host:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise FlagmartError(
            f"{what} is no folder of this machine and no address of a bucket ({known})"
        )
    if parts.fragment or set(query) - {"endpoint"}:
        raise FlagmartError(f"{what}: an address ends with its folder, or with ?endpoint=URL")
    name, account = host, ""
    if parts.scheme == "abfs" and user:
        name, account = user, host.partition(".")[0]
        user = ""
    if user or ":" in name:
        raise FlagmartError(
            f"{what}: an address has no user, password or port; credentials come from the "
            "environment, a port belongs to the endpoint"
        )
    if parts.scheme == "abfs" and not account:
        account = os.environ.get("AZURE_STORAGE_ACCOUNT", "")
        if not account:
            raise FlagmartError(
                f"{what}: names no storage account; write abfs://container@account.dfs.core."
                "windows.net/folder or set AZURE_STORAGE_ACCOUNT"
            )
    prefix = posixpath.normpath(parts.path.strip("/")).strip("/") if parts.path.strip("/") else ""
    if prefix.split("/")[0] in (".", ".."):
        raise FlagmartError(f"{what}: {prefix} leads out of the bucket")
    if endpoint == "":
        variables = _ENDPOINT_VARIABLES[parts.scheme]
        endpoint = next((os.environ[name] for name in variables if os.environ.get(name)), "")
    if parts.scheme == "s3" and not region:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    return Bucket(
        scheme=parts.scheme,
        name=name,
        prefix=prefix,
        account=account,
        endpoint=_endpoint(query.get("endpoint", [endpoint or ""])[0], what),
        region=region if parts.scheme == "s3" else "",
    )


def _endpoint(endpoint: str, what: str) -> str:
    """`scheme://host[:port]`; https where it does not say."""
    if not endpoint:
        return ""
    parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or "@" in parts.netloc
        or parts.path not in ("", "/")
        or parts.query
    ):
        raise FlagmartError(f"{what}: its endpoint is no https://host:port or http://host:port")
    return f"{parts.scheme}://{parts.netloc}"


class ObjectStore:
    """A bucket as a Store; an object has its old content until the new one has arrived whole."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        with self._named("open"):
            self._fs = _filesystem(bucket)

    def _path(self, name: str) -> str:
        return "/".join(part for part in (self._bucket.name, self._bucket.prefix, name) if part)

    def put(self, local: Path, name: str) -> None:
        """See Store; in several parts where it is large."""
        with self._named(f"write {name}"):
            if self._bucket.scheme != "abfs":
                self._stream(self._path(name), _chunks(local))
            else:
                # an object of Azure is there, and empty, as soon as it is opened
                folder, _, last = self._path(name).rpartition("/")
                beside = f"{folder}/{unfinished(last)}"
                self._stream(beside, _chunks(local))
                self._fs.copy_file(beside, self._path(name))
                self._fs.delete_file(beside)
        local.unlink()

    def put_empty(self, name: str) -> None:
        """See Store."""
        with self._named(f"write {name}"):
            self._stream(self._path(name), iter(()))

    def _stream(self, path: str, chunks: Iterator[bytes]) -> None:
        stream = self._fs.open_output_stream(path)
        try:
            for chunk in chunks:
                stream.write(chunk)
        except BaseException:
            # Closing it, as the garbage collector would, too, makes an object of what has arrived
            # so far, and pyarrow has no way to abort: so nobody may ever close it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(stream))
            raise
        stream.close()

    @contextmanager
    def reading(self, name: str) -> Iterator[Any]:
        """An object open for reading here and there in it."""
        with self._named(f"read {name}"), self._fs.open_input_file(self._path(name)) as file:
            yield file

    def copy(self, name: str, to: str) -> None:
        """Copy an object within the store, where it is there as a whole or not at all."""
        with self._named(f"write {to}"):
            self._fs.copy_file(self._path(name), self._path(to))

    def remove_folder(self, folder: str) -> None:
        """Remove all that lies below `folder`; what is not there is no error."""
        with self._named(f"remove {folder}"), suppress(FileNotFoundError):
            self._fs.delete_dir(self._path(folder))

    def remove(self, name: str) -> None:
        """See Store; pyarrow leaves an empty object in the folder's name, as cloud consoles do."""
        with self._named(f"remove {name}"), suppress(FileNotFoundError):
            self._fs.delete_file(self._path(name))

    def names(self, folder: str) -> list[str]:
        """See Store."""
        return self.names_in([folder])[folder]

    def names_in(self, folders: Collection[str]) -> dict[str, list[str]]:
        """See Store; one listing of what the folders have in common."""
        from pyarrow.fs import FileSelector, FileType

        found: dict[str, list[str]] = {folder: [] for folder in folders}
        if not found:
            return found
        common = next(iter(found)) if len(found) == 1 else posixpath.commonpath(list(found))
        with self._named("list"):
            listed = self._fs.get_file_info(
                FileSelector(self._path(common), recursive=len(found) > 1, allow_not_found=True)
            )
        start = len(self._path(""))
        for info in listed:
            folder, _, name = info.path[start:].strip("/").rpartition("/")
            if info.type == FileType.File and folder in found:
                found[folder].append(name)
        return {folder: sorted(names) for folder, names in found.items()}

    def tree(self, folder: str) -> list[str]:
        """See Store."""
        from pyarrow.fs import FileSelector, FileType

        with self._named("list"):
            listed = self._fs.get_file_info(
                FileSelector(self._path(folder), recursive=True, allow_not_found=True)
            )
        start = len(self._path(""))
        return sorted(info.path[start:].strip("/") for info in listed if info.type == FileType.File)

    def fetch(self, name: str, into: Path) -> Path:
        """See Store."""
        durable.make_folder(into.parent)
        with (
            self._named(f"read {name}"),
            self._fs.open_input_stream(self._path(name)) as stream,
            into.open("wb") as file,
        ):
            while chunk := stream.read(_CHUNK):
                file.write(chunk)
        return into

    @contextmanager
    def _named(self, doing: str) -> Iterator[None]:
        """Say of the store's errors where they happened and what mends them."""
        try:
            yield
        except (OSError, ValueError, NotImplementedError) as error:
            raise FlagmartError(f"{self._bucket}: cannot {doing}: {reason(error)}") from None


def _chunks(local: Path) -> Iterator[bytes]:
    try:
        with local.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise FlagmartError(
            f"{local} cannot be read: {error.strerror}; run the export again"
        ) from error


def _filesystem(bucket: Bucket) -> Any:
    from pyarrow import fs

    scheme, _, host = bucket.endpoint.rpartition("://")
    if bucket.scheme == "s3":
        return fs.S3FileSystem(
            region=bucket.region or None,
            endpoint_override=host or None,
            scheme=scheme or "https",
            # small files in one request, and none that waits for another
            allow_delayed_open=True,
            # parts on their way would pile up in memory where the network is slower than the disk
            background_writes=False,
            connect_timeout=10,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=4),
        )
    if bucket.scheme == "gs":
        from datetime import timedelta

        return fs.GcsFileSystem(
            # no token of Google's travels in the open
            anonymous=scheme == "http",
            endpoint_override=host or None,
            scheme=scheme or "https",
            retry_time_limit=timedelta(seconds=60),
        )
    options = {
        "account_key": os.environ.get("AZURE_STORAGE_KEY"),
        "sas_token": os.environ.get("AZURE_STORAGE_SAS_TOKEN"),
    }
    for service in ("blob", "dfs"):
        options[f"{service}_storage_authority"] = host
        options[f"{service}_storage_scheme"] = scheme
    return fs.AzureFileSystem(
        bucket.account, **{key: value for key, value in options.items() if value}
    )


_MENDS = (
    (
        r"ACCESS_DENIED|AccessDenied|Forbidden|\b403\b|PERMISSION_DENIED|Authorization",
        "see that the credentials may list, write and delete there",
    ),
    (
        r"NO_SUCH_BUCKET|NoSuchBucket|ContainerNotFound|\b404\b",
        "make the bucket, or mend the address",
    ),
    (
        r"INVALID_ACCESS_KEY|SIGNATURE|INVALID_CLIENT_TOKEN|EXPIRED_TOKEN|ExpiredToken|credential"
        r"|Authenticat|UNAUTHENTICATED|\b401\b",
        "see that this cloud's usual credentials are set for whoever runs this",
    ),
    (
        r"PERMANENT_REDIRECT|\b301\b|region",
        "set meta.flagmart.region or AWS_REGION to the bucket's",
    ),
    (
        r"NETWORK_CONNECTION|curlCode|[Cc]onnect|timed? ?out|TIMEOUT|UNAVAILABLE|SLOW_DOWN",
        "run the export again once the store can be reached; it goes on where it was",
    ),
)


def reason(error: Exception) -> str:
    """The store's own words on one line, without secrets and request ids, and what to do."""
    text = " ".join(str(error).split())
    for variable in _SECRET_VARIABLES:
        value = os.environ.get(variable, "")
        if len(value) >= _SECRET_LENGTH:
            text = text.replace(value, "***")
    # a signed address in it is as good as a key
    text = re.sub(r"\?\S*sig=\S*", "?***", text)
    text = re.sub(r" \(Request ID: [^)]*\)", "", text)
    mends = (mend for pattern, mend in _MENDS if re.search(pattern, text))
    return f"{text[:_SHOWN]}; {next(mends, 'run the export again, it goes on where it was')}"
