"""Rows of a data series: the untrusted document of Braze becomes stats by part.

Any JSON value gives rows or `MalformedSeries`. An odd field, entry or row costs only
itself, and what is left out is counted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import ClassVar

from exporter.model.config import Selection
from exporter.model.errors import MalformedSeries
from exporter.model.json_values import is_number
from exporter.model.labels import NameKey, clean, without_addresses
from exporter.model.patterns import matcher
from exporter.model.snapshot import OVERALL, Part, Stats
from exporter.series.days import parse_date

Row = Mapping[str, object]
"""One day of a document."""

PartKey = tuple[str, str, NameKey]
"""The group, channel and name of a part; names are those of Braze."""

DayStats = dict[PartKey, Stats]
"""The stats of one day, none of them empty."""

NO_NAME = NameKey("", "", 0)

WHOLE_KEY: PartKey = (OVERALL, "", NO_NAME)

_MAX_ENTRIES = 100_000
"""Of one response: a hundred rows of a thousand variations. 4 MiB can hold three times
as many empty ones, which would cost hundreds of MB."""

_LARGE = 2**1000
"""A double can hold every smaller integer, rounded."""


class LabelTexts(dict[str, str]):
    """Braze's names → label texts, computed once; empty if not selected."""

    def __init__(self, selection: Selection, *hidden: str) -> None:
        super().__init__(dict.fromkeys(hidden, ""))
        self._is_selected = matcher(selection)

    def __missing__(self, name: str) -> str:
        text = self[name] = clean(name) if self._is_selected(name) else ""
        return text


class RowParser(ABC):
    """Parses the rows of one document, newest first; counters are those of all rows."""

    status_series: ClassVar = 5
    """What every object exposes beside its values at most; under the limit too."""
    quiet_days: ClassVar[int]
    """So many complete days without a count make an object idle."""

    def __init__(self, *, channels: Selection, metrics: Selection) -> None:
        self._channels = LabelTexts(channels)
        self._metrics = metrics
        self.ignored_values = 0
        self.entries = 0
        """Of all rows, usable or not."""
        self.responses = 1
        """So many responses the rows are of."""

    @staticmethod
    @abstractmethod
    def days(document: object) -> Sequence[object]:
        """Return the days of a document; `MalformedSeries`: it is not a data series."""

    @abstractmethod
    def parse(self, row: Row) -> DayStats:
        """Return the stats of one row."""

    @abstractmethod
    def parts(self) -> dict[PartKey, Part]:
        """Return the parts of the rows parsed so far, by (group, channel, name)."""

    def names(self) -> Hashable:
        """Return the names from which labels of parts without numbers follow."""
        return ()

    @staticmethod
    @abstractmethod
    def unit(key: PartKey) -> Hashable:
        """Return what a limit of series keeps or leaves out together with a part."""

    @staticmethod
    @abstractmethod
    def can_be_quiet(windows: Iterable[int]) -> bool:
        """Return whether the requests for these windows cover the quiet days."""

    @staticmethod
    @abstractmethod
    def objects(row: Row) -> Iterator[Mapping[str, object]]:
        """Yield all objects of the row with numbers, selected or not."""

    @staticmethod
    @abstractmethod
    def has_count(row: Row) -> bool:
        """Return whether the row counts anything but 0 that makes an object active."""

    def fields_in_use(self, rows: Iterable[Row]) -> set[str]:
        """Return the label texts of fields that are not 0 in one of the rows."""
        names = {
            name
            for row in rows
            for one in self.objects(row)
            for name, value in one.items()
            if value and is_number(value)
        }
        return set(map(clean, names))

    def count_entries(self, entries: int) -> None:
        """Raise `MalformedSeries` for too many, before they cost time and memory."""
        self.entries += entries
        most = _MAX_ENTRIES * self.responses
        if self.entries > most:
            message = f"more than {most} entries, expected fewer"
            raise MalformedSeries(message)

    def stats(self, fields: Row, texts: LabelTexts) -> dict[str, int | float]:
        """Return the numbers of the selected fields, by label text."""
        stats: dict[str, int | float] = {}
        for name, value in fields.items():
            text = texts[name]
            if not text:
                continue
            # The first test is enough for nearly all of thousands of values.
            if (type(value) is int and -_LARGE < value < _LARGE) or is_number(value):
                if text not in stats:
                    stats[text] = value
            elif value is not None:
                self.ignored_values += 1
        return stats

    def mappings(self, value: object) -> Mapping[str, object]:
        """Return an object's fields; another value but null is counted as ignored."""
        if isinstance(value, dict):
            return value
        self.ignored_values += value is not None
        return {}


class DocumentRows:
    """The usable rows of a document; each is parsed once, when it is needed."""

    def __init__(self, rows: Iterable[object], today: date, parser: RowParser) -> None:
        self.rows, self.skipped_rows = usable_rows(rows, today)
        """Newest first, one per date; and how many were left out."""
        self.parser = parser
        self._days: list[tuple[date, DayStats]] = []

    def days(self, most: int | None = None) -> list[tuple[date, DayStats]]:
        """Return the stats of the newest days, or of all, newest first."""
        for day, row in self.rows[len(self._days) : most]:
            self._days.append((day, self.parser.parse(row)))
        return self._days[:most]


def usable_rows(
    days: Iterable[object], today: date
) -> tuple[list[tuple[date, Row]], int]:
    """Return the rows newest first, one per date, and how many were skipped.

    Rows without a date and of days after tomorrow are skipped; of two rows with one
    date the later in the list is used.
    """
    rows: dict[date, Row] = {}
    skipped = 0
    for row in days:
        day = parse_date(row.get("time")) if isinstance(row, dict) else None
        if not isinstance(row, dict) or day is None or (day - today).days > 1:
            skipped += 1
        else:
            rows[day] = row
    return sorted(rows.items(), key=lambda item: item[0], reverse=True), skipped


def data_of(document: object, *, expected: str, key: str = "data") -> object:
    """Return the `data` of a response; `MalformedSeries`: it is not a success.

    `expected` names what it should be, for the error message; `key` is its name.
    """
    if not isinstance(document, dict):
        raise MalformedSeries(f"the body is {kind_of(document)}, expected an object")
    message = document.get("message")
    if message is not None and message != "success":
        raise MalformedSeries(f"message is {_quote(message)}, expected success")
    if key not in document:
        raise MalformedSeries(f"{key} is missing, expected {expected}")
    return document[key]


def items_of(document: object, *, expected: str, key: str = "data") -> Sequence[object]:
    """Return the list that `data_of` returns; `MalformedSeries`: it is not a list."""
    found = data_of(document, expected=expected, key=key)
    if not isinstance(found, list):
        raise MalformedSeries(f"{key} is {kind_of(found)}, expected {expected}")
    if len(found) > _MAX_ENTRIES:
        raise MalformedSeries(f"{key} has {len(found)} items, expected fewer")
    return found


def is_counted(fields: Iterable[object]) -> bool:
    """Return whether one of the values is a number other than 0."""
    return any(value and is_number(value) for value in fields)


def text_of(value: object) -> str:
    """Return a text; empty for another value."""
    return value if isinstance(value, str) else ""


def kind_of(value: object) -> str:
    """Return the kind of a JSON value, for an error message."""
    kinds = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return kinds.get(type(value), "a bool" if isinstance(value, bool) else "a number")


def _quote(message: object) -> str:
    """Return a text of Braze, short, on one line and without email addresses."""
    if not isinstance(message, str):
        return kind_of(message)
    return '"' + " ".join(clean(without_addresses(message)).split())[:200] + '"'
