"""ClickHouse for the tests: its engine from the chdb wheel, behind ClickHouse's own HTTP interface.

No package carries a current ClickHouse server, but PyPI carries its engine. What lies here is the
server's outside only: requests, sessions, settings, streams and errors over HTTP, so that clients
that were written for a server (dbt-clickhouse, clickhouse-connect) run unmodified and every
statement is answered by ClickHouse itself.

`server.running` is what a test asks for an address; `python -m support.clickhouse` starts one by
hand. What is not here: TLS, other users' rights, ClickHouse's native protocol, its block
compression over HTTP (`compress=1`, `decompress=1`), tables sent along with a query, and what
lies between the nodes of a cluster: ClickHouse's own files of settings may name one whose shards
are all here.
"""
