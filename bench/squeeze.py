"""Weights of a network in two to three bits each, with little of what it says lost: GPTQ, and a Huffman code.

Each row of a matrix has one step, and a weight is a whole number of steps. Columns are rounded one after the other, and
what rounding one column does to the output is made up for by the columns that are still to come (Frantar et al., 2022,
arXiv:2210.17323). Levels are not bounded to a number of bits: most are near zero, and the code gives those the fewest.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Levels = NDArray[np.int8]

DAMP = 0.01
"""Added to the moment's diagonal, as a share of its mean."""
BLOCK = 128
MOST = 127


def steps_of(weight: Matrix, ratio: float) -> Matrix:
    """A row's step, shape (out, 1): the root of its own spread times the matrix's, over `ratio`."""
    whole = float(np.sqrt(np.mean(weight**2)))
    rows = np.sqrt(np.mean(weight**2, axis=1, keepdims=True))
    found: Matrix = (np.sqrt(np.maximum(rows, 1e-12) * whole) / ratio).astype(np.float32)
    return found


def nearest(weight: Matrix, steps: Matrix) -> Levels:
    """Levels of the weights, each rounded by itself."""
    found: Levels = np.clip(np.rint(weight / steps), -MOST, MOST).astype(np.int8)
    return found


def made_up_for(weight: Matrix, steps: Matrix, moment: Matrix) -> Levels:
    """Levels of `weight` (out, in), by GPTQ; `moment` (in, in) is the mean of x xᵀ over the inputs x."""
    size = len(moment)
    order = np.argsort(-np.diagonal(moment), kind="stable")
    damped = moment[np.ix_(order, order)].astype(np.float64)
    damped[np.diag_indices(size)] += DAMP * float(np.mean(np.diagonal(moment)))
    spread = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
    left = weight[:, order].copy()
    found = np.zeros(weight.shape, dtype=np.int8)
    for begin in range(0, size, BLOCK):
        end = min(begin + BLOCK, size)
        errors = np.zeros((len(weight), end - begin), dtype=np.float32)
        for i in range(begin, end):
            found[:, i] = nearest(left[:, i : i + 1], steps)[:, 0]
            errors[:, i - begin] = (left[:, i] - found[:, i] * steps[:, 0]) / spread[i, i]
            left[:, i:end] -= errors[:, i - begin, None] * spread[i, i:end]
        left[:, end:] -= errors @ spread[begin:end, end:]
    back: Levels = found[:, np.argsort(order)]
    return back


def towards(weight: Matrix, moment: Matrix, cross: Matrix, beside: Matrix | None = None) -> Matrix:
    """The matrix that makes of inputs x what `weight` (out, in) made of the inputs z that there were.

    By least squares: `moment` is the mean of x xᵀ, `cross` that of z xᵀ, both (in, in). With `beside`, the mean of r xᵀ
    (out, in), it makes r of them too: what was lost in that to which its output is added.
    """
    more = DAMP * float(np.mean(np.diagonal(moment)))
    damp = more * np.eye(len(moment))
    wanted = weight @ (cross + damp)
    if beside is not None:
        wanted = wanted + beside
    found: Matrix = np.linalg.solve(moment.astype(np.float64) + damp, wanted.T.astype(np.float64)).T.astype(np.float32)
    return found


def lost(weight: Matrix, found: Matrix, moment: Matrix) -> float:
    """The share of the output's energy that is error."""
    error = weight - found
    return float(((error @ moment) * error).sum() / ((weight @ moment) * weight).sum())


def coded(raw: bytes) -> bytes:
    """Bytes in a Huffman code, as zlib writes and reads it: small whole numbers, most of them near 0, take few bits."""
    code = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
    return code.compress(raw) + code.flush()
