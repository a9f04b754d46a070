"""Every option of the configuration: the one place of its name, default and bounds.

From these tables `schema` parses, `describe` writes, and docs/configuration.md is
generated (`make config-docs`); tests compare config.example.yaml and the chart's
values.schema.json with them. An option is renamed here only, with
`renamed_from="old_name"`: the old name is accepted with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from exporter.config.option import Option, OptionKind
from exporter.config.series_options import SERIES
from exporter.config.units import BYTES

_MILLISECOND, _SECOND, _MINUTE, _HOUR, _DAY = 0.001, 1.0, 60.0, 3600.0, 86400.0

Section = Mapping[str, Option]


def _boolean(help_: str) -> Option:
    return Option("false", OptionKind.BOOLEAN, help=help_)


def _interval(default: str | None, help_: str, example: str = "") -> Option:
    return Option(
        default,
        OptionKind.DURATION,
        least=_SECOND,
        most=7 * _DAY,
        help=help_,
        example=example,
    )


def _list(help_: str, example: str) -> Option:
    return Option("[]", OptionKind.LIST, help=help_, example=example)


def _section(section: Section, help_: str) -> Option:
    return Option("{}", OptionKind.SECTION, section=section, help=help_)


SELECTION: Section = {
    "include": _list(
        "Patterns with `*` and `?`, case-sensitive; empty: everything.", '["*_push"]'
    ),
    "exclude": _list("Patterns that override `include`.", "[sms]"),
}
METRICS: Section = {
    "include": SELECTION["include"]._replace(example="[]"),
    "exclude": SELECTION["exclude"]._replace(example='["conversions*"]'),
    "skip_unused": _boolean(
        "Leave out a field of a campaign or canvas that is 0 on every day Braze "
        "returns and in every variation, variant, step and channel."
    ),
}
TAGS: Section = {
    "any": _list("At least one of these tags.", "[newsletter, promo]"),
    "all": _list("All of these tags.", "[live]"),
    "none": _list("No tag of these.", "[test]"),
}


def _discovered(plural: str, most: str, *activity: tuple[str, Option]) -> Section:
    """Return the options that select objects of one kind."""
    kind = {"campaigns": "campaign", "canvases": "canvas"}[plural]
    return {
        "names": _section(SELECTION, f"Names of {plural} to select."),
        "tags": _section(TAGS, "Tags to select, spelled as in Braze."),
        "channels": _section(
            SELECTION, f"Channels, at least one of which the {kind} has to use."
        ),
        **dict(activity),
        "include_archived": _boolean(f"Also poll archived {plural}."),
        "max": Option(
            most,
            OptionKind.INTEGER,
            least=1,
            most=100_000,
            attribute="most",
            help=f"Maximum number of {plural}; the most recently edited ones are kept.",
        ),
        "labels": Option(
            "{}",
            OptionKind.LABELS,
            help=f"Labels of `braze_{kind}_info`: label name to `tags` or `channels`.",
            example="{tags: tags, channel: channels}",
        ),
    }


def _within(help_: str) -> Option:
    return Option(
        kind=OptionKind.DURATION,
        least=_HOUR,
        most=3650 * _DAY,
        attribute="active_within",
        example="30d",
        help=help_,
    )


DISCOVER_CAMPAIGNS = _discovered(
    "campaigns",
    "500",
    (
        "sent_within",
        _within("Only campaigns sent within this time. Unset: at any time, or never."),
    ),
    ("include_drafts", _boolean("Also poll drafts.")),
)
DISCOVER_CANVASES = _discovered(
    "canvases",
    "200",
    (
        "entered_within",
        _within(
            "Only canvases that a user entered within this time. Unset: at any time, "
            "or never."
        ),
    ),
    ("include_drafts", _boolean("Also poll drafts.")),
    ("include_stopped", _boolean("Also poll stopped canvases.")),
)
DISCOVER: Section = {
    "campaigns": Option(
        kind=OptionKind.SECTION,
        section=DISCOVER_CAMPAIGNS,
        help="The campaigns to select. Without `campaigns` and `canvases`: `{}`.",
    ),
    "canvases": Option(
        kind=OptionKind.SECTION,
        section=DISCOVER_CANVASES,
        help="The canvases to select. Unset: none.",
    ),
    "list_interval": _interval("1h", "How often each list is requested."),
    "grace": Option(
        "1d",
        OptionKind.DURATION,
        least=0,
        most=90 * _DAY,
        help="How long a campaign or canvas that is no longer listed is still polled.",
    ),
    "requests_per_minute": Option(
        kind=OptionKind.NUMBER,
        least=0.1,
        most=1000,
        moved_to="shared_requests_per_minute of the workspace",
    ),
    **{
        "max_campaigns" if name == "max" else name: option._replace(
            moved_to=f"discover.campaigns.{name}"
        )
        for name, option in DISCOVER_CAMPAIGNS.items()
    },
}
CAMPAIGN: Section = {
    "id": Option(
        is_required=True,
        help="The campaign's API identifier, a UUID; unique in the workspace.",
        example="3bbc4555-8fa0-4c9b-a5c0-4505edf3e064",
    ),
    "name": Option(
        is_required=True,
        help="The label `campaign`, at most 256 characters; unique in the workspace.",
        example="Welcome series",
    ),
    "interval": _interval(
        None,
        "How often this campaign is polled. Unset: the workspace's `interval`.",
        "1m",
    ),
    "labels": Option(
        "{}",
        OptionKind.LABELS,
        help="Additional labels of `braze_campaign_info`.",
        example="{team: crm}",
    ),
}
CANVAS: Section = {
    "id": Option(
        is_required=True,
        help="The canvas's API identifier, a UUID; unique in the workspace.",
        example="5f0c2b1e-8a37-4d0b-9d8e-2f5f5d1c7a10",
    ),
    "name": Option(
        is_required=True,
        help="The label `canvas`, at most 256 characters; unique in the workspace.",
        example="Onboarding",
    ),
    "interval": _interval(
        None,
        "How often this canvas is polled. Unset: the workspace's `canvas_interval`.",
        "5m",
    ),
    "steps": Option(
        kind=OptionKind.BOOLEAN,
        attribute="has_steps",
        help=("Export series for each step. Unset: the workspace's `canvas_steps`."),
        example="true",
    ),
    "labels": Option(
        "{}",
        OptionKind.LABELS,
        help="Additional labels of `braze_canvas_info`.",
        example="{team: crm}",
    ),
}
WORKSPACE: Section = {
    "name": Option(
        is_required=True,
        help="The label `workspace`, at most 256 characters; unique in the file.",
        example="production",
    ),
    "endpoint": Option(
        kind=OptionKind.URL,
        is_required=True,
        help="The REST endpoint of the Braze instance, without a path.",
        example="https://rest.iad-01.braze.com",
    ),
    "api_key_env": Option(
        attribute="key_source.env",
        help=(
            "Environment variable that contains the API key. Exactly one of "
            "`api_key_env` and `api_key_file` is required."
        ),
        example="BRAZE_API_KEY",
    ),
    "api_key_file": Option(
        kind=OptionKind.PATH,
        attribute="key_source.file",
        help="File that contains the API key; read again when it changes.",
        example="/run/secrets/braze",
    ),
    "timezone": Option(
        "UTC",
        attribute="timezone.key",
        help="IANA time zone of the workspace in Braze; decides which day is complete.",
        example="America/New_York",
    ),
    "interval": _interval(
        "5m", "How often each campaign is polled. One poll is one request."
    ),
    "canvas_interval": _interval("15m", "How often each canvas is polled."),
    "idle_interval": _interval(
        "1h",
        "How often an idle campaign or canvas is polled: one without a count in 14 "
        "days, of a canvas 13.",
    ),
    "canvas_steps": _boolean(
        "Export series for each step of the canvases, beside their sums by channel."
    ),
    # Braze allows 50,000; below 0.01 the next request would be hours away.
    "requests_per_minute": Option(
        "120",
        OptionKind.NUMBER,
        least=0.01,
        most=1_000_000,
        help=(
            "Maximum request rate for campaigns; their intervals are stretched if it "
            "is too low."
        ),
    ),
    # Braze allows 4,166 a minute, shared with the company's live sends.
    "shared_requests_per_minute": Option(
        "60",
        OptionKind.NUMBER,
        least=0.1,
        most=4000,
        help=(
            "Maximum request rate for canvases, discovery and series of the workspace; "
            "live sends share this limit of Braze. Intervals of canvases and series "
            "are stretched if it is too low."
        ),
    ),
    "reserve": Option(
        "20%",
        OptionKind.PERCENTAGE,
        least=0,
        most=1,
        excludes_most=True,
        help="Share of Braze's rate limit that is left to other clients.",
    ),
    "concurrency": Option(
        "4",
        OptionKind.INTEGER,
        least=1,
        most=64,
        help="Maximum number of concurrent requests.",
    ),
    "timeout": Option(
        "30s",
        OptionKind.DURATION,
        least=_MILLISECOND,
        most=10 * _MINUTE,
        help="Timeout of a request, from connecting to the last byte.",
    ),
    "proxy": Option(
        kind=OptionKind.URL,
        help=(
            "URL of an HTTP proxy. Unset: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and "
            "NO_PROXY."
        ),
        example="http://proxy:3128",
    ),
    "ca_file": Option(
        kind=OptionKind.PATH,
        help=(
            "File of certificates (PEM) to trust instead of all others. Unset: "
            "REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, or the system's certificates (which "
            "SSL_CERT_FILE and SSL_CERT_DIR replace)."
        ),
        example="/etc/ssl/company.pem",
    ),
    "allow_http": _boolean(
        "Permit an `http://` endpoint, which receives the API key unencrypted."
    ),
    "campaigns": Option(
        kind=OptionKind.SECTIONS,
        is_required=True,
        section=CAMPAIGN,
        help=(
            "The campaigns to poll; required unless `canvases`, `series` or `discover` "
            "is set."
        ),
    ),
    "canvases": Option(
        kind=OptionKind.SECTIONS,
        section=CANVAS,
        help="The canvases to poll.",
    ),
    "discover": Option(
        kind=OptionKind.SECTION,
        section=DISCOVER,
        help=(
            "Poll campaigns and canvases that Braze lists, in addition to `campaigns` "
            "and `canvases`."
        ),
    ),
    "series": Option(
        kind=OptionKind.SECTION,
        section=SERIES,
        help="Series of the workspace to poll; none is polled that is not named.",
    ),
    "contract": Option(
        "{}",
        OptionKind.INTEGERS,
        least=1,
        most=1_000_000_000_000,
        help=(
            "Messages that the contract with Braze includes in a calendar month, by "
            "channel; exports those sent so far."
        ),
        example="{email: 10000000, sms: 200000}",
    ),
}
LIMITS: Section = {
    "series_per_campaign": Option(
        "5000",
        OptionKind.INTEGER,
        least=1,
        most=1_000_000,
        help=(
            "Maximum number of series of one campaign, canvas or series of the "
            "workspace. Beyond it whole variations, variants, steps, broadcasts or "
            "integrations are dropped, and counted."
        ),
    ),
    "response_bytes": Option(
        "4MiB",
        OptionKind.SIZE,
        least=BYTES["KiB"],
        most=BYTES["GiB"],
        help="Maximum size of a response, decompressed. A larger one is a failed poll.",
    ),
}
CONFIG: Section = {
    "workspaces": Option(
        kind=OptionKind.SECTIONS,
        is_required=True,
        section=WORKSPACE,
        help="The Braze workspaces to poll.",
    ),
    "windows": Option(
        "[7d, 28d]",
        OptionKind.WINDOWS,
        least=_DAY,
        most=98 * _DAY,
        help="Windows of whole days before today that are summed; `[]`: none.",
    ),
    "channels": _section(SELECTION, "Channels to export."),
    "stale_after": Option(
        "1h",
        OptionKind.DURATION,
        least=_MILLISECOND,
        most=365 * _DAY,
        help=(
            "Age after which values of a campaign, canvas or series are no longer "
            "exported; at least three intervals."
        ),
    ),
    "metrics": _section(METRICS, "Braze fields to export."),
    "revisions": _boolean("Export by how much Braze changes the counts of past days."),
    "limits": _section(LIMITS, "Limits of one campaign, canvas or series."),
}


def walk(section: Section = CONFIG, path: str = "") -> Iterator[tuple[str, Option]]:
    """Yield every option with its path, such as `workspaces[].name`; parents first."""
    for name, option in section.items():
        if option.moved_to:
            continue
        place = f"{path}{name}"
        yield place, option
        inner = f"{place}[]." if option.kind is OptionKind.SECTIONS else f"{place}."
        yield from walk(option.section, inner)
