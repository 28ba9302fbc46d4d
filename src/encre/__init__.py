"""encre: ENhancers from Cis-Regulatory Elements.

registry + genome + tissue files -> element table -> dataset folder -> batch -> logits -> loss
                                                                     -> predictions -> evaluation -> report

Names are loaded when they are first used, so ``import encre`` is quick and never loads torch by itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "Interval": "encre.genome.intervals",
    "Genome": "encre.genome.store",
    "Task": "encre.tasks",
    "TaskSet": "encre.tasks",
    "screen_tasks": "encre.tasks",
    "DatasetConfig": "encre.data.build",
    "build_dataset": "encre.data.build",
    "Dataset": "encre.data.dataset",
    "CNNConfig": "encre.models.cnn",
    "CNNLSTMConfig": "encre.models.cnn_lstm",
    "TransformerConfig": "encre.models.transformer",
    "ResidualConfig": "encre.models.residual",
    "EquivariantConfig": "encre.models.equivariant",
    "HybridConfig": "encre.models.hybrid",
    "DilatedConfig": "encre.models.dilated",
    "LongformerConfig": "encre.models.longformer",
    "PerformerConfig": "encre.models.performer",
    "LanguageModelConfig": "encre.models.language_model",
    "build_model": "encre.models.model",
    "TrainConfig": "encre.train.settings",
    "fit": "encre.train.loop",
    "evaluate": "encre.train.assess",
    "compare": "encre.train.assess",
    "join_runs": "encre.models.joining",
    "tune": "encre.train.tuning",
    "TuneConfig": "encre.train.space",
    "load": "encre.predict.predictor",
    "predict_regions": "encre.predict.regions",
    "score_variants": "encre.predict.variants.effects",
    "VariantOptions": "encre.predict.variants.effects",
    "scan": "encre.predict.scan.scanning",
    "ScanConfig": "encre.predict.scan.scanning",
    "attribute": "encre.interpret.attribution",
    "AttributionSettings": "encre.interpret.settings",
    "saturation_mutagenesis": "encre.interpret.mutagenesis",
    "design": "encre.interpret.design.designs",
    "write_report": "encre.report.html",
    "EncreError": "encre.errors",
}

if TYPE_CHECKING:
    from encre.data.build import DatasetConfig as DatasetConfig
    from encre.data.build import build_dataset as build_dataset
    from encre.data.dataset import Dataset as Dataset
    from encre.errors import EncreError as EncreError
    from encre.genome.intervals import Interval as Interval
    from encre.genome.store import Genome as Genome
    from encre.interpret.attribution import attribute as attribute
    from encre.interpret.design.designs import design as design
    from encre.interpret.mutagenesis import saturation_mutagenesis as saturation_mutagenesis
    from encre.interpret.settings import AttributionSettings as AttributionSettings
    from encre.models.cnn import CNNConfig as CNNConfig
    from encre.models.cnn_lstm import CNNLSTMConfig as CNNLSTMConfig
    from encre.models.dilated import DilatedConfig as DilatedConfig
    from encre.models.equivariant import EquivariantConfig as EquivariantConfig
    from encre.models.hybrid import HybridConfig as HybridConfig
    from encre.models.joining import join_runs as join_runs
    from encre.models.language_model import LanguageModelConfig as LanguageModelConfig
    from encre.models.longformer import LongformerConfig as LongformerConfig
    from encre.models.model import build_model as build_model
    from encre.models.performer import PerformerConfig as PerformerConfig
    from encre.models.residual import ResidualConfig as ResidualConfig
    from encre.models.transformer import TransformerConfig as TransformerConfig
    from encre.predict.predictor import load as load
    from encre.predict.regions import predict_regions as predict_regions
    from encre.predict.scan.scanning import ScanConfig as ScanConfig
    from encre.predict.scan.scanning import scan as scan
    from encre.predict.variants.effects import VariantOptions as VariantOptions
    from encre.predict.variants.effects import score_variants as score_variants
    from encre.report.html import write_report as write_report
    from encre.tasks import Task as Task
    from encre.tasks import TaskSet as TaskSet
    from encre.tasks import screen_tasks as screen_tasks
    from encre.train.assess import compare as compare
    from encre.train.assess import evaluate as evaluate
    from encre.train.loop import fit as fit
    from encre.train.settings import TrainConfig as TrainConfig
    from encre.train.space import TuneConfig as TuneConfig
    from encre.train.tuning import tune as tune


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from encre.reproducibility import version

        return version()
    if name not in _HOME:
        raise AttributeError(f"module 'encre' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*_HOME, "__version__"]
