"""Email: bounces, complaints and unsubscribes against the limits of providers."""

from __future__ import annotations

from grafana.generator import figures, links, palette, panels, promql, tables
from grafana.generator.figures import (
    BOUNCE,
    LAST,
    MONTH,
    PERIODS,
    SPAM,
    TODAY,
    UNSUBSCRIBE,
    WEEK,
    Rate,
    email,
)
from grafana.generator.layout import Drawn, Section, Tile
from grafana.generator.palette import ORANGE, PURPLE, VERMILLION, Limits
from grafana.generator.panels import Query, line
from grafana.generator.promql import (
    OBJECT,
    largest,
    named,
    select,
    total,
    union,
)
from grafana.generator.shell import Page
from grafana.generator.tables import Column, percent

_KEYS = ("kind", "name", "workspace")
_LEAST = 100
_MOST = 200
_WORST = 10

_HARD = (
    "Hard bounces only: Braze does not report soft bounces here, so the true bounce "
    "rate is higher."
)
_UNREPORTED = (
    "A lower bound: it includes only complaints that mailbox providers report, with "
    "delay. Gmail reports none. Google and Yahoo count by sending domain and over mail "
    "in their own users' inboxes, Braze by campaign or canvas over all providers; a "
    "rate below a line is therefore no proof of compliance."
)
_CAVEATS = f"""\
**Read these figures with care.**

- **Bounces are hard bounces.** {_HARD.removeprefix("Hard bounces only: ")}
- **Complaints are a lower bound.** Gmail reports none to Braze; others report them \
days later, so complaints about older mail can exceed the mail of today. The limits of \
Google and Yahoo are per sending domain: only their tools (Google Postmaster Tools, \
Yahoo Sender Hub) show your rate there.
- **Today is incomplete.** In the morning rates are of few messages. Use the 7 days.
- **Small campaigns and canvases** reach 1 % with one complaint in 100 \
messages: look at the volume.
"""
_LIMITS = """\
| What | Source | Watch | Act |
|---|---|---|---|
| Bounces ÷ sent | Braze, IP warming | 3 % | 5 % |
| Complaints ÷ delivered | Braze, IP warming | 0.08 % | |
| | Google, bulk senders | 0.10 % | 0.30 % |
| | Yahoo, senders | | 0.30 % |
| Unsubscribes ÷ delivered | no provider; our own | 0.5 % | 1 % |

Google: stay below 0.10 % and never reach 0.30 %. After that, mitigation requires \
7 days in a row below it.
"""


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="braze-email-deliverability",
        title="Braze / Email deliverability",
        description="Bounces, spam complaints and unsubscribes of email against the "
        "limits of Braze, Google and Yahoo.",
        sections=(
            Section("Read this first", _texts()),
            Section("All chosen campaigns and canvases together", _together()),
            Section("Over time, worst campaigns and canvases", _over_time()),
            Section("Ranked campaigns and canvases", _ranked()),
        ),
    )


def _texts() -> list[Tile]:
    return [
        Tile(
            panels.note(
                "Limitations of these figures",
                _CAVEATS,
                description="Applies to every panel of this dashboard.",
            ),
            14,
            8,
        ),
        Tile(
            panels.note(
                "Limits shown here",
                _LIMITS,
                description="The lines and colours of this dashboard. Each panel "
                "compares them with rates over the days in its description.",
            ),
            10,
            8,
        ),
    ]


def _together() -> list[Tile]:
    rates = (
        (BOUNCE, palette.BOUNCE, _HARD),
        (SPAM, palette.SPAM, _UNREPORTED),
        (UNSUBSCRIBE, palette.UNSUBSCRIBE, ""),
    )
    return [
        Tile(
            panels.stat(
                rate.title,
                [Query(rate.over(period), period.title) for period in PERIODS],
                description=f"{rate.formula}, side by side: today so far (incomplete), "
                f"the last complete day, and the 7 and 28 days before today, each "
                f"taken together. "
                f"{caveat}".strip(),
                unit="percentunit",
                decimals=limits.decimals,
                thresholds=limits.steps(good=palette.PLAIN),
            ),
            8,
            5,
        )
        for rate, limits, caveat in rates
    ]


def _over_time() -> list[Tile]:
    marks = {
        "Braze: clean the list": (0.03, ORANGE),
        "Braze: act at the latest": (0.05, VERMILLION),
    }
    spam_marks = {
        "Braze: look into it": (0.0008, PURPLE),
        "Google: stay below": (0.001, ORANGE),
        "Google and Yahoo: never reach": (0.003, VERMILLION),
    }
    return [
        Tile(
            _limited(
                "Bounce rate by day",
                BOUNCE.over(figures.BY_DAY, *OBJECT),
                marks=marks,
                description=f"{BOUNCE.formula}, by campaign and canvas, the "
                f"{_WORST} highest at the end of the time range, on {LAST.days}; "
                f"today is in the tables below. {_HARD}",
            ),
            12,
            10,
        ),
        Tile(
            _limited(
                "Spam complaint rate by day",
                SPAM.over(figures.BY_DAY, *OBJECT),
                marks=spam_marks,
                description=f"{SPAM.formula}, by campaign and canvas, the "
                f"{_WORST} highest at the end of the time range, on {LAST.days}; "
                "today is in the tables below. Complaints about older mail are "
                "included: on a day with little mail the rate is overstated. "
                f"{_UNREPORTED}",
            ),
            12,
            10,
        ),
        Tile(
            _limited(
                "Spam complaint rate, 7 days",
                SPAM.over(figures.WEEK_BY_DAY, *OBJECT),
                marks=spam_marks,
                description=f"{SPAM.formula}, by campaign and canvas, over "
                f"{WEEK.days}, because complaints arrive after the mail; the "
                f"{_WORST} highest at the end of the time range. It changes once a "
                f"day, at midnight. {_UNREPORTED}",
            ),
            8,
            10,
        ),
        Tile(
            _limited(
                "Unsubscribe rate, last complete day",
                UNSUBSCRIBE.over(figures.BY_DAY, *OBJECT),
                marks={
                    "watch": (palette.UNSUBSCRIBE.warning, ORANGE),
                    "act": (palette.UNSUBSCRIBE.critical, VERMILLION),
                },
                description=f"{UNSUBSCRIBE.formula}, by campaign and canvas, on "
                f"{LAST.days}; the {_WORST} highest at the end of the time range. It "
                f"changes at midnight. "
                "No provider publishes a limit: the lines are defaults of this "
                "project.",
            ),
            8,
            10,
        ),
        Tile(
            panels.graph(
                "Sent and delivered, last complete day",
                [
                    Query(total(email(figures.BY_DAY, name)), name)
                    for name in ("sent", "delivered", "bounces")
                ],
                is_by_day=True,
                description=f"Sums of email on {LAST.days}; they change at midnight. "
                f"Mail that is neither delivered nor bounced is in transit, or "
                f"bounced softly.",
                unit="short",
            ),
            8,
            10,
        ),
    ]


def _limited(
    title: str,
    rate: str,
    *,
    marks: dict[str, tuple[float, str]],
    description: str,
) -> Drawn:
    return panels.graph(
        title,
        [
            Query(named(largest(rate, count=_WORST)), "{{workspace}} / {{name}}"),
            *(Query(_mark(value), name) for name, (value, _) in marks.items()),
        ],
        description=f"{description} The dashed lines are the limits of the table "
        f"above.",
        unit="percentunit",
        thresholds=palette.steps(
            (None, palette.NONE), *(pair for pair in marks.values())
        ),
        lines=[line(name, colour) for name, (_, colour) in marks.items()],
        links=[links.of_series()],
        is_by_day=True,
    )


def _mark(value: float) -> str:
    """Return a constant while an exporter is scraped."""
    info = select("braze_(campaign|canvas)_info", promql.OF_WORKSPACE)
    return f"{value:g} * max({info})"


def _ranked() -> list[Tile]:
    return [
        Tile(_ranking("Bounces", BOUNCE, palette.BOUNCE, _HARD), 24, 10),
        Tile(_ranking("Spam complaints", SPAM, palette.SPAM, _UNREPORTED), 24, 10),
        Tile(_ranking("Unsubscribes", UNSUBSCRIBE, palette.UNSUBSCRIBE, ""), 24, 10),
    ]


def _ranking(title: str, rate: Rate, limits: Limits, caveat: str) -> Drawn:
    latest = union(rate.latest(*OBJECT, least=_LEAST), rate.over(WEEK, *OBJECT))
    top = f"topk({_MOST}, {latest})"

    def of_top(vector: str) -> str:
        return f"({vector}) and on ({', '.join(OBJECT)}) {top}"

    columns = [
        Column("Sent, 7 days", of_top(total(email(WEEK, "sent"), *OBJECT))),
        percent("Latest", top, limits),
        *(
            percent(period.title, of_top(rate.over(period, *OBJECT)), limits)
            for period in (LAST, WEEK, MONTH)
        ),
        Column(
            f"{title}, today",
            of_top(total(email(TODAY, rate.numerator), *OBJECT)),
        ),
        Column(
            f"{title}, 7 days",
            of_top(total(email(WEEK, rate.numerator), *OBJECT)),
        ),
    ]
    return tables.table_of(
        f"{title} by campaign and canvas",
        columns,
        keys=_KEYS,
        sort="Latest",
        description=f"{rate.formula}, by campaign and canvas. Latest is the newest "
        f"rate with enough volume: of today so far (incomplete) once {_LEAST} were "
        "sent, else of the last complete day, else of the 7 days. Beside it that of "
        "the last complete day, and those of the 7 and 28 days before today, each "
        f"taken together. At most {_MOST} rows. Empty: nothing was sent. "
        f"{caveat}".strip(),
    )
