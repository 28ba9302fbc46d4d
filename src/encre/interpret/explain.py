"""From records to a folder: arrays for modisco, bigWigs, tables, logos, and what the errors were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from encre.files import refuse_occupied, staged_folder, write_json
from encre.interpret.arrays import hypothetical_array, sequence_array, task_folder, write_npz
from encre.interpret.attribution import Attributions, attribute_scored, refuse_unconverged, score_first
from encre.interpret.logos import check_logos, check_region, draw_logos, in_region, strongest
from encre.interpret.places import base_table, places_of, window_table, write_bigwig
from encre.interpret.settings import AttributionSettings, check_method
from encre.interpret.windows import windows_of
from encre.predict.outputs import write_table
from encre.predict.scores import Scores
from encre.progress import SILENT, Progress
from encre.reproducibility import provenance

if TYPE_CHECKING:
    from encre.genome.store import Genome
    from encre.predict.inputs import Records
    from encre.predict.predictor import Predictor


@dataclass(frozen=True)
class Explanation:
    """What is asked for.

    Parameters
    ----------
    settings
        The method and its settings.
    tasks
        Names; empty for all of the model's.
    logos
        Draw the windows that contribute most to each task, this many.
    logo_regions
        Draw these as well: 1-based inclusive, on a chromosome or ``NAME:first-last`` in a sequence.
    skip_unconverged, skip_unscorable
        List such rows apart rather than refuse all.
    """

    settings: AttributionSettings = field(default_factory=AttributionSettings)
    tasks: Sequence[str] = ()
    logos: int = 0
    logo_regions: Sequence[str] = ()
    skip_unconverged: bool = False
    skip_unscorable: bool = False

    def check(self, model: Predictor, out: str | Path) -> None:
        """Refuse what cannot be done before anything is computed."""
        refuse_occupied(out)
        for name in self.tasks:
            model.tasks.index(name)
        check_method(model.model, self.settings.method)
        for region in self.logo_regions:
            check_region(region)
        if self.logos or self.logo_regions:
            check_logos()


def explain(
    model: Predictor,
    records: Records,
    out: str | Path,
    *,
    asked: Explanation | None = None,
    genome: Genome | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Write a folder of contributions.

    Parameters
    ----------
    model
        From :func:`encre.load`.
    records
        From :func:`encre.predict.inputs.read_inputs`.
    out
        A new or empty folder. Of one task its files lie in it, of several in a folder a task.
    asked
        Method, tasks, logos.
    genome
        Where records with coordinates are from: a bigWig is written when it is given.

    Returns
    -------
    dict
        What ``explain.json`` holds.

    Raises
    ------
    ConfigError, ConvergenceError, SequenceError, FolderError
        See :func:`encre.interpret.attribution.attribute`; the folder then is not made.
    """
    asked = asked or Explanation()
    asked.check(model, out)
    scores = score_first(model, records, skip_unscorable=asked.skip_unscorable, progress=progress)
    places = places_of(scores.records, windows_of(scores.records, model.window)[0])
    for region in asked.logo_regions:
        places.find(region)
    found = attribute_scored(model, scores, asked.settings, tasks=asked.tasks, progress=progress)
    apart = found.unconverged
    if len(apart) and (not asked.skip_unconverged or len(apart) == len(found)):
        refuse_unconverged(found)
    kept, left = found.take(np.setdiff1d(np.arange(len(found)), apart)), found.take(apart)
    summary = _summary(kept, left, scores=scores, model=model)
    with staged_folder(out) as staged:
        summary["files"] = _write(staged, kept, left, asked=asked, genome=genome, unscorable=scores.unscorable)
        write_json(staged / "explain.json", summary)
    return summary


def _write(
    folder: Path,
    kept: Attributions,
    left: Attributions,
    *,
    asked: Explanation,
    genome: Genome | None,
    unscorable: pl.DataFrame,
) -> list[str]:
    write_npz(folder / "ohe.npz", sequence_array(kept))
    write_table(window_table(kept), folder / "windows.tsv")
    write_table(base_table(kept), folder / "contributions.parquet")
    if len(left):
        write_table(window_table(left), folder / "unconverged.tsv")
    if unscorable.height:
        write_table(unscorable, folder / "unscorable.tsv")
    for task, name in enumerate(kept.tasks):
        here = folder if len(kept.tasks) == 1 else task_folder(folder, name)
        write_npz(here / "shap.npz", hypothetical_array(kept, task))
        if genome is not None and kept.records.chrom is not None:
            write_bigwig(here / "contributions.bw", kept, task=task, genome=genome)
        stretches = [in_region(kept, task, region) for region in asked.logo_regions]
        stretches += strongest(kept, task, asked.logos)
        if stretches:
            draw_logos(here / "logos", kept, stretches)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _summary(kept: Attributions, left: Attributions, *, scores: Scores, model: Predictor) -> dict[str, Any]:
    settings = kept.settings
    errors = {
        name: {"median": float(np.median(kept.error[:, k])), "max": float(kept.error[:, k].max())}
        for k, name in enumerate(kept.tasks)
        if settings.reference_name
    }
    return {
        "model": model.describe(with_path=False),
        "method": settings.method,
        "settings": asdict(settings),
        "reference": settings.reference_words,
        "tasks": list(kept.tasks),
        "rows": scores.counts.scored,
        "windows": len(kept),
        "left_out": {
            "unscorable": scores.unscorable.height,
            "unconverged": len(left),
            "only_n": kept.all_n,
        },
        "unshuffled": kept.unshuffled,
        "limit": settings.largest_error,
        "completeness_error": errors,
        "local_deviation": kept.deviation,
        "words": error_words(kept, left),
        "provenance": provenance(),
    }


def error_words(kept: Attributions, left: Attributions) -> list[str]:
    """What there is to say of errors and of what was left out, a sentence each."""
    settings, kind = kept.settings, kept.settings.kind
    if settings.method == "ism":
        said = [
            "Completeness does not apply to in silico mutagenesis: each base is measured by itself. Recomputing only "
            f"what a base reaches lies within {kept.deviation:.1g} of scoring mutants whole (random substitutions)."
        ]
    else:
        limit = settings.largest_error
        against = f"f(x) - f(reference); reference: {settings.reference_words}"
        promise = f"limit {limit:g} of the difference" if limit else f"{kind.title} promises no completeness"
        said = [f"Completeness error: |sum of contributions - difference|, difference = {against}; {promise}."]
        said += [
            f"{name}: median {np.median(kept.error[:, k]):.2g}, max {kept.error[:, k].max():.2g} "
            f"(median |difference| {np.median(np.abs(kept.difference[:, k])):.2g})"
            for k, name in enumerate(kept.tasks)
        ]
    if len(left):
        said.append(f"{len(left):,} of {len(kept) + len(left):,} windows did not converge: in unconverged.tsv alone.")
    if kept.all_n:
        said.append(f"{kept.all_n:,} windows of longer sequences hold only N and were left out.")
    if kept.unshuffled:
        said.append(
            f"Of {kept.unshuffled:,} windows a shuffle is the window itself (too simple to shuffle): against it "
            "nothing contributes."
        )
    return said
