"""A project of a user's own that imports this one: the very files that docs/package.md shows."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds
import pytest

from support.command import START
from support.dbt_project import DBT, ROOT, copy_project
from support.landed import ENV, event, lines
from support.pages import files
from support.segment_server import SegmentServer, running

KEY = "key-of-the-crm"
OTHER_ENV = "528bbb6d-bfaa-4791-afee-789c5ebd96ec"


def page() -> dict[str, str]:
    """The files that the page shows, by name."""
    return files(ROOT / "docs/package.md")


@dataclass
class Acme:
    """The user's folder beside the package's, with data and a server of theirs."""

    root: Path
    server: SegmentServer

    @property
    def project(self) -> Path:
        return self.root / "acme"

    @property
    def package(self) -> Path:
        return self.root / "flagmart"

    @property
    def data(self) -> Path:
        return self.root / "data"

    def run(
        self, *command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DBT_", "FLAGMART_"))}
        return subprocess.run(
            command,
            cwd=cwd or self.project,
            env={
                **kept,
                "FLAGMART_DATA": str(self.data),
                "FLAGMART_NOW": START.isoformat(),
                "FLAGMART_LONGEST_WAIT": "0.05",
                "ACME_CRM_HOST": self.server.url,
                "ACME_CRM_KEY": KEY,
                **(env or {}),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def dbt(self, *arguments: str, code: int = 0) -> str:
        done = self.run(DBT, "--no-use-colors", "--warn-error", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def flagmart(self, verb: str, *arguments: str, code: int = 0) -> Any:
        """The command from a folder that is not the project's."""
        given = ["--project-dir", str(self.project), "--output", "json", *arguments]
        done = self.run(sys.executable, "-m", "flagmart", verb, *given, cwd=self.root)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def export(self, *names: str) -> dict[str, tuple[str, int]]:
        """Outcome and rows by delivery."""
        return {
            report["delivery"]: (report["outcome"], report["rows"])
            for report in self.flagmart("export", *names)
        }

    def query(self, statement: str) -> list[Any]:
        with duckdb.connect(str(self.data / "flagmart.duckdb"), read_only=True) as connection:
            return connection.execute(statement).fetchall()

    def edit(self, path: Path, change: Callable[[str], str]) -> None:
        before = path.read_text(encoding="utf-8")
        after = change(before)
        assert after != before, path
        path.write_text(after, encoding="utf-8")


def an_evaluation(number: int, user: str, env: str = ENV, flag: str = "checkout") -> dict[str, Any]:
    properties = {
        "flagId": f"{env}-{flag}",
        "envId": env,
        "featureFlagKey": flag,
        "sendToExperiment": True,
        "userKeyId": user,
        "userName": user,
        "variationId": "v1",
    }
    return event(
        number, env_id=env, distinct_id=properties["flagId"], properties=json.dumps(properties)
    )


def a_purchase(number: int, user: str) -> dict[str, Any]:
    properties = {
        "type": "CustomEvent",
        "eventName": "purchase",
        "numericValue": number,
        "user": {"keyId": user, "name": user},
        "applicationType": "Javascript",
        "envId": ENV,
    }
    return event(
        number, event="CustomEvent", distinct_id="purchase", properties=json.dumps(properties)
    )


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Acme]:
    """60 evaluations of a flag, 10 of another, 20 purchases; of each a tenth by own testers."""
    with running(KEY) as server:
        made = Acme(tmp_path, server)
        made.package.mkdir()
        copy_project(made.package)
        for name, text in page().items():
            path = made.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        users = [f"tester-{n}" if n % 10 == 0 else f"user-{n}" for n in range(100)]
        events = [
            *(an_evaluation(n, users[n]) for n in range(60)),
            *(an_evaluation(n, users[n], flag="search") for n in range(60, 70)),
            *(a_purchase(n, users[n]) for n in range(70, 90)),
            # another environment: it stays here
            *(an_evaluation(n, users[n], env=OTHER_ENV) for n in range(90, 100)),
        ]
        source = tmp_path / "events.jsonl"
        source.write_text(lines(*events), encoding="utf-8")
        done = made.run(sys.executable, "-m", "flagmart", "ingest", "files", source)
        assert done.returncode == 0, done.stderr
        yield made


def test_the_page_shows_a_whole_project() -> None:
    assert set(page()) == {
        "packages.yml",
        "profiles.yml",
        "dbt_project.yml",
        "seeds/evaluation_charts.csv",
        "models/checkout_by_day.sql",
        "models/purchases.sql",
        "models/purchases.yml",
        "models/int_product_events.sql",
        "models/product_events.sql",
        "models/product_events.yml",
    }


def test_a_project_of_ones_own(acme: Acme) -> None:
    acme.dbt("deps")
    told = acme.dbt("build")
    # the package's tests and unit tests ran, and the test that the user's model took from it
    assert "PASS int_statsig__events::statsig_days_values_and_exclusions" in told
    assert "PASS assert_every_evaluation_is_counted" in told
    assert "flagmart_accounts_for_every_event_product_events" in told

    charts = acme.query(
        "select distinct chart_name, flag_key from main_flagmart.fct_evaluation_chart_points"
    )
    assert charts == [("checkout_by_hour", "checkout")]
    # asked for now, from the relations that the project builds in a schema of its own naming
    asked = ("--start=-2d", "--interval=1h", "--timezone=America/Chicago")
    points = acme.flagmart("chart", "--flag=checkout", *asked)
    assert [point["evaluations"] for point in points] == [
        evaluations
        for (evaluations,) in acme.query(
            "select evaluations from main_flagmart.fct_evaluation_chart_points "
            "order by env_id, variation_id, interval_index"
        )
    ]
    days = acme.query(
        "select count(distinct interval_index), sum(evaluations) from checkout_by_day"
    )
    assert days == [(7, 70)]
    excluded = acme.query(
        "select delivery, reason, count(*) from main_flagmart.fct_export_exclusions group by all"
    )
    assert excluded == [("product_events", "own_tester", 9)]

    assert acme.export("purchases", "product_events") == {
        "purchases": ("delivered", 20),
        "product_events": ("delivered", 81),
    }
    purchases = acme.server.messages()
    assert len({message_id for message_id, _ in purchases}) == len(purchases) == 20
    sent = [json.loads(body) for _, body in purchases]
    assert Counter(s["event"] for s in sent) == {"Purchase": 20}
    assert sum(s["properties"]["value"] for s in sent) == sum(range(70, 90))
    files = ds.dataset(acme.data / "exports/product/product", format="parquet").to_table()
    assert files.num_rows == 81
    assert not [user for user in files["user_id"].to_pylist() if user.startswith("tester-")]

    found = acme.flagmart("status")
    assert [account["name"] for account in found["accounts"]] == [
        "read = landed + repeats + unreadable",
        "landed = accepted + rejected",
        # of all deliveries those that promise it
        "accepted = exported + excluded (product_events)",
        "accepted = exported + excluded (segment_tracks)",
        "accepted = exported + excluded (statsig_events)",
        "exported = delivered + dead + unsent (purchases)",
    ]
    assert all(account["holds"] for account in found["accounts"])
    assert found["accounts"][2]["text"] == "90 = 81 exported + 9 excluded"
    assert found["exports"].pop("statsig_signals") > 0  # as many days as there are until now
    assert found["exports"] == {
        "product_events": 81,
        "purchases": 20,
        "segment_tracks": 90,
        "statsig_events": 90,
        "statsig_metrics": 90,
    }
    assert found["chart_points"] == 2 * 48  # a chart without an environment draws them all
    assert {p["delivery"]: p["unsent"] for p in found["places"]} == {
        "purchases": 0,
        "product_events": 0,
    }
    # an upgrade: the same rows with another name, which neither counts nor clocks tell
    shutil.rmtree(acme.package)
    acme.package.mkdir()
    copy_project(acme.package)
    acme.edit(
        acme.package / "models/exports/int_exports__events.sql",
        lambda text: text.replace("'featbit_flag_evaluation'", "'flag_evaluation'"),
    )
    acme.dbt("deps")
    acme.dbt("build", "--exclude-resource-type", "unit_test")
    assert acme.export("purchases", "product_events") == {
        "purchases": ("nothing new", 0),
        "product_events": ("delivered", 81),
    }
    names = ds.dataset(acme.data / "exports/product/product", format="parquet").to_table()
    assert set(names["event_name"].to_pylist()) == {"flag_evaluation", "purchase"}
    assert len(acme.server.messages()) == 20


def test_what_goes_wrong_is_said(acme: Acme) -> None:
    acme.dbt("deps")
    # a chart that cannot be drawn fails the build, and says so; what is no part of it goes out
    seed = acme.project / "seeds/evaluation_charts.csv"
    acme.edit(seed, lambda text: text.replace(",1h,", ",7x,"))
    told = acme.dbt("build", "--exclude-resource-type", "unit_test", code=1)
    assert "Failure in test charts_can_be_drawn" in told
    shown = acme.dbt(
        *("show", "--quiet", "--output", "json"),
        *("--select", "charts_can_be_drawn"),
    )
    assert "interval is <n> and one of m, h, d, w, mo" in shown
    assert acme.export("purchases") == {"purchases": ("delivered", 20)}
    acme.edit(seed, lambda text: text.replace(",7x,", ",1h,"))

    # a delivery that is switched off, or was never there
    for name in ("hackle_events", "nope"):
        done = acme.run(sys.executable, "-m", "flagmart", "export", name)
        assert done.returncode == 2
        assert f"{name!r} is no delivery of this project; it has product_events" in done.stderr

    # an account that is promised and does not hold: the fault is named, and only it stays here
    acme.edit(
        acme.project / "models/int_product_events.sql",
        lambda text: text.replace("as shaped", "as shaped\nwhere shaped.user_key <> 'user-1'"),
    )
    acme.dbt("build", "--select", "int_product_events+", code=1)
    found = acme.flagmart("status", code=1)
    assert [account["name"] for account in found["accounts"] if not account["holds"]] == [
        "accepted = exported + excluded (product_events)"
    ]
    assert any("product_events would not go out" in remark for remark in found["remarks"])
    assert acme.export("purchases") == {"purchases": ("nothing new", 0)}

    # dbt guesses the types of a seed that does not say them
    acme.edit(
        acme.project / "dbt_project.yml",
        lambda text: re.sub(r"      \+column_types: .*\n", "      +quote_columns: false\n", text),
    )
    told = acme.dbt("build", "--full-refresh", "--select", "+int_evaluation_charts", code=1)
    assert "evaluation_charts.env_id is INTEGER and not text; say `env_id: String`" in told

    # a relative data folder counts from where the command is started
    done = acme.run(
        *(sys.executable, "-m", "flagmart", "status"), env={"FLAGMART_DATA": "elsewhere"}
    )
    assert done.returncode == 1
    assert f"{acme.project / 'elsewhere'} holds no data yet" in done.stderr
