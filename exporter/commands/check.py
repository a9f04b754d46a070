"""`braze-exporter check FILE`: validate a configuration and print its plan."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from exporter.braze.rate_limit import spacing
from exporter.braze.session import CAMPAIGN_ANALYTICS, SHARED
from exporter.commands import print_error
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
from exporter.polling.cost_estimate import GIB, MIB, SCRAPE_SECONDS, Scaling
from exporter.polling.kinds import CAMPAIGN, CANVAS, KINDS, Kind
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
    CAMPAIGN: "each campaign sends one email message",
    CANVAS: "each canvas sends one email message in one step of one variant",
}

_BUCKETS = {
    CAMPAIGN_ANALYTICS: "rate limit of campaigns/data_series",
    SHARED: "rate limit shared with live sends, 250,000 an hour",
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
    counts = [_count(len(workspaces), "workspace"), *_objects(numbers)]
    if warnings:
        counts.append(_count(len(warnings), "warning"))
    print(
        f"{file}: valid, {', '.join(counts)}",
        *_plan(parsed.config, placement),
        sep="\n",
    )
    if shows_scaling:
        costs = cost_estimate.scaling(parsed.config)
        print("", *_describe_scaling(costs), sep="\n")
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
            f"{', '.join(_objects(numbers))}, every ceiling divided by {shard.total}"
        )
    if replicas > 1:
        yield f"\none of {replicas} replicas: every ceiling divided by {replicas}"
    for _, groups in groupby(plans, lambda one: one.workspace.name):
        yield from _describe_workspace(tuple(groups))
    yield from _describe_series(config, plans)


def _describe_series(config: Config, plans: Sequence[GroupPlan]) -> Iterator[str]:
    """Yield how many series to expect of all workspaces, and what is assumed."""
    used = {one.kind for one in _used(plans)}
    kinds = [kind for kind in KINDS if kind in used]
    listed = sum(one.typical_series for one in plans)
    found = sum(one.found_series for one in plans)
    more = f", up to {listed + found} with discovery" if found else ""
    yield (
        f"\nseries expected: about {listed}{more}, at most "
        f"{config.limits.series_per_campaign} per "
        f"{' or '.join(kind.name for kind in kinds)}"
    )
    yield f"assumed: {', '.join(_TYPICAL[kind] for kind in kinds)}"


def _describe_workspace(plans: tuple[GroupPlan, ...]) -> Iterator[str]:
    workspace = plans[0].workspace
    yield f"\nworkspace {workspace.name} at {workspace.endpoint}"
    used = _used(plans)
    for one in used:
        yield from _describe_group(one)
    yield from _describe_buckets(used)


def _used(plans: Iterable[GroupPlan]) -> tuple[GroupPlan, ...]:
    """Return the plans with campaigns or canvases; all if there is no such plan."""
    used = [one for one in plans if one.objects or _discovery(one)]
    return tuple(used or plans)


def _describe_group(one: GroupPlan) -> Iterator[str]:
    first_round = max(0, len(one.objects) - 1) * spacing(one.ceiling_per_minute)
    yield f"""\
  {one.kind.plural:<19}  {len(one.objects)}
  requests per minute  {one.wanted_per_minute:.4g} wanted, \
{one.ceiling_per_minute:.4g} allowed, {one.planned_per_minute:.4g} planned
  days per request     {one.kind.days_per_request(one.windows)}"""
    if older := one.older_requests:
        hours = REREAD_SECONDS / 3600
        yield f"""\
  older days           {_count(older, "request")} per {one.kind.name} every \
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
        yield (
            f"  intervals are stretched {one.stretch:.4g} times: to poll at the "
            f"configured intervals, set {one.kind.ceiling_option} to "
            f"{one.needed_per_minute:g} or more"
        )


def _series_of(one: GroupPlan) -> str:
    text = f"about {one.typical_series}"
    if discover := _discovery(one):
        text += f", up to {one.found_series} for {_more(one, discover)}"
    return text


def _describe_buckets(plans: Sequence[GroupPlan]) -> Iterator[str]:
    """Yield the requests an hour in each rate limit of Braze."""
    parts: dict[str, list[str]] = {bucket: [] for bucket in _BUCKETS}
    for one in plans:
        parts[one.kind.bucket] += _hourly(one)
    if found := [one for one in map(_discovery, plans) if one]:
        requests = sum(sum(discovery_per_day(one, objects=one.most)) for one in found)
        parts[SHARED].append(f"up to {requests / 24:.0f} for discovery")
    for bucket, texts in parts.items():
        if texts:
            yield f"  requests per hour    {_BUCKETS[bucket]}: {', '.join(texts)}"


def _discovery(one: GroupPlan) -> DiscoverRules | None:
    return one.kind.discovered(one.workspace)


def _hourly(one: GroupPlan) -> Iterator[str]:
    yield f"{60 * one.planned_per_minute:.0f} for {one.kind.plural}"
    if discover := _discovery(one):
        with_found = one.with_rate(one.wanted_with_found_per_minute)
        more = max(0.0, with_found.planned_per_minute - one.planned_per_minute)
        yield f"up to {60 * more:.0f} for {_more(one, discover)}"


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
{_count(lists + details, "request")} a day:
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


def _describe_scaling(costs: Scaling) -> Iterator[str]:
    """Yield the estimates; they cover all shards."""
    more = f", {costs.found} of them found by discovery" if costs.found else ""
    objects = " and ".join(_objects(dict(costs.objects))) or "no objects"
    yield f"""\
scaling, for {objects}{more} (estimates: see docs/scaling.md)
  exporter             {costs.requests_per_minute:.4g} requests per minute, \
{100 * costs.core_share:.2g} % of a core, {_size(costs.resident_bytes)}
  state file           {_size(costs.state_bytes)}, with --state.path
  shards advised       {_shards(costs)}"""
    if costs.objects_per_core:
        plurals = " and ".join(kind.plural for kind, _ in costs.objects)
        yield (
            f"  half a core carries  about {costs.objects_per_core} such {plurals}, "
            "at the intervals above"
        )
    yield f"""\
  Prometheus's memory  {_range(costs.head_bytes)}, {costs.series} series
  scraped every        samples per second   \
disk for {cost_estimate.RETENTION_DAYS} days"""
    for seconds in SCRAPE_SECONDS:
        samples, disk = costs.samples_per_second(seconds), costs.disk_bytes(seconds)
        yield f"    {seconds:>3} s              {samples:<20.0f} {_range(disk)}"
    for saving in costs.savings:
        percent = 100 * (1 - saving.series / costs.series)
        yield f"  {percent:3.0f} % fewer series   {saving.change}"


def _shards(costs: Scaling) -> str:
    if costs.shards == 1:
        return "one exporter is enough"
    bound = "half a core"
    if costs.is_limited_by_series:
        bound = f"{cost_estimate.SERIES_ADVISED} series"
    return f"{costs.shards}, for about {bound} each at most"


def _range(sizes: tuple[float, float]) -> str:
    return " to ".join(map(_size, sizes))


def _size(size: float) -> str:
    unit, of_unit = ("GiB", size / GIB) if size >= GIB else ("MiB", size / MIB)
    return f"{of_unit:.0f} {unit}" if of_unit >= 10 else f"{of_unit:.2g} {unit}"


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


def _objects(numbers: Mapping[Kind, int]) -> list[str]:
    """Return the number of objects of each kind, of campaigns in any case."""
    return [
        f"{number} {kind.name if number == 1 else kind.plural}"
        for kind, number in numbers.items()
        if number or kind is CAMPAIGN
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
