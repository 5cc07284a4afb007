"""The published taxi tariff of New York, 2009 to 2015, as a function of time and place.

Source: New York City Taxi and Limousine Commission, "Rate of Fare" (nyc.gov/tlc) and the notice of
the increase of 2012-09-04; for tolls the E-ZPass notices of MTA Bridges and Tunnels and of the Port
Authority.

    meter     $2.50, then METER_UNIT_DOLLARS for each unit begun after the first: a fifth of a mile
              moving, or 60 seconds slow or stopped
    + night   $0.50 from 20:00 to 06:00;  + rush $1.00 Monday to Friday from 16:00 to 20:00
    + MTA_TAX_DOLLARS, + IMPROVEMENT_DOLLARS
    JFK       a flat fare between the airport and Manhattan instead of meter, night and rush
    Newark    meter and surcharges plus NEWARK_DOLLARS
    tolls     between Manhattan north of 14th Street and JFK or LaGuardia one MTA_TOLL_DOLLARS, to
              Newark one HUDSON_TOLL_DOLLARS (peak rate); every other ride takes a free bridge

Left out: holidays, that cabs changed their meters over weeks, out-of-town fares, tips. How long a
ride stands still is not published: the speeds by hour are made up, in the order of the real thing.

Imports numpy only.
"""

import numpy as np

# Dollars from a day on.
Rates = tuple[tuple[str, float], ...]
METER_UNIT_DOLLARS: Rates = (("2009-01-01", 0.40), ("2012-09-04", 0.50))
JFK_FLAT_DOLLARS: Rates = (("2009-01-01", 45.00), ("2012-09-04", 52.00))
NEWARK_DOLLARS: Rates = (("2009-01-01", 15.00), ("2012-09-04", 17.50))
MTA_TAX_DOLLARS: Rates = (("2009-01-01", 0.00), ("2009-11-01", 0.50))
IMPROVEMENT_DOLLARS: Rates = (("2009-01-01", 0.00), ("2015-01-01", 0.30))
MTA_TOLL_DOLLARS: Rates = (
    ("2009-01-01", 4.15),
    ("2009-07-12", 4.57),
    ("2010-12-30", 4.80),
    ("2013-03-03", 5.33),
    ("2015-03-22", 5.54),
)
HUDSON_TOLL_DOLLARS: Rates = (
    ("2009-01-01", 8.00),
    ("2011-09-18", 9.50),
    ("2012-12-02", 10.25),
    ("2013-12-01", 11.00),
    ("2014-12-07", 11.75),
)
FLAG_DROP_DOLLARS = 2.50
NIGHT_DOLLARS = 0.50
RUSH_DOLLARS = 1.00
MILES_PER_UNIT = 0.2

# Grid coordinates: miles uptown and miles crosstown (east) of Times Square, turned by 29 degrees as
# Manhattan's streets are. A road is followed along the two axes. Arrays: N rides, 2 = (uptown,
# crosstown) or (longitude, latitude).
ORIGIN = np.array([-73.9857, 40.7577])
MILES_PER_DEGREE = np.array([52.4, 69.0])
GRID_RADIANS = np.radians(29.0)

# fmt: off
# The shores of Manhattan, read off a map: (uptown, crosstown), from the Battery to 155th Street.
WEST_SHORE = np.array([
    (-4.0, 0.3), (-3.2, 0.1), (-2.3, -0.2), (-1.5, -0.5), (-0.5, -0.8), (0.6, -0.9), (5.6, -0.9),
])
EAST_SHORE = np.array([
    (-4.0, 0.7), (-3.5, 0.9), (-3.05, 1.3), (-2.55, 1.9), (-1.5, 1.5), (-1.0, 1.2), (-0.5, 1.05),
    (0.6, 1.1), (2.8, 1.2), (4.0, 1.1), (5.6, -0.1),
])
FOURTEENTH_STREET = -1.45

AIRPORTS = {  # longitude, latitude
    "JFK": (-73.7815, 40.6450),
    "LaGuardia": (-73.8725, 40.7735),
    "Newark": (-74.1775, 40.6925),
}
AIRPORT_MILES = 1.0  # this near its centre is at the airport

# By hour of the day, made up in the order of the real thing. Average speed includes the stops; a
# ride with an end outside Manhattan is faster. While it moves, a cab does MOVING_MPH.
WEEKDAY_MPH = np.array([
    16, 17, 18, 19, 20, 20, 17, 13, 11, 10.5, 10.5, 10.5,
    10.5, 10.5, 10.3, 10, 10.5, 10.2, 10.3, 11.5, 13, 13.5, 14, 15,
])
WEEKEND_MPH = np.array([
    14.5, 14.5, 15, 16, 18, 20, 20, 19, 17, 15.5, 14, 12.5,
    12, 11.5, 11.5, 11.5, 11.5, 11.5, 11.5, 12, 13, 13.5, 13.5, 14,
])
MOVING_MPH = 20.0
OUTSIDE_SPEED_FACTOR = 1.5
# fmt: on


def fare_dollars(pickup_time: np.ndarray, pickup: np.ndarray, dropoff: np.ndarray) -> np.ndarray:
    """Amount due before the tip of each of N rides, (N,) float64 dollars.

    `pickup_time` is (N,) datetime64[s] in local time; `pickup` and `dropoff` are (N, 2) degrees,
    longitude first. A ride before 2009 or after mid-2015 pays the rates of the nearest day known.
    """
    day = pickup_time.astype("datetime64[D]")
    hour = (pickup_time - day).astype("timedelta64[h]").astype(np.int64)
    is_weekday = (day.astype(np.int64) + 3) % 7 < 5  # 1970-01-01 was a Thursday
    is_night = (hour >= 20) | (hour < 6)
    is_rush = is_weekday & (hour >= 16) & (hour < 20)
    from_manhattan, to_manhattan = _is_in_manhattan(pickup), _is_in_manhattan(dropoff)
    is_jfk, is_laguardia, is_newark = (
        _is_near(pickup, airport) | _is_near(dropoff, airport) for airport in AIRPORTS
    )
    touches_manhattan = from_manhattan | to_manhattan

    mph = np.where(is_weekday, WEEKDAY_MPH[hour], WEEKEND_MPH[hour])
    mph = mph * np.where(from_manhattan & to_manhattan, 1.0, OUTSIDE_SPEED_FACTOR)
    pickup_grid, dropoff_grid = _to_grid(pickup), _to_grid(dropoff)
    miles = np.abs(pickup_grid - dropoff_grid).sum(axis=1)
    stopped_minutes = np.maximum(60.0 * miles * (1.0 / mph - 1.0 / MOVING_MPH), 0.0)
    units = np.maximum(np.ceil(miles / MILES_PER_UNIT + stopped_minutes - 1.0), 0.0)
    metered = FLAG_DROP_DOLLARS + units * _rate(METER_UNIT_DOLLARS, day)
    metered += NIGHT_DOLLARS * is_night + RUSH_DOLLARS * is_rush
    metered += is_newark * _rate(NEWARK_DOLLARS, day)

    manhattan_end = np.where(from_manhattan, pickup_grid[:, 0], dropoff_grid[:, 0])
    pays_mta_toll = touches_manhattan & (is_jfk | is_laguardia)
    pays_mta_toll &= manhattan_end > FOURTEENTH_STREET
    fare = np.where(is_jfk & touches_manhattan, _rate(JFK_FLAT_DOLLARS, day), metered)
    fare += _rate(MTA_TAX_DOLLARS, day) + _rate(IMPROVEMENT_DOLLARS, day)
    fare += pays_mta_toll * _rate(MTA_TOLL_DOLLARS, day)
    return fare + is_newark * _rate(HUDSON_TOLL_DOLLARS, day)


def to_degrees(grid: np.ndarray) -> np.ndarray:
    """Longitude and latitude of (N, 2) grid coordinates, rounded to 6 decimals (4 inches)."""
    return np.round(ORIGIN + _turn(grid) / MILES_PER_DEGREE, 6)


def shores(uptown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crosstown miles of Manhattan's west and east shore so far uptown."""
    return np.interp(uptown, *WEST_SHORE.T), np.interp(uptown, *EAST_SHORE.T)


def _rate(rates: Rates, day: np.ndarray) -> np.ndarray:
    first_days = np.array([first_day for first_day, _ in rates], dtype="datetime64[D]")
    dollars = np.array([value for _, value in rates])
    return dollars[np.searchsorted(first_days, day, side="right") - 1]


def _is_in_manhattan(degrees: np.ndarray) -> np.ndarray:
    uptown, crosstown = _to_grid(degrees).T
    west, east = shores(uptown)
    on_the_island = (uptown > WEST_SHORE[0, 0]) & (uptown < WEST_SHORE[-1, 0])
    return on_the_island & (crosstown > west) & (crosstown < east)


def _is_near(degrees: np.ndarray, airport: str) -> np.ndarray:
    return np.hypot(*((degrees - AIRPORTS[airport]) * MILES_PER_DEGREE).T) < AIRPORT_MILES


def _to_grid(degrees: np.ndarray) -> np.ndarray:
    return _turn((degrees - ORIGIN) * MILES_PER_DEGREE)


def _turn(miles: np.ndarray) -> np.ndarray:
    """(east, north) to (uptown, crosstown) or back: a reflection, so it is its own inverse."""
    # Not a matmul: BLAS may round differently on another machine, and a seed must mean one sample.
    sine, cosine = np.sin(GRID_RADIANS), np.cos(GRID_RADIANS)
    first, second = miles.T
    return np.column_stack([sine * first + cosine * second, cosine * first - sine * second])
