"""FeatBit's cluster of three shards in one process: ClickHouse's own files of settings for it.

A shard is the engine itself, which looks at its own third of the rows: a filter on `featbit.events`
by the number of the shard that reads. So `featbit.events` shows one shard, as on a node of a real
cluster, and `featbit.distributed_events` all three. What lies between nodes is not here: the wire,
replication, `ON CLUSTER`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.clickhouse import server
from support.featbit_clickhouse import COLUMNS, make_events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from support.clickhouse.server import Address

DATABASE = "featbit"
UNREADABLE = "featbit_unreadable"
"""A database whose tables may be made and filled, and not read."""
_SHARD = "<shard><replica><host>localhost</host><port>9000</port></replica></shard>"
_CONFIG = f"""
    <clickhouse><tcp_port>9000</tcp_port><remote_servers>
        <featbit_ch_cluster>{_SHARD * 3}</featbit_ch_cluster>
    </remote_servers></clickhouse>
"""
_OF_SHARD = "sipHash64(distinct_id) % 3 + 1 = if(shardNum() = 0, 1, shardNum())"
# nobody listens at the shards' port: they are reached in the process, or not at all
_USERS = f"""
    <clickhouse>
        <profiles><default><constraints>
            <prefer_localhost_replica><readonly/></prefer_localhost_replica>
        </constraints></default></profiles>
        <users><default>
            <password/><networks><ip>::/0</ip></networks>
            <profile>default</profile><quota>default</quota>
            <databases><{DATABASE}><events><filter>{_OF_SHARD}</filter></events></{DATABASE}></databases>
            <grants>
                <query>GRANT CREATE, DROP, TRUNCATE, INSERT, OPTIMIZE, ALTER, SOURCES ON *.*</query>
                <query>GRANT TABLE ENGINE ON *</query>
                <query>GRANT KILL QUERY ON *.*</query>
                <query>GRANT SELECT ON system.*</query>
                <query>GRANT SELECT ON default.*</query>
                <query>GRANT SELECT ON {DATABASE}.*</query>
                <query>GRANT SELECT ON flagmart_landing.*</query>
            </grants>
        </default></users>
        <quotas><default/></quotas>
    </clickhouse>
"""


@contextmanager
def cluster(folder: Path, reader_password: str) -> Iterator[Address]:
    """A cluster, until the block ends; user `reader` may change nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    config, users = folder / "config.xml", folder / "users.xml"
    config.write_text(_CONFIG)
    users.write_text(_USERS)
    options = ("--config", str(config), "--users", str(users), "--reader-password", reader_password)
    with server.started(folder, None, *options) as (address, _):
        yield address


def make_distributed(client: Client) -> None:
    """`events` on each shard, and `distributed_events` over them."""
    client.command(f"create database {DATABASE}")
    make_events(client, DATABASE)
    client.command(
        f"create table {DATABASE}.distributed_events ({COLUMNS}) engine = "
        f"Distributed('featbit_ch_cluster', '{DATABASE}', 'events', sipHash64(distinct_id))"
    )
