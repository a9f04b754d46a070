"""`braze-exporter doctor`: diagnose keys, hosts and permissions."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from exporter.braze import diagnosis
from exporter.braze.client import Client
from exporter.braze.diagnosis import Check, Permissions
from exporter.braze.paths import path_for, permission_for
from exporter.braze.responses import BrazeResponse
from exporter.commands import print_error
from exporter.commands.flags import Flag
from exporter.commands.target import TARGET_FLAGS, TargetParser, client
from exporter.model.config import WorkspaceConfig
from exporter.model.errors import FetchError
from exporter.polling.kinds import CANVAS, SERIES, Kind, Query
from exporter.system.api_key import read_key
from exporter.system.clock import Clock

_DESCRIPTION = """\
Send one cheap request for each workspace and permission, and for each segment and
event, and report what is wrong and how to fix it: key, host, permissions, IP allowlist,
clock, DNS, TLS or proxy. With --config.file these are the permissions that the
configuration needs; with --endpoint nothing is configured, and only
campaigns.data_series is tried. Exit code 0: no problems; 1: problems found. Keys are
never printed."""

_OUTPUT = Flag(
    "output", "Format of the report.", default="text", choices=("text", "json")
)
_FLAGS = (*TARGET_FLAGS, _OUTPUT)

_MAX_WORKERS = 8
_PLACEHOLDER_ID = "00000000-0000-4000-8000-000000000000"
_VERSION = 1
_SERIES = {permission_for(kind.path): kind for kind in SERIES}
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


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Check every workspace and print the report."""
    parser = TargetParser(_FLAGS, "braze-exporter doctor", _DESCRIPTION)
    options = parser.parse(arguments, environment)
    target = parser.target(options, arguments, environment, validates_keys=False)
    for warning in target.warnings:
        print_error(str(warning))
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
    workspace: WorkspaceConfig, *, environment: Mapping[str, str], response_bytes: int
) -> _Report:
    source = workspace.key_source
    key = diagnosis.check_key(source, read_key(source, environment))
    if not key.is_ok:
        others = tuple(map(diagnosis.skipped, diagnosis.permissions(workspace)))
        return _Report(workspace, (key, *others, diagnosis.check_clock(None)))
    clock = Clock()
    with client(
        workspace, environment, response_bytes=response_bytes, clock=clock
    ) as braze:
        checks = tuple(_checks(workspace, braze, clock))
    checks = diagnosis.resolve_forbidden(checks, workspace=workspace)
    return _Report(workspace, (key, *checks))


class _Requests:
    """Sends requests to one workspace, and compares its clock with this machine's."""

    def __init__(self, workspace: WorkspaceConfig, braze: Client, clock: Clock) -> None:
        self._workspace = workspace
        self._braze = braze
        self._clock = clock
        self.ahead_seconds: float | None = None
        """How far Braze's clock is ahead; None: unknown."""

    def check(
        self,
        permission: str,
        parameters: Callable[[float], Query],
        *,
        is_placeholder_id: bool = False,
    ) -> tuple[Check, object]:
        """Return the check of a request, and the document of its response.

        `parameters` returns them for a time by the wall clock.
        """
        started_at = self._clock.now()
        now = self._clock.wall(started_at)
        response: BrazeResponse | FetchError
        try:
            response = self._braze.fetch(path_for(permission), parameters(now))
        except FetchError as failure:
            response = failure
        seconds = self._clock.now() - started_at
        if response.answered_at is not None:
            # `Date` has whole seconds, rounded down.
            self.ahead_seconds = response.answered_at + 0.5 - started_at - seconds / 2
        if isinstance(response, FetchError):
            failed = diagnosis.check_failure(
                permission,
                response,
                workspace=self._workspace,
                is_placeholder_id=is_placeholder_id,
                now=now,
            )
            return failed, None
        document = response.document
        return diagnosis.check_response(permission, document, seconds=seconds), document


def _checks(workspace: WorkspaceConfig, braze: Client, clock: Clock) -> Iterator[Check]:
    """Yield a check for each permission, then that of the clock.

    After a problem that affects all requests the others are skipped.
    """
    ids = {
        diagnosis.CAMPAIGNS: [one.id for one in workspace.campaigns[:1]],
        diagnosis.CANVASES: [one.id for one in workspace.canvases[:1]],
    }
    requests = _Requests(workspace, braze, clock)
    is_over = False
    # Without an id the list comes first: it contains one.
    needed = diagnosis.permissions(workspace)
    for permission in sorted(needed, key=lambda one: _comes_later(one, ids)):
        if is_over:
            yield diagnosis.skipped(permission)
            continue
        if series := _SERIES.get(permission):
            check = _check_series(permission, series, workspace, requests)
        else:
            kind = diagnosis.kind_of(permission)
            known = ids[kind]
            id_ = known[0] if known else _PLACEHOLDER_ID
            check, document = requests.check(
                permission,
                partial(_parameters, permission, id_),
                is_placeholder_id=not known,
            )
            if permission == kind.list and not known:
                ids[kind] = _ids(document, kind)[:1]
        is_over = diagnosis.affects_all(check)
        yield check
    yield diagnosis.check_clock(requests.ahead_seconds)


def _check_series(
    permission: str, kind: Kind, workspace: WorkspaceConfig, requests: _Requests
) -> Check:
    """Check each series of a kind: Braze may refuse one segment or event alone."""
    checks = {}
    for one in kind.objects(workspace):
        check, _ = requests.check(permission, partial(_series_parameters, kind, one.id))
        if not check.is_ok and check.problem not in diagnosis.OF_ONE_SERIES:
            return check  # the others would fail, too
        checks[kind.title(one)] = check
    return diagnosis.join_series(checks)


def _comes_later(permission: str, ids: Mapping[Permissions, list[str]]) -> bool:
    kind = diagnosis.kind_of(permission)
    return kind in ids and not ids[kind] and permission != kind.list


def _parameters(permission: str, id_: str, now: float) -> Query:
    """Return the parameters of the cheapest request; `now` is by the wall clock."""
    kind = diagnosis.kind_of(permission)
    if permission == kind.list:
        return {"page": 0}
    object_id: dict[str, str | int] = {f"{kind.kind}_id": id_}
    if permission == kind.details:
        return object_id
    series = object_id | {"length": 1}
    if kind is diagnosis.CAMPAIGNS:
        return series
    query = CANVAS.query(id_, windows=(), request=0, now=now)
    return series | {"ending_at": query["ending_at"]}  # as in the daemon


def _series_parameters(kind: Kind, id_: str, now: float) -> Query:
    return kind.query(id_, windows=(), request=0, now=now)


def _ids(document: object, kind: Permissions) -> list[str]:
    entries = document.get(kind.plural) if isinstance(document, dict) else None
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
                "checks": list(map(_check_document, report.checks)),
            }
            for report in reports
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=2)


def _check_document(check: Check) -> dict[str, object]:
    return {
        "check": check.name,
        "ok": check.is_ok,
        "problem": check.problem or None,
        "message": check.message,
        "advice": check.advice or None,
        "status": check.status,
        "seconds": check.seconds,
    }


def _as_text(reports: Sequence[_Report]) -> str:
    lines = [line for report in reports for line in _report_lines(report)]
    problems = sum(
        check.is_ok is False for report in reports for check in report.checks
    )
    plural = "" if problems == 1 else "s"
    verdict = f"{problems} problem{plural}." if problems else "No problems found."
    return "\n".join((*lines, verdict))


def _report_lines(report: _Report) -> Iterator[str]:
    workspace = report.workspace
    yield f"workspace {workspace.name} at {workspace.endpoint}"
    printed: set[str] = set()
    width = max(len(check.name) for check in report.checks)
    for check in report.checks:
        took = ""
        if check.is_ok and check.status and check.seconds is not None:
            took = f" in {check.seconds:.2f} s"
        sign = _SIGNS[check.is_ok]
        yield from _wrapped(f"  {sign:<6} {check.name:<{width}} ", check.message + took)
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
