"""`braze-exporter check FILE`: validate a configuration and print its plan."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from exporter.braze.session import (
    CAMPAIGN_ANALYTICS,
    DATA_INGESTION,
    PURCHASES,
    SHARED,
)
from exporter.commands import nouns, print_error, scaling_report
from exporter.commands.config_files import Placement, load_protected
from exporter.commands.flags import (
    CONFIG_FILE,
    PLACEMENT,
    WEB_CONFIG_FILE,
    Flag,
    Parser,
    unknown_variables,
)
from exporter.config.units import duration_text
from exporter.model.config import Config, DiscoverRules
from exporter.polling import cost_estimate
from exporter.polling.kinds import CAMPAIGN, CANVAS, KINDS
from exporter.polling.plan import GroupPlan, discovery_per_day, plan
from exporter.series.campaign_rows import SHORTEST_QUIET_WINDOW
from exporter.series.older_days import REREAD_SECONDS
from exporter.web.security import Security

_DESCRIPTION = """\
Validate a configuration, report all problems at once with file, line and path, and
print its polling plan. No request is sent to Braze. A missing API key is only a
warning: a configuration can be checked without keys, but the daemon requires them."""

_SCALING = Flag(
    "scaling",
    "Also print estimates of CPU, memory, series and disk, the advised number of "
    "shards, and options that save series.",
    is_switch=True,
)

_DAY_SECONDS = 86400

_ACTIVITY = {CAMPAIGN: "sent_within", CANVAS: "entered_within"}

_DORMANT = {
    CAMPAIGN: "draft and archived",
    CANVAS: "draft, stopped and archived",
}

_TYPICAL = {
    CAMPAIGN.name: "each campaign sends one email message",
    CANVAS.name: "each canvas sends one email message in one step of one variant",
    "broadcasts": "20 broadcasts are planned",
    "data_ingestion": "there are 5 integrations",
}

_PAGE_SIZE = 10
"""Integrations on one page of Braze's list."""

_BUCKETS = {
    CAMPAIGN_ANALYTICS: "rate limit of campaigns/data_series",
    SHARED: "rate limit shared with live sends, 250,000 an hour",
    PURCHASES: "rate limit of purchases and lists of events, 1,000 an hour",
    DATA_INGESTION: "rate limit of cdi/integrations, 50 a minute",
}


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Check the configuration."""
    flags = (CONFIG_FILE, WEB_CONFIG_FILE, *PLACEMENT, _SCALING)
    parser = Parser(flags, "braze-exporter check", _DESCRIPTION)
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="the configuration; same as --config.file FILE",
    )
    options = parser.parse(arguments, environment)
    options.config_file = options.file or options.config_file
    if not options.config_file:
        parser.error(f"no configuration: give FILE or set {CONFIG_FILE.variable}")
    with parser.usage_errors():
        placement = Placement.of(options)
    return report(options, environment, placement, shows_scaling=options.scaling)


def report(
    options: argparse.Namespace,
    environment: Mapping[str, str],
    placement: Placement,
    *,
    shows_scaling: bool = False,
) -> int:
    """Print the warnings and the plan. ConfigError: a file has problems."""
    file, web_file = options.config_file, options.web_config_file
    protection = Security(web_file)
    parsed = load_protected(file, environment, protection, keys_required=False)
    unknown = unknown_variables(environment, but=parsed.config.key_variables)
    warnings = (*parsed.warnings, *(f"warning: {one}" for one in unknown))
    for warning in warnings:
        print_error(str(warning))
    workspaces = parsed.config.workspaces
    numbers = {
        kind: sum(len(kind.objects(one)) for one in workspaces) for kind in KINDS
    }
    counts = [nouns.count(len(workspaces), "workspace"), *nouns.objects(numbers)]
    if warnings:
        counts.append(nouns.count(len(warnings), "warning"))
    print(
        f"{file}: valid, {', '.join(counts)}",
        *_plan(parsed.config, placement),
        sep="\n",
    )
    if shows_scaling:
        costs = cost_estimate.scaling(parsed.config)
        print("", *scaling_report.describe(costs), sep="\n")
    if web_file is not None:
        print(f"\n{web_file}: valid, {protection.describe()}")
    return 0


def _plan(config: Config, placement: Placement) -> Iterator[str]:
    """Yield the plan of this shard and replica."""
    plans = plan(placement.part(config))
    shard, replicas = placement
    if shard:
        numbers = dict.fromkeys(KINDS, 0)
        for one in plans:
            numbers[one.kind] += len(one.objects)
        yield (
            f"\nshard {shard.number} of {shard.total} (numbers start at 0): "
            f"{', '.join(nouns.objects(numbers))}, every ceiling divided by "
            f"{shard.total}"
        )
    if replicas > 1:
        yield (
            f"\none of {replicas} replicas: every ceiling divided by {replicas}, and "
            "each sends the requests below"
        )
    for _, groups in groupby(plans, lambda one: one.workspace.name):
        yield from _describe_workspace(tuple(groups))
    yield from _describe_series(config, plans)


def _describe_series(config: Config, plans: Sequence[GroupPlan]) -> Iterator[str]:
    """Yield how many series to expect of all workspaces, and what is assumed."""
    used = {one.kind for one in _used(plans)}
    kinds = [kind for kind in KINDS if kind in used]
    of = dict.fromkeys(nouns.SERIES if one.is_series else one.label for one in kinds)
    listed = sum(one.typical_series for one in plans)
    found = sum(one.found_series for one in plans)
    more = f", up to {listed + found} with discovery" if found else ""
    yield (
        f"\nseries expected: about {listed}{more}, at most "
        f"{config.limits.series_per_campaign} per "
        f"{nouns.joined(of, 'or')}"
    )
    assumed = {kind: _TYPICAL[kind.name] for kind in kinds if kind.name in _TYPICAL}
    if assumed:
        events = " and has one conversion event" * config.metrics.skip_unused
        texts = (text + events * (kind is CAMPAIGN) for kind, text in assumed.items())
        yield f"assumed: {', '.join(texts)}"


def _describe_workspace(plans: tuple[GroupPlan, ...]) -> Iterator[str]:
    workspace = plans[0].workspace
    yield f"\nworkspace {workspace.name} at {workspace.endpoint}"
    used = _used(plans)
    series = [one for one in used if one.kind.is_series]
    for one in used:
        if not one.kind.is_series:
            yield from _describe_group(one)
    if series:
        yield from _describe_group_of_series(series)
    yield from _describe_buckets(used)


def _used(plans: Iterable[GroupPlan]) -> tuple[GroupPlan, ...]:
    """Return the plans with objects or discovery; all if there is no such plan."""
    used = [one for one in plans if one.objects or _discovery(one)]
    return tuple(used or plans)


def _describe_group(one: GroupPlan) -> Iterator[str]:
    first_round = max(0, len(one.objects) - 1) * one.spacing_seconds
    yield f"""\
  {one.kind.plural:<19}  {len(one.objects)}
  requests per minute  {one.wanted_per_minute:.4g} wanted, \
{one.ceiling_per_minute:.4g} allowed, {one.planned_per_minute:.4g} planned"""
    if days := one.kind.days_per_request(one.windows):
        yield f"  days per request     {days}"
    if older := one.older_requests:
        hours = REREAD_SECONDS / 3600
        yield f"""\
  older days           {nouns.count(older, "request")} per {one.kind.name} every \
{hours:g} hours, {one.older_per_minute:.4g} per minute, included above;
                       {older * len(one.objects)} requests at the first start"""
    yield f"""\
  interval             {one.interval_seconds:.4g} s
  idle interval        {_idle(one)}
  first round          {first_round:.4g} s
  series expected      {_series_of(one)}"""
    if discover := _discovery(one):
        yield _describe_discovery(one, discover)
    if one.stretch > 1:
        yield f"  {_describe_stretch(one)}"


def _describe_group_of_series(plans: Sequence[GroupPlan]) -> Iterator[str]:
    """Yield a line for each kind of series, and how each limit stretches them."""
    yield f"  {nouns.SERIES}"
    for one in plans:
        hourly = 60 * one.planned_per_minute
        yield (
            f"    {one.kind.name:<17}  {len(one.objects)} every "
            f"{one.interval_seconds:.4g} s, {hourly:.4g} requests per hour, "
            f"about {one.typical_series} series expected"
        )
    stretched = {one.kind.bucket: one for one in plans if one.stretch > 1}
    for one in stretched.values():
        yield f"    {_describe_stretch(one)}"


def _describe_stretch(one: GroupPlan) -> str:
    change = "raise series.interval"
    if option := one.kind.ceiling_option:
        change = (
            "to poll at the configured intervals, set "
            f"{option} to {one.needed_per_minute:g} or more"
        )
    return f"intervals are stretched {one.stretch:.4g} times: {change}"


def _series_of(one: GroupPlan) -> str:
    text = f"about {one.typical_series}"
    if discover := _discovery(one):
        text += f", up to {one.found_series} for {_more(one, discover)}"
    return text


def _describe_buckets(plans: Sequence[GroupPlan]) -> Iterator[str]:
    """Yield the requests an hour in each rate limit of Braze, and their sum."""
    for bucket, title in _BUCKETS.items():
        inside = [one for one in plans if one.kind.bucket == bucket]
        listed = sum(60 * one.planned_per_minute for one in inside)
        parts = [text for one in inside for text in _hourly(one)]
        if series := [one for one in inside if one.kind.is_series]:
            pages = f" per {_PAGE_SIZE} integrations" * (bucket == DATA_INGESTION)
            hourly = sum(60 * one.planned_per_minute for one in series)
            parts.append(f"{hourly:.0f} for {nouns.SERIES}{pages}")
        more = sum(map(_hourly_of_found, inside))
        if bucket == SHARED and (requests := _hourly_of_discovery(plans)):
            parts.append(f"up to {requests:.0f} for discovery")
            more += requests
        if parts:
            yield f"  requests per hour    {title}: {', '.join(parts)}"
        if len(parts) > 1:
            with_found = f", up to {listed + more:.0f} with discovery" if more else ""
            yield f"                       in all {listed:.0f}{with_found}"


def _hourly_of_discovery(plans: Sequence[GroupPlan]) -> float:
    """Return the requests an hour for lists and details."""
    found = [one for one in map(_discovery, plans) if one]
    return sum(sum(discovery_per_day(one, objects=one.most)) for one in found) / 24


def _discovery(one: GroupPlan) -> DiscoverRules | None:
    return one.kind.discovered(one.workspace)


def _hourly(one: GroupPlan) -> Iterator[str]:
    if one.kind.is_series:
        return
    yield f"{60 * one.planned_per_minute:.0f} for {one.kind.plural}"
    if discover := _discovery(one):
        yield f"up to {_hourly_of_found(one):.0f} for {_more(one, discover)}"


def _hourly_of_found(one: GroupPlan) -> float:
    """Return the requests an hour for objects that discovery may add."""
    with_found = one.with_rate(one.wanted_with_found_per_minute)
    return max(0.0, 60 * (with_found.planned_per_minute - one.planned_per_minute))


def _more(one: GroupPlan, discover: DiscoverRules) -> str:
    noun = one.kind.name if discover.most == 1 else one.kind.plural
    return f"{discover.most} more {noun}"


def _describe_discovery(one: GroupPlan, discover: DiscoverRules) -> str:
    """Return the requests of discovery, and those of objects that it may find."""
    most, plural = discover.most, one.kind.plural
    lists, details = discovery_per_day(discover, objects=most)
    interval = round(discover.details_interval_seconds(most))
    every = "daily" if interval == _DAY_SECONDS else f"every {duration_text(interval)}"
    text = f"""\
  discovery            up to {_more(one, discover)}, not included above: \
{one.wanted_with_found_per_minute:.4g} requests per minute wanted with them
  discovery requests   at most {discover.requests_per_minute:g} per minute, from \
Braze's limit of 250,000 an hour that live sends share
                       with {most} {plural} up to \
{nouns.count(lists + details, "request")} a day:
                       {lists} for the list (every \
{duration_text(discover.list_interval_seconds)}), {details} for details ({every})"""
    if (within := discover.active_within_seconds) is None:
        return text
    in_force = discover.active_within_in_force(most)
    if in_force <= within:
        return text
    option = _ACTIVITY[one.kind]
    return f"""\
{text}
                       {option} is extended from {duration_text(within)} \
to {duration_text(round(in_force))}: details of {most} {plural} take that long;
                       raise shared_requests_per_minute, or {option}"""


def _idle(one: GroupPlan) -> str:
    workspace, idle = one.workspace, one.workspace.idle_interval_seconds
    has_discovery = one.kind.discovered(workspace) is not None
    intervals = [each.interval_seconds for each in one.objects]
    if has_discovery:
        intervals.append(one.kind.interval_seconds(workspace))
    if intervals and idle <= min(intervals):
        return f"off: {idle:.4g} s is not longer than the shortest interval"
    every = f"{idle * one.stretch:.4g} s"
    if one.can_detect_idle:
        days = one.kind.quiet_days
        return f"{every}, for {one.kind.plural} without activity in {days} days"
    needs = f"requires a window of {SHORTEST_QUIET_WINDOW}d or more"
    if not has_discovery:
        return f"off: it {needs}"
    return f"{every}, for {_DORMANT[one.kind]} {one.kind.plural}; for others it {needs}"
