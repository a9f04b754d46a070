"""Check the words of documents, docstrings, comments and messages.

    python .ci/words.py            checks every file of the repository
    python .ci/words.py PATH...    checks these files

The rule: the subject of a sentence is a technical noun, and the verb is what the code
does. Programs are not persons. Prints `file:line: word: suggestion` and exits with 1 if
there is a match. Code in Markdown and identifiers in Python are not checked.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Files to check, as patterns of pathlib.
_DOCUMENTS = (
    "*.md",
    "config.example.yaml",
    "Makefile",
    "mkdocs.yml",
    "pyproject.toml",
    ".ci/*",
    ".github/**/*.yaml",
    "docs/*.md",
    "tests/docs/*.py",
)
_FOLDERS = ("exporter", "grafana", "benchmarks", "tests", "helm", "docs")
_SUFFIXES = (".py", ".yaml", ".yml", ".tpl", ".html", ".js", ".md", ".txt", ".service")
CHECKED = (
    *_DOCUMENTS,
    *("*.toml", "*.yaml", "Dockerfile"),
    *(f"{folder}/**/*{suffix}" for folder in _FOLDERS for suffix in _SUFFIXES),
)

# Pattern (ignoring case, whole words) → what to write instead.
WORDS = {
    r"(?<!users )(?<!user )who|whom|whoever|whomever": (
        "which, that, or a role such as `the client`"
    ),
    r"his|her|hers|him|himself|herself": "its",
    r"somebody|someone|everybody|everyone|anybody|nobody": (
        "the client, the caller, another process, users"
    ),
    r"tells?|told|telling": "returns, reports, contains, is logged",
    r"says?|said|saying": "returns, reports, contains, states",
    r"hears?|heard": "receives, detects",
    r"knows? (?:nothing|neither|no)": "delete the sentence",
    r"(?<!there )(?:is|are|was|were) (?-i:none)(?! %)": (
        "is invalid, is not a ..., does not exist"
    ),
    r"but none": "but does not",
    r"sh(?:own?|ows) out": "closes, evicts",
    r"beneath": "below",
    r"stands?|stood": "is, applies, contains",
    r"former": "previous",
    r"as (?:it|they) (?:is|are|stands?)(?=\W*(?:[.,;:)]|$))": "unchanged",
    r"by (?:itself|himself|themselves)": "automatically, alone",
    r"of (?:its|their|his|one's) own": "its own ...",
    r"of ours": "of this package",
    r"whatever": "any, every, regardless of",
    r"asks?|asked|asking": "requests, queries, reads",
    r"guests?|inn|desk|errands?|crowd|kitchen|hurry": "the technical noun",
    r"wish|wishes": "request",
    r"see to it": "make sure",
    r"(?:is|are|was|were) no use": "is invalid, cannot be used",
    r"(?:is|are|be) content": "passes, accepts",
    r"be it|be they": "either ... or",
    r"lest|thereof|wherein|whence|ere|naught|aught|betimes": "plain English",
    r"r[e]dis": "a shared store",
}

# Path → texts that are allowed there, each with its reason.
ALLOWED: dict[str, tuple[str, ...]] = {
    # The list of words, and what it does not match.
    ".ci/words.py": tuple(WORDS),
    "tests/docs/test_words.py": tuple(WORDS),
    # What was removed has to be named.
    "CHANGELOG.md": ("r[e]dis",),
    "helm/braze-exporter/CHANGELOG.md": ("r[e]dis",),
}

_PATTERNS = {
    words: re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE)
    for words in WORDS
}
_FIELD = re.compile(r"\{[^{}]*\}")
_CODE = re.compile(r"`[^`\n]*`|\]\([^)]*\)|<[^>\s]*>|https?://\S*")


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that people read, with their numbers."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        yield from _of_python(text)
    elif file.suffix == ".md":
        yield from _of_markdown(text)
    else:
        yield from enumerate(text.splitlines(), start=1)


def _of_python(text: str) -> Iterator[tuple[int, str]]:
    """Yield comments and strings."""
    kinds = {tokenize.COMMENT, tokenize.STRING}
    kinds.add(getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))  # Python 3.12
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            string = token.string
            if "f" in string.partition('"')[0].lower():  # before Python 3.12
                string = _FIELD.sub("", string)
            yield from enumerate(string.splitlines(), start=token.start[0])


def _of_markdown(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines outside of fenced code."""
    is_code = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield number, line


def matches(line: str, allowed: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield each word of a line that should be replaced, and what to write instead."""
    line = _CODE.sub("`", line)
    for words, pattern in _PATTERNS.items():
        if words not in allowed:
            for match in pattern.finditer(line):
                yield match[0], WORDS[words]


def complaints(file: Path) -> Iterator[str]:
    """Yield one line for each match in a file."""
    name = file.relative_to(ROOT).as_posix()
    for number, line in texts(file):
        for word, suggestion in matches(line, ALLOWED.get(name, ())):
            yield f"{name}:{number}: {word}: use {suggestion}"


def main(arguments: list[str]) -> int:
    """Print every match; 1 if there is any."""
    if arguments:
        files = {Path(each).resolve() for each in arguments}
    else:
        found = (path for pattern in CHECKED for path in ROOT.glob(pattern))
        files = {path for path in found if path.is_file() and not path.is_symlink()}
    lines = [line for file in sorted(files) for line in complaints(file)]
    print("\n".join(lines) if lines else f"{len(files)} files, no word to replace")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
