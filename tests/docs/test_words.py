"""`.ci/words.py` finds words to replace in text, and not in code."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

from tests.paths import ROOT

WORDS: dict[str, Any] = run_path(str(ROOT / ".ci" / "words.py"))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Whoever holds one may keep it.", ["Whoever"]),
        ("It knows nothing of the network.", ["knows nothing"]),
        ("The former value stands as it is.", ["stands", "former", "as it is"]),
        ("Closed, and the client is told.", ["told"]),
        ("A number in it is none.", ["is none"]),
        ("`null` if there is none", []),
        ("The whole page is understood.", []),
        ("a stand-in, the whose of it", []),
        ("Run `ask --told` or [this](who.md).", []),
    ],
)
def test_words_are_found_as_whole_words(line: str, found: list[str]) -> None:
    matches = {word for word, _ in WORDS["matches"](line)}

    assert matches == set(found)


def test_python_is_checked_in_strings_and_comments(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('"""One."""\ntold = 1  # two\n\nx = f"three {told}"\n')

    texts = dict(WORDS["texts"](file))

    assert set(texts) == {1, 2, 4}
    assert texts[2] == "# two"


def test_markdown_is_checked_outside_of_code(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("One.\n\n```sh\ntold\n```\n\nTwo.\n")

    assert dict(WORDS["texts"](file)) == {1: "One.", 2: "", 6: "", 7: "Two."}
