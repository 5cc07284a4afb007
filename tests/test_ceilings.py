"""scripts/ceilings.py: the products of a known model, and rates that a machine can have."""

import numpy as np
import pytest
from tiny_table import make_config, make_program

from scripts import ceilings
from scripts.ceilings import Layer


def test_layers_are_those_of_the_model():
    program = make_program(make_config())
    # Two numbers wide; two of them in 4 bins with encodings of width 8; embeddings 3, 2 and 3.
    assert ceilings.layers_of(program.model) == [
        Layer(2, 1, inputs_learn=False),
        Layer(4, 8, copies=2, inputs_learn=False),
        Layer(2 + 2 * 8 + 8, 6),
        Layer(6, 4),
        Layer(4, 1),
    ]


def test_products_are_those_of_forward_and_backward_pass():
    rows, layer = 5, Layer(3, 2, copies=4)
    (x, w), (x_turned, g), (g_again, w_turned) = ceilings._products(layer, rows)
    assert (x @ w).shape == g.shape == (4, rows, 2)
    np.testing.assert_allclose(x_turned @ g, np.einsum("cbi,cbo->cio", x, g), 1e-5)
    np.testing.assert_allclose(g_again @ w_turned, np.einsum("cbo,cio->cbi", g, w), 1e-5)


def test_twice_the_batch_takes_longer_and_no_machine_multiplies_at_once():
    layers = [Layer(256, 256)]
    small, large = (ceilings.gemm_examples_per_second(layers, n) for n in (64, 4096))
    assert 0 < 64 / small < 4096 / large
    # Three products of 256 x 256 a row: forward, and the gradients of weights and inputs.
    assert 3 * 2 * 256**2 * large < 1e14


@pytest.mark.parametrize(
    "rate",
    [
        lambda: ceilings.copy_bytes_per_second(1 << 22),
        lambda: ceilings.gather_rows_per_second(1000, num_ids=1000),
    ],
)
def test_memory_rates_are_finite_and_positive(rate):
    assert 1e5 < rate() < 1e13
