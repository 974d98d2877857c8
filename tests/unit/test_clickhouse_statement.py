"""Finding a statement's parts without parsing it."""

import pytest

from support.clickhouse.statement import (
    Insert,
    NotOneStatementError,
    insert_with_data,
    parse,
)


@pytest.mark.parametrize(
    ("sql", "kind", "rows", "changes"),
    [
        ("select 1", "SELECT", True, False),
        ("/* insert */ -- select\n((select 1))", "SELECT", True, False),
        ("with a as (select 1) select * from a", "WITH", True, False),
        ("with 1 as a insert into t select a", "INSERT", False, False),
        ("with a as (select 'insert' as insert) select * from a", "WITH", True, False),
        ("show tables", "SHOW", True, False),
        ("insert into t select 1", "INSERT", False, False),
        ("SET max_threads = 1", "SET", False, True),
        ("use db", "USE", False, True),
        ("create temporary table t (a Int8)", "CREATE", False, True),
        ("create or replace temporary table t (a Int8)", "CREATE", False, True),
        ("create table temporary (a Int8) order by a", "CREATE", False, False),
    ],
)
def test_kinds(sql: str, kind: str, rows: bool, changes: bool) -> None:
    statement = parse(sql.encode())
    assert (statement.kind, statement.answers_rows) == (kind, rows)
    assert statement.changes_connection == changes


@pytest.mark.parametrize(
    ("sql", "into"),
    [
        ("select 1", "select 1\nINTO OUTFILE 'p' TRUNCATE /* m */ FORMAT TSV"),
        ("select 1 ; -- end\n", "select 1\nINTO OUTFILE 'p' TRUNCATE /* m */ FORMAT TSV"),
        ("select 1 # end", "select 1\nINTO OUTFILE 'p' TRUNCATE /* m */ FORMAT TSV"),
        ("select 1 Format JSON", "select 1 \nINTO OUTFILE 'p' TRUNCATE /* m */ Format JSON"),
        (
            "select 1 format JSON settings a = 'format CSV'",
            "select 1 \nINTO OUTFILE 'p' TRUNCATE /* m */ format JSON settings a = 'format CSV'",
        ),
        (
            "select format from t settings a = 1",
            "select format from t settings a = 1\nINTO OUTFILE 'p' TRUNCATE /* m */ FORMAT TSV",
        ),
        (
            r"select 'it''s \' format X', `format`, $x$ format JSON",
            r"select 'it''s \' format X', `format`, $x$ "
            "\nINTO OUTFILE 'p' TRUNCATE /* m */ format JSON",
        ),
        (
            "select $x$ format JSON $x$",
            "select $x$ format JSON $x$\nINTO OUTFILE 'p' TRUNCATE /* m */ FORMAT TSV",
        ),
    ],
)
def test_rows_are_sent_into_a_file(sql: str, into: str) -> None:
    assert parse(sql.encode()).into("p", "m", "TSV").decode() == into


@pytest.mark.parametrize("sql", ["", " -- nothing\n", ";", "select 1; select 2"])
def test_one_statement_is_asked_for(sql: str) -> None:
    with pytest.raises(NotOneStatementError):
        parse(sql.encode())


@pytest.mark.parametrize(
    ("head", "insert", "data"),
    [
        (b"insert into t (`format`, values_) format Native\n\n'\xff", "Native", b"\n'\xff"),
        (b"INSERT INTO t SETTINGS a = 1 FORMAT CSV \t\r\n 1", "CSV", b" 1"),
        (b"insert into t format JSONEachRow {}", "JSONEachRow", b"{}"),
        (b"-- x\ninsert into t VALUES(1, 'values')", "Values", b"(1, 'values')"),
    ],
)
def test_data_begins_after_an_insert(head: bytes, insert: str, data: bytes) -> None:
    found = insert_with_data(head)
    assert isinstance(found, Insert)
    assert (found.format, head[found.data_at :]) == (insert, data)
    assert found.text.strip().lower().endswith((b"t", b")", b"1"))


@pytest.mark.parametrize(
    "head",
    [
        b"select 1 format CSV",
        b"insert into t select 1 format CSV",
        b"insert into t with 1 as a select a",
        b"insert into t from infile 'a' format CSV",
        b"insert into t",
        b"",
    ],
)
def test_no_data_follows(head: bytes) -> None:
    assert insert_with_data(head) is None
