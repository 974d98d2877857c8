"""Spark reads what was delivered, all days in one go; `make soak`. Needs Java 17 or newer."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flagmart.destinations import LAYOUTS
from flagmart.destinations.settings import Settings
from support.command import flagmart
from support.dbt_project import build
from support.wheels import package

pytestmark = pytest.mark.soak

PYSPARK = "pyspark==4.3.0"
READ = """
import json, sys
from pyspark.sql import SparkSession
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.sql.session.timeZone", "UTC")
    .getOrCreate()
)
found = {}
for name, path in json.loads(sys.argv[1]).items():
    frame = spark.read.parquet(path)
    columns = [[field.name, field.dataType.simpleString()] for field in frame.schema.fields]
    days = frame.select("dt").distinct().count() if "dt" in frame.columns else None
    # every value of every column is read, and not the footers alone
    hashed = frame.selectExpr(*[
        f"hash(to_json(named_struct('v', `{column}`))) as `{column}`" for column in frame.columns
    ])
    hashed.write.format("noop").mode("overwrite").save()
    found[name] = {"columns": columns, "rows": frame.count(), "days": days}
spark.stop()
print(json.dumps(found))
"""
TYPES = {
    "string": "string",
    "int64": "bigint",
    "float64": "double",
    "timestamp_ms_utc": "timestamp",
    "decimal_24_6": "decimal(24,6)",
    "string_map": "map<string,string>",
}
"""What Spark calls the types of destinations/layouts.py."""


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both destinations' files of a dirty stream of 12 days."""
    data = tmp_path_factory.mktemp("data")
    source = str(data / "events.jsonl")
    options = "--events 20000 --users 90 --flags 4 --days 12 --start 2026-01-01 --dirty 0.1"
    flagmart("generate", *options.split(), "--out", source, data=data)
    flagmart("ingest", "files", source, data=data)
    build(data=data)
    flagmart("export", "hackle_events", "statsig_events", "statsig_metrics", data=data, codes=[0])
    return data / "exports"


def test_spark_reads_names_types_and_rows_of_all_days_in_one_go(delivered: Path) -> None:
    if shutil.which("java") is None:
        raise RuntimeError("this test needs a Java runtime, 17 or newer, for Spark; install one")
    layouts = {
        "hackle": LAYOUTS["hackle"](Settings("hackle", {})),
        "events": LAYOUTS["statsig"](Settings("events", {"dataset": "events"})),
        "metrics": LAYOUTS["statsig"](Settings("metrics", {"dataset": "metrics"})),
    }
    folders = {
        "hackle": delivered / "hackle",
        "events": delivered / "statsig/events",
        "metrics": delivered / "statsig/metrics",
    }
    # as each destination is read: by partition, and all folders of days together
    paths = {
        name: str(folder / ("" if name == "hackle" else "*")) for name, folder in folders.items()
    }
    ran = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(paths)],
        env={**os.environ, "PYTHONPATH": str(package(PYSPARK)), "PYSPARK_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    for name, layout in layouts.items():
        expected = [[column.name, TYPES[column.type]] for column in layout.columns]
        if name == "hackle":
            expected.append(["dt", "date"])
        assert found[name]["columns"] == expected, name
        files = [pq.ParquetFile(path) for path in folders[name].rglob("*.parquet")]
        assert found[name]["rows"] == sum(file.metadata.num_rows for file in files) > 100
        # Spark calls every column nullable: what is required only the footers say
        for file in files:
            required = {
                file.schema.column(i).path.split(".")[0]: file.schema.column(i)
                for i in range(len(file.schema))
            }
            for column in layout.columns:
                if column.type != "string_map":
                    optional = required[column.name].max_definition_level > 0
                    assert optional is not column.required
            assert file.schema_arrow.equals(layout.schema())
    assert found["hackle"]["days"] == len(list(folders["hackle"].glob("dt=*/_SUCCESS"))) > 10
