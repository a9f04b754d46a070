"""The families of campaigns, and the rendering of snapshots.

Samples are rendered once, when they change, as one block of lines per family; a page
joins blocks. The lines are valid in the text format 0.0.4 and in OpenMetrics 1.0.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from exporter.metrics import gzip_member
from exporter.metrics.gzip_member import DeflatedBlock
from exporter.model.errors import FailureReason
from exporter.model.labels import clean
from exporter.model.snapshot import Figures, Snapshot, Variation


class Family(NamedTuple):
    """One metric family. All are gauges, since Braze restates past days."""

    name: str
    help: str


_TABLE = "The label metric has Braze's field names: select one metric before you sum."
_PARTS = (
    f"{_TABLE} Exclude control groups from conversion totals, see the label control "
    "of braze_campaign_variation_info."
)
_PEOPLE = "unique_recipients does not add up over days, channels or variations."
_OVERALL = (
    "Fields of the campaign as a whole, such as conversions and revenue; they are not "
    f"sums over its channels. {_TABLE}"
)
_SUMS = (
    "Polled sums over the calendar days before today in the time zone of the "
    "workspace; the label window has the number of days. A day without a row counts as "
    "nothing. Sums of unique_* are upper bounds, since a person counted on two days is "
    "in them twice; unique_recipients does not add up and is left out."
)

DAILY = Family(
    "braze_campaign_daily",
    "Polled counts of the newest day in Braze, usually today so far, see "
    f"braze_campaign_daily_timestamp_seconds. {_PARTS} {_PEOPLE}",
)
LAST_COMPLETE_DAY = Family(
    "braze_campaign_last_complete_day",
    "Polled counts of the newest day that is over in the time zone of the workspace, "
    "see braze_campaign_last_complete_day_timestamp_seconds. Braze may still restate "
    f"them. {_PARTS} {_PEOPLE}",
)
_REVISION = (
    "Change of the counts of the last complete day since it was first read as "
    "complete. 0: Braze has restated nothing; negative: counts were reduced. Absent "
    "for fields that were absent at first. Needs revisions: true. "
)
LAST_COMPLETE_DAY_REVISION = Family(
    "braze_campaign_last_complete_day_revision", f"{_REVISION}{_PARTS}"
)
OVERALL_LAST_COMPLETE_DAY_REVISION = Family(
    "braze_campaign_overall_last_complete_day_revision",
    f"{_REVISION}{_OVERALL}",
)
TRAILING = Family("braze_campaign_trailing", f"{_SUMS} {_PARTS}")
OVERALL_DAILY = Family(
    "braze_campaign_overall_daily",
    "Polled counts of the newest day in Braze, usually today so far, see "
    f"braze_campaign_daily_timestamp_seconds. {_OVERALL} {_PEOPLE}",
)
OVERALL_LAST_COMPLETE_DAY = Family(
    "braze_campaign_overall_last_complete_day",
    "Polled counts of the newest day that is over in the time zone of the workspace, "
    "see braze_campaign_last_complete_day_timestamp_seconds. Braze may still restate "
    f"them. {_OVERALL} {_PEOPLE}",
)
OVERALL_TRAILING = Family("braze_campaign_overall_trailing", f"{_SUMS} {_OVERALL}")
DAILY_TIMESTAMP = Family(
    "braze_campaign_daily_timestamp_seconds",
    "Start of the day of braze_campaign_daily in the time zone of the workspace. If "
    "it is not today, Braze has no row for today.",
)
LAST_COMPLETE_DAY_TIMESTAMP = Family(
    "braze_campaign_last_complete_day_timestamp_seconds",
    "Start of the day of braze_campaign_last_complete_day in the time zone of the "
    "workspace. If it is not yesterday, Braze has no row for yesterday.",
)
VARIATION_INFO = Family(
    "braze_campaign_variation_info",
    "Always 1, for every variation with samples: its id in Braze, empty if the "
    "response has no id, and whether it is a control group, which receives no message.",
)
INFO = Family(
    "braze_campaign_info",
    "Always 1, with the id of the campaign in Braze and its configured labels.",
)
UP = Family(
    "braze_campaign_up",
    "1 if the last finished poll succeeded, 0 if it failed or while the workspace is "
    "paused because Braze refuses its API key. At 0 the values are those of the last "
    "success, and are removed when they are stale.",
)
FAILURE_INFO = Family(
    "braze_campaign_failure_info",
    "Always 1, with the reason why polls of this campaign fail. Present only while "
    "braze_campaign_up is 0.",
)
INTERVAL = Family(
    "braze_campaign_interval_seconds",
    "Time between polls of this campaign; longer than configured if the request "
    "budget is too small.",
)
LAST_SUCCESS = Family(
    "braze_campaign_last_success_timestamp_seconds",
    "Time of the last successful poll of this campaign. The age of its values is "
    "time() minus this.",
)

VALUE_FAMILIES = (
    DAILY,
    LAST_COMPLETE_DAY,
    TRAILING,
    OVERALL_DAILY,
    OVERALL_LAST_COMPLETE_DAY,
    OVERALL_TRAILING,
    LAST_COMPLETE_DAY_REVISION,
    OVERALL_LAST_COMPLETE_DAY_REVISION,
    DAILY_TIMESTAMP,
    LAST_COMPLETE_DAY_TIMESTAMP,
    VARIATION_INFO,
)
STATUS_FAMILIES = (INFO, UP, FAILURE_INFO, INTERVAL, LAST_SUCCESS)
FAMILIES = (*VALUE_FAMILIES, *STATUS_FAMILIES)

_HEADERS = tuple(
    f"# HELP {family.name} {family.help}\n# TYPE {family.name} gauge\n".encode()
    for family in FAMILIES
)

_EXACT = 2**53
"""A double represents every integer up to this one."""

_LEAST_DEFLATED = 1024
"""Bytes; smaller blocks compress better together with other blocks."""


class ObjectLabels(NamedTuple):
    """The labels of an object; `labels` are the configured ones."""

    workspace: str
    campaign: str
    campaign_id: str
    labels: Mapping[str, str]


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
"""The lines of one campaign in one family; long ones are compressed."""


class RenderedObject(NamedTuple):
    """Rendered lines of one campaign: one block per family of `FAMILIES`, or empty."""

    by_family: tuple[Block, ...]
    series: int
    """Number of lines."""

    @property
    def text(self) -> bytes:
        """All lines, family by family."""
        return b"".join(map(lines_of, self.by_family))


class FamilyBlocks(NamedTuple):
    """The non-empty blocks of many campaigns in one family."""

    header: bytes
    blocks: tuple[Block, ...]


def render_values(subject: ObjectLabels, snapshot: Snapshot) -> RenderedObject:
    """Render the values of a campaign."""
    lines = _ValueLines(subject, snapshot.variations)
    if latest := snapshot.latest:
        lines.add_figures(DAILY, OVERALL_DAILY, latest.figures)
        lines.add(DAILY_TIMESTAMP, latest.starts_at)
    if last_complete := snapshot.last_complete:
        figures = last_complete.figures
        lines.add_figures(LAST_COMPLETE_DAY, OVERALL_LAST_COMPLETE_DAY, figures)
        lines.add(LAST_COMPLETE_DAY_TIMESTAMP, last_complete.starts_at)
        lines.add_figures(
            LAST_COMPLETE_DAY_REVISION,
            OVERALL_LAST_COMPLETE_DAY_REVISION,
            snapshot.revision,
        )
    for window, figures in snapshot.trailing:
        lines.add_figures(TRAILING, OVERALL_TRAILING, figures, window=window)
    lines.add_infos()
    return lines.blocks()


def renew_latest(
    subject: ObjectLabels, snapshot: Snapshot, previous: RenderedObject
) -> RenderedObject:
    """Render a snapshot that differs from the previous one only in the newest day."""
    lines = _ValueLines(subject, snapshot.variations)
    if latest := snapshot.latest:
        lines.add_figures(DAILY, OVERALL_DAILY, latest.figures)
    rows = zip(FAMILIES, lines.blocks().by_family, previous.by_family, strict=True)
    return previous._replace(
        by_family=tuple(
            new if family in {DAILY, OVERALL_DAILY} else old
            for family, new, old in rows
        )
    )


def render_status(subject: ObjectLabels, status: PollStatus) -> RenderedObject:
    """Render the status of a campaign: at most one line per status family."""
    lines = _Lines(subject)
    labels = "".join(_label(name, text) for name, text in subject.labels.items())
    lines.add(INFO, 1, _label("campaign_id", subject.campaign_id) + labels)
    if status.is_up is not None:
        lines.add(UP, int(status.is_up))
    if status.is_up is False and status.failure:
        lines.add(FAILURE_INFO, 1, _label("reason", status.failure))
    lines.add(INTERVAL, status.interval_seconds)
    if status.last_success_at is not None:
        lines.add(LAST_SUCCESS, round(status.last_success_at, 3))
    return lines.blocks()


def families_of(entries: Iterable[RenderedObject]) -> Iterator[FamilyBlocks]:
    """Yield the blocks of many campaigns by family, in the order of `FAMILIES`.

    Families without samples are left out.
    """
    rows = zip(*(blocks.by_family for blocks in entries), strict=True)
    for header, row in zip(_HEADERS, rows, strict=False):
        if blocks := tuple(filter(None, row)):
            yield FamilyBlocks(header, blocks)


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
    """The lines of one campaign, by family."""

    def __init__(self, subject: ObjectLabels) -> None:
        workspace, campaign = clean(subject.workspace), clean(subject.campaign)
        self._labels = f'workspace="{escape(workspace)}",campaign="{escape(campaign)}"'
        self._by_family: dict[str, list[str]] = {one.name: [] for one in FAMILIES}

    def add(self, family: Family, value: float, labels: str = "") -> None:
        """Add one sample; `labels` follow workspace and campaign."""
        name = family.name
        line = f"{name}{{{self._labels}{labels}}} {number_text(value)}\n"
        self._by_family[name].append(line)

    def blocks(self) -> RenderedObject:
        """Return what was added, encoded."""
        lines = self._by_family.values()
        return RenderedObject(
            by_family=tuple(_block("".join(block).encode()) for block in lines),
            series=sum(map(len, lines)),
        )


class _ValueLines(_Lines):
    """The lines of one snapshot; their common beginnings are rendered once."""

    def __init__(self, subject: ObjectLabels, variations: Iterable[Variation]) -> None:
        super().__init__(subject)
        self._heads = {
            one: f'{{{self._labels},channel="{escape(one.channel)}"'
            f',variation="{escape(one.label)}",metric="'
            for one in variations
        }

    def add_infos(self) -> None:
        """Add the info line of each variation."""
        for one in self._heads:
            control = "true" if one.is_control else "false"
            self.add(
                VARIATION_INFO,
                1,
                f',channel="{escape(one.channel)}",variation="{escape(one.label)}"'
                f',variation_id="{escape(one.id)}",control="{control}"',
            )

    def add_figures(
        self,
        family: Family,
        overall: Family,
        figures: Figures,
        *,
        window: int | None = None,
    ) -> None:
        """Add the figures of a day, or of a trailing window of so many days."""
        tail = '"} ' if window is None else f'",window="{window}d"}} '
        lines = self._by_family[family.name]
        for variation, stats in figures.variations:
            head = f"{family.name}{self._heads[variation]}"
            for name, value in stats.items():
                lines.append(f"{head}{_escape_field(name)}{tail}{number_text(value)}\n")
        head = f'{overall.name}{{{self._labels},metric="'
        self._by_family[overall.name] += [
            f"{head}{_escape_field(name)}{tail}{number_text(value)}\n"
            for name, value in figures.overall.items()
        ]


def _block(lines: bytes) -> Block:
    return gzip_member.deflate(lines) if len(lines) >= _LEAST_DEFLATED else lines


def _label(name: str, text: str) -> str:
    return f',{name}="{escape(clean(text))}"'


def escape(text: str) -> str:
    """Return the text of a label, escaped."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# There are few field names, repeated in every poll of every campaign.
_escape_field = lru_cache(maxsize=4096)(escape)


def number_text(value: float) -> str:
    """Return a value in a form that all parsers of the formats accept."""
    if isinstance(value, int) and -_EXACT <= value <= _EXACT:
        return str(value)
    return repr(float(value))
