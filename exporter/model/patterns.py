"""Selections of glob patterns, compiled once."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache

from exporter.model.config import Selection
from exporter.model.labels import LONGEST


@lru_cache(maxsize=64)
def matcher(selection: Selection) -> Callable[[str], bool]:
    """Return a predicate of names: case-sensitive, `exclude` overrides `include`.

    Only the part of a name that fits a label is matched: matching a very long one
    would take seconds.
    """
    include = [re.compile(translate(glob)).match for glob in selection.include]
    exclude = [re.compile(translate(glob)).match for glob in selection.exclude]

    def is_selected(whole_name: str) -> bool:
        name = whole_name[:LONGEST]
        if include and not any(match(name) for match in include):
            return False
        return not any(match(name) for match in exclude)

    return is_selected
