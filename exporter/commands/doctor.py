"""`braze-exporter doctor`: diagnose keys, hosts and permissions."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from exporter.braze.client import Client
from exporter.braze.diagnosis import (
    DATA_SERIES,
    DETAILS,
    LIST,
    Check,
    affects_all,
    check_clock,
    check_failure,
    check_key,
    check_response,
    permissions,
    resolve_forbidden,
    skipped,
)
from exporter.braze.responses import BrazeResponse
from exporter.commands.flags import Flag
from exporter.commands.target import TARGET_FLAGS, TargetParser, client, find_target
from exporter.model.config import WorkspaceConfig
from exporter.model.errors import FetchError
from exporter.system.api_key import read_key
from exporter.system.clock import Clock

_DESCRIPTION = """\
Send one cheap request for each workspace and permission, and report what is wrong and
how to fix it: key, host, permissions, IP allowlist, clock, DNS, TLS or proxy. Data
series are always checked, list and details where discovery is configured. Exit code 0:
no problems; 1: problems found. Keys are never printed."""

_OUTPUT = Flag(
    "output", "Format of the report.", default="text", choices=("text", "json")
)
_FLAGS = (*TARGET_FLAGS, _OUTPUT)

_MAX_WORKERS = 8
_PLACEHOLDER_ID = "00000000-0000-4000-8000-000000000000"
_VERSION = 1
_SIGNS = {True: "ok", False: "WRONG", None: "-"}
_WIDTH = 88


@dataclass(frozen=True, slots=True)
class _Report:
    """The checks of one workspace."""

    workspace: WorkspaceConfig
    checks: tuple[Check, ...]

    @property
    def is_healthy(self) -> bool:
        return all(check.is_ok is not False for check in self.checks)


class _WorkspaceCheck:
    """Sends the requests of one workspace, one after another."""

    def __init__(self, workspace: WorkspaceConfig, braze: Client, clock: Clock) -> None:
        self._workspace = workspace
        self._client = braze
        self._clock = clock
        self._ids = [campaign.id for campaign in workspace.campaigns[:1]]
        self._ahead_seconds: float | None = None

    def checks(self) -> Iterator[Check]:
        """Yield a check for each permission, then that of the clock.

        After a problem that affects all requests the others are skipped.
        """
        is_over = False
        needed = permissions(self._workspace)
        if not self._ids:  # the list comes first: it contains a campaign id
            needed = tuple(sorted(needed, key=lambda one: one != LIST))
        for permission in needed:
            check = skipped(permission) if is_over else self._check(permission)
            is_over = is_over or affects_all(check)
            yield check
        yield check_clock(self._ahead_seconds)

    def _check(self, permission: str) -> Check:
        is_placeholder_id = not self._ids
        campaign_id = self._ids[0] if self._ids else _PLACEHOLDER_ID
        parameters: dict[str, dict[str, str | int]] = {
            DATA_SERIES: {"campaign_id": campaign_id, "length": 1},
            LIST: {"page": 0},
            DETAILS: {"campaign_id": campaign_id},
        }
        path = permission.replace(".", "/")
        started_at = self._clock.now()
        try:
            response = self._client.fetch(path, parameters[permission])
        except FetchError as failure:
            self._compare_clocks(failure, started_at)
            return check_failure(
                permission,
                failure,
                workspace=self._workspace,
                is_placeholder_id=is_placeholder_id,
            )
        self._compare_clocks(response, started_at)
        if permission == LIST and is_placeholder_id:
            self._ids = _ids(response.document)[:1]
        seconds = self._clock.now() - started_at
        return check_response(permission, response.document, seconds=seconds)

    def _compare_clocks(
        self, response: BrazeResponse | FetchError, started_at: float
    ) -> None:
        if response.answered_at is not None:
            middle = (started_at + self._clock.now()) / 2
            # `Date` has whole seconds, rounded down.
            self._ahead_seconds = response.answered_at + 0.5 - middle


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Check every workspace and print the report."""
    parser = TargetParser(
        _FLAGS, program="braze-exporter doctor", description=_DESCRIPTION
    )
    options = parser.parse(arguments, environment)
    target = find_target(parser, options, arguments, environment, validates_keys=False)
    for warning in target.warnings:
        print(warning, file=sys.stderr)
    check = partial(
        _check_workspace,
        environment=environment,
        response_bytes=target.config.limits.response_bytes,
    )
    workspaces = target.config.workspaces
    if target.is_direct:  # flags do not configure discovery
        workspaces = tuple(replace(one, discover=None) for one in workspaces)
    with ThreadPoolExecutor(_MAX_WORKERS) as pool:
        reports = tuple(pool.map(check, workspaces))
    render = _as_json if options.output == "json" else _as_text
    print(render(reports))
    return 0 if all(report.is_healthy for report in reports) else 1


def _check_workspace(
    workspace: WorkspaceConfig,
    *,
    environment: Mapping[str, str],
    response_bytes: int,
) -> _Report:
    key = check_key(workspace.key_source, read_key(workspace.key_source, environment))
    if not key.is_ok:
        others = tuple(map(skipped, permissions(workspace)))
        return _Report(workspace, (key, *others, check_clock(None)))
    clock = Clock()
    braze = client(workspace, environment, response_bytes=response_bytes, clock=clock)
    try:
        checks = tuple(_WorkspaceCheck(workspace, braze, clock).checks())
    finally:
        braze.close()
    return _Report(workspace, (key, *resolve_forbidden(checks, workspace=workspace)))


def _ids(document: object) -> list[str]:
    entries = document.get("campaigns") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return []
    ids = (entry.get("id") for entry in entries if isinstance(entry, dict))
    return [id_ for id_ in ids if isinstance(id_, str) and id_.isprintable()]


def _as_json(reports: Sequence[_Report]) -> str:
    document = {
        "version": _VERSION,
        "healthy": all(report.is_healthy for report in reports),
        "workspaces": [
            {
                "name": report.workspace.name,
                "endpoint": report.workspace.endpoint,
                "key": str(report.workspace.key_source),
                "healthy": report.is_healthy,
                "checks": [
                    {
                        "check": check.name,
                        "ok": check.is_ok,
                        "problem": check.problem or None,
                        "message": check.message,
                        "advice": check.advice or None,
                        "status": check.status,
                        "seconds": check.seconds,
                    }
                    for check in report.checks
                ],
            }
            for report in reports
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=2)


def _as_text(reports: Sequence[_Report]) -> str:
    lines = [line for report in reports for line in _report_lines(report)]
    problems = sum(
        check.is_ok is False for report in reports for check in report.checks
    )
    verdict = "No problems found."
    if problems:
        verdict = f"{problems} problem{'' if problems == 1 else 's'}."
    return "\n".join((*lines, verdict))


def _report_lines(report: _Report) -> Iterator[str]:
    workspace = report.workspace
    yield f"workspace {workspace.name} at {workspace.endpoint}"
    printed: set[str] = set()
    for check in report.checks:
        took = ""
        if check.is_ok and check.status and check.seconds is not None:
            took = f" in {check.seconds:.2f} s"
        sign = _SIGNS[check.is_ok]
        yield from _wrapped(f"  {sign:<6} {check.name:<22} ", check.message + took)
        if check.advice:
            advice = "see above" if check.advice in printed else check.advice
            printed.add(check.advice)
            yield from _wrapped("         what to do: ", advice)
    yield ""


def _wrapped(first: str, text: str) -> Sequence[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * 11,
        break_long_words=False,
        break_on_hyphens=False,
    )
