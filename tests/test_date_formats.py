"""trainer.init.date_formats: the format in which all values are times."""

import datetime

import numpy as np
import pytest

from trainer.init.date_formats import find_format, looks_like_unpadded_date

TIMES = [
    datetime.datetime(2012, 12, 28, 22, 5, 0) + datetime.timedelta(hours=31 * i) for i in range(60)
]
SECONDS = [int(t.replace(tzinfo=datetime.timezone.utc).timestamp()) for t in TIMES]


@pytest.mark.parametrize(
    "pattern",
    [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%d.%m.%Y %H:%M",
        "%m/%d/%Y %H:%M:%S",
        "%Y%m%d%H%M%S",
    ],
)
def test_times_are_found_as_python_reads_them(pattern):
    texts = [time.strftime(pattern) for time in TIMES]
    numbers = np.array(list(map(float, texts))) if texts[0].isdigit() else None
    found = find_format("c", texts, numbers)
    assert found.format == pattern and found.other is None
    assert found.seconds.tolist() == SECONDS
    assert found.parts() == ("year", "month", "day_of_week", "hour")


@pytest.mark.parametrize("pattern", ["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d"])
def test_plain_dates_have_no_hour(pattern):
    texts = sorted({time.strftime(pattern) for time in TIMES})
    found = find_format("c", texts, None)
    assert found.format == pattern
    assert found.parts() == ("year", "month", "day_of_week")


@pytest.mark.parametrize("rest", [" UTC", "Z", ".123", ".123456+02:00", " +0100"])
def test_fractions_and_zones_behind_are_ignored(rest):
    texts = [time.strftime("%Y-%m-%d %H:%M:%S") + rest for time in TIMES]
    found = find_format("c", texts, None)
    assert found.format == "%Y-%m-%d %H:%M:%S" and found.seconds.tolist() == SECONDS


@pytest.mark.parametrize(
    ("factor", "pattern"), [(1, "epoch_seconds"), (1000, "epoch_milliseconds")]
)
def test_counts_since_1970_need_a_name_of_time(factor, pattern):
    texts = [str(factor * second) for second in SECONDS]
    numbers = np.array(texts, float)
    found = find_format("created_at", texts, numbers)
    assert found.format == pattern and found.seconds.tolist() == SECONDS
    assert find_format("price", texts, numbers) is None
    assert find_format("updated", texts, numbers + 0.5) is None
    assert find_format("timestamp", ["5", "6", "7"], np.array([5.0, 6.0, 7.0])) is None


def test_day_and_month_that_could_be_either_are_said():
    found = find_format("c", ["01/02/2020", "03/04/2020", "05/06/2020"], None)
    assert (found.format, found.other) == ("%d/%m/%Y", "%m/%d/%Y")
    found = find_format("c", ["01/22/2020", "03/04/2020", "05/06/2020"], None)
    assert (found.format, found.other) == ("%m/%d/%Y", None)


@pytest.mark.parametrize(
    "texts",
    [
        ["2020-01-01", "2020-02-30", "2020-03-01"],  # no such day
        ["2020-01-01", "soon", "2020-03-01"],
        ["2020-01-01", "2020-01-02"],  # too few values to tell
        ["20209901", "20200101", "20200102"],
        ["201301015", "201301016", "201301017"],  # a longer number begins so
    ],
)
def test_what_is_no_time_throughout_is_none(texts):
    assert find_format("date", texts, None) is None


def test_dates_of_varying_width_are_known():
    assert looks_like_unpadded_date(["1/2/2013", "11/12/2013", "2013-1-5"])
    assert not looks_like_unpadded_date(["1/2/2013", "x", "y"])
