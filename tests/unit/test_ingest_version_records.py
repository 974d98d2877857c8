"""What a record of a flag or a user becomes: one content, whatever store or file it came from."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flagmart.ingest.event import NoEventError
from flagmart.ingest.timestamps import Moment
from flagmart.ingest.versions import FLAG, USER, Version, batch, version
from flagmart.warehouse.landing import EVENT_COLUMNS

ENV = "226b9bf8-4af3-4ffa-9b01-162270e4cd40"
SAMPLE = Path(__file__).parents[1] / "data/featbit/docs_flags.json"
CHANGED = int(datetime(2023, 1, 28, 2, 4, 55, 616_000, UTC).timestamp() * 1_000_000)
FIRST: dict[str, Any] = json.loads(SAMPLE.read_text())[0]
CONTENT = {
    "id": "174c7138-426d-4434-8a91-af8c00306de3",
    "isArchived": False,
    "isEnabled": True,
    "name": "returns true",
    "variationType": "boolean",
    "variations": '[{"id":"3da96792-debf-4878-905a-c9b5f9178cd0","name":"","value":"true"},'
    '{"id":"19cf9fb6-b790-4877-ab96-b5c5e73e0b46","name":"","value":"false"}]',
}


def spelled(content: object) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


EXPECTED = Version(ENV, "returns-true", spelled(CONTENT), CHANGED)
FLAGS = {
    "as FeatBit's API gives it": FIRST,
    "a row of PostgreSQL": {
        "id": FIRST["id"],
        "env_id": ENV,
        "key": "returns-true",
        "name": "returns true",
        "variation_type": "boolean",
        "variations": FIRST["variations"],
        "is_enabled": True,
        "is_archived": False,
        "updated_at": "2023-01-28 02:04:55.616+00",
        "revision": "of no interest",
    },
    "cells of its CSV": {
        "id": FIRST["id"],
        "env_id": ENV,
        "key": "returns-true",
        "name": "returns true",
        "variation_type": "boolean",
        "variations": json.dumps(FIRST["variations"], indent=1),
        "is_enabled": "t",
        "is_archived": "f",
        "updated_at": "2023-01-28 02:04:55.616+00",
    },
    "a document of MongoDB": {
        "_id": {"$binary": {"base64": "F0xxOEJtRDSKka+MADBt4w==", "subType": "04"}},
        "envId": {"$uuid": ENV},
        "key": "returns-true",
        "name": "returns true",
        "variationType": "boolean",
        "variations": [
            {"_id": each["id"], "name": None, "value": each["value"]}
            for each in FIRST["variations"]
        ],
        "isEnabled": True,
        "isArchived": False,
        "updatedAt": {"$date": "2023-01-28T02:04:55.616Z"},
    },
    "values of parquet": {
        "id": uuid.UUID(FIRST["id"]),
        "env_id": uuid.UUID(ENV),
        "key": b"returns-true",
        "name": "returns true",
        "variation_type": "boolean",
        "variations": json.dumps(FIRST["variations"]).encode(),
        "is_enabled": 1,
        "is_archived": 0,
        "updated_at": Moment(CHANGED),
    },
}


@pytest.mark.parametrize("record", FLAGS.values(), ids=FLAGS)
def test_a_flag_is_the_same_from_wherever_it_comes(record: dict[str, Any]) -> None:
    assert version(FLAG, record) == EXPECTED


def test_every_flag_of_the_documentation_is_read() -> None:
    found = [version(FLAG, record) for record in json.loads(SAMPLE.read_text())]
    assert len({each.key for each in found}) == 5
    assert {each.env_id for each in found} == {ENV}
    assert all(len(json.loads(json.loads(each.content)["variations"])) == 2 for each in found)


def test_what_the_models_do_not_read_makes_no_version() -> None:
    same = FIRST | {"updatedAt": "2026-01-01", "tags": ["x"], "rules": [], "creatorId": "y"}
    assert version(FLAG, same).content == EXPECTED.content
    changes: list[dict[str, Any]] = [{"name": "x"}, {"isEnabled": False}, {"variations": []}]
    for change in changes:
        assert version(FLAG, FIRST | change).content != EXPECTED.content


def test_a_users_attributes_are_texts_in_the_order_of_their_names() -> None:
    record = {
        "keyId": "u 1",
        "envId": ENV,
        "name": "Zoë \u2028",
        "customizedProperties": [
            {"name": "plan", "value": "b"},
            {"name": "age", "value": {"$numberInt": "7"}},
            {"name": "plan", "value": "never seen"},
            {"name": "name", "value": "FeatBit gives the user's own"},
            {"name": "", "value": "x"},
            {"name": "gone", "value": None},
            {"name": "half \ud800", "value": "\u2029"},
        ],
    }
    found = version(USER, record)
    assert found[:2] == (ENV, "u 1")
    assert found.changed is None
    assert found.content == (
        r'{"attributes":"{\"age\":\"7\",\"half \\\\ud800\":\"\\u2029\",\"plan\":\"b\"}",'
        r'"name":"Zoë \u2028"}'
    )
    turned = record | {"customizedProperties": record["customizedProperties"][1::-1]}
    assert json.loads(json.loads(version(USER, turned).content)["attributes"]) == {
        "age": "7",
        "plan": "b",
    }


def test_a_global_user_has_no_environment_and_a_bare_one_nothing_but_a_key() -> None:
    assert version(USER, {"key_id": "u", "env_id": None, "customized_properties": None}) == Version(
        "", "u", '{"attributes":"{}","name":""}', None
    )


REFUSED: dict[str, tuple[Any, str]] = {
    "no object": ([1], "not a JSON object"),
    "a user": ({"keyId": "u", "name": "x"}, "no flag: it lacks key or variations"),
    "no key": (FIRST | {"key": ""}, "a flag without a key"),
    "no environment": (FIRST | {"envId": None}, "a flag without an environment"),
    "no list": (FIRST | {"variations": {"id": "x"}}, "variations is no list of objects"),
    "broken list": (FIRST | {"variations": '[{"id"'}, "malformed JSON"),
    "no id": (FIRST | {"variations": [{"value": "x"}]}, "a variation without an id"),
    "a number": (FIRST | {"key": 7}, "key is no text"),
    "no truth": (FIRST | {"isEnabled": "maybe"}, "is_enabled is neither true nor false"),
}


@pytest.mark.parametrize(("record", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_flag_says_why(record: object, reason: str) -> None:
    with pytest.raises(NoEventError, match=f"^{reason}$"):
        version(FLAG, record)


def test_a_moment_that_cannot_be_read_is_none() -> None:
    odd: list[Any] = ["yesterday", {"$date": []}, True, 10**40, {}]
    for moment in odd:
        assert version(FLAG, FIRST | {"updatedAt": moment}).changed is None
    for readable in (CHANGED, CHANGED // 1000, str(CHANGED // 1000)):
        assert version(FLAG, FIRST | {"updatedAt": readable}).changed == CHANGED


def test_an_id_is_of_a_run_and_a_key() -> None:
    other = EXPECTED._replace(content="{}", changed=None)
    rows = [
        *batch(FLAG, "r1", [EXPECTED, other], ["a", "b"]).to_pylist(),
        *batch(FLAG, "r2", [EXPECTED], ["a"]).to_pylist(),
        *batch(USER, "r1", [EXPECTED], ["a"]).to_pylist(),
        *batch(FLAG, "r1", [EXPECTED._replace(env_id="e")], ["a"]).to_pylist(),
    ]
    ids = [row["event_id"] for row in rows]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert batch(FLAG, "r1", [EXPECTED], ["a"]).schema == EVENT_COLUMNS
