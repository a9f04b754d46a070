"""The key is in no page, log or message, also if clients provoke errors.

The simulated Braze returns the key in every place of a response; the exporter logs at
debug level.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from threading import current_thread
from urllib.parse import quote

import pytest
from exporter.cli import main
from exporter.commands import COMMANDS
from exporter.simulator import Fault, Simulator, SimulatorSettings
from exporter.system.logformat import Json, Logfmt

from tests.support.command_line import invoke
from tests.support.daemon_process import (
    DaemonThread,
    Running,
    Scrape,
    configuration,
    exporter,
    get,
    parsed,
    until,
    workspace,
    written,
)
from tests.support.scripted_peer import Peer, answer, closing

KEY = "7f3e9a52-cafe-4d1b-8a6b-feedfacebeef"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PATHS = ("/", "/metrics", "/config", "/-/healthy", "/-/ready", "/-/reload", "/none")


def message(text: str) -> bytes:
    return json.dumps({"message": text}).encode()


def row(fields: Mapping[str, object]) -> bytes:
    data = [{"time": "2026-03-01", **fields}]
    return json.dumps({"message": "success", "data": data}).encode()


def entry(**fields: object) -> bytes:
    return row({"messages": {"email": [fields]}})


# Where the key may be put → the fault that puts it there.
ECHOES: Mapping[str, Fault] = {
    "message of 400": Fault(status=400, body=message(f"Bearer {KEY} is bad")),
    "message of 404 in capitals": Fault(status=404, body=message(KEY.upper())),
    "message of 500": Fault(
        status=500, body=json.dumps({"message": KEY, "errors": [KEY]}).encode()
    ),
    "message of 200": Fault(body=json.dumps({"message": KEY, "data": []}).encode()),
    "HTML": Fault(status=502, body=f"<html>{KEY} A-BODY</html>".encode()),
    "garbage": Fault(body=f"{KEY} A-BODY is no JSON".encode()),
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

    log: list[str]
    log_format: str
    pages: Mapping[str, str]


def everything(running: Running) -> dict[str, str]:
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


def have_ended(scrape: Scrape) -> bool:
    """Return whether each campaign was polled, and two of them with success."""
    up = {
        dict(labels)["campaign"]: value
        for labels, value in scrape.get("braze_campaign_up", {}).items()
    }
    return len(up) == len(ECHOES) + 1 and up["correct"] == up["headers"] == 1


@pytest.fixture(scope="module", params=["logfmt", "json"])
def output(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Output]:
    """Run the daemon at debug level against all echoes at once; read everything."""
    path = tmp_path_factory.mktemp("secrets")
    (path / "key").write_text(f"{KEY}\n")
    names = [*ECHOES, "correct"]
    with Simulator(SimulatorSettings(campaigns=len(names), api_key=KEY)) as braze:
        for campaign, fault in zip(braze.campaigns, ECHOES.values(), strict=False):
            braze.set_fault(fault, campaign_id=campaign.id)
        listed = [
            {"id": one.id, "name": name}
            for one, name in zip(braze.campaigns, names, strict=True)
        ]
        configured = workspace(
            braze, api_key_file="key", campaigns=listed, timeout="5s"
        )
        del configured["api_key_env"]
        flags = ("--log.level=debug", f"--log.format={request.param}")
        with exporter(
            braze,
            path,
            "--web.enable-lifecycle",
            *flags,
            document={"workspaces": [configured]},
        ) as process:
            process.scrape_until(have_ended)
            pages = everything(process)
            with (path / "config.yaml").open("a") as file:
                file.write(f"\n{KEY}: [")
            pages["invalid reload"] = process.get("/-/reload", method="POST")[1]
            process.stop()
        yield Output(process.lines, request.param, pages)


def assert_no_key(text: str) -> None:
    """Fail if the key, or half of it, is in a text, plain or as Base64."""
    for form in (KEY, KEY[:18], KEY[-18:], base64.b64encode(KEY.encode()).decode()):
        assert form.lower() not in text.lower()


def test_no_log_line_contains_the_key_or_a_body(output: Output) -> None:
    text = "\n".join(output.log)
    events = [
        json.loads(line)
        if output.log_format == "json"
        else dict(part.split("=", 1) for part in shlex.split(line))
        for line in output.log
    ]

    names = {event["event"] for event in events}
    assert {"time", "level", "event"} <= set.intersection(*map(set, events))
    assert {"web.listening", "workspace.planned", "braze.answered"} <= names
    assert {"poll.failed", "config.rejected", "exporter.stopping"} <= names
    assert "poll.crashed" not in names
    assert "A-BODY" not in text
    assert_no_key(text)


def test_no_page_contains_the_key(output: Output) -> None:
    """No path, method or format does, no header and no label."""
    assert len(output.pages) == len(PATHS) * 6 + 1
    for text in output.pages.values():
        assert_no_key(text)


def test_a_response_with_the_key_is_not_stored(output: Output) -> None:
    """Headers are not stored, so a key in them is ignored."""
    page = output.pages["GET /metrics */* 200"]

    for name, up in (("correct", 1), ("headers", 1), ("stat", 0)):
        sample = f'braze_campaign_up{{workspace="production",campaign="{name}"}} {up}'
        assert sample in page


BROKEN_HTTP = (
    f"HTTP/1.1 {KEY} OK\r\n\r\n".encode(),
    f"{KEY}\r\n\r\n".encode(),
    f"HTTP/1.1 200 OK\r\nno header {KEY}\r\n\r\n".encode(),
    answer(b"", status=f"500 {KEY}"),
    answer(b"", status=f"401 {KEY}"),
    answer(b"{}", headers=(f"Transfer-Encoding: {KEY}",)),
    answer(message(KEY), status="403 Forbidden"),
    answer(message(KEY), status="429 Too Many Requests"),
    answer(message(KEY), status="299 Strange"),
)


def test_broken_http_does_not_reveal_the_key(tmp_path: Path) -> None:
    """Messages of libraries about status lines and headers are not passed on."""
    with ExitStack() as stack:
        braze = stack.enter_context(
            Simulator(SimulatorSettings(campaigns=1, api_key=KEY))
        )
        peers = [stack.enter_context(closing(reply)) for reply in BROKEN_HTTP]
        workspaces = [
            workspace(braze, name=f"{number}", endpoint=peer.url, timeout="1m")
            for number, peer in enumerate(peers)
        ]
        document = {"workspaces": workspaces}
        flag = "--log.level=debug"
        with exporter(braze, tmp_path, flag, document=document) as process:
            scrape = process.wait_for_samples("braze_campaign_up", len(peers))
            page = process.get("/metrics")[1]
            process.stop()

    assert not any(scrape["braze_campaign_up"].values())
    assert all(KEY.encode() in peer.requests[0] for peer in peers)
    assert_no_key(page)
    assert_no_key("\n".join(process.lines))


def test_a_traceback_does_not_contain_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """The traceback of a poll that crashes shows code, not values."""
    with Simulator(SimulatorSettings(campaigns=1, api_key=KEY)) as braze:

        def read_key(_: object) -> str:
            # Only in the threads of polls: others read the key, too.
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
        assert_no_key(formatter.format(crash))
    assert_no_key(page)
    assert_no_key(caplog.text)


def test_an_aborted_fetch_does_not_reveal_the_key(tmp_path: Path) -> None:
    with Simulator(SimulatorSettings(campaigns=1, api_key=KEY)) as braze:
        braze.set_fault(Fault(latency_seconds=600))
        with exporter(braze, tmp_path, "--log.level=debug", timeout="10m") as process:
            until(braze.in_flight)
            process.stop()

    assert_no_key("\n".join(process.lines))


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

    ended = invoke("check", str(file), environment={"BRAZE_API_KEY": KEY})

    assert ended.returncode == 2
    assert "config.yaml:1" in ended.stderr
    assert_no_key(ended.stdout + ended.stderr)


def test_a_check_does_not_print_the_key(tmp_path: Path) -> None:
    with Simulator(SimulatorSettings(campaigns=1)) as braze:
        file = written(tmp_path / "config.yaml", configuration(braze))

    ended = invoke("check", file, environment={"BRAZE_API_KEY": f'"{KEY}'})

    assert ended.returncode == 0
    assert "quote" in ended.stderr
    assert_no_key(ended.stdout + ended.stderr)


PROXY_PASSWORD = "Hünter@2:x/y"
PROXY_USER = f"squid:{quote(PROXY_PASSWORD, safe='')}"
PROXY_SECRETS = (
    PROXY_PASSWORD,
    quote(PROXY_PASSWORD, safe=""),
    base64.b64encode(f"squid:{PROXY_PASSWORD}".encode()).decode(),
)
ALL_SECRETS = " ".join(PROXY_SECRETS)
# What a proxy sends for http://: it repeats the password in every place.
PROXY_REPLIES = (
    answer(message(ALL_SECRETS), status="407 Proxy Authentication Required"),
    answer(message(ALL_SECRETS), status="403 Forbidden"),
    answer(ALL_SECRETS.encode(), status="502 Bad Gateway"),
    *(answer(message(secret), status=f"400 {secret}") for secret in PROXY_SECRETS),
    *(answer(message(secret)) for secret in PROXY_SECRETS),
    *(answer(entry(variation_name=secret, sent=1)) for secret in PROXY_SECRETS),
    *(
        answer(
            status="302 Found",
            headers=(f"Location: http://{secret}/", f"X-RateLimit-Limit: {secret}"),
        )
        for secret in PROXY_SECRETS[1:]
    ),
    f"HTTP/1.1 {ALL_SECRETS} OK\r\n\r\n".encode(),
    f"HTTP/1.1 200 OK\r\nno header {ALL_SECRETS}\r\n\r\n".encode(),
)


def through(peer: Peer) -> str:
    """Return the URL of a proxy with user and password."""
    return peer.url.replace("//", f"//{PROXY_USER}@")


def assert_no_proxy_password(text: str) -> None:
    for secret in (*PROXY_SECRETS, PROXY_PASSWORD[:6], PROXY_PASSWORD[6:]):
        assert secret.lower() not in text.lower()


def test_a_password_that_a_proxy_repeats_is_on_no_page_and_in_no_log(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        braze = stack.enter_context(Simulator(SimulatorSettings(campaigns=1)))
        peers = [stack.enter_context(closing(reply)) for reply in PROXY_REPLIES]
        workspaces = [
            workspace(braze, name=f"{number}", proxy=through(peer))
            for number, peer in enumerate(peers)
        ]
        document = {"workspaces": workspaces}
        flag = "--log.level=debug"
        with exporter(braze, tmp_path, flag, document=document) as process:
            scrape = process.wait_for_samples("braze_campaign_up", len(peers))
            pages = everything(process)
            process.stop()

    assert not any(scrape["braze_campaign_up"].values())
    assert all(b"Proxy-Authorization: Basic" in peer.requests[0] for peer in peers)
    for text in (*pages.values(), "\n".join(process.lines)):
        assert_no_proxy_password(text)


@pytest.mark.parametrize("command", ["check", "doctor", "discover", "backfill"])
def test_no_command_prints_or_writes_a_password_that_a_proxy_repeats(
    tmp_path: Path, command: str
) -> None:
    campaigns = [{"id": "1", "name": PROXY_PASSWORD}]
    listed = json.dumps({"campaigns": campaigns, "message": "success"}).encode()
    output = tmp_path / "written"
    flags = [f"--output={output}"] if command == "backfill" else []
    for reply in (*PROXY_REPLIES[:4], PROXY_REPLIES[6], answer(listed)):
        with Simulator(SimulatorSettings(campaigns=1)) as braze, closing(reply) as peer:
            changed = configuration(braze, proxy=through(peer), timeout="5m")
            file = written(tmp_path / "config.yaml", changed)
            file_flag = file if command == "check" else f"--config.file={file}"
            environment = {"BRAZE_API_KEY": KEY}
            ended = invoke(command, file_flag, *flags, environment=environment)

        assert peer.requests or command == "check"
        assert_no_proxy_password(ended.stdout + ended.stderr)
        for made in set(tmp_path.rglob("*")) - {Path(file)}:
            if made.is_file():
                assert_no_proxy_password(made.read_bytes().decode("utf-8", "replace"))


# All parsers refuse these in one function.
KEY_FLAGS = (
    ("--api-key", KEY),
    (f"--api-key={KEY}",),
    ("--apikey", KEY),
    ("-api-key", KEY),
    ("--api_key", KEY),
    ("--API-KEY", KEY),
    ("\u2014api-key", KEY),
    ("--api", KEY),
    ("--api-key-en", KEY),
    (f"--api-key-{KEY}",),
    (f"--api-key{KEY}",),
    (f"api-key={KEY}",),
)
# Messages about these depend on the parser.
MISTYPED = (
    (f"BRAZE_API_KEY={KEY}",),
    (f"-k{KEY}",),
    ("--nope", KEY),
    (f"--nope={KEY}",),
    (f"--{KEY}",),
    ("--", "--api-key", KEY),
    ("--log.level", KEY),
    (f"--config.check={KEY}",),
    (f"-h{KEY}",),
)
# The daemon has unknown commands, check has a file, doctor has a target.
PARSERS = ("", "check", "doctor")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *product([""], KEY_FLAGS),
        *product(COMMANDS, KEY_FLAGS[:1]),
        *product(PARSERS, MISTYPED),
    ],
)
def test_a_key_on_the_command_line_is_not_repeated(
    name: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [name] if name else []
    for arguments in ([*command, *words], [*words, *command]):
        code = main(arguments)
        output = "".join(capsys.readouterr())

        assert code == 2
        assert_no_key(output)
        if words[0].lower().strip("-\u2014").startswith("api"):
            assert "no flag accepts an API key" in output
            assert "api_key_env or api_key_file" in output
