"""Tiles cover every base, fit the window, and come back as one row a sequence."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encre.predict.tiling import combine_tiles, tile
from encre.sequence.flat import offsets_of

sequences = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=60), min_size=1, max_size=6)


@given(sequences, st.integers(2, 25), st.integers(0, 3))
def test_every_base_is_covered_and_no_tile_is_too_long(rows: list[list[int]], window: int, before: int) -> None:
    # `before` bases stand in front, as when a block of a larger array is tiled
    codes = np.array([0] * before + [base for row in rows for base in row], np.uint8)
    offsets = offsets_of(np.array([len(row) for row in rows])) + before
    tiles = tile(codes, offsets, window=window)
    width = np.diff(tiles.offsets)
    assert tiles.per_sequence.sum() == len(width)
    owner = np.repeat(np.arange(len(rows)), tiles.per_sequence)
    for number, row in enumerate(rows):
        mine = np.flatnonzero(owner == number)
        assert (width[mine] == min(len(row), window)).all()
        pieces = [tiles.codes[tiles.offsets[i] : tiles.offsets[i + 1]].tolist() for i in mine]
        stride = max(window // 2, 1)
        starts = [min(i * stride, len(row) - len(piece)) for i, piece in enumerate(pieces)]
        assert [row[s : s + len(p)] for s, p in zip(starts, pieces, strict=True)] == pieces
        covered = {s + i for s, p in zip(starts, pieces, strict=True) for i in range(len(p))}
        assert covered == set(range(len(row)))


@given(sequences, st.integers(2, 25))
def test_mean_and_max_are_taken_over_a_sequences_own_tiles(rows: list[list[int]], window: int) -> None:
    codes = np.array([base for row in rows for base in row], np.uint8)
    tiles = tile(codes, offsets_of(np.array([len(row) for row in rows])), window=window)
    logits = np.arange(2 * len(tiles.offsets) - 2, dtype=np.float32).reshape(-1, 2)
    edges = np.concatenate([[0], np.cumsum(tiles.per_sequence)])
    own = [logits[a:b] for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(combine_tiles(logits, tiles, how="mean"), [part.mean(0) for part in own])
    np.testing.assert_allclose(combine_tiles(logits, tiles, how="max"), [part.max(0) for part in own])


def test_tiles_of_only_n_are_left_out() -> None:
    codes = np.array([0] * 4 + [4] * 40 + [1] * 4, np.uint8)
    tiles = tile(codes, np.array([0, 48]), window=8)
    kept = [tiles.codes[a:b] for a, b in zip(tiles.offsets[:-1], tiles.offsets[1:], strict=True)]
    assert tiles.per_sequence.tolist() == [2]
    assert all((piece != 4).any() for piece in kept)
