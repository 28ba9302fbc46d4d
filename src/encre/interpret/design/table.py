"""The table of designs: what the model and the judges say of each design and of its start, ranked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from encre.interpret.design.constraints import IS_GC
from encre.interpret.design.search import Design, closest
from encre.interpret.design.starts import Starts
from encre.interpret.design.target import Objective
from encre.predict.inputs import Records
from encre.sequence.alphabet import decode
from encre.sequence.flat import offsets_of

if TYPE_CHECKING:
    from encre.predict.predictor import Predictor


def design_table(
    designs: Sequence[Design], starts: Starts, objective: Objective, model: Predictor, judges: dict[str, Predictor]
) -> pl.DataFrame:
    """A row a design, the best first.

    Returns
    -------
    pl.DataFrame
        ``name`` (by rank), ``start`` and, where it is known, ``chrom``, ``start_position``, ``end_position``
        (0-based half-open), ``length``, ``score``, ``start_score``, ``gain``; with judges ``judges_worst``,
        ``judges_worst_gain`` and for each ``score_<judge>``, ``start_score_<judge>``; ``edits``, ``gc``,
        ``start_gc``, ``closest`` (fewest substitutions to another design of its length, on either strand);
        ``logit_<task>``, ``probability_<task>`` and ``percentile_<task>`` of the own model where it has them, and
        ``start_logit_<task>``;
        ``changes`` (0-based position, base of the start and of the design: ``12A>T``), ``sequence``,
        ``start_sequence`` and ``search``, the design's place among those that were found.

        Ranked by the judges' worst score, or by the own score when there is no judge.
    """
    texts = [decode(design.codes) for design in designs]
    begun = [starts.codes[design.start] for design in designs]
    own, before = _predict(model, [d.codes for d in designs]), _predict(model, begun)
    score, start_score = (_scores(frame, objective, model) for frame in (own, before))
    columns: dict[str, Any] = {"start": [starts.names[design.start] for design in designs]}
    columns |= _places([starts.place[design.start] for design in designs])
    columns |= {"length": [len(text) for text in texts]}
    columns |= {"score": score, "start_score": start_score, "gain": score - start_score}
    columns |= _judged(designs, begun, objective, judges)
    columns |= {
        "edits": [int((d.codes != start).sum()) for d, start in zip(designs, begun, strict=True)],
        "gc": [float(IS_GC[d.codes].mean()) for d in designs],
        "start_gc": [float(IS_GC[start].mean()) for start in begun],
        "closest": [closest(d.codes, [o.codes for o in designs if o is not d]) for d in designs],
    }
    said = [c for c in own.columns if c.split("_")[0] in ("logit", "probability", "percentile")]
    columns |= {name: own[name] for name in said if own[name].null_count() < own.height}
    columns |= {f"start_{name}": before[name] for name in said if name.startswith("logit_")}
    columns |= {
        "changes": [_changes(d.codes, start) for d, start in zip(designs, begun, strict=True)],
        "sequence": texts,
        "start_sequence": [decode(start) for start in begun],
        "search": np.arange(len(designs)),
    }
    table = pl.DataFrame(columns).sort("judges_worst" if judges else "score", descending=True, maintain_order=True)
    return table.select(pl.format("design_{}", pl.int_range(1, pl.len() + 1)).alias("name"), pl.all())


def _predict(model: Predictor, codes: Sequence[np.ndarray]) -> pl.DataFrame:
    offsets = offsets_of(np.array([len(c) for c in codes], np.int64))
    return model.predict(Records([str(i) for i in range(len(codes))], np.concatenate(codes), offsets))


def _scores(frame: pl.DataFrame, objective: Objective, model: Predictor) -> np.ndarray:
    logits = frame.select(f"logit_{name}" for name in model.tasks.names).to_numpy().astype(np.float64)
    return objective.score(logits, model.tasks)


def _judged(
    designs: Sequence[Design], begun: Sequence[np.ndarray], objective: Objective, judges: dict[str, Predictor]
) -> dict[str, np.ndarray]:
    """The worst score and gain over the judges, and each judge's own."""
    if not judges:
        return {}
    columns: dict[str, np.ndarray] = {}
    for name, judge in judges.items():
        columns[f"score_{name}"] = _scores(_predict(judge, [d.codes for d in designs]), objective, judge)
        columns[f"start_score_{name}"] = _scores(_predict(judge, begun), objective, judge)
    score = np.array([columns[f"score_{name}"] for name in judges])
    gain = score - np.array([columns[f"start_score_{name}"] for name in judges])
    return {"judges_worst": score.min(axis=0), "judges_worst_gain": gain.min(axis=0)} | columns


def _places(places: Sequence[tuple[str, int, int] | None]) -> dict[str, list[Any]]:
    if any(place is None for place in places):
        return {}
    chrom, start, end = zip(*[place for place in places if place], strict=True)
    return {"chrom": list(chrom), "start_position": list(start), "end_position": list(end)}


def _changes(codes: np.ndarray, start: np.ndarray) -> str:
    design, before = decode(codes), decode(start)
    return " ".join(f"{at}{before[at]}>{design[at]}" for at in np.flatnonzero(codes != start))
