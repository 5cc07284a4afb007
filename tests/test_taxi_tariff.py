"""Fares worked out by hand from the published tariff, one ride at a time."""

import math

import numpy as np
import pytest

from trainer.taxi_tariff import fare_dollars, shores, to_degrees

TIMES_SQUARE = (-73.9857, 40.7577)
JFK = (-73.7815, 40.6450)
LAGUARDIA = (-73.8725, 40.7735)
NEWARK = (-74.1775, 40.6925)
BATTERY = (-74.0120, 40.7060)


def fare(time: str, pickup: tuple[float, float], dropoff: tuple[float, float]) -> float:
    time_array = np.array([time], dtype="datetime64[s]")
    return float(fare_dollars(time_array, np.array([pickup]), np.array([dropoff]))[0])


def uptown_of_times_square(miles: float) -> tuple[float, float]:
    """A place so far up the avenues, which run 29 degrees east of north."""
    east = miles * math.sin(math.radians(29))
    north = miles * math.cos(math.radians(29))
    return (TIMES_SQUARE[0] + east / 52.4, TIMES_SQUARE[1] + north / 69.0)


# 1.98 miles of avenue are 9.9 fifths of a mile. On a weekday at 10 the average is 10.5 mph, so of
# 11.31 minutes 5.94 go by at 20 mph and 5.37 standing: 9.9 + 5.37 - the first unit = 15 begun.
# At 17 (10.2 mph, 5.71 min) also 15; Saturday at 17 (11.5 mph, 4.39 min) 14; at 22 (14 mph, 2.55
# min) 12.
@pytest.mark.parametrize(
    ("time", "dollars"),
    [
        ("2010-03-10 10:00:00", 2.50 + 15 * 0.40 + 0.50),
        ("2010-03-10 22:00:00", 2.50 + 12 * 0.40 + 0.50 + 0.50),
        ("2010-03-10 17:00:00", 2.50 + 15 * 0.40 + 0.50 + 1.00),
        ("2010-03-13 17:00:00", 2.50 + 14 * 0.40 + 0.50),
        ("2009-10-30 10:00:00", 2.50 + 15 * 0.40),
        ("2009-11-02 10:00:00", 2.50 + 15 * 0.40 + 0.50),
        ("2012-09-03 10:00:00", 2.50 + 15 * 0.40 + 0.50),
        ("2012-09-04 10:00:00", 2.50 + 15 * 0.50 + 0.50),
        ("2014-12-31 10:00:00", 2.50 + 15 * 0.50 + 0.50),
        ("2015-01-01 10:00:00", 2.50 + 15 * 0.50 + 0.50 + 0.30),
    ],
)
def test_metered_ride_in_manhattan(time, dollars):
    assert fare(time, TIMES_SQUARE, uptown_of_times_square(1.98)) == pytest.approx(dollars)


@pytest.mark.parametrize(
    ("time", "surcharge"),
    [
        ("2010-03-10 05:59:59", 0.50),
        ("2010-03-10 06:00:00", 0.0),
        ("2010-03-10 15:59:59", 0.0),
        ("2010-03-10 16:00:00", 1.00),
        ("2010-03-10 19:59:59", 1.00),
        ("2010-03-10 20:00:00", 0.50),
        ("2010-03-14 16:00:00", 0.0),  # a Sunday
    ],
)
def test_first_fifth_of_a_mile_costs_the_flag_drop_and_the_surcharge_of_the_hour(time, surcharge):
    ride = fare(time, TIMES_SQUARE, uptown_of_times_square(0.1))
    assert ride == pytest.approx(2.50 + 0.50 + surcharge)


@pytest.mark.parametrize(
    ("time", "dollars"),
    [
        ("2009-03-11 17:00:00", 45.00 + 4.15),
        ("2010-03-10 17:00:00", 45.00 + 0.50 + 4.57),
        ("2013-03-13 22:00:00", 52.00 + 0.50 + 5.33),
        ("2015-06-10 10:00:00", 52.00 + 0.50 + 0.30 + 5.54),
    ],
)
def test_jfk_is_flat_both_ways_whatever_the_hour(time, dollars):
    assert fare(time, JFK, TIMES_SQUARE) == pytest.approx(dollars)
    assert fare(time, TIMES_SQUARE, JFK) == pytest.approx(dollars)


def test_no_toll_south_of_14th_street():
    assert fare("2013-03-13 10:00:00", JFK, BATTERY) == pytest.approx(52.00 + 0.50)


def test_laguardia_is_metered_with_a_toll():
    # 3.829 miles along the avenues and 4.659 across: 42.44 fifths, the first free. At 3 at night an
    # outer ride (19 * 1.5 mph) never stands.
    dollars = 2.50 + 42 * 0.50 + 0.50 + 0.50 + 5.33
    assert fare("2013-03-13 03:00:00", LAGUARDIA, TIMES_SQUARE) == pytest.approx(dollars)


def test_newark_adds_its_surcharge_and_the_hudson_toll():
    # 8.807 + 6.609 miles: 77.08 fifths, the first free.
    dollars = 2.50 + 77 * 0.50 + 0.50 + 0.50 + 17.50 + 10.25
    assert fare("2013-03-13 03:00:00", TIMES_SQUARE, NEWARK) == pytest.approx(dollars)


def test_jfk_to_another_borough_is_metered_without_a_toll():
    # Forest Hills: -3.5894 miles east and 5.175 north of JFK, so 2.786 along and 5.648 across:
    # 42.17 fifths, the first free.
    dollars = 2.50 + 42 * 0.50 + 0.50 + 0.50
    assert fare("2013-03-13 03:00:00", JFK, (-73.8500, 40.7200)) == pytest.approx(dollars)


def test_rides_are_priced_independently_of_each_other():
    times = np.array(["2010-03-10 10:00:00", "2013-03-13 22:00:00"], dtype="datetime64[s]")
    ends = np.array([TIMES_SQUARE, JFK]), np.array([uptown_of_times_square(1.98), TIMES_SQUARE])
    assert fare_dollars(times, *ends) == pytest.approx([9.00, 57.83])
    assert fare_dollars(times[:0], ends[0][:0], ends[1][:0]).shape == (0,)


def test_to_degrees_goes_up_the_avenue():
    expected = np.round(uptown_of_times_square(1.0), 6)
    np.testing.assert_allclose(to_degrees(np.array([[1.0, 0.0]]))[0], expected, atol=1e-9)


def test_shores_at_times_square():
    west, east = shores(np.array([-0.5, 0.6]))
    assert west.tolist() == [-0.8, -0.9]
    assert east.tolist() == [1.05, 1.1]
