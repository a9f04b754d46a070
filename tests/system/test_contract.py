"""Messages of the month against a contract, from a simulated Braze over sockets."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from exporter.simulator import Simulator, SimulatorSettings

from tests.support import naive_oracle
from tests.support.daemon_process import (
    configuration,
    exporter,
    listed,
    parsed,
    until,
    written,
)
from tests.system.test_workspace_series import shown, simulated
from tests.unit.simulator.simulator_client import Client

CONTRACT = {"email": 10_000_000, "sms": 200_000}
MONTH = "braze_{}_month_to_date_messages"
INCLUDED = "braze_workspace_contract_messages"


def sent(document: Any) -> Counter[tuple[str, str]]:
    """Return the messages in a response by day and channel of the contract."""
    data = document["data"]
    found: Counter[tuple[str, str]] = Counter()
    for row in data["stats"] if isinstance(data, dict) else data:
        steps = (row.get("step_stats") or {}).values()
        for part in (row, *steps):
            for channel, entries in (part.get("messages") or {}).items():
                for entry in entries or ():
                    if channel in CONTRACT and "sent" in entry:
                        found[row["time"], channel] += entry["sent"]
    return found


def counted(braze: Simulator, today: date) -> naive_oracle.Samples:
    """Request all days of each object again, and add up those of the month."""
    names = {one.id: one.name for one in (*braze.campaigns, *braze.canvases)}
    days: dict[tuple[str, str], dict[tuple[str, str], int]] = defaultdict(dict)
    with Client(braze) as client:
        for target in {f"{one.path}?{one.query}" for one in braze.requests}:
            query = parse_qs(target.partition("?")[2])
            kind = "canvas" if "canvas_id" in query else "campaign"
            name = names[query[f"{kind}_id"][0]]
            document = client.request(target, key="key").document
            days[kind, name] |= sent(document)
    samples: naive_oracle.Samples = defaultdict(float)
    for (kind, name), values in days.items():
        for (day, channel), messages in values.items():
            if f"{today:%Y-%m-01}" <= day <= str(today):
                labels = {"workspace": "production", kind: name, "channel": channel}
                samples[MONTH.format(kind), frozenset(labels.items())] += messages
    return samples


@pytest.mark.parametrize("windows", [["7d"], [], ["98d"]])
@pytest.mark.parametrize(
    ("at", "today"),
    [
        ("2025-05-31T12:00:00", date(2025, 5, 31)),
        ("2025-05-31T18:31:00", date(2025, 6, 1)),
        ("2025-02-14T12:00:00", date(2025, 2, 14)),
    ],
)
def test_messages_of_the_month_are_those_of_the_documents(
    at: str, today: date, windows: list[str]
) -> None:
    """Of all days since the first in the zone of the workspace, with any windows."""
    now, zone = datetime.fromisoformat(at).replace(tzinfo=UTC), "Asia/Kolkata"
    with simulated(
        now, has_fixed_clock=True, timezone=zone, campaigns=6, canvases=6
    ) as (braze, world):
        document = configuration(
            braze,
            timezone=zone,
            canvases=listed(braze.canvases),
            shared_requests_per_minute=4000,
            contract=CONTRACT,
        )
        world.apply(parsed({**document, "windows": windows}, key="key"))
        world.run(until=now.timestamp() + 10)
        expected = counted(braze, today)

    served = naive_oracle.parsed(shown(world))
    families = {MONTH.format(kind) for kind in ("campaign", "canvas")}
    ours = {key: value for key, value in served.items() if key[0] in families}
    assert ours == expected
    assert {family for family, _ in ours} == families or today.day == 1
    length = timedelta(days=100 if windows == ["98d"] else 32)
    assert {
        timedelta(days=int(parse_qs(one.query)["length"][0]))
        for one in braze.requests
        if one.campaign_id
    } == {length}


def test_a_contract_comes_and_goes_with_a_reload(tmp_path: Path) -> None:
    """The contract at once, the messages with the next poll."""
    with (
        Simulator(SimulatorSettings(campaigns=4)) as braze,
        exporter(braze, tmp_path, "--web.enable-lifecycle") as process,
    ):
        process.wait_until_up(4)
        without = process.scrape()
        for contract in (CONTRACT, {}):
            document = configuration(braze, contract=contract)
            written(tmp_path / "config.yaml", document)
            assert process.get("/-/reload", method="POST")[0] == 200
            included = {
                dict(labels)["channel"]: value
                for labels, value in process.scrape()[INCLUDED].items()
            }
            assert included == contract
            name = MONTH.format("campaign")
            until(lambda: bool(process.scrape()[name]) is bool(contract))  # noqa: B023

    assert not without[INCLUDED]
    assert not without[MONTH.format("campaign")]
