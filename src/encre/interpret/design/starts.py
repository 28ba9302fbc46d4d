"""Where designs begin: random sequences, given elements, or windows of a genome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from encre.errors import ConfigError, SequenceError
from encre.interpret.design.constraints import Constraints
from encre.interpret.design.contradictions import check_length, check_start
from encre.predict.inputs import Records, open_genome, read_inputs
from encre.progress import Progress
from encre.reproducibility import stream
from encre.sequence.edits import dinucleotide_shuffle

if TYPE_CHECKING:
    from encre.genome.store import Genome
    from encre.predict.predictor import Predictor

Source = str | Path | Records | Sequence[str]

#: Draws for each start that is wanted before it is said that there is none.
_DRAWS = 200


@dataclass(frozen=True)
class Starts:
    """What designs begin with.

    Parameters
    ----------
    names
        (M,) names.
    codes
        (M,) starts, each (L,) codes without N, flanks written; edits are counted from them.
    mended
        (M,) the same with every constraint satisfied, where the search begins.
    place
        (M,) chromosome, start and end (0-based half-open) of starts from a genome, or None.
    each
        Designs wanted from each.
    notes
        What was special, in words.
    """

    names: list[str]
    codes: list[np.ndarray]
    mended: list[np.ndarray]
    place: list[tuple[str, int, int] | None]
    each: int = 1
    notes: list[str] = field(default_factory=list)


def make_starts(
    source: Source,
    constraints: Constraints,
    model: Predictor,
    *,
    genome: Genome | str | Path | None,
    progress: Progress,
) -> Starts:
    """Draw, read or fetch the starts, and refuse what no design can come from.

    Parameters
    ----------
    source
        ``"random"``, ``"genome"`` (random windows of known bases), a file or region as
        :func:`~encre.predict.inputs.read_inputs` takes it, :class:`~encre.predict.inputs.Records` or strings.

    Raises
    ------
    ConfigError, SequenceError
        For constraints that contradict each other, and starts that the model cannot read.
    """
    settings, drawn = constraints.settings, isinstance(source, str) and source in ("random", "genome")
    if settings.start_gc is not None and source != "random":
        raise ConfigError(
            "start_gc is for random starts", remedy="Leave it out: these starts have bases of their own."
        )
    if settings.shuffle and drawn:
        raise ConfigError("shuffle is for given starts", remedy="Leave it out, or give a file.")
    if drawn:
        length = settings.length or model.window
        check_readable(model, length)
        check_length(constraints, length)
        if source == "random":
            return _random(constraints, length)
        opened = open_genome(genome, assembly="GRCh38", why="windows of the genome", progress=progress)
        return _windows(constraints, length, opened)
    return _given(_records(source, constraints, model, genome=genome, progress=progress), constraints, model)


def check_readable(model: Predictor, length: int, *, where: str = "") -> None:
    """Refuse designs that the model cannot read whole."""
    if model.shortest <= length <= model.window:
        return
    short = length < model.shortest
    raise SequenceError(
        f"a design of {length:,} bases is {'shorter' if short else 'longer'} than {model.name} reads in one piece",
        where=where,
        expected=f"{model.shortest:,} to {model.window:,} bases",
        remedy="Give another --length, or other starts.",
    )


def _random(constraints: Constraints, length: int) -> Starts:
    """Independent bases at a share of GC, flanks written, mended to satisfy the constraints."""
    settings = constraints.settings
    share = settings.start_gc or (sum(settings.gc) / 2 if settings.gc else 0.5)
    share = min(max(share, 0.01), 0.99)
    check_start(constraints, constraints.flanked(np.zeros(length, np.uint8)), drawn=True)
    found = []
    for number in range(settings.count):
        rng = stream(settings.seed, "design", "start", number)
        for _ in range(_DRAWS):
            weights = np.array([1 - share, share, share, 1 - share]) / 2
            drawn = constraints.flanked(rng.choice(4, size=length, p=weights).astype(np.uint8))
            mended = constraints.mend(drawn, drawn, rng, drawn=True)
            if mended is not None:
                break
        else:
            raise _no_way(f"in {_DRAWS} random sequences of {length:,} bases")
        found.append(mended)
    names = [f"random_{number + 1}" for number in range(len(found))]
    return Starts(
        names, found, found, [None] * len(found), notes=[f"Random starts were drawn at {100 * share:.0f} % GC."]
    )


def _windows(constraints: Constraints, length: int, genome: Genome) -> Starts:
    """Windows of known bases, every one as likely, from which the constraints can be met."""
    from encre.genome.stretches import Axis

    settings, axis = constraints.settings, Axis(genome)
    begin, end = genome.known()
    room = np.maximum(0, end - begin - length + 1)
    total = int(room.sum())
    if not total:
        raise ConfigError(f"the genome has no {length:,} known bases in a row", where=genome.path)
    edges = np.concatenate([[0], np.cumsum(room)])
    rng = stream(settings.seed, "design", "windows")
    found = Starts([], [], [], [])
    passed = 0
    while len(found.names) < settings.count:
        at = int(rng.integers(total))
        stretch = int(np.searchsorted(edges, at, side="right")) - 1
        place = int(begin[stretch]) + at - int(edges[stretch])
        number = int(np.searchsorted(axis.edges, place, side="right")) - 1
        chrom, first = axis.names[number], place - int(axis.edges[number])
        codes, _ = genome.gather([chrom], np.array([first]), np.array([first + length]))
        start = constraints.flanked(codes)
        mended = None if (chrom, first, first + length) in found.place else _possible(constraints, start, rng)
        if mended is None:
            passed += 1
            if passed > _DRAWS * settings.count:
                raise _no_way(f"in {passed + len(found.names):,} windows of the genome")
            continue
        found.names.append(f"{chrom}:{first + 1}-{first + length}")
        found.codes.append(start)
        found.mended.append(mended)
        found.place.append((chrom, first, first + length))
    notes = [f"{passed:,} windows were passed over: drawn twice, or the constraints cannot be met there."]
    return replace(found, notes=notes if passed else [])


def _possible(constraints: Constraints, start: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    try:
        check_start(constraints, start)
    except ConfigError:
        return None
    return constraints.mend(start, start, rng)


def _records(
    source: Source,
    constraints: Constraints,
    model: Predictor,
    *,
    genome: Genome | str | Path | None,
    progress: Progress,
) -> Records:
    """The given starts; regions become windows of the length that is asked for, or that the model reads."""
    if isinstance(source, Records):
        return source
    if not isinstance(source, str | Path):
        return Records.from_sequences(source, source="the starts")
    width = constraints.settings.length or model.region_width
    return read_inputs(source, genome=genome, width=width, progress=progress)


def _given(records: Records, constraints: Constraints, model: Predictor) -> Starts:
    settings = constraints.settings
    flat = records.codes
    if settings.shuffle:
        flat = dinucleotide_shuffle(flat, records.offsets, stream(settings.seed, "design", "shuffle"))
    found = Starts([], [], [], [], each=settings.count)
    chrom, first, changed = records.chrom, records.first, 0
    for row, name in enumerate(records.names):
        codes = flat[records.offsets[row] : records.offsets[row + 1]]
        where = f"{records.source}, '{name}'"
        _check_bases(codes, settings.length, model=model, where=where)
        check_length(constraints, len(codes), where=where)
        start = constraints.flanked(codes)
        check_start(constraints, start, where=where)
        mended = _mended(constraints, start, where=where, seed=(settings.seed, row))
        changed += not np.array_equal(mended, start)
        found.names.append(str(name))
        found.codes.append(start)
        found.mended.append(mended)
        if chrom is None or first is None:
            found.place.append(None)
        else:
            found.place.append((chrom[row], int(first[row]), int(first[row]) + len(codes)))
    notes = ["The starts were shuffled, keeping their dinucleotides."] if settings.shuffle else []
    if changed:
        notes.append(
            f"{changed:,} of {len(records):,} starts broke a constraint and were mended before the search; the "
            "substitutions count as edits."
        )
    return replace(found, notes=notes)


def _check_bases(codes: np.ndarray, length: int | None, *, model: Predictor, where: str) -> None:
    if length is not None and len(codes) != length:
        raise ConfigError(
            "the start has another length than is asked for", where=where, expected=f"{length:,} bases",
            got=f"{len(codes):,}", remedy="Leave out --length: a design keeps its start's.",
        )  # fmt: skip
    check_readable(model, len(codes), where=where)
    if (unknown := codes > 3).any():
        raise SequenceError(
            "a design needs a start of known bases", where=where, got=f"{int(unknown.sum()):,} N",
            remedy="Cut the start where it is known, or move the region.",
        )  # fmt: skip


def _mended(constraints: Constraints, start: np.ndarray, *, where: str, seed: tuple[int, int]) -> np.ndarray:
    for attempt in range(_DRAWS):
        rng = stream(seed[0], "design", "mend", seed[1], attempt)
        mended = constraints.mend(start, start, rng)
        if mended is not None:
            return mended
    raise _no_way(f"in {_DRAWS} attempts from the start", where=where)


def _no_way(tried: str, *, where: object = "") -> ConfigError:
    return ConfigError(
        f"no sequence that satisfies every constraint was found {tried}",
        where=where,
        remedy="Widen the range of GC, allow a site or more edits, or keep fewer bases.",
    )
