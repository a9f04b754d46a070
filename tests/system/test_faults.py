"""Faults and odd responses of Braze, each over a real socket.

One process polls all the campaigns below, a fault to each, with healthy ones beside
them. All faults start at once and end at once; the tests examine the scrapes in
between. Campaigns are named after their faults.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from exporter.simulator import Delivery, Fault, Simulator, SimulatorSettings
from exporter.simulator.settings import RateLimit

from tests.paths import ROOT
from tests.support.daemon_process import (
    Labels,
    Process,
    Scrape,
    daemon,
    exporter,
    until,
    workspace,
)
from tests.support.scripted_peer import closed_port, serving

HEALTHY = ("healthy 1", "healthy 2", "healthy 3")
HEALTHY_POLLS = 3
"""Successful polls of each healthy campaign to wait for while the others fail."""

# Fault → reason. Each affects one campaign of a shared workspace.
CAMPAIGN_FAULTS: Mapping[str, tuple[Fault, str]] = {
    "500": (Fault(status=500), "server_error"),
    "502 with HTML": (Fault.html(502), "server_error"),
    "400": (Fault(status=400), "bad_request"),
    "404": (Fault(status=404), "not_found"),
    "302 to another host": (Fault.redirect("filled in below"), "redirect"),
    "reset before headers": (Fault(delivery=Delivery.RESET), "connection"),
    "reset in the body": (Fault(delivery=Delivery.RESET_IN_BODY), "connection"),
    "body too short": (Fault(delivery=Delivery.SHORT_BODY), "connection"),
    "hang before headers": (Fault(delivery=Delivery.HANG), "timeout"),
    "dripping headers": (
        Fault(delivery=Delivery.DRIP_HEADERS, drip_seconds=0.5),
        "timeout",
    ),
    "dripping body": (Fault(delivery=Delivery.DRIP_BODY, drip_seconds=0.5), "timeout"),
    "gzip bomb": (Fault(delivery=Delivery.GZIP_BOMB, bomb_bytes=1 << 26), "too_large"),
    "invalid gzip": (
        Fault(body=b"{}", headers={"Content-Encoding": "gzip"}),
        "malformed",
    ),
    "unknown encoding": (Fault(headers={"Content-Encoding": "br"}), "malformed"),
    "empty body": (Fault(body=b""), "malformed"),
    "HTML with 200": (Fault.html(200), "malformed"),
    **{
        name: (Fault(body=body), "malformed")
        for name, body in {
            "invalid UTF-8": b'{"data": "\xff"}',
            "JSON array": b"[]",
            "JSON 100,000 deep": b'{"data":' + b"[" * 100_000,
            "closed and 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
            "no data": b'{"message": "success"}',
            "data null": b'{"data": null}',
            "data object": b'{"data": {}}',
            "data string": b'{"data": "none"}',
            "message of an error": b'{"message": "try later", "data": []}',
        }.items()
    },
}
# These affect a whole workspace, or its bucket: the healthy ones are in another one.
WORKSPACE_FAULTS: Mapping[str, str] = {
    "401 until the key file is replaced": "unauthorized",
    "403 until the key file is replaced": "forbidden",
    "429 with a reset": "rate_limited",
    "429 without headers": "rate_limited",
    "connection refused": "connection",
}
REASONS = {
    **{name: reason for name, (_, reason) in CAMPAIGN_FAULTS.items()},
    **WORKSPACE_FAULTS,
}

TODAY = datetime.now(UTC).date()
Figures = Mapping[tuple[str, str], float]
"""(variation, stat) → value of today."""


def rows(*messages: str, times: tuple[str, ...] = ()) -> bytes:
    """Return a response with one row of email entries a day; default: today."""
    days = [f'"time": "{each}", ' if each else "" for each in times or (str(TODAY),)]
    texts = (
        f'{{{day}"messages": {{"email": {entries}}}}}'
        for day, entries in zip(days, messages, strict=True)
    )
    return f'{{"message": "success", "data": [{", ".join(texts)}]}}'.encode()


YESTERDAY = str(TODAY - timedelta(days=1))
# Odd but successful responses → exactly the values that are served of them.
ODD: Mapping[str, tuple[bytes, Figures]] = {
    "no rows": (b'{"message": "success", "data": []}', {}),
    "rows without time": (
        rows('[{"sent": 1}]', '[{"sent": 2}]', times=(str(TODAY), "")),
        {("default", "sent"): 1},
    ),
    "rows that are no objects": (
        f'{{"data": [7, null, [], {{"time": "{TODAY}", "revenue": 1.5}}]}}'.encode(),
        {},
    ),
    "duplicate days": (
        rows('[{"sent": 1}]', '[{"sent": 2}]', times=(str(TODAY), str(TODAY))),
        {("default", "sent"): 2},
    ),
    "unordered days": (
        rows('[{"sent": 1}]', '[{"sent": 2}]', times=(str(TODAY), YESTERDAY)),
        {("default", "sent"): 1},
    ),
    "NaN and Infinity": (
        rows('[{"sent": NaN, "opens": Infinity, "clicks": -Infinity, "bounces": 3}]'),
        {("default", "bounces"): 3},
    ),
    "1e999": (rows('[{"sent": 1e999, "bounces": 4}]'), {("default", "bounces"): 4}),
    "2^70": (rows(f'[{{"sent": {2**70}}}]'), {("default", "sent"): float(2**70)}),
    "10^400": (
        rows(f'[{{"sent": {10**400}, "bounces": 5}}]'),
        {("default", "bounces"): 5},
    ),
    "10^5000": (
        rows(f'[{{"sent": 1{"0" * 5000}, "bounces": 6}}]'),
        {("default", "bounces"): 6},
    ),
    "lone surrogates": (
        rows(r'[{"variation_name": "a\ud800b", "sent": 1}]'),
        {("a\ufffdb", "sent"): 1},
    ),
    "NUL and newlines in names": (
        rows(r'[{"variation_name": "a\u0000b\nc\\\"d", "s\u0000t": 1}]'),
        {('a\ufffdb\nc\\"d', "s\ufffdt"): 1},
    ),
    "two variations of one name": (
        rows(
            '[{"variation_name": "A", "sent": 1}, {"variation_name": "A", "sent": 2}]'
        ),
        {("A", "sent"): 1, ("A #2", "sent"): 2},
    ),
}
VARIATIONS = rows(
    json.dumps([{"variation_name": f"{n:05}", "sent": n} for n in range(10_000)])
)


@dataclass(frozen=True)
class Trial:
    """The scrapes, and what was counted besides."""

    before: Scrape
    failed: Scrape
    """While all faults are active."""
    recovered: Scrape
    healthy_polls: Counter[str | None]
    """Requests of each campaign while all faults were active."""
    is_alive: bool
    redirected: int
    """Requests that reached the host that the redirect points to."""
    unauthorized: int
    """Requests with a wrong key in the workspace whose key was not replaced."""


def of(samples: Mapping[Labels, float], campaign: str) -> dict[Labels, float]:
    return {
        labels: value
        for labels, value in samples.items()
        if ("campaign", campaign) in labels
    }


def value(scrape: Scrape, name: str, campaign: str) -> float | None:
    """Return the one sample a campaign has in a family."""
    found = of(scrape.get(name, {}), campaign)
    assert len(found) <= 1
    return next(iter(found.values()), None)


class FaultyBraze:
    """The simulated workspaces, and the faults in them."""

    def __init__(self, stack: ExitStack, *, path: Path) -> None:
        self._path = path
        names = [*HEALTHY, *CAMPAIGN_FAULTS, *ODD]
        main = Simulator(SimulatorSettings(campaigns=len(names)))
        self.braze = stack.enter_context(main)
        ids = (one.id for one in self.braze.campaigns)
        self.ids = dict(zip(names, ids, strict=True))
        self.elsewhere = stack.enter_context(serving(b"HTTP/1.1 200 OK\r\n\r\n"))
        settings = {
            "403 until the key file is replaced": SimulatorSettings(
                campaigns=1, other_keys={"poor-key": frozenset[str]()}
            ),
            "429 with a reset": SimulatorSettings(
                campaigns=1, data_series_limit=RateLimit(1000, 2)
            ),
            "connection refused": SimulatorSettings(campaigns=1, port=closed_port()),
        }
        one = SimulatorSettings(campaigns=1)
        self.others = {
            name: stack.enter_context(Simulator(settings.get(name, one)))
            for name in WORKSPACE_FAULTS
        }
        self.write_keys(self.braze.api_key, self.braze.api_key)

    def write_keys(self, first: str, second: str) -> None:
        """Write the key files of the workspaces with 401 and 403."""
        (self._path / "401.key").write_text(f"{first}\n")
        (self._path / "403.key").write_text(f"{second}\n")

    def configuration(self) -> dict[str, object]:
        campaigns = [{"id": id_, "name": name} for name, id_ in self.ids.items()]
        workspaces = [workspace(self.braze, campaigns=campaigns, concurrency=16)]
        for name, braze in self.others.items():
            campaigns = [{"id": braze.campaigns[0].id, "name": name}]
            other = workspace(braze, name=name, campaigns=campaigns)
            if name[:3] in {"401", "403"}:
                del other["api_key_env"]
                other["api_key_file"] = f"{name[:3]}.key"
            workspaces.append(other)
        return {"workspaces": workspaces}

    def start_faults(self) -> None:
        faults = {name: fault for name, (fault, _) in CAMPAIGN_FAULTS.items()}
        faults |= {name: Fault(body=body) for name, (body, _) in ODD.items()}
        elsewhere = Fault.redirect(f"{self.elsewhere.url}/stolen")
        for name, fault in {**faults, "302 to another host": elsewhere}.items():
            self.braze.set_fault(fault, campaign_id=self.ids[name])
        self.write_keys("wrong-key", "poor-key")
        self.others["429 with a reset"].set_fault(Fault(status=429))
        without_headers = Fault(status=429, has_rate_limit_headers=False)
        self.others["429 without headers"].set_fault(without_headers)
        self.others["connection refused"].stop()

    def end_faults(self) -> None:
        self.write_keys(self.braze.api_key, self.braze.api_key)
        for braze in (self.braze, *self.others.values()):
            braze.clear_faults()
        self.others["connection refused"].start()


def scrape_when(process: Process, is_met: Callable[[Scrape], bool]) -> Scrape:
    """Wait for a condition; after a timeout the tests report what is missing."""
    with suppress(AssertionError):
        return process.scrape_until(is_met)
    return process.scrape()


def are_up(scrape: Scrape, expected: int, names: Iterable[str] = REASONS) -> bool:
    return all(value(scrape, "braze_campaign_up", name) == expected for name in names)


def reasons(scrape: Scrape, campaign: str) -> list[str]:
    failures = of(scrape["braze_campaign_failure_info"], campaign)
    return [dict(labels)["reason"] for labels in failures]


def have_failed(scrape: Scrape) -> bool:
    """Return whether each campaign with a fault has failed for its reason."""
    return are_up(scrape, 0) and all(
        reasons(scrape, name) == [reason] for name, reason in REASONS.items()
    )


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Start the faults, scrape, end them, scrape."""
    path = tmp_path_factory.mktemp("faults")
    netrc = path / "netrc"
    netrc.write_text("default login thief password other\n")
    netrc.chmod(0o600)
    with ExitStack() as stack:
        faulty = FaultyBraze(stack, path=path)
        environment = {"NETRC": str(netrc)}
        process = stack.enter_context(
            exporter(
                faulty.braze,
                path,
                document=faulty.configuration(),
                environment=environment,
            )
        )
        before = process.wait_until_up(len(faulty.ids) + len(WORKSPACE_FAULTS))
        faulty.start_faults()
        scrape_when(process, have_failed)
        start = len(faulty.braze.requests)

        def healthy_polls() -> Counter[str | None]:
            return Counter(one.campaign_id for one in faulty.braze.requests[start:])

        def are_polled(scrape: Scrape) -> bool:
            """On a busy machine, each campaign may have a timeout now and then."""
            polls = healthy_polls()
            return (
                have_failed(scrape)
                and are_up(scrape, 1, [*HEALTHY, *ODD])
                and all(polls[faulty.ids[name]] > HEALTHY_POLLS for name in HEALTHY)
                and all(figures(scrape, name) == ODD[name][1] for name in ODD)
            )

        failed = scrape_when(process, are_polled)
        polls = healthy_polls()
        faulty.end_faults()
        yield Trial(
            before=before,
            failed=failed,
            recovered=scrape_when(process, lambda scrape: are_up(scrape, 1)),
            healthy_polls=Counter({name: polls[faulty.ids[name]] for name in HEALTHY}),
            is_alive=not process.has_ended,
            redirected=faulty.elsewhere.connections,
            unauthorized=sum(not one.is_authorized for one in faulty.braze.requests),
        )


def figures(scrape: Scrape, name: str) -> Figures:
    """Return the values of the newest day; all must be of email."""
    found = {}
    for labels, number in of(scrape["braze_campaign_daily"], name).items():
        by_name = dict(labels)
        assert by_name["channel"] == "email"
        found[by_name["variation"], by_name["metric"]] = number
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "reason"), REASONS.items())
def test_a_fault_is_served_with_its_reason(
    trial: Trial, fault: str, reason: str
) -> None:
    """All samples of the campaign that were served before are still served."""
    assert value(trial.failed, "braze_campaign_up", fault) == 0
    assert reasons(trial.failed, fault) == [reason]
    for name, samples in trial.before.items():
        if name not in {"braze_campaign_up", "braze_campaign_interval_seconds"}:
            assert of(trial.failed[name], fault).keys() == of(samples, fault).keys()


@pytest.mark.slow
@pytest.mark.parametrize("fault", REASONS)
def test_the_next_good_response_ends_a_failure(trial: Trial, fault: str) -> None:
    success = "braze_campaign_last_success_timestamp_seconds"
    before, after = (
        value(each, success, fault) for each in (trial.failed, trial.recovered)
    )

    assert value(trial.recovered, "braze_campaign_up", fault) == 1
    assert not of(trial.recovered["braze_campaign_failure_info"], fault)
    assert before is not None
    assert after is not None
    assert after > before


@pytest.mark.slow
@pytest.mark.parametrize("campaign", HEALTHY)
def test_healthy_campaigns_are_polled_meanwhile(trial: Trial, campaign: str) -> None:
    assert trial.healthy_polls[campaign] > HEALTHY_POLLS
    assert value(trial.failed, "braze_campaign_up", campaign) == 1


@pytest.mark.slow
@pytest.mark.parametrize("response", ODD)
def test_an_odd_response_is_served_exactly(trial: Trial, response: str) -> None:
    """The poll succeeds; an invalid number, day or text is omitted, the rest kept."""
    assert value(trial.failed, "braze_campaign_up", response) == 1
    assert figures(trial.failed, response) == ODD[response][1]


@pytest.mark.slow
def test_no_fault_ends_the_process_or_leaks_the_key(trial: Trial) -> None:
    """A redirect is not followed; an entry of a netrc does not replace the key."""
    assert trial.is_alive
    assert trial.redirected == 0
    assert trial.unauthorized == 0


def test_the_documentation_lists_these_faults() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()

    assert dict(re.findall(r"(?m)^\| (.+?) \| `([a-z_]+)` \|", text)) == REASONS


def test_variations_above_the_cap_are_dropped() -> None:
    """Of 10,000 variations the first are served, whole, and the rest is counted."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        name = braze.campaigns[0].name
        braze.set_fault(Fault(body=VARIATIONS))
        with daemon(braze, interval="10m", timeout="1m") as running:
            until(lambda: "braze_campaign_daily" in running.get("/metrics")[1])
            scrape = running.scrape()

    served = figures(scrape, name)
    assert value(scrape, "braze_campaign_up", name) == 1
    assert sum(len(of(samples, name)) for samples in scrape.values()) <= 5000
    assert [variation for variation, _ in sorted(served)] == [
        f"{n:05}" for n in range(len(served))
    ]
    dropped = scrape["braze_exporter_series_dropped"]
    assert dropped == {
        frozenset({("workspace", "production")}): 2 * (10_000 - len(served))
    }


def test_a_short_outage_passes_within_the_poll(tmp_path: Path) -> None:
    """503 twice, then 200: two retries, and the campaign was never down."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        braze.set_fault(Fault.html(503), count=2)
        with exporter(braze, tmp_path, interval="1h", timeout="1m") as process:
            scrape = process.wait_for_samples("braze_campaign_up", 1)

        statuses = [one.status for one in braze.requests]

    assert set(scrape["braze_campaign_up"].values()) == {1}
    assert statuses == [503, 503, 200]
    assert sum(scrape["braze_exporter_api_retries_total"].values()) == 2
