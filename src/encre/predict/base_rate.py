"""``--base-rate 0.01``, or ``heart=0.01`` and more of the kind -> what ``Predictor.probabilities`` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from encre.errors import ConfigError
from encre.evaluation.calibration import BaseRate


def read_base_rate(words: Sequence[str] | None) -> BaseRate | None:
    """The base rate that options say: one number for all tasks, or ``task=rate`` as often as needed; None for none.

    Raises
    ------
    ConfigError
        When a word is neither, both forms are mixed, or a task is named twice.
    """
    rates: dict[str, float] = {}
    for word in words or ():
        name, _, number = word.rpartition("=")
        try:
            rate = float(number)
        except ValueError:
            raise _wrong(f"'{word}'") from None
        if name in rates:
            raise _wrong(f"{f'{name}=' if name else ''}{rates[name]:g} and {word}")
        rates[name.strip()] = rate
    if "" in rates and len(rates) > 1:
        raise _wrong(" and ".join(f"'{word}'" for word in words or ()))
    return rates.get("", rates or None)


def said_base_rate(base_rate: BaseRate) -> str:
    """A base rate in words: ``a base rate of 0.01``, or ``a base rate of 0.01 (heart), 0.02 (brain)``."""
    rates = base_rate.items() if isinstance(base_rate, Mapping) else [("", base_rate)]
    return f"a base rate of {', '.join(f'{rate:g} ({name})' if name else f'{rate:g}' for name, rate in rates)}"


def _wrong(got: str) -> ConfigError:
    return ConfigError(
        "a base rate is one number for all tasks, or task=number for each", expected="0.01, or heart=0.01", got=got
    )
