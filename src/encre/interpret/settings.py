"""The methods of attribution: what each reads, which models allow it, and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from encre.errors import ConfigError, EncreError, MissingExtraError, nearest

if TYPE_CHECKING:
    from encre.models.device import Precision
    from encre.models.model import EnhancerModel


class Method(NamedTuple):
    """What is fixed about a method."""

    title: str
    """As messages and figures call it."""
    references: tuple[str, ...]
    """References that it takes; the first is its own choice."""
    shuffles: int
    """How many shuffles a sequence is compared with, unless told."""
    limit: float | None
    """Largest completeness error unless told; None where nothing makes contributions sum to the difference."""


METHODS = {
    "ism": Method("in silico mutagenesis", (), 0, None),
    "gradient_x_input": Method("gradient x input", ("uniform", "zero"), 0, None),
    # The gradient of a network of ReLUs jumps along the path: each halving of the error costs twice the steps.
    "integrated_gradients": Method("integrated gradients", ("uniform", "zero", "shuffle"), 10, 0.01),
    "deeplift": Method("DeepLIFT", ("uniform", "zero", "shuffle"), 1, 0.001),
    "shap": Method("DeepLIFT/SHAP", ("shuffle",), 20, 0.001),
}

REFERENCES = {
    "uniform": "a quarter of each base",
    "zero": "no base (all zeros)",
    "shuffle": "dinucleotide shuffles of the sequence itself",
}


class ConvergenceError(EncreError, ArithmeticError):
    """Contributions do not sum to what they must."""


@dataclass(frozen=True)
class AttributionSettings:
    """How contributions are computed.

    Parameters
    ----------
    method
        A key of :data:`METHODS`.
    reference
        ``"uniform"``, ``"zero"`` or ``"shuffle"``; None for the method's own.
    shuffles
        How many shuffles; None for the method's own number.
    limit
        Largest completeness error, as a share of the difference from the reference (of 1 where that is smaller);
        None for the method's own.
    steps
        Most steps of integrated gradients; they begin at 32 and are doubled.
    seed
        Of the shuffles.
    precision
        Of in silico mutagenesis: ``"fp32"``, ``"bf16"`` or ``"auto"``; the other methods are fp32.

    Raises
    ------
    ConfigError
        When there is no such method, or it takes no such reference.
    """

    method: str = "ism"
    reference: str | None = None
    shuffles: int | None = None
    limit: float | None = None
    steps: int = 4096
    seed: int = 0
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"there is no method '{self.method}'", remedy=nearest(self.method, METHODS))
        if self.precision not in ("fp32", "bf16", "auto"):
            raise ConfigError("a precision is fp32, bf16 or auto", got=f"'{self.precision}'")
        if self.precision != "fp32" and self.method != "ism":
            raise ConfigError(f"{self.kind.title} is computed in fp32", got=f"'{self.precision}'")
        known = self.kind.references
        if self.reference is not None and self.reference not in known:
            raise ConfigError(
                f"{self.kind.title} takes no reference '{self.reference}'",
                remedy=f"Possible: {', '.join(known)}." if known else "Leave --reference out: there is none.",
            )
        if self.shuffles is not None and (self.reference or next(iter(known), "")) != "shuffle":
            raise ConfigError("a number of shuffles goes with the reference 'shuffle'", got=f"{self.shuffles}")
        if self.limit is not None and self.kind.limit is None:
            raise ConfigError(
                f"{self.kind.title} has no limit on its completeness error: nothing makes its contributions sum up",
                remedy=f"A limit goes with {', '.join(n for n, m in METHODS.items() if m.limit is not None)}.",
            )
        if (self.limit is not None and self.limit <= 0) or (self.shuffles is not None and self.shuffles < 1):
            raise ConfigError("the limit and the number of shuffles must be above 0")

    @property
    def kind(self) -> Method:
        """The method."""
        return METHODS[self.method]

    @property
    def largest_error(self) -> float | None:
        """The limit that holds; None where completeness does not apply."""
        return self.limit or self.kind.limit

    @property
    def reference_name(self) -> str | None:
        """The reference that is used; None for in silico mutagenesis."""
        return self.reference or next(iter(self.kind.references), None)

    @property
    def references(self) -> int:
        """References a sequence."""
        if self.reference_name != "shuffle":
            return 1
        return self.shuffles or self.kind.shuffles

    @property
    def reference_words(self) -> str:
        """The reference for tables and the summary."""
        if self.reference_name is None:
            return ""
        number = f"{self.references} " if self.reference_name == "shuffle" else ""
        return number + REFERENCES[self.reference_name]


def possible_methods(model: EnhancerModel) -> list[str]:
    """The methods that a model allows."""
    from encre.interpret.twin import has_twin
    from encre.models.relaxed import has_relaxed

    gradients = ["gradient_x_input", "integrated_gradients"] if has_relaxed(model) else []
    return ["ism", *gradients, *(["deeplift", "shap"] if has_twin(model) else [])]


def _shape(model: EnhancerModel) -> str:
    config = model.config
    return f"{config.name} on {config.tokenizer.describe()}, {config.pooling} pooling"


def check_method(model: EnhancerModel, method: str) -> None:
    """Refuse a method that the model does not allow, or whose package is not installed.

    Raises
    ------
    ConfigError
        Naming the methods that are possible.
    MissingExtraError
        Naming the extra.
    """
    from encre.models.ensemble import members_of

    possible = possible_methods(model)
    if method not in possible:
        inputs = "one-hot input or k-mers of at most 4 bases"
        raise ConfigError(
            f"{METHODS[method].title} is not possible with this model",
            expected=f"a CNN on {inputs}" if method in ("deeplift", "shap") else inputs,
            got="; ".join(dict.fromkeys(_shape(member) for member in members_of(model))),
            remedy=f"Possible with it: {', '.join(possible)}.",
        )
    if method in ("deeplift", "shap"):
        try:
            import tangermeme.deep_lift_shap  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                f"{METHODS[method].title} is computed by tangermeme, which is not installed",
                remedy="pip install 'encre[interpret]'",
            ) from error
