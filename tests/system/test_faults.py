"""What happens when Braze fails or says odd things: every fault over a real socket.

One process polls all the campaigns below, a fault to each, with healthy ones beside
them. All faults strike at once and are healed at once; the tests look at what scrapes
showed in the meantime. Campaigns are called after their faults.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from exporter.simulator import Delivery, Fault, Simulator, SimulatorSettings
from exporter.simulator.settings import RateLimit

from tests.paths import ROOT
from tests.support.daemon_process import (
    PATIENCE_SECONDS,
    Labels,
    Process,
    Running,
    Scrape,
    configuration,
    until,
    written,
)
from tests.support.scripted_peer import closed_port, serving

HEALTHY = ("healthy 1", "healthy 2", "healthy 3")
INTERVAL_SECONDS = 1.0
# Two intervals, and one more for a machine that has other things to do.
FRESH_SECONDS = 3 * INTERVAL_SECONDS

# Fault → reason. They befall one campaign each; its neighbours in the workspace go on.
LONELY: Mapping[str, tuple[Fault, str]] = {
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
    "unknown encoding": (Fault.wrong_encoding("br"), "malformed"),
    "empty body": (Fault.empty(), "malformed"),
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
# These befall a whole workspace, or its bucket: the healthy ones are in another one.
SHARED: Mapping[str, str] = {
    "401 until the key file is replaced": "unauthorized",
    "403 until the key file is replaced": "forbidden",
    "429 with a reset": "rate_limited",
    "429 without headers": "rate_limited",
    "connection refused": "connection",
}
REASONS = {**{name: reason for name, (_, reason) in LONELY.items()}, **SHARED}

TODAY = datetime.now(UTC).date()
Figures = Mapping[tuple[str, str], float]
"""(variation, stat) → value of today."""


def rows(*messages: str, times: tuple[str, ...] = ()) -> bytes:
    """Return an answer whose rows have these entries of email, all today's or so."""
    days = [f'"time": "{each}", ' if each else "" for each in times or (str(TODAY),)]
    texts = (
        f'{{{day}"messages": {{"email": {entries}}}}}'
        for day, entries in zip(days, messages, strict=True)
    )
    return f'{{"message": "success", "data": [{", ".join(texts)}]}}'.encode()


YESTERDAY = str(TODAY - timedelta(days=1))
# Odd answers that are answers all the same → exactly what is served of them.
ODD: Mapping[str, tuple[bytes, Figures]] = {
    "no rows": (b'{"message": "success", "data": []}', {}),
    "rows without time": (
        rows('[{"sent": 1}]', '[{"sent": 2}]', times=(str(TODAY), "")),
        {("default", "sent"): 1},
    ),
    "rows that are none": (
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
CROWDED = "10,000 variations in one row"
ANSWERS = {name: body for name, (body, _) in ODD.items()} | {
    CROWDED: rows(
        json.dumps([{"variation_name": f"{n:05}", "sent": n} for n in range(10_000)])
    )
}


@dataclass
class Trial:
    """What the scrapes showed."""

    before: Scrape = field(default_factory=dict)
    failed: dict[str, Scrape] = field(default_factory=dict)
    """Campaign → the first scrape in which it was down."""
    odd: Scrape = field(default_factory=dict)
    """When all odd answers were there."""
    healed: dict[str, Scrape] = field(default_factory=dict)
    """Campaign → the first scrape after the healing in which it was up."""
    ages: dict[str, float] = field(default_factory=dict)
    """Healthy campaign → how old its last success was at most."""
    is_alive: bool = False
    strangers: int = 0
    """Requests that reached the host that the redirect points to."""
    unauthorized: int = 0
    """Requests with another key than the right one, where nothing was replaced."""


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


class Stage:
    """The workspaces, and what befalls them."""

    def __init__(self, stack: ExitStack, *, path: Path) -> None:
        self._path = path
        self._refusing = closed_port()
        names = [*HEALTHY, *LONELY, *ANSWERS]
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
                SHARED,
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
        for name, key in zip(SHARED, keys, strict=False):
            (self._path / f"{name[:3]}.key").write_text(f"{key}\n")

    def configuration(self) -> dict[str, object]:
        """Return what polls all of it once a second."""
        listed = [{"id": id_, "name": name} for name, id_ in self.ids.items()]
        first = configuration(
            self.braze, campaigns=listed, timeout="1s", concurrency=16
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

    def strike(self) -> None:
        """Let every fault happen."""
        for name, (fault, reason) in LONELY.items():
            if reason == "redirect":
                fault = Fault.redirect(f"{self.elsewhere.url}/stolen")  # noqa: PLW2901 - its port is known only now
            self.braze.set_fault(fault, campaign_id=self.ids[name])
        for name, body in ANSWERS.items():
            self.braze.set_fault(Fault(body=body), campaign_id=self.ids[name])
        self.write_keys("wrong-key", "poor-key")
        throttled = Fault(status=429)
        self.others["429 with a reset"].set_fault(throttled)
        silent = Fault(status=429, has_rate_limit_headers=False)
        self.others["429 without headers"].set_fault(silent)
        self.others["connection refused"].stop()

    def heal(self) -> None:
        """Let everything be well again."""
        self.write_keys("simulated-braze-key", "simulated-braze-key")
        self.braze.clear_faults()
        for braze in self.others.values():
            braze.clear_faults()
        self.others["connection refused"].start()


class Audience:
    """Scrapes, and writes down what it sees."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.trial = Trial()

    def look(self) -> Scrape:
        """Scrape once; how fresh the healthy ones are is looked at each time."""
        scrape = self._running.scrape()
        now = time.time()
        for name in HEALTHY:
            at = value(scrape, "braze_campaign_last_success_timestamp_seconds", name)
            age = PATIENCE_SECONDS if at is None else now - at
            self.trial.ages[name] = max(self.trial.ages.get(name, 0.0), age)
        return scrape

    def note(self, seen: dict[str, Scrape], *, up: float) -> Callable[[], bool]:
        """Return a probe that tells whether each was seen up, or down, by now."""

        def probe() -> bool:
            scrape = self.look()
            for name in REASONS.keys() - seen.keys():
                if value(scrape, "braze_campaign_up", name) == up:
                    seen[name] = scrape
            return len(seen) == len(REASONS)

        return probe

    def watch(self, probe: Callable[[], bool]) -> None:
        """Look until the probe says so; the tests tell what was waited for in vain."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not probe() and time.monotonic() < give_up_at:
            time.sleep(0.1)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Strike, look, heal, look."""
    path = tmp_path_factory.mktemp("faults")
    netrc = path / "netrc"
    netrc.write_text("default login thief password other\n")
    netrc.chmod(0o600)
    with ExitStack() as stack:
        stage = Stage(stack, path=path)
        file = written(path / "config.yaml", stage.configuration())
        process = stack.enter_context(
            Process(
                f"--config.file={file}",
                "--web.listen-address=127.0.0.1:0",
                environment={
                    "BRAZE_API_KEY": stage.braze.api_key,
                    "NETRC": str(netrc),
                },
            )
        )
        running = Running(process.url)
        campaigns = len(stage.ids) + len(SHARED)
        until(lambda: sum(running.scrape()["braze_campaign_up"].values()) == campaigns)
        audience = Audience(running)
        trial = audience.trial

        trial.before = audience.look()
        stage.strike()
        audience.watch(audience.note(trial.failed, up=0))
        audience.watch(lambda: all(is_served(audience.look(), name) for name in ODD))
        trial.odd = audience.look()
        stage.heal()
        audience.watch(audience.note(trial.healed, up=1))

        trial.is_alive = not process.has_ended
        trial.strangers = stage.elsewhere.connections
        trial.unauthorized = sum(not one.is_authorized for one in stage.braze.requests)
        yield trial


def is_served(scrape: Scrape, name: str) -> bool:
    """Tell whether exactly the figures of an odd answer are served."""
    return figures(scrape, name) == ODD[name][1]


def figures(scrape: Scrape, name: str) -> Figures:
    """Return the figures of the newest day, checking the channel in passing."""
    found = {}
    for labels, number in of(scrape["braze_campaign_daily"], name).items():
        by_name = dict(labels)
        assert by_name["channel"] == "email"
        found[by_name["variation"], by_name["metric"]] = number
    return found


@pytest.mark.parametrize(("fault", "reason"), REASONS.items())
def test_a_fault_is_told_by_its_reason(trial: Trial, fault: str, reason: str) -> None:
    """Its campaign says `up` 0 and why, in the words of the table above."""
    assert fault in trial.failed, "it was never seen down"
    failures = of(trial.failed[fault]["braze_campaign_failure_info"], fault)

    assert [dict(labels)["reason"] for labels in failures] == [reason]


@pytest.mark.parametrize("fault", REASONS)
def test_the_last_values_stay(trial: Trial, fault: str) -> None:
    """Every sample of the campaign that was served before is served still."""
    for name, samples in trial.before.items():
        if name not in {"braze_campaign_up", "braze_campaign_interval_seconds"}:
            assert (
                of(trial.failed[fault][name], fault).keys() == of(samples, fault).keys()
            )


@pytest.mark.parametrize("fault", REASONS)
def test_the_next_good_answer_heals(trial: Trial, fault: str) -> None:
    """The campaign is up again, its reason gone, its last success a new one."""
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


@pytest.mark.parametrize("campaign", HEALTHY)
def test_healthy_neighbours_stay_fresh(trial: Trial, campaign: str) -> None:
    """All that time their last success is never older than it would have been."""
    assert trial.ages[campaign] < FRESH_SECONDS


@pytest.mark.parametrize("answer", ODD)
def test_an_odd_answer_is_served_exactly(trial: Trial, answer: str) -> None:
    """It is a good poll; what is no number, no day or no text costs only itself."""
    assert value(trial.odd, "braze_campaign_up", answer) == 1
    assert figures(trial.odd, answer) == ODD[answer][1]


def test_a_crowded_row_is_served_up_to_the_cap(trial: Trial) -> None:
    """Of 10,000 variations the first stay, whole, and the rest is counted."""
    served = figures(trial.odd, CROWDED)
    series = sum(len(of(samples, CROWDED)) for samples in trial.odd.values())

    assert value(trial.odd, "braze_campaign_up", CROWDED) == 1
    assert series <= 5000
    assert [name for name, _ in sorted(served)] == [
        f"{n:05}" for n in range(len(served))
    ]
    dropped = trial.odd["braze_exporter_series_dropped"]
    assert dropped[frozenset({("workspace", "production")})] == 2 * (
        10_000 - len(served)
    )


def test_the_documentation_lists_these_faults() -> None:
    """The table of docs/reliability.md is the one above."""
    text = (ROOT / "docs" / "reliability.md").read_text()

    assert dict(re.findall(r"(?m)^\| (.+?) \| `([a-z_]+)` \|", text)) == REASONS


def test_the_process_lives(trial: Trial) -> None:
    """None of it ends the exporter."""
    assert trial.is_alive


def test_no_key_follows_a_redirect(trial: Trial) -> None:
    """Nobody ever connects to where Braze points."""
    assert trial.strangers == 0


def test_a_netrc_changes_no_header(trial: Trial) -> None:
    """With an entry for every host in it the key still goes out."""
    assert trial.unauthorized == 0


def test_a_short_outage_passes_within_the_poll(tmp_path: Path) -> None:
    """503 twice, then fine: two retries, and the campaign was never down."""
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
