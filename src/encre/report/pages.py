"""What every page shares: the templates' environment, and the style that stands in each page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HOME = Path(__file__).parent


def render_page(template: str, values: dict[str, Any], **filters: Callable[..., Any]) -> str:
    """A self-contained page as text.

    Parameters
    ----------
    template
        Name of a template beside this file; it finds the style sheet as ``style``.
    values
        What it shows; what is missing is an error.
    filters
        More filters than ``thousands``.
    """
    environment = Environment(
        loader=FileSystemLoader(_HOME),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"thousands": lambda n: f"{n:,}", **filters}
    style = (_HOME / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=style, **values)
