"""A small built project whose events, metrics and finished days go to Statsig."""

from __future__ import annotations

import pyarrow.parquet as pq

from support.export_project import META, ExportProject

EVENTS = META["statsig_events"]
DATASETS = ["statsig_events", "statsig_metrics"]
BY_FILE = {
    "statsig_events": EVENTS,
    "statsig_metrics": {**EVENTS, "dataset": "metrics"},
    "statsig_signals": {
        "destination": "statsig",
        "sink": "files",
        "layout": "statsig_signals",
        "path": EVENTS["path"],
    },
}
_METRICS = """
select
    user_id as unit_id,
    'user_id' as id_type,
    partition_on::varchar as date,
    'daily_active' as metric_name,
    1.0::double as metric_value,
    null::double as numerator,
    null::double as denominator,
    partition_on,
    max(ingested_at) as ingested_at
from statsig_events
group by all
"""
# every day that is over, as the model gives it; the newest run is the clock
_SIGNALS = """
select
    day::date::varchar as finished_date,
    (epoch(day + interval 32 hour))::bigint as ends_at,
    day::date as partition_on,
    (select min(ingested_at) from events) as ingested_at
from
    (select min(partition_on) as first_on from statsig_events) as bounds,
    range(
        first_on::timestamp, (select max(ingested_at)::date from events), interval 1 day
    ) as t(day)
"""


class StatsigProject(ExportProject):
    """Events, metrics and finished days: 1st to 4th of March, of which the last has no rows."""

    def made(self) -> StatsigProject:
        self.build(days=3)
        self.sql(
            f"create view statsig_metrics as {_METRICS}",
            f"create view statsig_signals as {_SIGNALS}",
        )
        self.built()
        return self

    def built(self, meta: dict[str, dict[str, str]] | None = None, checksum: str = "1") -> None:
        results = {f"model.flagmart.{name}": "success" for name in BY_FILE}
        self.dbt_build(meta=BY_FILE | (meta or {}), results=results, checksum=checksum)

    def land(self) -> None:
        """A landing, as far as `flagmart status` reads it."""
        folder = self.data / "landing" / "featbit_events"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text('{"format": 1, "runs": []}', encoding="utf-8")

    def finished(self) -> list[str]:
        """Days of the files, each of which says its own."""
        folder = self.data / "exports/statsig/signals"
        days = []
        for path in sorted(folder.glob("*/*")):
            table = pq.ParquetFile(path).read()
            assert (path.name, table.column_names) == ("part-00000.parquet", ["finished_date"])
            assert table.column(0).to_pylist() == [path.parent.name]
            days.append(path.parent.name)
        return days


def march(*days: int) -> list[str]:
    return [f"2026-03-{day:02d}" for day in days]
