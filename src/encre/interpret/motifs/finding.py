"""Motifs that a model has learnt: contributions -> seqlets -> patterns -> names -> hits, effects, pairs.

Each step is a room of its own beside this one; here they are put in order, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from encre.errors import ConfigError
from encre.interpret.motifs import hits, insertion
from encre.interpret.motifs.contributions import Contributions, attributed, middles
from encre.interpret.motifs.insertion import Backgrounds, Effects, marginal_effects
from encre.interpret.motifs.names import SMALL_DATABASE, Match, match_patterns
from encre.interpret.motifs.pairs import NamedCodes, Spacing, pair_spacing
from encre.interpret.motifs.patterns import Pattern, SeqletCounts, alike, find_patterns
from encre.interpret.motifs.settings import MotifSettings, check_extras
from encre.interpret.settings import AttributionSettings
from encre.predict.inputs import Records
from encre.progress import SILENT, Progress
from encre.reproducibility import stream
from encre.sequence.meme import Motif

if TYPE_CHECKING:
    from encre.predict.predictor import Predictor


@dataclass(frozen=True)
class FoundMotif:
    """A pattern with all that is known about it.

    Parameters
    ----------
    pattern
        As TF-MoDISco made it, on the strand of the motif that it is named after.
    matches
        The most similar database motifs, the best first.
    called
        The name of the best of them where it is similar enough, otherwise empty.
    hits
        Matches of its motif in the sequences; None when they were not looked for.
    """

    pattern: Pattern
    matches: list[Match]
    called: str
    hits: int | None = None

    @property
    def title(self) -> str:
        """What a reader sees: its name, or its consensus."""
        return self.called or self.pattern.motif.consensus


@dataclass(frozen=True)
class Motifs:
    """What :func:`find_motifs` found.

    Parameters
    ----------
    motifs
        By task, positive first, the one with most seqlets first.
    counts
        Seqlets of each task, and why there is no pattern where there is none.
    effects
        Marginal effect of each motif on every task of the model, rows as ``motifs``.
    database, database_effects
        The database motifs, and their marginal effects when they were asked for.
    spacing
        Pairs of motifs.
    hits
        See :func:`encre.interpret.motifs.hits.find_hits`, with ``sequence`` and, where known, genomic ``chrom``,
        ``start`` and ``end`` (0-based half-open) in place of ``row``.
    notes
        What was left out or drawn, in words.
    sequences
        How many were explained.
    tasks
        Whose contributions were looked at.
    method
        How those were computed; ``"given"`` for ready ones.
    """

    motifs: list[FoundMotif]
    counts: list[SeqletCounts]
    effects: Effects
    database: Sequence[Motif]
    database_effects: Effects | None
    spacing: list[Spacing]
    hits: pl.DataFrame
    notes: list[str]
    sequences: int
    tasks: list[str]
    method: str


@dataclass(frozen=True)
class MotifInputs:
    """What is looked at.

    Parameters
    ----------
    records
        Sequences with names and, where known, coordinates.
    database
        Motifs to name patterns after; may be empty.
    contributions
        Ready ones, which then count instead of ``records``.
    backgrounds
        Sequences to insert motifs into; None for dinucleotide shuffles of what is looked at.
    """

    records: Records | None = None
    database: Sequence[Motif] = ()
    contributions: Contributions | None = None
    backgrounds: Records | None = None


def find_motifs(
    predictor: Predictor,
    inputs: MotifInputs,
    *,
    tasks: Sequence[str] = (),
    settings: MotifSettings | None = None,
    how: AttributionSettings | None = None,
    progress: Progress = SILENT,
) -> Motifs:
    """Find, name and test the motifs that a model has learnt.

    Parameters
    ----------
    predictor
        From :func:`encre.load`.
    inputs
        Sequences, database, ready contributions, backgrounds.
    tasks
        Names; all of the model (of ready contributions: those that they hold) when there is none.
    settings
        See :class:`~encre.interpret.motifs.settings.MotifSettings`.
    how
        Method of the contributions, and the precision of all scoring; in silico mutagenesis in fp32 unless told.
    progress
        Follows the work.

    Raises
    ------
    MissingExtraError, ConfigError, SequenceError
        Without the extra ``interpret``; for a task that the model lacks; for sequences that it cannot read.
    """
    check_extras()
    settings = settings or MotifSettings()
    how = how or AttributionSettings(seed=settings.seed)
    contributions, notes = _explained(predictor, inputs, tasks=tasks, settings=settings, how=how, progress=progress)
    motifs, counts = _patterns(contributions, inputs.database, settings, progress)
    if motifs and 0 < len(inputs.database) < SMALL_DATABASE:
        notes.append(f"Names hang on what else the database holds: {len(inputs.database)} motifs are few.")
    hits, motifs = _hits(contributions, motifs, inputs.database, settings)
    codes = _background_codes(predictor, inputs, contributions, settings)
    backgrounds = Backgrounds(predictor, codes, how.precision, progress)
    chosen = [NamedCodes(m.title, m.pattern.motif.codes) for m in representatives(motifs, settings.pair_motifs)]
    explained = list(contributions.hypothetical)
    known = [motif.codes for motif in inputs.database] if settings.marginalise_database else None
    return Motifs(
        motifs=motifs,
        counts=counts,
        effects=marginal_effects(backgrounds, [motif.pattern.motif.codes for motif in motifs]),
        database=inputs.database,
        database_effects=marginal_effects(backgrounds, known) if known is not None else None,
        spacing=pair_spacing(backgrounds, chosen, gaps=settings.gaps, tasks=explained, seed=settings.seed),
        hits=hits,
        notes=notes,
        sequences=len(contributions.codes),
        tasks=explained,
        method="given" if inputs.contributions is not None else how.method,
    )


def _patterns(
    contributions: Contributions, database: Sequence[Motif], settings: MotifSettings, progress: Progress
) -> tuple[list[FoundMotif], list[SeqletCounts]]:
    """Named patterns of every task, and the counts of its seqlets."""
    patterns, counts = [], []
    for task in contributions.hypothetical:
        found, counted = find_patterns(contributions, task, settings, progress=progress)
        patterns += found
        counts.append(counted)
    return name_patterns(patterns, database, q=settings.name_q), counts


def name_patterns(patterns: Sequence[Pattern], database: Sequence[Motif], *, q: float) -> list[FoundMotif]:
    """Patterns with their names, each turned to the strand of the motif that it is named after."""
    found = []
    for pattern, matches in zip(patterns, match_patterns(patterns, database), strict=True):
        if not matches or matches[0].q_value > q:
            found.append(FoundMotif(pattern, matches, ""))
            continue
        if matches[0].strand == "-":
            pattern = pattern.turned()  # noqa: PLW2901
            matches = [match._replace(strand="+" if match.strand == "-" else "-") for match in matches]  # noqa: PLW2901
        found.append(FoundMotif(pattern, matches, short_name(matches[0].motif)))
    return found


def short_name(motif: Motif) -> str:
    """What people call a database motif: JASPAR's label, or HOCOMOCO's name up to its first dot."""
    return motif.label or motif.name.split(".")[0]


def representatives(motifs: Sequence[FoundMotif], count: int) -> list[FoundMotif]:
    """The motifs with most seqlets, leaving out those that are named as, or look like, one already taken."""
    taken: list[FoundMotif] = []
    for motif in sorted(motifs, key=lambda motif: -motif.pattern.seqlets):
        if len(taken) == count:
            break
        known = any(
            motif.title == other.title or alike(motif.pattern.motif.pwm, other.pattern.motif.pwm) for other in taken
        )
        if not known:
            taken.append(motif)
    return taken


def _explained(
    predictor: Predictor,
    inputs: MotifInputs,
    *,
    tasks: Sequence[str],
    settings: MotifSettings,
    how: AttributionSettings,
    progress: Progress,
) -> tuple[Contributions, list[str]]:
    """Contributions of the sequences, and what was left out."""
    if inputs.contributions is not None:
        for task in inputs.contributions.hypothetical:
            predictor.tasks.index(task)
        return inputs.contributions, []
    if inputs.records is None:
        raise ConfigError("there is nothing to look at", remedy="Give sequences or ready contributions.")
    records, located, notes = middles(
        inputs.records,
        window=predictor.window,
        most=settings.most,
        seed=settings.seed,
        shortest=predictor.shortest,
    )
    for note in notes:
        progress.say(note)
    return attributed(predictor, records, located, tasks=tasks, how=how, progress=progress), notes


def _hits(
    contributions: Contributions, motifs: list[FoundMotif], database: Sequence[Motif], settings: MotifSettings
) -> tuple[pl.DataFrame, list[FoundMotif]]:
    """FIMO's hits with their places, and the motifs with their counts."""
    own = [motif.matches[0].motif if motif.called else motif.pattern.motif for motif in motifs]
    wanted = {"named": own, "database": list(database), "none": []}[settings.hits]
    unique = list({motif.title: motif for motif in wanted}.values())
    table = hits.find_hits(contributions.one_hot, unique, p=settings.hits_p)
    if settings.hits != "none":
        counts = dict(table["motif"].value_counts().iter_rows())
        scanned = {motif.title for motif in unique}
        motifs = [
            FoundMotif(m.pattern, m.matches, m.called, counts.get(o.title, 0) if o.title in scanned else None)
            for m, o in zip(motifs, own, strict=True)
        ]
    row, located = table["row"].to_numpy(), contributions.located
    first = located.first[row]
    columns: dict[str, Any] = {"chrom": [located.chrom[i] for i in row]} if located.chrom is not None else {}
    columns |= {"sequence": [located.names[i] for i in row]}
    columns |= {"start": table["start"].to_numpy() + first, "end": table["end"].to_numpy() + first}
    placed = pl.DataFrame(
        columns, schema_overrides={name: pl.String for name in ("chrom", "sequence") if name in columns}
    )
    return placed.hstack(table.drop("row", "start", "end")), motifs


def _background_codes(
    predictor: Predictor, inputs: MotifInputs, contributions: Contributions, settings: MotifSettings
) -> np.ndarray:
    """(R, L) uint8: those that were given, or shuffles."""
    if inputs.backgrounds is not None:
        return insertion.given_backgrounds(inputs.backgrounds, predictor)
    rng = stream(settings.seed, "motifs", "backgrounds")
    return insertion.shuffled_backgrounds(contributions.codes, settings.backgrounds, rng)
