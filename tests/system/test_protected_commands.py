"""The commands with a web configuration, as processes."""

from __future__ import annotations

import base64
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from exporter.simulator import Simulator

from tests.paths import ROOT
from tests.support.certificates import HASH, PASSWORD, Certificates
from tests.support.command_line import invoke
from tests.support.daemon_process import (
    FREE_PORT,
    PATIENCE_SECONDS,
    Process,
    exporter,
    run,
    until,
)

EXAMPLE = str(ROOT / "config.example.yaml")
TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
CLIENTS = "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
USERS = f"basic_auth_users: {{prometheus: {HASH}}}\n"
VALID = f"Basic {base64.b64encode(f'prometheus:{PASSWORD}'.encode()).decode()}"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "web")


@pytest.fixture
def braze() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


def web_file(certificates: Certificates, text: str) -> str:
    """Write the web configuration and return the flag that names it."""
    file = certificates.directory / "web.yml"
    file.write_text(text)
    return f"--web.config.file={file}"


def healthcheck_of(process: Process) -> tuple[str, str]:
    """Return the command line of a health check."""
    return "healthcheck", f"--web.listen-address={process.url.removeprefix('http://')}"


def request(
    url: str,
    client_context: ssl.SSLContext,
    *,
    credentials: str = VALID,
    method: str = "GET",
) -> tuple[int, str]:
    prepared = urllib.request.Request(url, headers={"Authorization": credentials})  # noqa: S310 - a URL of this test
    prepared.method = method
    try:
        with urllib.request.urlopen(  # noqa: S310 - a URL of this test
            prepared, context=client_context, timeout=PATIENCE_SECONDS
        ) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_protected_daemon_serves_its_pages_to_users_only(
    tmp_path: Path, certificates: Certificates, braze: Simulator
) -> None:
    """Health checks need no password; no page and no log line contains a secret."""
    client_context = certificates.client_context()
    flag = web_file(certificates, TLS + USERS)
    with exporter(braze, tmp_path, flag, "--web.enable-lifecycle") as process:
        url = process.url.replace("http:", "https:")

        def status(path: str, method: str = "GET") -> int:
            found, _ = request(
                f"{url}{path}", client_context, credentials="", method=method
            )
            return found

        pages = [
            request(f"{url}{path}", client_context)
            for path in ("/metrics", "/config", "/", "/-/healthy")
        ]
        refused = [status(path) for path in ("/metrics", "/config", "/nowhere")]
        refused += [status("/", "HEAD"), status("/-/reload", "POST")]
        health = status("/-/healthy"), status("/-/ready")
        process.stop()

    assert [status for status, _ in pages] == [200] * 4
    assert refused == [401] * 5
    assert health in {(200, 200), (200, 503)}
    output = "\n".join([*process.lines, *(text for _, text in pages)])
    for secret in (PASSWORD, HASH, HASH[29:], VALID, "PRIVATE KEY"):
        assert secret not in output


def test_a_running_daemon_loads_a_new_web_configuration(
    tmp_path: Path, certificates: Certificates, braze: Simulator
) -> None:
    client_context = certificates.client_context()
    flag = web_file(certificates, TLS)
    with exporter(braze, tmp_path, flag) as process:
        url = process.url.replace("http:", "https:")

        web_file(certificates, TLS + "basic_auth_users: {prometheus: hunter2}\n")
        rejected = process.wait_for_line(r"event=web_config\.rejected .*").string
        still = request(f"{url}/", client_context, credentials="")[0]
        web_file(certificates, TLS + USERS)
        process.wait_for_line(r"event=web_config\.loaded .*users=1")

        assert request(f"{url}/", client_context, credentials="")[0] == 401
        assert request(f"{url}/", client_context)[0] == 200

    assert still == 200
    assert "web.yml:4: basic_auth_users.prometheus: expected a bcrypt hash" in rejected
    assert "hunter2" not in rejected


def test_all_problems_of_both_files_are_printed(
    tmp_path: Path, certificates: Certificates
) -> None:
    flag = web_file(
        certificates, "tls_server_config: {cert_file: none.pem}\nusers: {}\n"
    )
    config = tmp_path / "config.yaml"
    config.write_text("workspaces: []\n")
    by_flag = ("--config.file", str(config), flag)

    for arguments in (("check", flag, str(config)), by_flag, ("demo", flag)):
        ended = run(*arguments)

        assert ended.returncode == 2
        assert re.search(r"web.yml:1: tls_server_config.cert_file: ", ended.stderr)
        assert re.search(r"web.yml:1: tls_server_config.key_file: ", ended.stderr)
        assert re.search(r"web.yml:2: users: unknown key", ended.stderr)
        has_both = "config.yaml:1: workspaces: " in ended.stderr
        assert has_both == ("demo" not in arguments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "plain HTTP, no password"),
        (TLS + USERS, "TLS with NoClientCert, 1 user"),
        (TLS + CLIENTS, "TLS with RequireAndVerifyClientCert, no password"),
    ],
)
def test_check_describes_a_valid_web_configuration(
    certificates: Certificates, text: str, expected: str
) -> None:
    """In one line after the plan; its warnings are printed with the others."""
    flag = web_file(certificates, text + "http_server_config: {http2: true}\n")

    ended = invoke("check", flag, EXAMPLE)

    assert ended.returncode == 0
    assert ended.stdout.endswith(f"web.yml: valid, {expected}\n")
    assert "http_server_config.http2: warning: " in ended.stderr


def test_the_demo_can_be_protected(certificates: Certificates) -> None:
    """It prints warnings, then its address."""
    text = f"{TLS}{USERS}http_server_config: {{http2: true}}\n"

    with Process("demo", FREE_PORT, web_file(certificates, text)) as demo:
        demo.wait_for_line(r"http2: warning: ")
        url = demo.wait_for_line(r"Metrics +(https://\S+)$")[1]

        assert request(url, certificates.client_context())[0] == 200
        demo.stop()


def test_the_health_check_uses_the_protocol_of_the_daemon(
    tmp_path: Path, certificates: Certificates, braze: Simulator
) -> None:
    """Without a password, also while the file is invalid, changed or missing."""
    flag = web_file(certificates, TLS + USERS)
    with exporter(braze, tmp_path, flag) as process:
        check = healthcheck_of(process)
        ended = [run(*check, flag)]
        without_flag = run(*check)

        web_file(certificates, "basic_auth_users: [")
        ended.append(run(*check, flag))
        process.wait_for_line(r"event=web_config\.rejected")
        web_file(certificates, "{}")
        until(lambda: run(*check).returncode == 0)
        ended.append(run(*check, flag))
        (certificates.directory / "web.yml").unlink()
        ended.append(run(*check, flag))

    assert [(one.returncode, one.stdout) for one in ended] == [(0, "healthy\n")] * 4
    assert without_flag.returncode == 1


def test_the_health_check_presents_a_required_client_certificate(
    tmp_path: Path, certificates: Certificates, braze: Simulator
) -> None:
    """The daemon's own, or the one of the flags; it fails without a valid one."""
    flag = web_file(certificates, TLS + CLIENTS)
    own = certificates.authority.issue_cert("monitoring")
    pair = tmp_path / "pair.pem"
    pair.write_bytes(own.private_key_and_cert_chain_pem.bytes())
    other = Certificates(tmp_path / "other").directory
    others = (f"cert-file={other / 'cert.pem'}", f"key-file={other / 'key.pem'}")
    with exporter(braze, tmp_path, flag) as process:
        check = (*healthcheck_of(process), flag)

        by_own = run(*check)
        by_pair = run(*check, f"--client.cert-file={pair}")
        by_other = run(*check, *(f"--client.{one}" for one in others))
        by_missing = run(*check, f"--client.cert-file={tmp_path / 'none.pem'}")

    assert (by_own.returncode, by_pair.returncode) == (0, 0)
    assert (by_other.returncode, by_missing.returncode) == (1, 1)
    assert "No such file" in by_missing.stderr
    assert "Traceback" not in by_other.stderr + by_missing.stderr


def test_the_health_check_presents_no_optional_client_certificate(
    tmp_path: Path, certificates: Certificates, braze: Simulator
) -> None:
    """One of another authority would be refused, a missing one is accepted."""
    clients = Certificates(tmp_path / "clients").directory / "ca.pem"
    text = CLIENTS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    flag = web_file(certificates, TLS + text.replace("ca.pem", str(clients)))
    with exporter(braze, tmp_path, flag) as process:
        ended = run(*healthcheck_of(process), flag)

    assert (ended.returncode, ended.stdout) == (0, "healthy\n")
