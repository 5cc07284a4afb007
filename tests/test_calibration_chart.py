"""trainer.insight.calibration_chart: shares in log-odds."""

import re

import numpy as np

from trainer.insight.calibration_chart import _log_odds, calibration_chart


def one_bin(probability, share, low, high):
    names = ("mean_probability", "share", "share_low", "share_high")
    return {"rows": 9} | dict(zip(names, (probability, share, low, high), strict=True))


def test_log_odds_of_0_and_1_stay_finite():
    np.testing.assert_allclose(_log_odds([0.0, 0.2, 0.5, 1.0]), [-12, np.log(0.25), 0, 12])


def test_a_share_of_nothing_does_not_squeeze_the_others():
    bins = [
        one_bin(0.02, 0.0, 0.0, 0.047),
        one_bin(0.1, 0.12, 0.1, 0.15),
        one_bin(0.5, 0.45, 0.4, 0.5),
    ]
    svg = calibration_chart("test", {"calibration": bins}).svg
    texts = re.findall(r">([\d.]+)</text>", svg)
    # Log-odds of 0.02 to 0.5: no tick beyond, where -12 would ask for them.
    assert set(texts) <= {"0.01", "0.05", "0.1", "0.25", "0.5"} and texts.count("0.1") == 2
    assert calibration_chart("test", {"calibration": []}).svg
    assert "right classes" in calibration_chart("test", {"calibration": bins, "classes": ["a"]}).svg
