"""The picture of `flagmart chart`: columns of blocks, on one scale, in the width there is."""

from datetime import UTC, datetime, timedelta

from flagmart.charts.picture import block, means, picture
from flagmart.charts.points import Point

START = datetime(2026, 1, 1, tzinfo=UTC)


def series(
    variation: str, counts: list[int], env: str = "prod", partial: bool = False, label: str = ""
) -> list[Point]:
    hour = timedelta(hours=1)
    return [
        Point(
            env_id=env,
            flag_key="checkout",
            variation_id=variation,
            variation_label=label or variation,
            interval_index=index,
            interval_start_at=START + index * hour,
            interval_end_at=START + (index + 1) * hour,
            interval_start_local=(START + index * hour).isoformat(),
            is_partial=partial and index == len(counts) - 1,
            evaluations=count,
        )
        for index, count in enumerate(counts)
    ]


def test_series_share_a_scale_and_zeros_stand_on_the_ground() -> None:
    points = [*series("off", [0, 1, 2, 4], partial=True), *series("on", [8, 0, 0, 8], partial=True)]
    assert list(picture(points, 8)) == [
        "off: 7 evaluations, at most 4 in an interval",
        "",
        "",
        "      ██",
        "  ▄▄████",
        "────────",
        "2026-01-01T00:00:00+00:00",
        "to 2026-01-01T03:00:00+00:00",
        "",
        "on: 16 evaluations, at most 8 in an interval",
        "██    ██",
        "██    ██",
        "██    ██",
        "██    ██",
        "────────",
        "2026-01-01T00:00:00+00:00",
        "to 2026-01-01T03:00:00+00:00",
        "",
        "4 intervals; the last is cut short by the end",
    ]


def test_a_series_has_its_label_and_two_of_one_label_their_ids() -> None:
    points = [
        *series("1", [1], label="on"),
        *series("2", [1], label="off"),
        *series("3", [1], label="off"),
        *series("4", [1], label="on", env="dev"),
    ]
    assert [line.partition(":")[0] for line in picture(points, 80) if "evaluation" in line] == [
        "on in prod",
        "off (2) in prod",
        "off (3) in prod",
        "on in dev",
    ]


def test_nothing_is_wider_than_the_terminal() -> None:
    for intervals in (1, 2, 7, 79, 80, 81, 168, 1000):
        for width in (1, 20, 80):
            drawn = [
                line
                for line in picture(series("on", [n % 9 for n in range(intervals)]), width)
                if line and set(line) <= set(" ▁▂▃▄▅▆▇█─")
            ]
            assert len(drawn) <= 5
            assert 0 < max(map(len, drawn)) <= width
    lines = list(picture(series("on", list(range(168))), 80))
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "168 intervals; a column is the mean of 3"


def test_both_ends_of_the_axis_stand_in_one_line_where_they_fit() -> None:
    lines = list(picture(series("on", [1] * 80), 80))
    assert lines[6] == "2026-01-01T00:00:00+00:00" + " " * 30 + "2026-01-04T07:00:00+00:00"


def test_a_series_is_named_with_its_environment_where_there_are_several() -> None:
    points = [*series("on", [1], env="dev"), *series("on\x1b[2J", [3], env="prod")]
    named = [line for line in picture(points, 80) if "evaluation" in line]
    assert named == [
        "on in dev: 1 evaluation, at most 1 in an interval",
        "on\\x1b[2J in prod: 3 evaluations, at most 3 in an interval",
    ]


def test_neighbours_are_drawn_as_their_mean() -> None:
    # a sum would show the last one as a fall
    assert means([2, 4, 6, 6, 5], 2) == [3, 6, 5]
    assert list(picture([], 80)) == []


def test_little_is_seen_as_more_than_nothing() -> None:
    assert block(1, 1_000_000, 0) == "▁"
    assert block(0, 1_000_000, 0) == " "
    assert block(0, 0, 0) == " "
    assert [block(1, 1, row) for row in range(5)] == ["█", "█", "█", "█", " "]
