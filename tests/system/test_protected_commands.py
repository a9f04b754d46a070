"""The commands under a web configuration, each as a process of its own."""

from __future__ import annotations

import base64
import re
import signal
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from exporter.simulator import Simulator

from tests.paths import ROOT
from tests.support.certificates import HASH, PASSWORD, Papers
from tests.support.daemon_process import Process, configuration, run, until, written

EXAMPLE = ROOT / "config.example.yaml"
FREE = "--web.listen-address=127.0.0.1:0"
TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
CLIENTS = "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
USERS = f"basic_auth_users: {{prometheus: {HASH}}}\n"
SAID = f"Basic {base64.b64encode(f'prometheus:{PASSWORD}'.encode()).decode()}"


@pytest.fixture(name="papers")
def _papers(tmp_path: Path) -> Papers:
    """Issue a certificate."""
    return Papers(tmp_path / "web")


def web_file(papers: Papers, text: str) -> str:
    """Write the web configuration and return the flag that names it."""
    file = papers.directory / "web.yml"
    file.write_text(text)
    return f"--web.config.file={file}"


def daemon(tmp_path: Path, braze: Simulator, *flags: str) -> Process:
    """Start the daemon."""
    file = written(tmp_path / "config.yaml", configuration(braze))
    environment = {"BRAZE_API_KEY": braze.api_key}
    return Process("--config.file", file, FREE, *flags, environment=environment)


def ask(
    url: str, trust: ssl.SSLContext, *, said: str = SAID, method: str = "GET"
) -> tuple[int, str]:
    """Return status and text of what an HTTPS client gets."""
    request = urllib.request.Request(url, headers={"Authorization": said})  # noqa: S310 - our own URL
    request.method = method
    try:
        with urllib.request.urlopen(request, context=trust, timeout=20) as answer:  # noqa: S310 - our own URL
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_protected_daemon_shows_its_pages_to_users_alone(
    tmp_path: Path, papers: Papers
) -> None:
    """Health is for all; no page and no line of the log holds password or hash."""
    trust = papers.trusting()
    flag = web_file(papers, TLS + USERS)
    with (
        Simulator() as braze,
        daemon(tmp_path, braze, flag, "--web.enable-lifecycle") as process,
    ):
        url = process.url.replace("http:", "https:")
        pages = [
            ask(f"{url}{path}", trust)
            for path in ("/metrics", "/config", "/", "/-/healthy")
        ]
        refused = [
            ask(f"{url}{path}", trust, said="", method=method)[0]
            for path, method in (
                ("/metrics", "GET"),
                ("/config", "GET"),
                ("/", "HEAD"),
                ("/nowhere", "GET"),
                ("/-/reload", "POST"),
            )
        ]
        health = ask(f"{url}/-/healthy", trust, said="")
        ready = ask(f"{url}/-/ready", trust, said="")
        process.end(signal.SIGTERM, seconds=5)

    assert [status for status, _ in pages] == [200] * 4
    assert refused == [401] * 5
    assert health[0] == 200
    assert ready[0] in {200, 503}
    output = "\n".join([*process.lines, *(text for _, text in pages)])
    for secret in (PASSWORD, HASH, HASH[29:], SAID, "PRIVATE KEY"):
        assert secret not in output


def test_a_running_daemon_takes_up_a_new_web_configuration(
    tmp_path: Path, papers: Papers
) -> None:
    """A bad one first, which is told and changes nothing; then a good one."""
    trust = papers.trusting()
    flag = web_file(papers, TLS)
    with Simulator() as braze, daemon(tmp_path, braze, flag) as process:
        url = process.url.replace("http:", "https:")

        web_file(papers, TLS + "basic_auth_users: {prometheus: hunter2}\n")
        rejected = process.wait_for_line(r"event=web_config\.rejected .*").string
        still = ask(f"{url}/", trust, said="")[0]
        web_file(papers, TLS + USERS)
        process.wait_for_line(r"event=web_config\.loaded .*users=1")

        assert ask(f"{url}/", trust, said="")[0] == 401
        assert ask(f"{url}/", trust)[0] == 200

    assert still == 200
    assert "web.yml:4: basic_auth_users.prometheus: expected a bcrypt hash" in rejected
    assert "hunter2" not in rejected


def test_all_problems_of_both_files_come_at_once(
    tmp_path: Path, papers: Papers
) -> None:
    """From the check, its flag and the daemon alike, with exit code 2."""
    flag = web_file(papers, "tls_server_config: {cert_file: none.pem}\nusers: {}\n")
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
    ("text", "told"),
    [
        ("", "plain HTTP, no password"),
        (TLS + USERS, "TLS with NoClientCert, 1 user"),
        (TLS + CLIENTS, "TLS with RequireAndVerifyClientCert, no password"),
    ],
)
def test_check_says_what_a_valid_web_configuration_means(
    papers: Papers, text: str, told: str
) -> None:
    """In one line after the plan; its warnings come with the others."""
    flag = web_file(papers, text + "http_server_config: {http2: true}\n")

    by_command = run("check", flag, str(EXAMPLE))
    by_flag = run("--config.check", "--config.file", str(EXAMPLE), flag)

    assert by_command.returncode == 0
    assert by_command.stdout == by_flag.stdout
    assert by_command.stdout.endswith(f"web.yml: valid, {told}\n")
    assert "http_server_config.http2: warning: " in by_command.stderr


def test_a_demo_may_be_protected(papers: Papers) -> None:
    """It shows the address to open, and warnings before it starts."""
    text = f"{TLS}{USERS}http_server_config: {{http2: true}}\n"

    with Process("demo", FREE, web_file(papers, text)) as demo:
        demo.wait_for_line(r"http2: warning: ")
        url = demo.wait_for_line(r"Metrics +(https://\S+)$")[1]

        assert ask(url, papers.trusting())[0] == 200
        assert demo.end(signal.SIGTERM, seconds=5) == 0


def test_the_health_check_speaks_as_the_daemon_does(
    tmp_path: Path, papers: Papers
) -> None:
    """Over TLS, without a password, and also while the file is wrong or has changed."""
    flag = web_file(papers, TLS + USERS)
    with Simulator() as braze, daemon(tmp_path, braze, flag) as process:
        address = f"--web.listen-address={process.url.removeprefix('http://')}"
        check = ("healthcheck", address, flag)
        healthy = run(*check)
        blind = run("healthcheck", address)

        web_file(papers, "basic_auth_users: [")
        while_wrong = run(*check)
        process.wait_for_line(r"event=web_config\.rejected")
        web_file(papers, "{}")
        until(lambda: run("healthcheck", address).returncode == 0)
        when_plain = run(*check)
        (papers.directory / "web.yml").unlink()
        without_file = run(*check)

    for ended in (healthy, while_wrong, when_plain, without_file):
        assert (ended.returncode, ended.stdout) == (0, "healthy\n")
    assert blind.returncode == 1


def test_the_health_check_shows_a_certificate_where_one_is_asked_for(
    tmp_path: Path, papers: Papers
) -> None:
    """The daemon's own, or another one; without a good one it cannot tell."""
    flag = web_file(papers, TLS + CLIENTS)
    own = papers.authority.issue_cert("monitoring")
    pair = tmp_path / "pair.pem"
    pair.write_bytes(own.private_key_and_cert_chain_pem.bytes())
    stranger = Papers(tmp_path / "stranger").directory
    with Simulator() as braze, daemon(tmp_path, braze, flag) as process:
        address = f"--web.listen-address={process.url.removeprefix('http://')}"
        check = ("healthcheck", address, flag)

        by_own = run(*check)
        by_pair = run(*check, f"--client.cert-file={pair}")
        by_stranger = run(
            *check,
            f"--client.cert-file={stranger / 'cert.pem'}",
            f"--client.key-file={stranger / 'key.pem'}",
        )
        by_nothing = run(*check, f"--client.cert-file={tmp_path / 'none.pem'}")

    assert (by_own.returncode, by_pair.returncode) == (0, 0)
    assert (by_stranger.returncode, by_nothing.returncode) == (1, 1)
    assert "No such file" in by_nothing.stderr
    assert "Traceback" not in by_stranger.stderr + by_nothing.stderr


def test_the_health_check_shows_no_certificate_that_is_not_asked_for(
    tmp_path: Path, papers: Papers
) -> None:
    """Another authority's would be refused where none at all is well."""
    clients = Papers(tmp_path / "clients").directory / "ca.pem"
    text = CLIENTS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    flag = web_file(papers, TLS + text.replace("ca.pem", str(clients)))
    with Simulator() as braze, daemon(tmp_path, braze, flag) as process:
        address = f"--web.listen-address={process.url.removeprefix('http://')}"

        ended = run("healthcheck", address, flag)

    assert (ended.returncode, ended.stdout) == (0, "healthy\n")
