"""From elements to sequences: out of the genome, or the source's own; whole elements, or windows around them."""

from __future__ import annotations

import numpy as np
import polars as pl

from encre.data.rows import Rows
from encre.data.settings import SequenceSettings
from encre.errors import ConfigError, DataError
from encre.genome.store import Genome
from encre.ledger import Ledger
from encre.sequence.alphabet import n_share
from encre.sequence.flat import join, offsets_of
from encre.sources.elements import Elements


def extract(elements: Elements, settings: SequenceSettings, genome: Genome | None, *, ledger: Ledger) -> Rows:
    """Give every element its sequence.

    Parameters
    ----------
    elements
        What the source read; coordinates are 0-based half-open.
    settings
        Element or window, and its width.
    genome
        Needed unless the source has sequences of its own that are long enough.
    ledger
        Told how many windows were padded with N at a chromosome's edge.

    Raises
    ------
    IntervalError
        When an element reaches beyond its chromosome (element mode).
    ConfigError, DataError
        When there is neither a genome nor a sequence, or an own sequence is shorter than the window.
    """
    own = elements.codes is not None and elements.offsets is not None
    placed = not elements.table["start"].null_count() and not elements.table["chrom"].null_count()
    if genome is not None and placed and not (own and settings.mode == "element"):
        return _from_genome(elements.table, settings, genome, ledger)
    if not own:
        raise ConfigError(
            "the sequences must come from a genome, and none was named", remedy="Set genome in [source]."
        )
    return _from_own(elements, settings, ledger)


def _from_genome(table: pl.DataFrame, settings: SequenceSettings, genome: Genome, ledger: Ledger) -> Rows:
    chrom = table["chrom"]
    start, end = (table[name].to_numpy().astype(np.int64) for name in ("start", "end"))
    if settings.mode == "element":
        codes, offsets = genome.gather(chrom, start, end)
        ledger.add("take the elements' sequences from the genome", len(table), len(table))
        return _with_repeat_share(Rows(table, codes, offsets), genome)
    begin, stop = _window(start, end, settings)
    codes, offsets = genome.gather(chrom, begin, stop, pad="N")
    length = table["chrom"].replace_strict(genome.lengths, default=None, return_dtype=pl.Int64).to_numpy()
    beyond = int(((begin < 0) | (stop > length)).sum())
    name = f"take windows of {settings.width} bases from the genome"
    ledger.add(name, len(table), len(table), notes={"windows padded with N at a chromosome's edge": beyond})
    return _with_repeat_share(Rows(table, codes, offsets, settings.jitter), genome)


def _with_repeat_share(rows: Rows, genome: Genome) -> Rows:
    """Rows with ``repeat_share``: the share of soft-masked bases in what a model sees.

    Where not one base is soft-masked, the genome was written without its mask: the share is not known, rather than 0.
    """
    share = genome.soft_mask_share(rows.table["chrom"], *rows.spans())
    return rows.with_columns(repeat_share=share) if share.any() else rows


def _window(start: np.ndarray, end: np.ndarray, settings: SequenceSettings) -> tuple[np.ndarray, np.ndarray]:
    """Begin and end of the windows, jitter's flanks included, centred on the elements."""
    assert settings.width is not None  # the settings refuse window mode without it
    begin = (start + end) // 2 - settings.width // 2 - settings.jitter
    return begin, begin + settings.width + 2 * settings.jitter


def _from_own(elements: Elements, settings: SequenceSettings, ledger: Ledger) -> Rows:
    codes, offsets = elements.codes, elements.offsets
    assert codes is not None  # extract() comes here only with both
    assert offsets is not None
    table = elements.table
    if settings.mode == "element":
        ledger.add("take the source's own sequences", len(table), len(table))
        return Rows(table, np.ascontiguousarray(codes), np.asarray(offsets, dtype=np.int64))
    begin, stop = _window(offsets[:-1], offsets[1:], settings)
    short = (begin < offsets[:-1]) | (stop > offsets[1:])
    if short.any():
        row = int(np.argmax(short))
        raise DataError(
            f"sequence {row + 1} has {offsets[row + 1] - offsets[row]:,} bases and no genome around it, "
            f"too few for a window of {settings.width} with jitter {settings.jitter}",
            got=f"{int(short.sum()):,} such rows",
            remedy='Give a genome, a smaller width, or mode = "element".',
        )
    ledger.add(f"cut windows of {settings.width} bases from the source's own sequences", len(table), len(table))
    return Rows(table, join(codes, begin, stop), offsets_of(stop - begin), settings.jitter)


def drop_unusable(rows: Rows, settings: SequenceSettings, *, ledger: Ledger) -> Rows:
    """Leave out sequences with too many N, or of a length outside the limits; every row left out is counted.

    Raises
    ------
    DataError
        When nothing is left.
    """
    share = n_share(*rows.seen())
    length = rows.lengths
    too_short = length < settings.min_length
    too_long = length > (settings.max_length or np.iinfo(np.int64).max)
    unknown = (share > settings.max_n_share) & ~too_short & ~too_long
    kept = rows.keep(~(too_short | too_long | unknown))
    reasons = {
        f"shorter than {settings.min_length} bases": int(too_short.sum()),
        f"longer than {settings.max_length} bases": int(too_long.sum()),
        f"more than {settings.max_n_share:.0%} N": int(unknown.sum()),
    }
    ledger.add("leave out unusable sequences", len(rows), len(kept), dropped=reasons)
    if not len(kept):
        said = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
        raise DataError(
            "no sequence is left after leaving out the unusable ones",
            got=said or "no rows at all",
            remedy="Check that the genome is the right one, and the limits in [sequence].",
        )
    return kept
