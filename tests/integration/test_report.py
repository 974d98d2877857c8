"""The report in a real browser: it works from disk, says what the marts say."""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from flagmart.report.documents import page_of
from support.browser import browser
from support.command import flagmart
from support.dbt_project import build, copy_project, query
from support.landed import ENV, lines
from support.report_data import (
    BLANKS,
    HOSTILE,
    OTHER_ENV,
    RANGES,
    ZONES,
    Expected,
    evaluations,
    events,
    expected,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

EXPERIMENT = (
    "the_<b>test</b>,{env},checkout,purchase,once,higher,id-off,2026-01-01,2026-03-28,"
    "id-off:0.85|id-<i>on</i>:0.15,\n"
)
END_OF_MARCH = datetime(2026, 3, 30, tzinfo=UTC)
"""The clock of every run: all events are past by then, and the experiment is over."""
PAGES = ("index", "experiments", "health", "deliveries", Path(page_of(HOSTILE)).stem)


expect.set_options(timeout=30_000)


@dataclass(frozen=True)
class Site:
    data: Path
    folder: Path
    written: dict[str, Any]


@dataclass
class Watched:
    """A page, and whatever it said or asked for."""

    page: Page
    said: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("report")
    project = root / "project"
    project.mkdir()
    copy_project(project)
    with (project / "seeds/experiments.csv").open("a", encoding="utf-8") as file:
        file.write(EXPERIMENT.format(env=ENV))
    source = root / "events.jsonl"
    source.write_text(lines(*events()), encoding="utf-8")
    flagmart("ingest", "files", str(source), data=root, at=END_OF_MARCH)
    build(
        *("--select", "+path:models/marts", "+hackle_events"),
        *("--vars", json.dumps({"flagmart_env_ids": [ENV]})),
        data=root,
        project=project,
    )
    flagmart("export", "hackle_events", data=root, at=END_OF_MARCH)
    out = root / "site"
    written = flagmart(
        *("report", "--out", str(out), "--timezone", ",".join(ZONES), "--output", "json"),
        data=root,
        at=END_OF_MARCH,
    )
    return Site(root, out, json.loads(written))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@contextmanager
def opened(chromium: Browser, address: str, scheme: Any = "light") -> Iterator[Watched]:
    with chromium.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme=scheme, accept_downloads=True
    ) as context:
        page = context.new_page()
        found = Watched(page)
        page.on("console", lambda message: found.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: found.said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: found.said.append(f"dialog: {dialog.message}"))
        page.on("request", lambda asked: _note(found, address, asked.url))
        page.goto(address)
        yield found


def _note(found: Watched, address: str, url: str) -> None:
    if not url.startswith((address.rpartition("/")[0], "blob:", "data:")):
        found.said.append(f"request: {url}")


def address(site: Site, page: str, **chosen: str) -> str:
    return (site.folder / f"{page}.html").as_uri() + (f"#{urlencode(chosen)}" if chosen else "")


def drawn(page: Page) -> None:
    """Wait until every chart in sight is there.

    By its selector: a page's policy forbids the eval with which Playwright asks a function again.
    """
    expect(page.locator(".chart:not(:has(svg))")).to_have_count(0)


def cells(page: Page, table: str) -> list[list[str]]:
    """Its rows as text, head and foot included."""
    found: list[list[str]] = page.evaluate(
        "(id) => [...document.getElementById(id).rows].map((row) => [...row.cells]"
        ".map((cell) => cell.innerText.trim()))",
        table,
    )
    return found


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_every_page_loads_from_disk_and_from_a_server_in_silence(
    site: Site, chromium: Browser
) -> None:
    files = sorted(path.name for path in site.folder.glob("*.html"))
    assert len(files) == 4 + 3
    with ThreadingHTTPServer(("127.0.0.1", 0), _Quiet.on(site.folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for file in files:
            with opened(chromium, (site.folder / file).as_uri()) as from_disk:
                drawn(from_disk.page)
                assert from_disk.said == [], file
        with opened(chromium, f"http://127.0.0.1:{server.server_port}/index.html") as served:
            served.page.get_by_role("link", name="checkout").first.click()
            drawn(served.page)
            assert served.said == []
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    @classmethod
    def on(cls, folder: Path) -> Any:
        return partial(cls, directory=str(folder))

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def test_a_page_is_as_wide_as_its_window(site: Site, chromium: Browser) -> None:
    for page in PAGES:
        with opened(chromium, address(site, page)) as one:
            for width in (1280, 768, 360):
                one.page.set_viewport_size({"width": width, "height": 900})
                # charts follow the window a moment later
                expect(one.page.locator("html")).to_have_js_property("scrollWidth", width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(site: Site, chromium: Browser, scheme: str) -> None:
    for page in PAGES:
        with opened(chromium, address(site, page), scheme=scheme) as one:
            drawn(one.page)
            found = Axe().run(one.page).response["violations"]
            assert [(each["id"], each["nodes"][0]["html"]) for each in found] == [], page


@pytest.mark.parametrize(("flag", "env"), [("checkout", ENV), (HOSTILE, OTHER_ENV)])
def test_a_flags_page_says_what_is_in_the_events(
    site: Site, chromium: Browser, flag: str, env: str
) -> None:
    partials = set()
    with opened(chromium, address(site, Path(page_of(flag)).stem, env=env)) as one:
        for zone in ZONES:
            one.page.select_option("#zone", zone)
            for key in RANGES:
                one.page.click(f"label[for=range-{key}]")
                right = expected(env, flag, zone, key)
                partials.add(right.is_partial)
                one.page.click("label[for=view-evaluations]")
                _evaluations_are(one.page, right)
                one.page.click("label[for=view-users]")
                _users_are(one.page, right)
        assert one.said == []
    assert partials == {False, True}


VARIATIONS = ("<i>on</i>", "off")


def _evaluations_are(page: Page, right: Expected) -> None:
    [head, *body, foot] = cells(page, "points")
    columns = {name: head.index(name) for name in VARIATIONS}
    body.reverse()
    times = page.eval_on_selector_all(
        "#points tbody time", "(all) => all.map((one) => one.dateTime)"
    )
    assert times[::-1] == right.starts
    for name, column in columns.items():
        assert [number(row[column]) for row in body] == right.evaluations[name]
        assert number(foot[column]) == sum(right.evaluations[name])
    assert ["cut short" in row[0] for row in body] == [
        *([False] * (len(body) - 1)),
        right.is_partial,
    ]
    total = sum(map(sum, right.evaluations.values()))
    said = page.inner_text("#summary")
    assert number(page.inner_text("#total")) == total
    assert number(page.inner_text("#users-total")) == right.any_different_users
    assert f" against {right.before:,} before)" in said
    # a bar for each that is not zero, and one that is hatched
    expect(page.locator("#chart .mark-rect").first.locator("path")).to_have_count(
        sum(len(values) for values in right.evaluations.values())
    )
    has_last = any(values[-1] for values in right.evaluations.values())
    assert bool(page.evaluate(HATCHED)) == (right.is_partial and has_last)


HATCHED = """[...document.querySelectorAll('#chart path')].filter((one) =>
    one.getAttribute('fill')?.includes('hatch-over') && one.getBBox().height > 0).length"""


def _users_are(page: Page, right: Expected) -> None:
    [head, *body, foot] = cells(page, "points")
    body.reverse()
    for name in VARIATIONS:
        column = head.index(name)
        assert [number(row[column]) for row in body] == right.users[name]
        assert number(foot[column]) == right.different_users[name]
    assert [number(row[-1]) for row in body] == right.any_users
    assert number(foot[-1]) == right.any_different_users


def test_the_csv_is_the_table(site: Site, chromium: Browser) -> None:
    right = expected(OTHER_ENV, HOSTILE, "UTC", "7d")
    chosen = {"env": OTHER_ENV, "zone": "UTC", "range": "7d"}
    with opened(chromium, address(site, Path(page_of(HOSTILE)).stem, **chosen)) as one:
        with one.page.expect_download() as waiting:
            one.page.click("#csv")
        text = Path(waiting.value.path()).read_text(encoding="utf-8")
        assert one.said == []
    [header, *rows] = csv.reader(io.StringIO(text))
    assert header == [
        *("env_id", "flag_key", "variation_id", "interval_start_local", "is_partial"),
        *("evaluations", "users"),
    ]
    assert {(row[0], row[1]) for row in rows} == {(OTHER_ENV, HOSTILE)}
    for name in VARIATIONS:
        mine = [row for row in rows if row[2] == f"id-{name}"]
        assert [row[3] for row in mine] == right.starts
        assert [int(row[5]) for row in mine] == right.evaluations[name]
        assert [int(row[6]) for row in mine] == right.users[name]
    assert sum(row[4] == "true" for row in rows) == (2 if right.is_partial else 0)


def test_the_list_is_searched_filtered_and_sorted(site: Site, chromium: Browser) -> None:
    with opened(chromium, address(site, "index", zone="UTC", range="30d")) as one:

        def rows() -> list[tuple[str, str, int]]:
            [_, *body] = cells(one.page, "flags")
            names = one.page.eval_on_selector_all(
                "#flags tbody a", "(all) => all.map((one) => one.textContent)"
            )
            envs = one.page.eval_on_selector_all(
                "#flags tbody .env", "(all) => all.map((one) => one.title)"
            )
            return [
                (name, env, number(row[2]))
                for name, env, row in zip(names, envs, body, strict=True)
            ]

        every = {
            (flag, env): sum(map(sum, expected(env, flag, "UTC", "30d").evaluations.values()))
            for flag in (HOSTILE, "checkout", BLANKS)
            for env in (ENV, OTHER_ENV)
        }
        assert {(flag, env): total for flag, env, total in rows()} == every
        totals = [total for *_, total in rows()]
        assert totals == sorted(totals, reverse=True)
        one.page.get_by_role("button", name="Flag").click()
        names = [name for name, *_ in rows()]
        assert names == sorted(names)
        one.page.select_option("#env", OTHER_ENV)
        assert {env for _, env, _ in rows()} == {OTHER_ENV}
        one.page.fill("#search", "CHECK")
        assert [name for name, *_ in rows()] == ["checkout"]
        assert one.page.inner_text("#found") == "1 of 6 rows"
        one.page.fill("#search", "nothing is called so")
        assert one.page.is_visible("#none")
        one.page.fill("#search", "")
        one.page.click("label[for=range-24h]")
        assert rows()[0][2] < totals[0]
        with one.page.expect_navigation():
            one.page.click("#flags tbody a >> nth=0")
        # what was chosen goes along
        assert one.page.input_value("#env") == OTHER_ENV
        assert one.page.is_checked("#range-24h")
        assert one.said == []


def test_names_are_text_wherever_they_stand(site: Site, chromium: Browser) -> None:
    with opened(chromium, address(site, Path(page_of(HOSTILE)).stem)) as one:
        drawn(one.page)
        assert one.page.text_content("h1") == HOSTILE
        assert one.page.title() == f"{HOSTILE} · flagmart"
        assert one.page.locator("img, i, main b b").count() == 0
        assert "<i>on</i>" in one.page.inner_text("#variations")
        one.page.hover("#chart svg")
        one.page.wait_for_selector("#tip:not([hidden])")
        assert "<i>on</i>" in one.page.inner_text("#tip")
        assert one.page.locator("#tip i").count() == 0
        assert one.said == []


def test_the_tooltip_says_the_local_start(site: Site, chromium: Browser) -> None:
    chosen = {"zone": "Asia/Kathmandu", "range": "30d", "env": ENV}
    with opened(chromium, address(site, Path(page_of("checkout")).stem, **chosen)) as one:
        drawn(one.page)
        box = one.page.locator("#chart svg").bounding_box()
        assert box
        one.page.mouse.move(box["x"] + box["width"] - 15, box["y"] + 60)
        one.page.wait_for_selector("#tip:not([hidden])")
        told = one.page.inner_text("#tip")
        right = expected(ENV, "checkout", "Asia/Kathmandu", "30d")
        assert right.starts[-1] == "2026-03-29T00:00:00+05:45"
        assert "30 intervals of a day" in one.page.inner_text("#caption")
        assert told.startswith("29 Mar 2026, 00:00 UTC+05:45 · cut short")
        assert f"all\t{sum(values[-1] for values in right.evaluations.values())}" in told


def test_keys_alone_change_range_and_theme(site: Site, chromium: Browser) -> None:
    with opened(chromium, address(site, "index")) as one:
        one.page.keyboard.press("Tab")
        assert one.page.evaluate("document.activeElement.className") == "skip"
        one.page.focus("#range-30d")
        one.page.keyboard.press("ArrowRight")
        assert one.page.is_checked("#range-90d")
        ground = "getComputedStyle(document.body).backgroundColor"
        light = one.page.evaluate(ground)
        one.page.focus("#theme")
        one.page.keyboard.type("Dark")
        dark = one.page.evaluate(ground)
        assert dark != light
        one.page.reload()
        assert one.page.evaluate(ground) == dark
        assert one.page.is_checked("#range-90d")


def test_experiments_carry_their_warning(site: Site, chromium: Browser) -> None:
    told = json.loads(flagmart("experiments", "--output", "json", data=site.data, at=END_OF_MARCH))
    [right] = [one for one in told if "test" in one["experiment_key"]]
    assert not right["is_trusted"]
    with opened(chromium, address(site, "experiments")) as one:
        drawn(one.page)
        assert "the_<b>test</b>" in one.page.locator("h2").all_inner_texts()
        assert one.page.inner_text("[role=alert]") == right["says"][0]
        rows = one.page.locator(".experiment tbody tr").all_inner_texts()
        users = [number(row.split("\t")[1]) for row in rows]
        assert users == [each["users"] for each in right["variations"]]
        assert one.page.locator("[data-forest] .mark-rule line").count() >= 3
        assert one.page.locator("[data-curve] .mark-area path").count() == 1


def test_health_and_deliveries_say_what_the_marts_and_the_ledger_say(
    site: Site, chromium: Browser
) -> None:
    outcomes = dict(
        query(site.data, "select outcome, sum(events) from fct_event_quality group by all")
    )
    assert outcomes["rejected"] == 7
    late = dict(
        query(site.data, "select lateness, sum(events) from fct_event_lateness group by all")
    )
    status = json.loads(
        flagmart("status", "--output", "json", data=site.data, at=END_OF_MARCH, codes=(0, 1))
    )
    with opened(chromium, address(site, "health")) as one:
        drawn(one.page)
        [_, row] = cells(one.page, "days")
        assert list(map(number, row[1:4])) == [
            outcomes.get(name, 0) for name in ("evaluation", "metric", "rejected")
        ]
        [_, row] = cells(one.page, "lateness")
        classes = ("ahead", "under_1m", "under_1h", "under_1d", "under_7d", "over_7d")
        assert list(map(number, row[1:])) == [late.get(name, 0) for name in classes]
        assert "invalid_properties_json" in one.page.inner_text("#rejected")
    with opened(chromium, address(site, "deliveries")) as one:
        [_, row] = cells(one.page, "places")
        [place] = status["places"]
        assert (row[0], number(row[3])) == (place["delivery"], place["rows"])
        accounts = [(row[0], row[2]) for row in cells(one.page, "accounts")[1:]]
        assert accounts == [
            (each["name"], "holds" if each["holds"] else "DOES NOT HOLD")
            for each in status["accounts"]
        ]


def test_what_was_written_is_said(site: Site) -> None:
    files = [path for path in site.folder.rglob("*") if path.is_file()]
    assert site.written["files"] == len(files)
    assert site.written["bytes"] + site.written["library_bytes"] == sum(
        path.stat().st_size for path in files
    )
    assert site.written["flags"] == 3
    assert site.written["as_of"] == {
        "Europe/Lisbon": "2026-03-29T15:00+01:00",
        "UTC": "2026-03-29T14:00+00:00",
        "Asia/Kathmandu": "2026-03-29T19:45+05:45",
    }
    assert Counter(one.flag for one in evaluations()).keys() == {HOSTILE, "checkout", BLANKS}


def test_a_report_takes_the_place_of_another(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(site.folder, out)
    (out / "index.html").write_text("an older one")

    def report(zones: str, code: int) -> None:
        flagmart(*("report", "--out", str(out), "--timezone", zones), data=site.data, codes=(code,))

    report("UTC,Europe/Lisbom", 2)
    assert (out / "index.html").read_text() == "an older one"
    report("UTC", 0)
    assert "Flags" in (out / "index.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_lineage_is_dbts_own_page_of_the_models(
    site: Site, chromium: Browser, tmp_path: Path
) -> None:
    out = tmp_path / "site"
    flagmart("report", "--out", str(out), "--lineage", data=site.data, at=END_OF_MARCH)
    with opened(chromium, (out / "index.html").as_uri()) as found:
        found.page.get_by_role("link", name="Lineage").click()
        found.page.wait_for_url("**/lineage.html*")
        model = "model.flagmart.fct_evaluation_counts"
        found.page.goto((out / "lineage.html").as_uri() + f"#!/model/{model}")
        found.page.get_by_role("heading", name="fct_evaluation_counts").first.wait_for()
        # the page looks for icons that it has not, beside itself: nothing leaves the machine
        asked = [said for said in found.said if said.startswith("request: ")]
        assert asked == []
