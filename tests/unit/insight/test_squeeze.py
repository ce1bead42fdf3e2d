"""Weights in few bits: what bench/squeeze.py does to a matrix and what that does to its output."""

import zlib

import numpy as np
import pytest

from bench.squeeze import Matrix, coded, lost, made_up_for, nearest, steps_of, towards

Layer = tuple[Matrix, Matrix]


@pytest.fixture
def layer() -> Layer:
    """A matrix and the moment of inputs whose columns are alike, as a network's are; one weight is far out."""
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(48, 160)).astype(np.float32)
    weight[3, 5] = 30
    inputs = rng.normal(size=(2000, 12)) @ rng.normal(size=(12, 160)) + 0.3 * rng.normal(size=(2000, 160))
    return weight, (inputs.T @ inputs / len(inputs)).astype(np.float32)


def test_rounding_that_is_made_up_for_loses_a_part_of_what_plain_rounding_loses(layer: Layer) -> None:
    weight, moment = layer
    steps = steps_of(weight, 1.18)
    plain, ours = nearest(weight, steps), made_up_for(weight, steps, moment)
    assert lost(weight, ours * steps, moment) < 0.4 * lost(weight, plain * steps, moment)
    assert len(coded(ours.tobytes())) < 1.1 * len(coded(plain.tobytes()))


def test_finer_steps_lose_less_and_take_more_room(layer: Layer) -> None:
    weight, moment = layer
    coarse, fine = steps_of(weight, 1.18), steps_of(weight, 4.0)
    of_coarse, of_fine = made_up_for(weight, coarse, moment), made_up_for(weight, fine, moment)
    assert lost(weight, of_fine * fine, moment) < 0.3 * lost(weight, of_coarse * coarse, moment)
    assert len(coded(of_fine.tobytes())) > 1.3 * len(coded(of_coarse.tobytes()))


def test_a_weight_far_out_keeps_its_size(layer: Layer) -> None:
    weight, moment = layer
    steps = steps_of(weight, 1.18)
    found = made_up_for(weight, steps, moment) * steps
    assert found[3, 5] == pytest.approx(30, rel=0.1)


def test_columns_come_back_in_their_places(layer: Layer) -> None:
    weight, _ = layer
    steps = steps_of(weight, 50.0)
    moment = np.diag(np.random.default_rng(2).permutation(np.arange(1.0, 161.0))).astype(np.float32)
    # 30 is beyond the 127th of so fine a step.
    inside = np.abs(weight) < 100 * steps
    found = made_up_for(weight, steps, moment) * steps
    assert np.all(np.abs(found - weight)[inside] <= 0.51 * np.broadcast_to(steps, weight.shape)[inside])


def test_coded_levels_take_little_and_come_back() -> None:
    few = np.zeros(80_000, np.int8).tobytes()
    many = np.random.default_rng(0).integers(-127, 128, 80_000).astype(np.int8).tobytes()
    assert len(coded(few)) < 80_000 / 7
    assert len(coded(many)) > 75_000
    assert [zlib.decompress(coded(raw)) for raw in (few, many)] == [few, many]


def test_what_was_lost_below_is_made_up_for() -> None:
    """A layer is given inputs with errors that have to do with them, and adds to something that is off as well."""
    rng = np.random.default_rng(3)
    whole = (rng.normal(size=(4000, 12)) @ rng.normal(size=(12, 40)) + 0.3 * rng.normal(size=(4000, 40))).astype(
        np.float32
    )
    ours = (0.8 * whole + 0.1 * rng.normal(size=whole.shape)).astype(np.float32)
    off = whole[:, :16] - ours[:, :16]
    weight = rng.normal(size=(16, 40)).astype(np.float32)
    moment, cross, beside = ((a.T @ ours / len(ours)).astype(np.float32) for a in (ours, whole, off))
    wanted = whole @ weight.T + off

    def error(matrix: Matrix) -> float:
        return float(((ours @ matrix.T - wanted) ** 2).mean() / (wanted**2).mean())

    assert error(towards(weight, moment, cross, beside)) < 0.6 * error(towards(weight, moment, cross))
    assert error(towards(weight, moment, cross)) < 0.3 * error(weight)


def test_the_same_inputs_leave_a_matrix_as_it_is(layer: Layer) -> None:
    weight, moment = layer
    assert np.allclose(towards(weight, moment, moment), weight, atol=1e-3)
