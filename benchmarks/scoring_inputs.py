"""What every side of ``scoring.py`` computes on: one network, its run folder, a synthetic chromosome, variants.

The network is the one that ``peers/network.py`` builds from plain modules: one-hot, convolutions of width 15, 5 and 5
with 64, 128 and 128 features, pooled by 4 and by 2, the maximum over positions, ten tasks; 128,330 parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import encre
from encre.models.checkpoint import save_model
from encre.models.model import EnhancerModel
from encre.models.substitution import Substitutions, substituted_logits
from encre.sequence.alphabet import decode, encode_many

WINDOW = 512
CNN = encre.CNNConfig(input="one_hot", channels=(64, 128, 128), kernel_sizes=(15, 5, 5), pools=(4, 2, 1))
CHR22 = 50_818_468


def network(config: encre.CNNConfig | encre.CNNLSTMConfig | encre.TransformerConfig = CNN) -> EnhancerModel:
    """Random weights; logits lie about 0 and differ between sequences by a fifth of what their vectors do."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = encre.build_model(config, tasks=encre.screen_tasks()).eval()
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, torch.nn.Conv2d):
                    torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            vectors = model.embed(torch.randint(0, 4, (64, 350), dtype=torch.uint8), torch.full((64,), 350))
            usual = torch.nn.functional.normalize(vectors.mean(0), dim=0)
            spread = model.read(vectors).std(0).mean() / (0.2 * vectors.std(0).norm())
            for head in model.heads.values():
                head.weight.sub_(torch.outer(head.weight @ usual, usual)).div_(spread)  # pyright: ignore
                head.bias.zero_()  # pyright: ignore
    return model


def write_plain(model: EnhancerModel, path: Path) -> Path:
    """The CNN's weights as arrays: ``weight0`` (D, C, width), ``bias0``, … ``weight`` (K, D), ``bias``, ``pools``."""
    arrays = {"pools": np.array(CNN.pools)}
    for layer, block in enumerate(model.trunk.blocks):  # pyright: ignore
        arrays |= {f"weight{layer}": block.conv.weight.detach().squeeze(2), f"bias{layer}": block.conv.bias.detach()}
    weight, bias = model.heads.matrix()
    arrays |= {"weight": weight.detach(), "bias": bias.detach()}
    np.savez(path, **{name: np.ascontiguousarray(array) for name, array in arrays.items()})
    return path


def write_run(model: EnhancerModel, folder: Path) -> Path:
    """A run folder of fixed windows, calibrated (temperature 1)."""
    names = list(model.tasks.names)
    calibration = {
        "temperatures": dict.fromkeys(names, 1.0),
        "biases": dict.fromkeys(names, 0.0),
        "thresholds": dict.fromkeys(names, 0.5),
        "fitted_on": "valid",
        "n": dict.fromkeys(names, 100),
        "reasons": {},
    }
    sequence = {"mode": "window", "width": WINDOW, "jitter": 0, "min_length": WINDOW, "max_length": WINDOW}
    manifest = {"sequence": sequence, "dataset": {"name": "synthetic", "digest": "0" * 64, "path": ""}}
    return save_model(folder, model, manifest=manifest, calibration=calibration)


def random_codes(*shape: int, seed: int = 0) -> np.ndarray:
    """Random bases."""
    return np.random.default_rng(seed).integers(0, 4, shape, np.uint8)


def like_chr22(length: int) -> np.ndarray:
    """A chromosome whose N lie as chr22's do: the first fifth, 10 kb at the end, and some gaps between."""
    codes = random_codes(length, seed=22)
    codes[: int(length * 10_510_000 / CHR22)] = 4
    codes[-min(10_000, length // 100) :] = 4
    for at, size in (
        (0.224, 100_000),
        (0.25, 50_000),
        (0.27, 50_000),
        (0.32, 50_000),
        (0.37, 50_000),
        (0.61, 50_000),
    ):
        codes[int(at * length) : int(at * length) + min(size, length // 100)] = 4
    return codes


def write_fasta(codes: np.ndarray, path: Path, *, name: str = "chr22") -> Path:
    """One chromosome, 60 bases a line."""
    text = np.frombuffer(b"ACGTN", np.uint8)[codes]
    whole = len(text) // 60 * 60
    lines = np.full((whole // 60, 61), ord("\n"), np.uint8)
    lines[:, :60] = text[:whole].reshape(-1, 60)
    with path.open("wb") as handle:
        handle.write(f">{name}\n".encode())
        handle.write(lines.tobytes())
        handle.write(text[whole:].tobytes() + b"\n")
    return path


class Variants(NamedTuple):
    """M variants of a chromosome: 0-based positions (as VCF anchors them), REF and ALT."""

    position: np.ndarray
    ref: list[str]
    alt: list[str]

    @property
    def snv(self) -> np.ndarray:
        """(M,) which are substitutions of one base."""
        return np.array([len(r) == len(a) == 1 for r, a in zip(self.ref, self.alt, strict=True)])

    def take(self, chosen: np.ndarray) -> Variants:
        """Some of them, (M,) bool."""
        rows = np.flatnonzero(chosen).tolist()
        return Variants(self.position[chosen], [self.ref[i] for i in rows], [self.alt[i] for i in rows])


def variants_on(codes: np.ndarray, count: int, *, seed: int = 1) -> Variants:
    """Nine in ten substitutions, the rest insertions and deletions of some 1 to 10 bases; sorted, away from N.

    What is inserted or deleted ends with another base than stands before it, so that there is one way to write it.
    """
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(codes < 4)
    inner = known[(known > 2 * WINDOW) & (known < len(codes) - 2 * WINDOW)]
    position = np.sort(rng.choice(inner, count, replace=False))
    ref, alt = [], []
    for row, at in enumerate(position.tolist()):
        base, other = decode(codes[at : at + 1]), decode((codes[at : at + 1] + rng.integers(1, 4, 1, np.uint8)) % 4)
        size = int(rng.integers(1, 11))
        if row % 10:
            ref.append(base)
            alt.append(other)
        elif row % 20:
            ref.append(base)
            alt.append(base + decode(rng.integers(0, 4, size - 1, np.uint8)) + other)
        else:
            while codes[at + size] == codes[at]:
                size += 1
            ref.append(decode(codes[at : at + size + 1]))
            alt.append(base)
    return Variants(position, ref, alt)


def write_vcf(found: Variants, path: Path, *, chrom: str, length: int) -> Path:
    """A VCF 4.2 of the variants."""
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    head = f"##fileformat=VCFv4.2\n##contig=<ID={chrom},length={length}>\n{columns}\n"
    rows = zip(found.position.tolist(), found.ref, found.alt, strict=True)
    lines = (f"{chrom}\t{at + 1}\t.\t{ref}\t{alt}\t.\t.\t.\n" for at, ref, alt in rows)
    path.write_text(head + "".join(lines))
    return path


# ------------------------------------------------------------------------------------- what peers are handed


def by_kind(found: Variants) -> np.ndarray:
    """The order of :func:`tangermeme_windows`: substitutions, deletions, insertions."""
    grown = np.array([len(alt) - len(ref) for ref, alt in zip(found.ref, found.alt, strict=True)])
    return np.concatenate([np.flatnonzero(kind) for kind in (grown == 0, grown < 0, grown > 0)])


def tangermeme_windows(codes: np.ndarray, found: Variants) -> dict[str, np.ndarray]:
    """Windows around the middle of each variant (codes) and the variants in tangermeme's form, both anchors.

    A deletion's windows reach as far as the longest deletion over the end that is cut off.
    """
    size = {"ref": np.array([len(text) for text in found.ref]), "alt": np.array([len(text) for text in found.alt])}
    gone, added = size["ref"] - 1, size["alt"] - 1
    snv, deleted, inserted = (gone + added == 0), gone > 0, added > 0
    at, longest = found.position, int(gone.max())
    alt = encode_many(["".join(text[-1] for text in found.alt)])[0]
    middle = at + 1 + gone // 2 - WINDOW // 2  # of the bases that go, which follow the anchor base

    def windows(begin: np.ndarray, width: int = WINDOW) -> np.ndarray:
        return codes[begin[:, None] + np.arange(width)]

    def each(rows: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        owner = np.repeat(np.arange(len(rows)), counts)
        return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)

    begin = at[snv] - WINDOW // 2
    rows = np.arange(len(begin))
    given = {
        "substituted": windows(begin),
        "substitutions": np.stack([rows, np.full(len(rows), WINDOW // 2), alt[snv]], axis=1).astype(np.int64),
    }
    begin = middle[deleted]
    owner, step = each(begin, gone[deleted])
    place = (at[deleted] + 1 - begin)[owner] + step
    given |= {
        "deleted_left": windows(begin, WINDOW + longest),
        "deletions_left": np.stack([owner, place], axis=1),
        "deleted_right": windows(begin - longest, WINDOW + longest),
        "deletions_right": np.stack([owner, place + longest], axis=1),
    }
    begin = at[inserted] + 1 - WINDOW // 2
    texts = [text[1:][::-1] for text, new in zip(found.alt, inserted, strict=True) if new]  # it wants the last first
    owner, _ = each(begin, added[inserted])
    letters = encode_many(["".join(texts)])[0]
    given["inserted"] = windows(begin)
    given["insertions"] = np.stack([owner, np.full(len(owner), WINDOW // 2), letters], axis=1).astype(np.int64)
    return given


def write_grelu_table(found: Variants, path: Path) -> Path:
    """chrom, pos (1-based), ref, alt."""
    rows = zip(found.position.tolist(), found.ref, found.alt, strict=True)
    path.write_text("chrom\tpos\tref\talt\n" + "".join(f"chr1\t{at + 1}\t{ref}\t{alt}\n" for at, ref, alt in rows))
    return path


def write_sizes(fasta: Path, name: str, length: int) -> None:
    """The sizes file that gReLU wants beside a FASTA."""
    fasta.with_name(f"{fasta.name}.sizes").write_text(f"{name}\t{length}\n")


def at_grelu_place(model: EnhancerModel, codes: np.ndarray, found: Variants) -> np.ndarray:
    """Effects (M, K) in gReLU's windows, where the variant stands a base further left than in ours."""
    place = WINDOW // 2 - 1
    windows = codes[found.position[:, None] - place + np.arange(WINDOW)]
    rows, alt = np.arange(len(windows)), encode_many(["".join(found.alt)])[0]
    changes = Substitutions(rows, np.full(len(rows), place), alt[:, None])
    before, after = substituted_logits(model, windows, changes, both_strands=False)
    return after - before
