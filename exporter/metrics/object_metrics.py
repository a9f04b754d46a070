"""The rendering of snapshots and of the state of polls, for every kind of object.

Samples are rendered once, when they change, as one block of lines per family; a page
joins blocks. The lines are valid in the text format 0.0.4 and in OpenMetrics 1.0.0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import NamedTuple

from exporter.metrics import gzip_member
from exporter.metrics.families import BY_KIND
from exporter.metrics.family import Family, ObjectFamilies, PartInfo, PartLabels
from exporter.metrics.gzip_member import DeflatedBlock
from exporter.model.errors import FailureReason
from exporter.model.json_values import EXACT
from exporter.model.labels import clean
from exporter.model.snapshot import (
    Figures,
    MonthToDate,
    Part,
    Sample,
    Snapshot,
    Stats,
)

_LEAST_DEFLATED = 1024
"""Bytes; smaller blocks compress better together with other blocks."""


class ObjectLabels(NamedTuple):
    """What is served of an object itself; `labels` are the configured ones."""

    workspace: str
    kind: str
    """That of its families."""
    name: str
    id: str
    """In Braze."""
    labels: Mapping[str, str]
    """Of its info; of a series, which has none, of its samples."""
    edited_at: float | None = None
    """When it was last edited in Braze, in Unix seconds; None: unknown."""

    @property
    def families(self) -> ObjectFamilies:
        """The families of its kind."""
        return BY_KIND[self.kind]


class PollStatus(NamedTuple):
    """The state of an object's polls, its instants by the wall clock; None: unknown."""

    is_up: bool | None
    failure: FailureReason | None
    interval_seconds: float
    last_success_at: float | None
    error: str = ""
    """The error message; empty after a success or a restart."""
    failed_at: float | None = None
    """When the last poll failed, if it did in this process."""


Block = bytes | DeflatedBlock
"""The lines of one object in one family; long ones are compressed."""


class RenderedObject(NamedTuple):
    """Rendered lines of one object: one block per family of its kind, or empty."""

    families: ObjectFamilies
    by_family: tuple[Block, ...]
    series: int
    """Number of lines."""

    @property
    def text(self) -> bytes:
        """All lines, family by family."""
        return b"".join(map(lines_of, self.by_family))


class FamilyBlocks(NamedTuple):
    """The non-empty blocks of many objects in one family."""

    header: bytes
    blocks: tuple[Block, ...]


def render_values(subject: ObjectLabels, snapshot: Snapshot) -> RenderedObject:
    """Render the values of an object."""
    lines = _ValueLines(subject, snapshot.parts)
    families = subject.families
    if latest := snapshot.latest:
        lines.add_daily(latest.figures)
        lines.add_if_any(families.daily_timestamp, latest.starts_at)
    if last_complete := snapshot.last_complete:
        for part, stats in last_complete.figures:
            lines.add_stats(families.groups[part.group].last_complete_day, part, stats)
        lines.add_if_any(families.last_complete_day_timestamp, last_complete.starts_at)
    for part, stats in snapshot.revision:
        if revision := families.groups[part.group].revision:
            lines.add_stats(revision, part, stats)
    for window, figures in snapshot.trailing:
        for part, stats in figures:
            family = families.groups[part.group].trailing
            lines.add_stats(family, part, stats, window=window)
    lines.add_month(snapshot.month_to_date)
    lines.add_infos()
    for sample in snapshot.samples:
        lines.add_sample(sample)
    return lines.blocks()


def can_render(families: ObjectFamilies, snapshot: Snapshot) -> bool:
    """Return whether a kind has the families of all values of a snapshot."""
    labels = {one.name: one.labels for one in families.samples}
    if snapshot.month_to_date and not families.month_to_date:
        return False
    return all(part.group in families.groups for part in snapshot.parts) and all(
        labels.get(one.family) == tuple(name for name, _ in one.labels)
        for one in snapshot.samples
    )


def renew_latest(
    subject: ObjectLabels, snapshot: Snapshot, previous: RenderedObject
) -> RenderedObject:
    """Render a snapshot that differs from the previous one only in the newest day."""
    lines = _ValueLines(subject, snapshot.parts)
    if latest := snapshot.latest:
        lines.add_daily(latest.figures)
    lines.add_month(snapshot.month_to_date)
    families = subject.families
    groups = families.groups.values()
    changed = {families.month_to_date, *(group.daily for group in groups)}
    rows = zip(families.all, lines.blocks().by_family, previous.by_family, strict=True)
    return previous._replace(
        by_family=tuple(new if one in changed else old for one, new, old in rows)
    )


def without_month(rendered: RenderedObject, snapshot: Snapshot) -> RenderedObject:
    """Return the rendered snapshot without the messages of its month."""
    month, families = snapshot.month_to_date, rendered.families
    rows = zip(families.all, rendered.by_family, strict=True)
    return rendered._replace(
        by_family=tuple(
            b"" if one == families.month_to_date else block for one, block in rows
        ),
        series=rendered.series - (len(month.messages) if month else 0),
    )


def render_status(subject: ObjectLabels, status: PollStatus) -> RenderedObject:
    """Render the status of an object: at most one line per status family."""
    lines = _Lines(subject)
    families = subject.families
    own = _label(f"{families.label}_id", subject.id) + _labels(subject.labels.items())
    lines.add_if_any(families.info, 1, own)
    if status.is_up is not None:
        lines.add(families.up, int(status.is_up))
    if status.is_up is False and status.failure:
        lines.add(families.failure_info, 1, _label("reason", status.failure))
    lines.add(families.interval, status.interval_seconds)
    if status.last_success_at is not None:
        lines.add(families.last_success, round(status.last_success_at, 3))
    if subject.edited_at is not None and families.last_edited:
        lines.add(families.last_edited, round(subject.edited_at, 3))
    return lines.blocks()


def families_of(entries: Iterable[RenderedObject]) -> Iterator[FamilyBlocks]:
    """Yield the blocks of many objects by family, kind after kind.

    Families without samples are left out.
    """
    by_kind: dict[str, list[tuple[Block, ...]]] = {kind: [] for kind in BY_KIND}
    for one in entries:
        by_kind[one.families.kind].append(one.by_family)
    by_family: dict[Family, list[Block]] = defaultdict(list)
    for kind, objects in by_kind.items():
        rows = zip(*objects, strict=True)
        # Kinds without objects have no rows; several kinds have the same family.
        for family, row in zip(BY_KIND[kind].all, rows, strict=False):
            by_family[family] += filter(None, row)
    for family, blocks in by_family.items():
        if blocks:
            yield FamilyBlocks(_header(family), tuple(blocks))


@cache
def _header(family: Family) -> bytes:
    name, text = family.name, family.help
    return f"# HELP {name} {text}\n# TYPE {name} gauge\n".encode()


def lines_of(block: Block) -> bytes:
    """Return the lines of a block as text."""
    return gzip_member.inflate(block) if isinstance(block, DeflatedBlock) else block


def page(
    entries: Iterable[RenderedObject], text_of: Callable[[Block], bytes] = lines_of
) -> list[bytes]:
    """Return all families as text, each after its header; `text_of` may cache."""
    return [
        piece
        for family in families_of(entries)
        for piece in (family.header, *map(text_of, family.blocks))
    ]


class _Lines:
    """The lines of one object, by family."""

    def __init__(self, subject: ObjectLabels) -> None:
        self._families = subject.families
        self._workspace = _label("workspace", subject.workspace)[1:]
        self._labels = self._workspace + _label(self._families.label, subject.name)
        self._by_family: dict[str, list[str]] = {
            one.name: [] for one in subject.families.all
        }

    def add(self, family: Family, value: float, labels: str = "") -> None:
        """Add one sample; `labels` follow those of the object."""
        name = family.name
        line = f"{name}{{{self._labels}{labels}}} {number_text(value)}\n"
        self._by_family[name].append(line)

    def add_if_any(self, family: Family | None, value: float, labels: str = "") -> None:
        """Add one sample, if the kind has the family."""
        if family is not None:
            self.add(family, value, labels)

    def blocks(self) -> RenderedObject:
        """Return what was added, encoded."""
        lines = self._by_family.values()
        return RenderedObject(
            families=self._families,
            by_family=tuple(_block("".join(block).encode()) for block in lines),
            series=sum(map(len, lines)),
        )


class _ValueLines(_Lines):
    """The lines of one snapshot; their common beginnings are rendered once."""

    def __init__(self, subject: ObjectLabels, parts: Iterable[Part]) -> None:
        super().__init__(subject)
        self._of_samples = self._workspace + _labels(subject.labels.items())
        groups = self._families.groups
        self._heads = {
            part: f"{{{self._labels}{part_labels(groups[part.group].labels, part)}"
            ',metric="'
            for part in parts
        }

    def add_sample(self, sample: Sample) -> None:
        """Add a sample of a series."""
        labels = self._of_samples + _labels(sample.labels)
        line = f"{sample.family}{{{labels}}} {number_text(sample.value)}\n"
        self._by_family[sample.family].append(line)

    def add_infos(self) -> None:
        """Add one info line for each variation, variant or step."""
        groups = self._families.groups
        infos = ((groups[part.group].info, part) for part in self._heads)
        lines = ((info.family, info_labels(info, part)) for info, part in infos if info)
        # A step has one line for all its channels.
        for family, labels in dict.fromkeys(lines):
            self.add(family, 1, labels)

    def add_daily(self, figures: Figures) -> None:
        """Add the figures of the newest day."""
        for part, stats in figures:
            self.add_stats(self._families.groups[part.group].daily, part, stats)

    def add_month(self, month: MonthToDate | None) -> None:
        """Add the messages of the month, if they are counted."""
        for channel, sent in month.messages if month else ():
            family = self._families.month_to_date
            self.add_if_any(family, sent, _label("channel", channel))

    def add_stats(
        self, family: Family, part: Part, stats: Stats, *, window: int | None = None
    ) -> None:
        """Add the numbers of one day, or of a trailing window of so many days."""
        tail = '"} ' if window is None else f'",window="{window}d"}} '
        head = f"{family.name}{self._heads[part]}"
        self._by_family[family.name] += [
            # Nearly all are such: the call takes longer than the rest of the line.
            f"{head}{_escape_field(name)}{tail}{value}\n"
            if type(value) is int and -EXACT <= value <= EXACT
            else f"{head}{_escape_field(name)}{tail}{number_text(value)}\n"
            for name, value in stats.items()
        ]


def part_labels(names: PartLabels, part: Part) -> str:
    """Return the labels of a part, each after a comma."""
    channel = f',{names.channel}="{escape(part.channel)}"' if names.channel else ""
    name = f',{names.name}="{escape(part.name)}"' if names.name else ""
    return channel + name


def info_labels(info: PartInfo, part: Part) -> str:
    """Return the labels of a part in the family of its ids, each after a comma."""
    labels = part_labels(info.labels, part)
    labels += f',{info.labels.name}_id="{escape(part.id)}"'
    if info.has_control:
        labels += f',control="{"true" if part.is_control else "false"}"'
    return labels


def _block(lines: bytes) -> Block:
    return gzip_member.deflate(lines) if len(lines) >= _LEAST_DEFLATED else lines


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    return "".join(_label(name, text) for name, text in labels)


def _label(name: str, text: str) -> str:
    return f',{name}="{escape(clean(text))}"'


def escape(text: str) -> str:
    """Return the text of a label, escaped."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# There are few field names, repeated in every poll of every campaign.
_escape_field = lru_cache(maxsize=4096)(escape)


def number_text(value: float) -> str:
    """Return a value in a form that all parsers of the formats accept."""
    if isinstance(value, int) and -EXACT <= value <= EXACT:
        return str(value)
    return repr(float(value))
