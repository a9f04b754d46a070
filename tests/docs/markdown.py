"""Read the documents of the repository: tables, code blocks, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain

from tests.paths import ROOT

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in chain(ROOT.glob("*.md"), ROOT.glob("docs/**/*.md"))
)
"""Paths of all documents, relative to the root."""


def document(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def cells(heading: str, text: str) -> Iterator[list[str]]:
    """Yield the rows of all tables below a heading, up to the next one of its rank."""
    rank = heading.split(" ", maxsplit=1)[0]
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"there is no heading {heading!r}"
    section = re.split(rf"^#{{2,{len(rank)}}} ", rest, flags=re.MULTILINE)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    is_rule = [set(row[0]) <= {"-"} and row[0] != "" for row in rows]
    for number, row in enumerate(rows):
        if not any(is_rule[number : number + 2]):  # neither a rule nor a title
            yield row


def first_cells(heading: str, text: str) -> list[str]:
    """Return the first column of the tables below a heading, without back quotes."""
    return [row[0].strip("`") for row in cells(heading, text)]


def corrections(
    documented: Mapping[str, object], actual: Mapping[str, object]
) -> list[str]:
    """Return the changes that make a document agree with the code."""
    return [
        *(
            f"add {name}: {fact}"
            for name, fact in actual.items()
            if name not in documented
        ),
        *(f"delete {name}" for name in documented if name not in actual),
        *(
            f"correct {name}: {documented[name]} is {fact}"
            for name, fact in actual.items()
            if name in documented and documented[name] != fact
        ),
    ]


def code_spans(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def yaml_block(key: str, text: str) -> str:
    """Return the one YAML block that begins with a key."""
    (found,) = (each for each in blocks("yaml", text) if each.startswith(f"{key}:"))
    return found


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub and the site give the headings of a document."""
    titles = re.findall(r"^#+ (.+)$", without_blocks(text), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles
    }
