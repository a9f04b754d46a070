"""Parses the days of `/canvas/data_series`: the whole, channels, variants and steps.

`data.stats` is a list of days. Of a day `total_stats` and `variant_stats` have entries,
revenue and conversions, `step_stats` has revenue, conversions and the messages of the
channels. Braze documents neither ids nor the number of a channel's messages in a step,
so they are added up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from exporter.model.config import Selection
from exporter.model.errors import MalformedSeries
from exporter.model.labels import NamedEntry, NameKey, assign_labels, clean, identify
from exporter.model.snapshot import (
    CHANNEL,
    GROUPS,
    STEP,
    STEP_CHANNEL,
    VARIANT,
    Part,
    Stats,
)
from exporter.series.rows import (
    NO_NAME,
    WHOLE_KEY,
    DayStats,
    LabelTexts,
    PartKey,
    Row,
    RowParser,
    data_of,
    is_counted,
    kind_of,
    text_of,
)
from exporter.series.windows import exact_sum

_NO_STATS = ("name", "messages", "variation_name", "variation_api_id")


class CanvasRowParser(RowParser):
    """Parses the rows of one canvas; without parts for its steps."""

    has_steps: ClassVar = False
    quiet_days = 13
    """The complete days of one request of 14 days."""

    def __init__(self, *, channels: Selection, metrics: Selection) -> None:
        super().__init__(channels=channels, metrics=metrics)
        self._fields = LabelTexts(metrics, *_NO_STATS)
        self._variants: list[list[NamedEntry]] = []
        self._steps: list[list[NamedEntry]] = []
        self._found: dict[PartKey, None] = {}

    @staticmethod
    def days(document: object) -> Sequence[object]:
        """Return the days of a document; `MalformedSeries`: it is not a data series.

        A canvas without figures has been seen with null or empty `data` and `stats`.
        """
        expected = "an object with stats"
        data = data_of(document, expected=expected)
        days = data.get("stats") if isinstance(data, dict) else data
        if days is None:
            return ()
        if not isinstance(days, list):
            where = "data.stats" if isinstance(data, dict) else "data"
            raise MalformedSeries(
                f"{where} is {kind_of(days)}, expected a list of days"
            )
        return days

    def parse(self, row: Row) -> DayStats:
        """Return the stats of one row."""
        total = self.mappings(row.get("total_stats"))
        found: DayStats = {WHOLE_KEY: self.stats(total, self._fields)}
        for key, variant in self._named(row.get("variant_stats"), self._variants):
            found[VARIANT, "", key] = self.stats(variant, self._fields)
        channels: dict[str, list[Stats]] = defaultdict(list)
        for key, step in self._step_entries(row.get("step_stats")):
            messages = self._messages(step)
            for channel, stats in messages.items():
                channels[channel] += stats
            if self.has_steps:
                found[STEP, "", key] = self.stats(step, self._fields)
                for channel, stats in messages.items():
                    found[STEP_CHANNEL, channel, key] = _sum(stats)
        for channel, stats in channels.items():
            found[CHANNEL, channel, NO_NAME] = _sum(stats)
        day = {key: stats for key, stats in found.items() if stats}
        self._found.update(dict.fromkeys(day))
        return day

    def parts(self) -> dict[PartKey, Part]:
        """Return the parts of the rows parsed so far, by (group, channel, name)."""
        labels = {
            VARIANT: _labels(self._variants),
            STEP: _labels(self._steps),
        }
        labels[STEP_CHANNEL] = labels[STEP]
        parts = {
            found: Part(
                found[0], found[1], labels[found[0]][found[2]], clean(found[2].id)
            )
            if found[0] in labels
            else Part(found[0], found[1])
            for found in self._found
        }
        return dict(sorted(parts.items(), key=lambda one: _order(one[1])))

    def names(self) -> Hashable:
        """Return those of the variants and steps; parts are those with numbers."""
        return tuple(map(tuple, (*self._variants, *self._steps)))

    @staticmethod
    def unit(key: PartKey) -> Hashable:
        """Return what a limit of series keeps or leaves out together with a part.

        A step is kept with all its channels.
        """
        group, _, name = key
        return (STEP, "", name) if group == STEP_CHANNEL else key

    @staticmethod
    def can_be_quiet(windows: Iterable[int]) -> bool:  # noqa: ARG004 - of any windows
        """Return True: every request covers the quiet days."""
        return True

    @staticmethod
    def objects(row: Row) -> Iterator[Mapping[str, object]]:
        """Yield the whole, the variants, and the steps with their messages."""
        total = row.get("total_stats")
        if isinstance(total, dict):
            yield total
        yield from _objects(row.get("variant_stats"))
        for step in _objects(row.get("step_stats")):
            yield step
            yield from _messages(step)

    @staticmethod
    def has_count(row: Row) -> bool:
        """Return whether users entered or a message counted anything on that day."""
        total = row.get("total_stats")
        entries = total.get("entries") if isinstance(total, dict) else None
        counts = (
            value
            for step in _objects(row.get("step_stats"))
            for message in _messages(step)
            for value in message.values()
        )
        return is_counted((entries,)) or is_counted(counts)

    def _step_entries(self, value: object) -> Iterable[tuple[NameKey, Row]]:
        """Return the steps of a day; only as parts they need their names."""
        if self.has_steps:
            return self._named(value, self._steps)
        found = self.mappings(value)
        self.count_entries(len(found))
        return ((NO_NAME, self.mappings(step)) for step in found.values())

    def _named(
        self, value: object, names: list[list[NamedEntry]]
    ) -> Iterable[tuple[NameKey, Row]]:
        """Return the variants or steps of a day, and remember their names."""
        found = self.mappings(value)
        self.count_entries(len(found))
        entries = [(id_, self.mappings(fields)) for id_, fields in found.items()]
        named = identify((id_, text_of(fields.get("name"))) for id_, fields in entries)
        names.append(named)
        fields = (fields for _, fields in entries)
        return zip((one.key for one in named), fields, strict=True)

    def _messages(self, step: Row) -> dict[str, list[Stats]]:
        """Return the stats of a step's messages, by channel."""
        found: dict[str, list[Stats]] = {}
        for key, messages in self.mappings(step.get("messages")).items():
            channel = self._channels[key]
            if not channel or channel in found or messages is None:
                continue
            if not isinstance(messages, list):
                self.ignored_values += 1
                continue
            self.count_entries(max(len(messages), 1))
            found[channel] = [
                self.stats(self.mappings(message), self._fields) for message in messages
            ]
        return found


class CanvasStepsRowParser(CanvasRowParser):
    """Parses the rows of one canvas; each step is a part too."""

    has_steps = True


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    """Yield the objects in the fields of a value."""
    for one in value.values() if isinstance(value, dict) else ():
        if isinstance(one, dict):
            yield one


def _messages(step: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the messages of all channels of a step."""
    messages = step.get("messages")
    for channel in messages.values() if isinstance(messages, dict) else ():
        for message in channel if isinstance(channel, list) else ():
            if isinstance(message, dict):
                yield message


def _sum(messages: Sequence[Stats]) -> Stats:
    """Add up messages; sums beyond the range of a double are left out."""
    if len(messages) == 1:
        return messages[0]
    columns: dict[str, list[int | float]] = defaultdict(list)
    for stats in messages:
        for name, value in stats.items():
            columns[name].append(value)
    sums = {name: exact_sum(values) for name, values in columns.items()}
    return {name: added for name, added in sums.items() if added is not None}


def _labels(rows: Iterable[Sequence[NamedEntry]]) -> dict[NameKey, str]:
    """Return unique labels; an entry without a name has its id."""
    named = (
        [one if one.name else one._replace(name=one.key.id) for one in row]
        for row in rows
    )
    return assign_labels(named)


def _order(part: Part) -> tuple[int, str, str]:
    return (GROUPS.index(part.group), part.name, part.channel)
