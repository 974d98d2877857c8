"""The seed of time-zone offsets against the tz data that is pinned."""

from datetime import UTC, datetime

from flagmart.zones import seed
from support.dbt_project import ROOT


def test_the_seed_is_what_the_pinned_tzdata_says() -> None:
    kept = (ROOT / "seeds/time_zone_offsets.csv").read_text(encoding="utf-8")
    assert kept == seed(), "seeds/time_zone_offsets.csv is of another tzdata: run `make zones`"
    # a chart's local times show whole minutes of offset
    offsets = {int(line.rpartition(",")[2]) for line in kept.splitlines()[1:]}
    assert {offset % 60 for offset in offsets} == {0}


def test_stretches_of_a_zone() -> None:
    apia = [line.split(",")[1:] for line in seed().splitlines() if line.startswith("Pacific/Apia,")]
    skipped = str(int(datetime(2011, 12, 30, 10, tzinfo=UTC).timestamp()))
    assert apia[0] == ["946684800", "-39600"]
    assert [skipped, "50400"] in apia
