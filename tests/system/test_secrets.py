"""The key is in no page, log or message, also if clients provoke errors.

A Braze that knows the key, since it is sent to it, repeats it in every place of an
answer; the exporter logs at debug level, and crashes where a test makes it.
"""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import current_thread

import pytest
from exporter.simulator import Fault, Simulator, SimulatorSettings
from exporter.system.logformat import Json, Logfmt

from tests.support.daemon_process import (
    DaemonThread,
    Process,
    Running,
    configuration,
    get,
    parsed,
    run,
    until,
    written,
)
from tests.support.scripted_peer import PATIENCE_SECONDS, answer, closing

KEY = "7f3e9a52-cafe-4d1b-8a6b-feedfacebeef"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PATHS = ("/", "/metrics", "/config", "/-/healthy", "/-/ready", "/-/reload", "/none")


def row(fields: Mapping[str, object]) -> bytes:
    """Return a body with one day of these fields."""
    data = [{"time": "2026-03-01", **fields}]
    return json.dumps({"message": "success", "data": data}).encode()


def entry(**fields: object) -> bytes:
    """Return a body with one email entry."""
    return row({"messages": {"email": [fields]}})


# Where the key may be put → the fault that puts it there.
ECHOES: Mapping[str, Fault] = {
    "message of 400": Fault(
        status=400, body=json.dumps({"message": f"Bearer {KEY} is bad"}).encode()
    ),
    "message of 404 in capitals": Fault(
        status=404, body=json.dumps({"message": KEY.upper()}).encode()
    ),
    "message of 500": Fault(
        status=500, body=json.dumps({"message": KEY, "errors": [KEY]}).encode()
    ),
    "message of 200": Fault(body=json.dumps({"message": KEY, "data": []}).encode()),
    "HTML": Fault(status=502, body=f"<html>{KEY}</html>".encode()),
    "garbage": Fault(body=f"{KEY} is no JSON".encode()),
    "redirect": Fault.redirect(f"https://{KEY}.example.com/{KEY}"),
    "headers": Fault(
        headers={
            "X-RateLimit-Remaining": KEY,
            "X-RateLimit-Reset": KEY,
            "Retry-After": KEY,
            "Set-Cookie": KEY,
            "X-Request-Id": KEY,
        }
    ),
    "header name": Fault(headers={KEY: "1"}),
    "encoding": Fault(headers={"Content-Encoding": KEY}),
    "broken length": Fault(headers={"Content-Length": KEY}),
    "broken chunks": Fault(
        body=f"{KEY}\r\n".encode(), headers={"Transfer-Encoding": "chunked"}
    ),
    "variation name": Fault(body=entry(variation_name=KEY, sent=1)),
    "variation name, escaped": Fault(
        body=entry(variation_name="*", sent=1).replace(
            b"*", "".join(rf"\u{ord(char):04x}" for char in KEY).encode()
        )
    ),
    "variation name, cut": Fault(body=entry(variation_name="x" * 240 + KEY, sent=1)),
    "variation id": Fault(body=entry(variation_api_id=KEY, sent=1)),
    "stat": Fault(body=entry(**{KEY: 1})),
    "overall stat": Fault(body=row({KEY: 1})),
    "channel": Fault(body=row({"messages": {KEY: [{"sent": 1}]}})),
    "time": Fault(body=json.dumps({"data": [{"time": KEY}]}).encode()),
}


@dataclass
class Output:
    """All that could be read of a process."""

    log: str
    pages: Mapping[str, str]


def everything(running: Running) -> dict[str, str]:
    """Return all pages with their headers, in each of their forms."""
    pages = {}
    for path in PATHS:
        for method in ("GET", "HEAD", "POST"):
            for accept in ("*/*", OPENMETRICS):
                status, headers, body = get(
                    f"{running.url}{path}",
                    method=method,
                    headers={"Accept": accept},
                )
                name = f"{method} {path} {accept} {status}"
                pages[name] = f"{headers}{body.decode()}"
    return pages


@pytest.fixture(scope="module", params=["logfmt", "json"])
def output(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Output]:
    """Run the daemon at debug level against all echoes at once; read everything."""
    path = tmp_path_factory.mktemp("secrets")
    (path / "key").write_text(f"{KEY}\n")
    count = len(ECHOES) + 1
    with Simulator(SimulatorSettings(campaigns=count, api_key=KEY)) as braze:
        for campaign, fault in zip(braze.campaigns, ECHOES.values(), strict=False):
            braze.set_fault(fault, campaign_id=campaign.id)
        document = configuration(
            braze,
            api_key_file="key",
            campaigns=[
                {"id": campaign.id, "name": name}
                for campaign, name in zip(
                    braze.campaigns, [*ECHOES, "honest"], strict=True
                )
            ],
        )
        del document["workspaces"][0]["api_key_env"]  # type: ignore[index]  # JSON
        file = written(path / "config.yaml", document)
        with Process(
            f"--config.file={file}",
            "--web.listen-address=127.0.0.1:0",
            "--web.enable-lifecycle",
            "--log.level=debug",
            f"--log.format={request.param}",
        ) as process:
            found = process.wait_for_line(r'address"?[=:] ?"?(127[^"\s]+)')
            running = Running(f"http://{found[1]}")
            until(lambda: len(running.scrape()["braze_campaign_up"]) == count)
            pages = everything(running)
            file_text = Path(file).read_text()
            Path(file).write_text(f"{file_text}\n{KEY}: [")
            pages["bad reload"] = running.get("/-/reload", method="POST")[1]
            Path(file).write_text(file_text)
            assert process.end(signal.SIGTERM, seconds=PATIENCE_SECONDS) == 0
        yield Output("\n".join(process.lines), pages)


def assert_untold(text: str) -> None:
    """Fail if the key, or enough of it to matter, is in a text in any plain form."""
    for form in (KEY, KEY[:18], KEY[-18:], base64.b64encode(KEY.encode()).decode()):
        assert form.lower() not in text.lower()


def test_no_log_line_contains_the_key(output: Output) -> None:
    """Not at debug level either, in neither format."""
    assert "braze.answered" in output.log
    assert "poll.failed" in output.log
    assert_untold(output.log)


def test_no_page_contains_the_key(output: Output) -> None:
    """No path, method or format does, no header and no label."""
    assert len(output.pages) == len(PATHS) * 6 + 1
    for text in output.pages.values():
        assert_untold(text)


def test_an_honest_neighbour_is_served(output: Output) -> None:
    """Of all campaigns with an answer only the honest ones and headers count."""
    page = output.pages["GET /metrics */* 200"]

    assert 'braze_campaign_up{workspace="production",campaign="honest"} 1' in page
    assert 'braze_campaign_up{workspace="production",campaign="headers"} 1' in page
    assert 'braze_campaign_up{workspace="production",campaign="stat"} 0' in page


@pytest.mark.parametrize(
    "reply",
    [
        f"HTTP/1.1 {KEY} OK\r\n\r\n".encode(),
        f"{KEY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nno header {KEY}\r\n\r\n".encode(),
        answer(b"", status=f"500 {KEY}"),
        answer(b"", status=f"401 {KEY}"),
        answer(b"{}", headers=(f"Transfer-Encoding: {KEY}",)),
        answer(f'{{"message": "{KEY}"}}'.encode(), status="403 Forbidden"),
        answer(f'{{"message": "{KEY}"}}'.encode(), status="429 Too Many Requests"),
        answer(f'{{"message": "{KEY}"}}'.encode(), status="299 Strange"),
    ],
)
def test_broken_http_does_not_reveal_the_key(reply: bytes, tmp_path: Path) -> None:
    """Messages of libraries about broken status lines and headers are not passed on."""
    campaign = {"id": "3bbc4555-8fa0-4c9b-a5c0-4505edf3e064", "name": "only"}
    with closing(reply) as peer:
        workspace = {
            "name": "production",
            "endpoint": peer.url,
            "api_key_env": "BRAZE_API_KEY",
            "interval": "1s",
            "campaigns": [campaign],
        }
        file = written(tmp_path / "config.yaml", {"workspaces": [workspace]})
        with Process(
            f"--config.file={file}",
            "--web.listen-address=127.0.0.1:0",
            "--log.level=debug",
            environment={"BRAZE_API_KEY": KEY},
        ) as process:
            running = Running(process.url)
            running.wait_for("braze_campaign_up", 0)
            page = running.get("/metrics")[1]
            assert process.end(signal.SIGTERM, seconds=PATIENCE_SECONDS) == 0

    assert any(KEY.encode() in request for request in peer.requests)
    assert_untold(page)
    assert_untold("\n".join(process.lines))


def test_a_traceback_does_not_contain_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """The traceback of a poll that crashes shows code, not values."""
    with Simulator(SimulatorSettings(campaigns=1, api_key=KEY)) as braze:

        def read_key(_: object) -> str:
            # Only where polls run: the heartbeat reads the key, too.
            if braze.requests and current_thread().name.startswith("production"):
                message = "provoked"
                raise RuntimeError(message)
            return KEY

        configured = parsed(configuration(braze), key=KEY)
        with DaemonThread(configured, read_key=read_key) as running:
            until(lambda: "poll.crashed" in caplog.messages)
            page = running.get("/metrics")[1]

    crash = next(one for one in caplog.records if one.message == "poll.crashed")
    for formatter in (Logfmt(), Json()):
        assert "provoked" in formatter.format(crash)
        assert_untold(formatter.format(crash))
    assert_untold(page)
    assert_untold(caplog.text)


def test_an_aborted_fetch_does_not_reveal_the_key(tmp_path: Path) -> None:
    """Stopping in the middle of a request leaves no trace of it in the log."""
    with Simulator(SimulatorSettings(campaigns=1, api_key=KEY)) as braze:
        braze.set_fault(Fault(latency_seconds=60))
        file = written(tmp_path / "config.yaml", configuration(braze, timeout="60s"))
        with Process(
            f"--config.file={file}",
            "--web.listen-address=127.0.0.1:0",
            "--log.level=debug",
            environment={"BRAZE_API_KEY": KEY},
        ) as process:
            until(braze.in_flight)
            assert process.end(signal.SIGTERM, seconds=PATIENCE_SECONDS) == 0

    assert_untold("\n".join(process.lines))


@pytest.mark.parametrize(
    "text",
    [
        "workspaces: [{{name: w, endpoint: '{0}', api_key_env: BRAZE_API_KEY}}]",
        "workspaces: [{{name: w, api_key: '{0}'}}]",
        "workspaces: [{{name: w, api_key_env: '{0}'}}]",
        "workspaces: [{{name: w, '{0}': 1, '{0}': 2}}]",
        "api_key: '{0}",
        "{0}: &a [*a, {0}]",
        "interval: {0}\nwindows: {0}\nlimits: {{response_bytes: '{0}'}}",
    ],
)
def test_a_key_in_the_configuration_is_not_repeated(text: str, tmp_path: Path) -> None:
    """A key at a wrong place is reported by its place, without the key."""
    file = tmp_path / "config.yaml"
    file.write_text(text.format(KEY))

    ended = run("check", str(file), environment={"BRAZE_API_KEY": KEY})

    assert ended.returncode == 2
    assert "config.yaml:1" in ended.stderr
    assert_untold(ended.stdout + ended.stderr)


def test_a_check_does_not_print_the_key(tmp_path: Path) -> None:
    """Neither in the plan nor in its warnings."""
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        file = written(tmp_path / "config.yaml", configuration(braze))

        ended = run("check", file, environment={"BRAZE_API_KEY": f'"{KEY}"'})

    assert ended.returncode == 0
    assert "quote" in ended.stderr
    assert_untold(ended.stdout + ended.stderr)
