"""The model beside boosted trees and a linear model, on the same rows.

For `scripts/compare.py` and `scripts/ablate.py`; training never imports it.
"""
