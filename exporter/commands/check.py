"""`braze-exporter check FILE`: every problem of a configuration, and the plan."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from exporter.budget import spacing
from exporter.data_series import QUIET_DAYS
from exporter.flags import CONFIG_FILE, WEB_CONFIG_FILE, Parser
from exporter.loading import load_protected
from exporter.model import Config
from exporter.on_demand import entrance
from exporter.plan import WorkspacePlan, plan

_DESCRIPTION = """\
Read a configuration, tell every problem at once with file, line and path, and show the
plan it makes. Asks Braze for nothing. A key that is not here is only a warning, so that
a configuration can be checked where its keys are not; the daemon needs them."""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Check the file that the arguments name."""
    parser = Parser(
        (WEB_CONFIG_FILE,), program="braze-exporter check", description=_DESCRIPTION
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default=environment.get(CONFIG_FILE.variable),
        help=f"the configuration (env: {CONFIG_FILE.variable})",
    )
    options = parser.parse(arguments, environment)
    if not options.file:
        parser.error(f"no configuration: name a FILE or set {CONFIG_FILE.variable}")
    return report(options.file, environment, options.web_config_file)


def report(file: str, environment: Mapping[str, str], web_file: str | None) -> int:
    """Print the warnings and the plan. ConfigError: a file has problems."""
    protection = entrance(web_file)
    parsed = load_protected(file, environment, protection, keys_required=False)
    for warning in parsed.warnings:
        print(warning, file=sys.stderr)
    print(describe(file, parsed.config))
    if web_file is not None:
        print(f"\n{web_file}: valid, {protection.describe()}")
    return 0


def describe(file: str, config: Config) -> str:
    """Return the plan in words and figures."""
    plans = plan(config)
    campaigns = sum(len(one.workspace.campaigns) for one in plans)
    series = sum(one.typical_series for one in plans)
    lines = [
        f"{file}: valid, {_count(len(plans), 'workspace')}, "
        f"{_count(campaigns, 'campaign')}",
        *(line for one in plans for line in _describe_workspace(one)),
        "",
        f"series expected: about {series}, if each campaign sends one email message; "
        f"at most {config.limits.series_per_campaign} a campaign",
    ]
    return "\n".join(lines)


def _describe_workspace(one: WorkspacePlan) -> list[str]:
    workspace = one.workspace
    lines = [
        "",
        f"workspace {workspace.name} at {workspace.endpoint}",
        f"  campaigns            {len(workspace.campaigns)}",
        f"  requests per minute  {one.wanted_per_minute:.4g} wanted, "
        f"{one.ceiling_per_minute:.4g} allowed, {one.planned_per_minute:.4g} planned",
        f"  days per request     {one.days_per_request}",
        f"  interval             {one.interval_seconds:.4g} s",
        f"  idle interval        {_idle(one)}",
        f"  first round          {_round_seconds(one):.4g} s",
        f"  series expected      about {one.typical_series}",
    ]
    if one.stretch > 1:
        lines.append(
            f"  intervals are stretched {one.stretch:.4g} times: for the configured "
            f"ones set requests_per_minute to {one.needed_per_minute:g} or more"
        )
    return lines


def _idle(one: WorkspacePlan) -> str:
    if not one.tells_idle:
        return f"off: it needs a window of {QUIET_DAYS}d or more"
    return (
        f"{one.workspace.idle_interval_seconds:.4g} s, for campaigns without a count "
        f"in {QUIET_DAYS} days"
    )


def _round_seconds(one: WorkspacePlan) -> float:
    return (len(one.workspace.campaigns) - 1) * spacing(one.ceiling_per_minute)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
