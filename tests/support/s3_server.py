"""An S3 server of a test's own: real multipart, real listing, on 127.0.0.1 and a free port."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "deliveries"
SECRET = "secret-never-to-be-seen"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "access-key-never-to-be-seen",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_REGION": "us-east-1",
    # an address that answers on a cloud's machines only
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class S3Server:
    """A running server with one bucket, and what lies in it as another client sees it."""

    url: str

    @property
    def env(self) -> dict[str, str]:
        """What a command needs to deliver here."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url}

    @cached_property
    def client(self) -> Any:
        """Another client than the one under test."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def contents(self, prefix: str) -> dict[str, bytes]:
        """Objects below `prefix` by the rest of their keys, without markers of folders."""
        return {
            key.removeprefix(f"{prefix}/"): self.read(key)
            for key in self.keys(prefix)
            if not key.endswith("/")
        }

    def keys(self, prefix: str) -> list[str]:
        """Whole keys of the objects below `prefix`, in order."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=f"{prefix}/"
        )
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        body = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert isinstance(body, bytes)
        return body

    def unfinished(self) -> list[str]:
        """Keys of uploads in parts that were neither completed nor aborted."""
        uploads = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return [upload["Key"] for upload in uploads]

    @contextmanager
    def denied(self, action: str, keys: str) -> Iterator[None]:
        """The bucket's policy denies `action` on `keys` until the block ends."""
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": action,
            "Resource": f"arn:aws:s3:::{BUCKET}/{keys}",
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        self.client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
        try:
            yield
        finally:
            self.client.delete_bucket_policy(Bucket=BUCKET)


@contextmanager
def running() -> Iterator[S3Server]:
    """A server in a process of its own until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.s3_server"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        server = S3Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        server.client.create_bucket(Bucket=BUCKET)
        yield server
        server.client.close()
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    """Serve until stdin ends, as it does when whoever started this dies."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
