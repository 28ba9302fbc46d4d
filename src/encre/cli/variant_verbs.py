"""`encre variants`: score the variants of a VCF or table, or every base of a BED."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encre.cli.session import EPILOG, Session, session_of

if TYPE_CHECKING:
    from encre.genome.store import Genome
    from encre.predict.predictor import Predictor
    from encre.predict.variants.effects import VariantScores


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(epilog=EPILOG)(variants)


def variants(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="VCF, BCF, or a table with chrom, pos, ref, alt.")],
    *,
    genome: Annotated[Path, typer.Option(metavar="FA", help="Genome (FASTA or 2bit).")],
    model: Annotated[str | None, typer.Option(metavar="RUN", help="Run folder; the shipped model if absent.")] = None,
    assembly: Annotated[str, typer.Option(help="What the genome is said to be.")] = "GRCh38",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=".vcf, .vcf.gz, .bcf, .tsv, .csv, .parquet; else TSV on stdout."),
    ] = None,
    saturate: Annotated[
        bool, typer.Option("--saturate", help="FILE is a BED: score every SNV of its bases.")
    ] = False,
    region: Annotated[str | None, typer.Option(metavar="CHR:A-B", help="1-based; uses an index if there is.")] = None,
    shifts: Annotated[int, typer.Option(help="Windows moved to each side, beside the centred one.")] = 0,
    shift_step: Annotated[int, typer.Option(help="Bases between them.")] = 10,
    combine: Annotated[str, typer.Option(help="Over shifts: mean, or max (the largest absolute delta).")] = "mean",
    background: Annotated[int, typer.Option(help="Random changes a kind, for p and q; 0 for none.")] = 1000,
    skip_mismatched: Annotated[bool, typer.Option("--skip-mismatched", help="List wrong REFs apart.")] = False,
    skip_unsupported: Annotated[bool, typer.Option("--skip-unsupported", help="List *, <DEL> … apart.")] = False,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or auto.")] = "fp32",
) -> None:
    """Score variants: logit and calibrated probability of the alternative minus the reference allele.

    p and q compare each effect with random changes of the same kind in the same sequences: small values mean
    unusual among those, not causal.
    """
    from encre.files import open_existing
    from encre.predict.inputs import open_genome
    from encre.predict.predictor import load
    from encre.predict.variants.effects import VariantOptions, score
    from encre.predict.variants.outputs import check_variant_output

    session = session_of(context)
    open_existing(source).close()  # a wrong name is said at once, before torch is loaded
    check_variant_output(out)
    options = VariantOptions(
        saturate=saturate,
        region=region,
        shifts=shifts,
        shift_step=shift_step,
        combine=combine,
        background=background,
        seed=session.seed or 0,
        precision=precision,
        skip_mismatched=skip_mismatched,
        skip_unsupported=skip_unsupported,
    )
    predictor = load(model, device=session.device or "auto")
    for line in predictor.introduction:
        session.say(line)
    opened = open_genome(genome, assembly=assembly, why=f"the variants of {source}", progress=session.progress)
    scores = score(predictor, source, opened, options=options, progress=session.progress)
    for line in scores.words:
        session.say(line)
    _hand_over(session, scores, predictor=predictor, genome=opened, out=out)


def _hand_over(
    session: Session, scores: VariantScores, *, predictor: Predictor, genome: Genome, out: Path | None
) -> None:
    """Write the output file, or put the table on stdout; list apart what was not scored."""
    from encre.predict.outputs import as_text, write_text
    from encre.predict.variants.outputs import for_people, not_scored, write_scores

    summary = {"model": predictor.describe(), **scores.summary, "out": out}
    if out is not None:
        summary["not_scored_file"] = write_scores(scores, out, genome)
        session.show(summary, lambda console: console.print(f"{scores.summary['scored']:,} alleles in {out}"))
        return
    table, apart = for_people(scores), not_scored(scores.table)
    if session.json:
        session.show(summary | {"variants": table.to_dicts(), "apart": apart.to_dicts()}, lambda _: None)
        return
    write_text(table)
    if apart.height:
        typer.echo("Not scored:\n" + as_text(apart).rstrip(), err=True)
