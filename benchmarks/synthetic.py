"""A synthetic registry, genome and tissue files in SCREEN's own forms, of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLASSES = np.array(["PLS", "pELS", "dELS", "CA-CTCF", "CA-H3K4me3", "CA-TF", "CA", "TF"])
SHARES = np.array([47_532, 249_464, 1_469_205, 126_034, 79_246, 26_102, 245_985, 105_286]) / 2_348_854
CHROMOSOMES = ("chr1", "chr2", "chr3", "chr5", "chr6", "chr21", "chr22")
TISSUES = ("brain", "blood", "muscle", "skin", "lung", "embryo", "large_intestine", "heart", "kidney")


def make(folder: Path, elements: int, *, seed: int = 0) -> Path:
    """Write ``genome.fa``, ``registry.bed``, a file a tissue and ``dataset.toml``; returns the config.

    Elements are 150-350 bp, about one per kilobase, on seven chromosomes; classes in the shares of V4.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    each = -(-elements // len(CHROMOSOMES))
    size = each * 1000
    with (folder / "genome.fa").open("wb") as handle:
        for name in CHROMOSOMES:
            letters = np.frombuffer(b"ACGTacgt", np.uint8)[rng.integers(0, 8, size)]
            lines = np.full((-(-size // 60), 61), ord("\n"), np.uint8)
            lines[:, :60] = np.resize(letters, (len(lines), 60))
            handle.write(f">{name}\n".encode() + lines.tobytes())
    chrom = np.repeat(CHROMOSOMES, each)[:elements]
    start = np.tile(np.arange(each) * 1000, len(CHROMOSOMES))[:elements] + rng.integers(0, 600, elements)
    end = start + rng.integers(150, 351, elements)
    classes = rng.choice(CLASSES, elements, p=SHARES)
    rows = list(zip(chrom, start.tolist(), end.tolist(), classes, strict=True))
    with (folder / "registry.bed").open("w") as handle:
        handle.writelines(f"{c}\t{s}\t{e}\tEH38D{i:07d}\tEH38E{i:07d}\t{k}\n" for i, (c, s, e, k) in enumerate(rows))
    for tissue in TISSUES:
        active = rng.random(elements) < 0.3
        with (folder / f"{tissue}.bed").open("w") as handle:
            for i, ((c, s, e, k), on) in enumerate(zip(rows, active.tolist(), strict=True)):
                here = ("CA-only" if k == "CA" else k) if on and k != "TF" else "Low-DNase"
                handle.write(
                    f"{c}\t{s}\t{e}\tEH38E{i:07d}\t0\t.\t{s}\t{e}\t225,225,225\t{here}\tAggregated-Samples\n"
                )
    config = folder / "dataset.toml"
    tissues = "\n".join(f'{tissue} = "{tissue}.bed"' for tissue in TISSUES)
    config.write_text(
        '[source]\nkind = "screen"\nregistry = "registry.bed"\ngenome = "genome.fa"\nassembly = "custom:synthetic"\n'
        f'[source.tissues]\n{tissues}\n[split]\nby = "chromosome"\ntest = ["chr22"]\nvalid = ["chr21"]\n'
    )
    return config
