"""Faults and odd responses of Braze, each over a real socket.

One process polls all the campaigns below, a fault to each, with healthy ones beside
them. All faults start at once and end at once; the tests examine the scrapes in
between. Campaigns are named after their faults.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from exporter.simulator import Delivery, Fault, Simulator, SimulatorSettings
from exporter.simulator.settings import RateLimit

from tests.paths import ROOT
from tests.support.daemon_process import (
    Labels,
    Process,
    Running,
    Scrape,
    configuration,
    daemon,
    until,
    written,
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
    "invalid UTF-8": (Fault(body=b'{"data": "\xff"}'), "malformed"),
    "JSON array": (Fault(body=b"[]"), "malformed"),
    "JSON 100,000 deep": (Fault(body=b'{"data":' + b"[" * 100_000), "malformed"),
    "closed and 100,000 deep": (
        Fault(body=b"[" * 100_000 + b"]" * 100_000),
        "malformed",
    ),
    "no data": (Fault(body=b'{"message": "success"}'), "malformed"),
    "data null": (Fault(body=b'{"data": null}'), "malformed"),
    "data object": (Fault(body=b'{"data": {}}'), "malformed"),
    "data string": (Fault(body=b'{"data": "none"}'), "malformed"),
    "message of an error": (
        Fault(body=b'{"message": "try later", "data": []}'),
        "malformed",
    ),
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


@dataclass
class Trial:
    """The scrapes, and what was counted besides."""

    before: Scrape = field(default_factory=dict)
    failed: dict[str, Scrape] = field(default_factory=dict)
    """Campaign → the first scrape in which it was down."""
    odd: Scrape = field(default_factory=dict)
    """When all odd responses were served."""
    healed: dict[str, Scrape] = field(default_factory=dict)
    """Campaign → the first scrape after the end of the faults in which it was up."""
    successes: dict[str, set[float]] = field(default_factory=dict)
    """Healthy campaign → times of its last success while the others failed."""
    is_alive: bool = False
    redirected: int = 0
    """Requests that reached the host that the redirect points to."""
    unauthorized: int = 0
    """Requests with a wrong key in the workspace whose key was not replaced."""


def of(samples: Mapping[Labels, float], campaign: str) -> dict[Labels, float]:
    """Return a campaign's samples."""
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
        self._refusing = closed_port()
        names = [*HEALTHY, *CAMPAIGN_FAULTS, *ODD]
        self.braze = stack.enter_context(
            Simulator(SimulatorSettings(campaigns=len(names)))
        )
        self.ids = dict(
            zip(names, (one.id for one in self.braze.campaigns), strict=True)
        )
        self.elsewhere = stack.enter_context(serving(b"HTTP/1.1 200 OK\r\n\r\n"))
        quick = RateLimit(1000, 2)
        poor = {"poor-key": frozenset[str]()}
        self.others = {
            name: stack.enter_context(Simulator(one))
            for name, one in zip(
                WORKSPACE_FAULTS,
                (
                    SimulatorSettings(campaigns=1),
                    SimulatorSettings(campaigns=1, other_keys=poor),
                    SimulatorSettings(campaigns=1, data_series_limit=quick),
                    SimulatorSettings(campaigns=1),
                    SimulatorSettings(campaigns=1, port=self._refusing),
                ),
                strict=True,
            )
        }
        self.write_keys("simulated-braze-key", "simulated-braze-key")

    def write_keys(self, *keys: str) -> None:
        """Write the two key files."""
        for name, key in zip(WORKSPACE_FAULTS, keys, strict=False):
            (self._path / f"{name[:3]}.key").write_text(f"{key}\n")

    def configuration(self) -> dict[str, object]:
        """Return a configuration that polls every campaign once a second."""
        listed = [{"id": id_, "name": name} for name, id_ in self.ids.items()]
        first = configuration(
            self.braze, campaigns=listed, timeout="2s", concurrency=16
        )
        workspaces = cast("list[dict[str, object]]", first["workspaces"])
        for name, braze in self.others.items():
            (campaign,) = braze.campaigns
            other = configuration(
                braze, name=name, campaigns=[{"id": campaign.id, "name": name}]
            )
            (workspace,) = cast("list[dict[str, object]]", other["workspaces"])
            if name[:3] in {"401", "403"}:
                del workspace["api_key_env"]
                workspace["api_key_file"] = f"{name[:3]}.key"
            workspaces.append(workspace)
        return {"workspaces": workspaces}

    def start_faults(self) -> None:
        """Start every fault."""
        for name, (fault, reason) in CAMPAIGN_FAULTS.items():
            if reason == "redirect":
                fault = Fault.redirect(f"{self.elsewhere.url}/stolen")  # noqa: PLW2901 - its port is known only now
            self.braze.set_fault(fault, campaign_id=self.ids[name])
        for name, (body, _) in ODD.items():
            self.braze.set_fault(Fault(body=body), campaign_id=self.ids[name])
        self.write_keys("wrong-key", "poor-key")
        throttled = Fault(status=429)
        self.others["429 with a reset"].set_fault(throttled)
        without_headers = Fault(status=429, has_rate_limit_headers=False)
        self.others["429 without headers"].set_fault(without_headers)
        self.others["connection refused"].stop()

    def end_faults(self) -> None:
        """End every fault."""
        self.write_keys("simulated-braze-key", "simulated-braze-key")
        self.braze.clear_faults()
        for braze in self.others.values():
            braze.clear_faults()
        self.others["connection refused"].start()


class Observer:
    """Scrapes, and keeps the scrapes that show a change."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.trial = Trial()

    def has_seen(self, seen: dict[str, Scrape], *, up: float) -> bool:
        """Scrape; return whether each campaign was seen up, or down, by now."""
        scrape = self._running.scrape()
        for name in REASONS.keys() - seen.keys():
            if value(scrape, "braze_campaign_up", name) == up:
                seen[name] = scrape
        return len(seen) == len(REASONS)

    def has_seen_neighbours(self) -> bool:
        """Scrape; return whether odd and healthy campaigns were polled as expected."""
        self.trial.odd = scrape = self._running.scrape()
        for name in HEALTHY:
            at = value(scrape, "braze_campaign_last_success_timestamp_seconds", name)
            if at is not None:
                self.trial.successes.setdefault(name, set()).add(at)
        polled = (len(self.trial.successes.get(name, ())) for name in HEALTHY)
        # The first one may be from before the faults.
        return min(polled) > HEALTHY_POLLS and all(
            is_served(scrape, name) for name in ODD
        )


def wait_for(probe: Callable[[], bool]) -> None:
    """Wait until a probe is true; the tests report what is missing after a timeout."""
    with suppress(AssertionError):
        until(probe)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Start the faults, scrape, end them, scrape."""
    path = tmp_path_factory.mktemp("faults")
    netrc = path / "netrc"
    netrc.write_text("default login thief password other\n")
    netrc.chmod(0o600)
    with ExitStack() as stack:
        braze = FaultyBraze(stack, path=path)
        file = written(path / "config.yaml", braze.configuration())
        process = stack.enter_context(
            Process(
                f"--config.file={file}",
                "--web.listen-address=127.0.0.1:0",
                environment={
                    "BRAZE_API_KEY": braze.braze.api_key,
                    "NETRC": str(netrc),
                },
            )
        )
        running = Running(process.url)
        campaigns = len(braze.ids) + len(WORKSPACE_FAULTS)
        until(lambda: sum(running.scrape()["braze_campaign_up"].values()) == campaigns)
        observer = Observer(running)
        trial = observer.trial

        trial.before = running.scrape()
        braze.start_faults()
        wait_for(lambda: observer.has_seen(trial.failed, up=0))
        wait_for(observer.has_seen_neighbours)
        braze.end_faults()
        wait_for(lambda: observer.has_seen(trial.healed, up=1))

        trial.is_alive = not process.has_ended
        trial.redirected = braze.elsewhere.connections
        trial.unauthorized = sum(not one.is_authorized for one in braze.braze.requests)
        yield trial


def is_served(scrape: Scrape, name: str) -> bool:
    """Return whether exactly the values of an odd response are served."""
    return figures(scrape, name) == ODD[name][1]


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
    """The campaign has `up` 0 and the reason of the table above."""
    assert fault in trial.failed, "it was never seen down"
    failures = of(trial.failed[fault]["braze_campaign_failure_info"], fault)

    assert [dict(labels)["reason"] for labels in failures] == [reason]


@pytest.mark.slow
@pytest.mark.parametrize("fault", REASONS)
def test_the_last_values_are_kept(trial: Trial, fault: str) -> None:
    """Every sample of the campaign that was served before is still served."""
    for name, samples in trial.before.items():
        if name not in {"braze_campaign_up", "braze_campaign_interval_seconds"}:
            assert (
                of(trial.failed[fault][name], fault).keys() == of(samples, fault).keys()
            )


@pytest.mark.slow
@pytest.mark.parametrize("fault", REASONS)
def test_the_next_good_response_ends_a_failure(trial: Trial, fault: str) -> None:
    """The campaign is up again, without a reason, and its last success is newer."""
    assert fault in trial.healed, "it was never seen up again"
    scrape = trial.healed[fault]
    success = "braze_campaign_last_success_timestamp_seconds"

    assert not of(scrape.get("braze_campaign_failure_info", {}), fault)
    before, after = (
        value(each, success, fault) for each in (trial.failed[fault], scrape)
    )
    assert before is not None
    assert after is not None
    assert after > before


@pytest.mark.slow
@pytest.mark.parametrize("campaign", HEALTHY)
def test_healthy_neighbours_are_polled_meanwhile(trial: Trial, campaign: str) -> None:
    """Faults of other campaigns in the workspace do not stop their polls."""
    assert len(trial.successes[campaign]) > HEALTHY_POLLS


@pytest.mark.slow
@pytest.mark.parametrize("response", ODD)
def test_an_odd_response_is_served_exactly(trial: Trial, response: str) -> None:
    """The poll succeeds; an invalid number, day or text is omitted, the rest kept."""
    assert value(trial.odd, "braze_campaign_up", response) == 1
    assert figures(trial.odd, response) == ODD[response][1]


def test_variations_above_the_cap_are_dropped() -> None:
    """Of 10,000 variations the first are served, whole, and the rest is counted."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        name = braze.campaigns[0].name
        braze.set_fault(Fault(body=VARIATIONS))
        with daemon(braze, interval="10m") as running:
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


def test_the_documentation_lists_these_faults() -> None:
    """The table of docs/reliability.md is the one above."""
    text = (ROOT / "docs" / "reliability.md").read_text()

    assert dict(re.findall(r"(?m)^\| (.+?) \| `([a-z_]+)` \|", text)) == REASONS


@pytest.mark.slow
def test_no_fault_ends_the_process_or_leaks_the_key(trial: Trial) -> None:
    """A redirect is not followed; an entry of a netrc does not replace the key."""
    assert trial.is_alive
    assert trial.redirected == 0
    assert trial.unauthorized == 0


def test_a_failing_campaign_keeps_its_values_and_recovers() -> None:
    """Its reason is served meanwhile, and its neighbour is polled."""
    success = "braze_campaign_last_success_timestamp_seconds"
    with Simulator(SimulatorSettings(campaigns=2)) as braze, daemon(braze) as running:
        failing, healthy = (one.name for one in braze.campaigns)
        for name in (failing, healthy):
            running.wait_for("braze_campaign_up", 1, campaign=name)
        before = running.scrape()
        braze.set_fault(Fault(status=400), campaign_id=braze.campaigns[0].id)
        running.wait_for("braze_campaign_up", 0, campaign=failing)
        at = running.value(success, campaign=healthy)
        until(lambda: running.value(success, campaign=healthy) != at)
        failed = running.scrape()
        braze.clear_faults()
        running.wait_for("braze_campaign_up", 1, campaign=failing)

    (labels,) = of(failed["braze_campaign_failure_info"], failing)
    assert ("reason", "bad_request") in labels
    daily = "braze_campaign_daily"
    assert of(failed[daily], failing) == of(before[daily], failing)


def test_a_short_outage_passes_within_the_poll(tmp_path: Path) -> None:
    """503 twice, then 200: two retries, and the campaign was never down."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        (campaign,) = braze.campaigns
        braze.set_fault(Fault.html(503), count=2)
        file = written(tmp_path / "config.yaml", configuration(braze, interval="1m"))
        with Process(
            f"--config.file={file}",
            "--web.listen-address=127.0.0.1:0",
            environment={"BRAZE_API_KEY": braze.api_key},
        ) as process:
            running = Running(process.url)
            until(lambda: running.value("braze_campaign_up") is not None)
            scrape = running.scrape()

        statuses = [one.status for one in braze.requests]

    assert value(scrape, "braze_campaign_up", campaign.name) == 1
    assert statuses == [503, 503, 200]
    (retries,) = scrape["braze_exporter_api_retries_total"].values()
    assert retries == 2
