"""Variant effects: how logits and calibrated probabilities change from the reference to the alternative allele.

VCF, table or BED -> alleles, each checked against the genome -> windows -> logits -> deltas, p- and q-values
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import polars as pl

from encre.errors import ConfigError
from encre.genome.intervals import Interval
from encre.predict.inputs import open_genome
from encre.predict.variants.background import (
    Background,
    draw_background,
    groups_of,
    name_of_group,
    p_values,
    q_values,
)
from encre.predict.variants.checks import KINDS, Changes, Checked, check_variants, names_of
from encre.predict.variants.inputs import VariantSource, read_saturation, read_variants
from encre.predict.variants.windows import Logits, Windows, centred, score_changes
from encre.progress import SILENT, Progress

if TYPE_CHECKING:
    from encre.genome.store import Genome
    from encre.models.device import Precision
    from encre.predict.predictor import Predictor

#: What a p-value says, in the words of every output.
MEANING = (
    "p: share of random changes of the same kind, in the same sequences, with at least as large an effect; "
    "q: Benjamini-Hochberg over the file. Small values mean unusual among random changes, not causal."
)


@dataclass(frozen=True)
class VariantOptions:
    """How variants are scored.

    Parameters
    ----------
    saturate
        The file is a BED, and every single-nucleotide variant of its bases is scored.
    region
        Only variants whose reference allele touches it: ``"chr1:1,001-2,000"`` (1-based inclusive) or an
        :class:`Interval`.
    shifts, shift_step
        Score ``2 * shifts + 1`` windows, moved by multiples of ``shift_step`` bases to both sides;
        the farthest leaves the variant within the central half of the window.
    combine
        Over the windows, the ``"mean"`` of logits, or the window with the largest absolute delta of each task
        (``"max"``).
    background
        Random changes that are drawn for each kind of change, for p-values; 0 for none. With ``saturate`` the
        variants are compared with each other instead.
    seed
        Of the random changes.
    both_strands
        Average the logits of both strands.
    precision
        ``"fp32"``, ``"bf16"`` or ``"auto"``.
    skip_mismatched, skip_unsupported
        Leave an allele whose REF is not the genome's, or that has no sequence, unscored with its ``reason``, where it
        would be an error.
    """

    saturate: bool = False
    region: str | Interval | None = None
    shifts: int = 0
    shift_step: int = 10
    combine: Literal["mean", "max"] | str = "mean"
    background: int = 1000
    seed: int = 0
    both_strands: bool = True
    precision: Precision | str = "fp32"
    skip_mismatched: bool = False
    skip_unsupported: bool = False

    def windows(self, width: int) -> Windows:
        """What that means for windows of ``width`` bases; values out of range are a :class:`ConfigError`."""
        if self.combine not in ("mean", "max"):
            raise ConfigError("shifted windows are combined by mean or max", got=f"'{self.combine}'")
        if min(self.shifts, self.background) < 0 or self.shift_step < 1:
            raise ConfigError("shifts and background are 0 or more, a shift's step is 1 or more")
        if self.shifts * self.shift_step > width // 4:
            raise ConfigError(
                "the farthest shift would move the variant out of the central half of the window",
                expected=f"shifts * shift-step of at most {width // 4} bp, a quarter of the window",
                got=f"{self.shifts} * {self.shift_step}",
            )
        if self.precision not in ("fp32", "bf16", "auto"):
            raise ConfigError("a precision is fp32, bf16 or auto", got=f"'{self.precision}'")
        shifts = np.arange(-self.shifts, self.shifts + 1) * self.shift_step
        return Windows(width, shifts, self.combine, self.both_strands, cast("Precision", self.precision))

    @property
    def interval(self) -> Interval | None:
        """The region, 0-based half-open."""
        return Interval.from_region(self.region) if isinstance(self.region, str) else self.region


@dataclass(frozen=True)
class VariantScores:
    """Every allele of a file with its scores.

    Parameters
    ----------
    table
        (N rows) ``line``, ``record`` and ``allele`` as in :meth:`encre.genome.vcf.Vcf.table`, then the columns of
        :func:`score_variants`, and ``genome``: the genome's bases where REF differs.
    source
        Where they came from.
    model
        Name of the model.
    summary
        Counts, as plain values.
    """

    table: pl.DataFrame
    source: VariantSource
    model: str
    summary: dict[str, Any]

    @property
    def words(self) -> list[str]:
        """What was scored and how, what was not and why: lines for the user."""
        known = self.summary
        kinds = ", ".join(f"{count:,} {name}" for name, count in known["kinds"].items())
        several = known["multi_allelic_records"]
        multiple = f" ({several:,} with several alleles)" if several else ""
        what = f"{known['alleles']:,} alleles of {known['records']:,} records{multiple}"
        where = "each variant in the central half" if self.source.window is not None else "the variant in the middle"
        lines = [
            f"{what}; scored {known['scored']:,}: {kinds or 'none'}.",
            f"Windows of {known['window']:,} bp, {where}.",
        ]
        if moved := 2 * known["how"]["shifts"]:
            step, combine = known["how"]["shift_step"], known["how"]["combine"]
            lines.append(f"Each in {moved} more windows, moved by multiples of {step} bp; the {combine} over all.")
        lines += [f"Not scored, {count:,}: {reason}." for reason, count in known["not_scored"].items()]
        if count := known.get("bases_without_variant"):
            lines.append(f"{count:,} bases N have no variant.")
        if count := known["windows_with_n"]:
            lines.append(f"{count:,} windows hold N or reach off their chromosome (column n_share).")
        if set(known["kinds"]) & set(KINDS[2:]):
            lines.append(
                "Insertions and deletions: the mean of two windows, one with the left side of the variant in place, "
                "one with the right."
            )
        few = [f"{name} {entry['random']:,}" for name, entry in known.get("background", {}).items()]
        if few:
            lines.append(f"Random changes: {', '.join(few)}.")
        return [*lines, MEANING] if known["p_values"] else lines


def score_variants(
    model: Predictor,
    variants: str | Path,
    genome: Genome | str | Path,
    *,
    options: VariantOptions | None = None,
    progress: Progress = SILENT,
) -> pl.DataFrame:
    """Score the variants of a VCF, a BCF or a table.

    Parameters
    ----------
    model
        From :func:`encre.load`.
    variants
        VCF or BCF (plain, gzip, bgzip), or CSV, TSV, Parquet with columns chrom, pos (1-based), ref, alt; with
        ``options.saturate`` a BED.
    genome
        An open genome, or the FASTA or 2bit file of GRCh38.
    options
        Windows, background and policies; the defaults of :class:`VariantOptions` when None.

    Returns
    -------
    pl.DataFrame
        One row an alternative allele, in the order of the file: ``chrom``, ``pos`` (1-based), ``id``, ``ref``,
        ``alt``, ``kind`` (SNV, MNV, insertion, deletion, delins), ``reason`` (why it is not scored; null when it is),
        ``n_share`` (of its window), and by task ``logit_ref_``, ``logit_alt_``, ``delta_logit_``,
        ``delta_probability_`` (calibrated; null where the model has no calibration), ``p_`` and ``q_``.

    Raises
    ------
    FormatError, AssemblyMismatchError, IntervalError, UnknownChromosomeError
        Naming file, line and allele, when it cannot be scored or REF is not the genome's.
    """
    opened = open_genome(genome, assembly="GRCh38", why=f"the variants of {variants}", progress=progress)
    found = score(model, variants, opened, options=options or VariantOptions(), progress=progress)
    return found.table.drop("line", "record", "allele", "genome")


def score(
    model: Predictor, path: str | Path, genome: Genome, *, options: VariantOptions, progress: Progress = SILENT
) -> VariantScores:
    """As :func:`score_variants`, with what is needed to write the result."""
    width = model.window
    windows = options.windows(width)
    if options.saturate:
        source = read_saturation(path, genome, width=width, region=options.interval)
    else:
        source = read_variants(path, genome, region=options.interval)
    checked = check_variants(
        source,
        genome,
        width=width,
        skip_mismatched=options.skip_mismatched,
        skip_unsupported=options.skip_unsupported,
    )
    begin = centred(checked.changes, width) if source.window is None else source.window[checked.scored]
    background = None
    if options.background and not options.saturate and len(begin):
        background = draw_background(
            checked.changes, genome, begin=begin, width=width, count=options.background, seed=options.seed
        )
    logits, null = _logits(
        model,
        genome,
        checked.changes,
        begin=begin,
        background=background,
        windows=windows,
        progress=progress,
    )
    groups = groups_of(checked.changes, genome)
    p = np.full(logits.reference.shape, np.nan)
    if background is not None:
        p = p_values(_delta(logits), groups, null=_delta(null), null_group=background.group)
    elif options.background:
        p = p_values(_delta(logits), groups, null=_delta(logits), null_group=groups, among_own=True)
    shares = _n_share(genome, checked.changes, begin, width)
    columns = _columns(model, logits, p=p if options.background else None, n_share=shares)
    table = _with_columns(checked, columns)
    counts = _counts(checked, source, groups=groups, background=background, n_share=shares)
    summary = {"window": width, "how": asdict(options), "p_values": options.background > 0, **counts}
    return VariantScores(table, source, model.name, summary)


def _delta(logits: Logits) -> np.ndarray:
    return logits.alternative - logits.reference


def _logits(
    model: Predictor,
    genome: Genome,
    changes: Changes,
    *,
    begin: np.ndarray,
    background: Background | None,
    windows: Windows,
    progress: Progress,
) -> tuple[Logits, Logits]:
    """Logits of the file's changes (P, K) and of the random ones (M, K), which share the windows of the former."""
    own = len(begin)
    if background is not None:
        changes = Changes.joined([changes, background.changes])
        owner = np.concatenate([np.arange(own), background.owner])
        begin = begin[owner]
        order = np.argsort(owner, kind="stable")
    else:
        order = np.arange(own)
    found = score_changes(
        model.model, genome, changes=changes.take(order), begin=begin[order], windows=windows, progress=progress
    )
    back = np.argsort(order, kind="stable")
    reference, alternative = found.reference[back], found.alternative[back]
    return Logits(reference[:own], alternative[:own]), Logits(reference[own:], alternative[own:])


def _n_share(genome: Genome, changes: Changes, begin: np.ndarray, width: int) -> np.ndarray:
    """Share of each window (P,) that is N or lies off the chromosome."""
    limit = np.array(list(genome.lengths.values()))[changes.chrom]
    off = width - (np.minimum(begin + width, limit) - np.maximum(begin, 0))
    return (genome.composition(names_of(changes.chrom, genome), begin, begin + width).unknown + off) / width


def _columns(model: Predictor, logits: Logits, *, p: np.ndarray | None, n_share: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the scored alleles, in order."""
    columns: dict[str, np.ndarray] = {"n_share": n_share}
    delta = _delta(logits)
    change = model.probabilities(logits.alternative) - model.probabilities(logits.reference)
    q = None if p is None else q_values(p)
    for task, name in enumerate(model.tasks.names):
        columns[f"logit_ref_{name}"] = logits.reference[:, task]
        columns[f"logit_alt_{name}"] = logits.alternative[:, task]
        columns[f"delta_logit_{name}"] = delta[:, task]
        if name in model.classified:
            columns[f"delta_probability_{name}"] = change[:, task]
        if p is not None and q is not None:
            columns[f"p_{name}"], columns[f"q_{name}"] = p[:, task], q[:, task]
    return columns


def _with_columns(checked: Checked, columns: dict[str, np.ndarray]) -> pl.DataFrame:
    """All alleles; those that were not scored have null."""
    names = pl.Series("kind", list(KINDS)).gather(checked.changes.kind)
    numbers = {name: pl.Series(values, dtype=pl.Float32).fill_nan(None) for name, values in columns.items()}
    scored = pl.DataFrame({"kind": names, **numbers})
    at = np.full(checked.table.height, -1)
    at[checked.scored] = np.arange(len(checked.scored))
    rows = pl.Series(at).replace(-1, None)
    fixed = checked.table.select("line", "record", "allele", "chrom", "pos", "id", "ref", "alt", "reason", "genome")
    whole = pl.concat([fixed, scored.select(pl.all().gather(rows))], how="horizontal")
    first = ["line", "record", "allele", "chrom", "pos", "id", "ref", "alt", "kind", "reason", "genome"]
    return whole.select(*first, pl.exclude(first))


def _counts(
    checked: Checked, source: VariantSource, *, groups: np.ndarray, background: Background | None, n_share: np.ndarray
) -> dict[str, Any]:
    counts = np.bincount(checked.changes.kind, minlength=len(KINDS))
    records = source.table["record"].n_unique()
    several = source.table.filter(pl.col("allele") > 1)["record"].n_unique()
    found: dict[str, Any] = {
        "records": records,
        "alleles": source.table.height,
        "multi_allelic_records": several,
        "scored": len(checked.scored),
        "kinds": {name: int(count) for name, count in zip(KINDS, counts, strict=True) if count},
        "not_scored": checked.reasons,
        "windows_with_n": int((n_share > 0).sum()),
    }
    if source.window is not None:
        found["bases_without_variant"] = source.unknown
    if background is not None:
        found["background"] = {
            name_of_group(group): {
                "variants": int((groups == group).sum()),
                "random": int((mine := background.group == group).sum()),
                "same_trinucleotide": int(background.matched[mine].sum()) if group < 6 else None,
            }
            for group in np.unique(groups).tolist()
        }
    return found
