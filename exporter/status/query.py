"""Which campaigns a reader wants to see, in which order, and how a link says so.

Any query at all gives a view: what it does not understand is as if it was not there.
It knows nothing of pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from exporter.series.deliverability import Rate
from exporter.status.view_model import CampaignState, CampaignView

ATTENTION = "attention"
"""Instead of a state: whatever is not well, be it polls or figures."""

IDLE = "idle"
"""Instead of a state: whatever is asked slowly, however its polls go."""

SORTS = ("state", "name", "sent", "bounces", "spam", "age", "next")
_DESCENDING = frozenset({"sent", "bounces", "spam", "age"})
"""What one wants to see the most of first."""

STATES = (ATTENTION, *CampaignState, IDLE)
PAGE_SIZES = (25, 50, 100, 250)
_PAGE_SIZE = 50
_LONGEST_TEXT = 200
_FIELDS_AT_MOST = 50

_SEVERITY = {state: place for place, state in enumerate(CampaignState)}


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A filter, an order and a place in what they leave."""

    text: str = ""
    """Words, all of which a campaign has somewhere."""
    workspace: str = ""
    state: str = ""
    sort: str = SORTS[0]
    is_reversed: bool = False
    """Against the order in which one wants to read this column at first."""
    page: int = 1
    page_size: int = _PAGE_SIZE

    @property
    def is_descending(self) -> bool:
        """Whether the greatest comes first."""
        return (self.sort in _DESCENDING) is not self.is_reversed

    @property
    def query(self) -> str:
        """The one query that gives this view: parts in one order, none by default."""
        order = "reversed" if self.is_reversed else ""
        parts = (
            ("q", self.text, ""),
            ("workspace", self.workspace, ""),
            ("state", self.state, ""),
            ("sort", self.sort, SORTS[0]),
            ("order", order, ""),
            ("size", self.page_size, _PAGE_SIZE),
            ("page", self.page, 1),
        )
        given = [(name, value) for name, value, default in parts if value != default]
        return urlencode(given)

    def sorted_by(self, sort: str) -> ListQuery:
        """Return the view sorted so, or the other way round if it is so already."""
        is_reversed = self.sort == sort and not self.is_reversed
        return replace(self, sort=sort, is_reversed=is_reversed, page=1)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a view shows."""

    view: ListQuery
    """Its page is one that there is."""
    rows: tuple[CampaignView, ...]
    first: int
    """The number of the first row, from 1; 0 if there is none."""
    found: int
    pages: int


def view_of(query: str) -> ListQuery:
    """Read a query."""
    try:
        fields = dict(parse_qsl(query, max_num_fields=_FIELDS_AT_MOST))
    except ValueError:
        return ListQuery()
    state, sort = fields.get("state", ""), fields.get("sort", "")
    size = _number(fields.get("size", ""))
    return ListQuery(
        text=" ".join(fields.get("q", "")[:_LONGEST_TEXT].split()),
        workspace=fields.get("workspace", "")[: 2 * _LONGEST_TEXT],
        state=state if state in STATES else "",
        sort=sort if sort in SORTS else SORTS[0],
        is_reversed=fields.get("order") == "reversed",
        page=max(1, _number(fields.get("page", ""))),
        page_size=size if size in PAGE_SIZES else _PAGE_SIZE,
    )


def chosen(campaigns: Sequence[CampaignView], view: ListQuery) -> list[CampaignView]:
    """Return the campaigns of all pages, in order. What has no value comes last."""
    words = view.text.casefold().split()
    found = [
        one
        for one in campaigns
        if (not view.workspace or one.subject.workspace == view.workspace)
        and (not view.state or is_in(one, view.state))
        and all(word in _haystack(one) for word in words)
    ]
    key = _KEYS[view.sort]
    found.sort(key=lambda one: (one.subject.campaign.casefold(), one.subject.workspace))
    if view.sort == "name":
        return found[::-1] if view.is_descending else found
    # Sorting is stable, also when reversed: equals stay by name.
    known = [one for one in found if key(one) is not None]
    known.sort(key=lambda one: key(one) or (), reverse=view.is_descending)
    return known + [one for one in found if key(one) is None]


def listing(campaigns: Sequence[CampaignView], view: ListQuery) -> Listing:
    """Return one page; of a page too far off the last."""
    found = chosen(campaigns, view)
    pages = max(1, -(-len(found) // view.page_size))
    page = min(view.page, pages)
    start = (page - 1) * view.page_size
    rows = tuple(found[start : start + view.page_size])
    return Listing(
        view=replace(view, page=page),
        rows=rows,
        first=start + 1 if rows else 0,
        found=len(found),
        pages=pages,
    )


def is_in(campaign: CampaignView, state: str) -> bool:
    """Tell whether a campaign is in a state, wants attention or is idle, as asked."""
    if state == IDLE:
        return campaign.is_idle
    if state == ATTENTION:
        is_well = campaign.state in {CampaignState.OK, CampaignState.WAITING}
        return not is_well or campaign.level > campaign.level.FINE
    return campaign.state == state


def _haystack(campaign: CampaignView) -> str:
    subject = campaign.subject
    labels = (f"{name}={value}" for name, value in subject.labels.items())
    failure = campaign.failure.reason if campaign.failure else ""
    texts = (
        subject.campaign,
        subject.campaign_id,
        subject.workspace,
        *campaign.channels,
        *labels,
        failure,
    )
    return "\n".join(texts).casefold()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


_Key = tuple[float, ...]


def _urgency(campaign: CampaignView) -> _Key:
    return (_SEVERITY[campaign.state], -campaign.level)


def _sent(campaign: CampaignView) -> _Key | None:
    sent = campaign.latest.tally.sent if campaign.latest else None
    return None if sent is None else (sent,)


def _by_rate(rate: Rate) -> _Key | None:
    return None if rate.ratio is None else (rate.level, rate.ratio)


def _bounces(campaign: CampaignView) -> _Key | None:
    return _by_rate(campaign.latest.tally.bounce_rate) if campaign.latest else None


def _spam(campaign: CampaignView) -> _Key | None:
    return _by_rate(campaign.latest.tally.spam_rate) if campaign.latest else None


def _age(campaign: CampaignView) -> _Key | None:
    at = campaign.last_success_at
    return None if at is None else (-at,)


def _next(campaign: CampaignView) -> _Key | None:
    at = campaign.next_poll.at
    return None if at is None else (at,)


_KEYS: dict[str, Callable[[CampaignView], _Key | None]] = {
    "state": _urgency,
    "name": _urgency,
    "sent": _sent,
    "bounces": _bounces,
    "spam": _spam,
    "age": _age,
    "next": _next,
}
