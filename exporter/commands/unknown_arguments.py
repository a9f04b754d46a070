"""Messages about unknown command-line arguments, which repeat no value.

No flag accepts an API key, but `--api-key KEY` is a natural guess.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

KEY_ADVICE = (
    "no flag accepts an API key: a configuration names its variable or file by "
    "api_key_env or api_key_file; doctor and discover also accept --api-key-env NAME "
    "or --api-key-file FILE"
)
# Word processors and chat programs replace hyphens by the others.
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_SEPARATORS = re.compile(r"[-_. ]")
_KEY_NAMES = re.compile(
    r"api|key|token|bearer|.*(?:api|braze|rest)(?:ke|tok).*", re.DOTALL
)
_HARMLESS_NAME = re.compile(r"--[a-z]+(?:[.-][a-z]+){0,4}|-[a-z]")


def gives_key(word: str, known: Collection[str]) -> bool:
    """Return whether a word tries to pass a key; `known` are flags with dashes.

    `--api-key`, `-apikey=KEY` and `BRAZE_API_KEY=KEY` do, a path does not.
    """
    name, equals, _ = re.sub(r"[=:]", "=", word, count=1).partition("=")
    if name in known or "/" in name or not (equals or name[:1] in {*_DASHES}):
        return False
    bare = _SEPARATORS.sub("", name.lstrip(_DASHES)).lower()
    return bool(_KEY_NAMES.fullmatch(bare))


def describe(unknown: Sequence[str]) -> str:
    """Return a message with the names of unknown flags; a strange name is left out."""
    names = [word.partition("=")[0] for word in unknown if word.startswith("-")]
    shown = [name for name in names if _HARMLESS_NAME.fullmatch(name)]
    named = f": {' '.join(shown)}" if shown else ""
    return f"unrecognized arguments{named}"
