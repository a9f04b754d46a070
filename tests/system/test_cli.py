"""Which command runs, with which flags, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest
from exporter import __version__
from exporter.cli import main
from exporter.commands import COMMANDS
from exporter.simulator import Simulator

from tests.support.daemon_process import (
    Process,
    clean_environment,
    configuration,
    get,
    run,
    workspace,
    written,
)

BAD = """\
workspaces:
  - name: production
    endpoint: https://sdk.iad-01.braze.com
    api_key_env: BRAZE_API_KEY
    intervall: 5m
    requests_per_minute: none
    campaigns:
      - {id: 3bbc4555-8fa0-4c9b-a5c0-4505edf3e064, name: Welcome}
      - {id: 3bbc4555-8fa0-4c9b-a5c0-4505edf3e064, name: Welcome}
stale_after: soon
"""
KEY = {"BRAZE_API_KEY": "a-key"}

Shell = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    """Run a command to its end in this process, which is faster than a new one."""
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)

    def run(*arguments: str) -> tuple[int | str | None, str, str]:
        try:
            code: int | str | None = main(arguments)
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    kept = {number: signal.getsignal(number) for number in (SIGTERM, SIGINT)}
    yield run
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("arguments", [(), ("--log.level", "debug")])
def test_version_is_printed(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments, "--version")

    assert (ended.returncode, ended.stdout) == (0, f"braze-exporter {__version__}\n")


def test_help_lists_commands_and_exit_codes(shell: Shell) -> None:
    """Its flags are compared with the documentation in tests/docs/test_reference.py."""
    code, out, _ = shell("--help")

    assert code == 0
    for name, text in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", out, re.MULTILINE)
    assert "0 success, 1 failure, 2 invalid usage or configuration" in out
    assert max(map(len, out.splitlines())) <= 88


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_its_own_help(command: str, shell: Shell) -> None:
    code, out, _ = shell(command, "--help")

    assert code == 0
    assert f"usage: braze-exporter {command} " in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--web.external-ulr=https://user:a-secret@proxy/0",),
        ("--web.external-ulr", "https://:a/sec@ret@proxy/0"),
        ("--web.external-ulr=https://proxy/0?password=a-secret",),
        ("https://:a-secret@proxy/0",),
        ("--log.level", "https://:a-secret@proxy/0"),
        ("check", "--web.external-url=https://:a-secret@proxy/0", "config.yaml"),
    ],
)
def test_wrong_usage_repeats_no_password(
    arguments: tuple[str, ...], shell: Shell
) -> None:
    code, out, err = shell(*arguments)

    assert code == 2
    assert "ret" not in out + err
    assert "error: " in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "give --config.file FILE or set BRAZE_EXPORTER_CONFIG_FILE"),
        (("--nope",), "unrecognized arguments: --nope"),
        (("--nope", "chekc"), "unrecognized arguments: --nope chekc"),
        (("chekc",), "did you mean check?"),
        (("--log.level=debug", "dem"), "did you mean demo?"),
        (
            ("wat",),
            "expected one of check, doctor, discover, demo, simulate, healthcheck",
        ),
        (("config.yaml",), "give --config.file config.yaml"),
        (("--log.level", "debug", "demo"), "braze-exporter demo ..."),
        (("--seed", "3", "demo"), "a command comes before its flags"),
        (("--config.file=x", "--web.listen-address=10417"), "--web.listen-address"),
        (("--config.file=x", "--config.check", "--web.route-prefix=?"), "such as /br"),
        (("check",), "give FILE or set BRAZE_EXPORTER_CONFIG_FILE"),
        (("demo", "--campaigns", "none"), "--campaigns is 'none', expected a whole"),
        (("demo", "--campaigns", "0"), "1 or more"),
        (("demo", "--timezone", "../etc/passwd"), "such as Europe/Paris"),
        (("demo", "--web.listen-address", "x"), "host:port"),
        (("simulate", "--rate-limit", "250"), "as in 250/3600"),
        (("simulate", "--rate-limit", "250/0"), "--rate-limit is '0'"),
        (("simulate", "--shared-rate-limit", "1"), "--shared-rate-limit is '1'"),
        (("simulate", "--canvases", "-1"), "--canvases is '-1', expected a whole"),
        (("simulate", "--active-fraction", "nan"), "from 0 to 1"),
        (("simulate", "--listen-address", "10418"), "host:port"),
        (("healthcheck", "--web.listen-address", "[::1"), "as in [::1]:10417"),
    ],
)
def test_wrong_usage_ends_with_2_and_the_expected_form(
    arguments: tuple[str, ...], problem: str, shell: Shell
) -> None:
    code, out, err = shell(*arguments)

    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    first, last = err.splitlines()
    assert problem in first
    assert re.fullmatch(r"see braze-exporter( \w+)? --help", last)


@pytest.mark.parametrize("how", [("check",), ("--config.check", "--config.file"), ()])
def test_all_problems_are_reported_at_once(
    tmp_path: Path, how: tuple[str, ...]
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)

    ended = run(*(how or ("--config.file",)), str(file), environment=KEY)

    assert ended.returncode == 2
    assert ended.stdout == ""
    places = [line.split(": ")[:2] for line in ended.stderr.splitlines()]
    assert places == [
        [f"{file}:3", "workspaces[0].endpoint"],
        [f"{file}:5", "workspaces[0].intervall"],
        [f"{file}:6", "workspaces[0].requests_per_minute"],
        [f"{file}:9", "workspaces[0].campaigns[1].id"],
        [f"{file}:9", "workspaces[0].campaigns[1].name"],
        [f"{file}:10", "stale_after"],
    ]


@pytest.mark.parametrize("command", ["check", "--config.file"])
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing", "No such file or directory"),
        (".", "not a regular file"),
        ("loop", "symbolic links"),
        ("binary", "UTF-8"),
        ("control", "U+0000"),
        ("broken", "expected"),
        ("empty", "expected"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, problem: str, command: str, shell: Shell
) -> None:
    (tmp_path / "binary").write_bytes(b"\x7fELF\xff\xfe")
    (tmp_path / "control").write_bytes(b"workspaces: \x00")
    (tmp_path / "broken").write_text("workspaces: [")
    (tmp_path / "empty").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    code, out, err = shell(command, str(tmp_path / name))

    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith(f"{tmp_path / name}:")
    assert problem in err


@pytest.mark.parametrize("command", ["daemon", "demo", "simulate"])
def test_a_taken_port_is_1_and_one_line(tmp_path: Path, command: str) -> None:
    with Simulator() as braze:
        taken = braze.url.removeprefix("http://")
        file = written(tmp_path / "config.yaml", configuration(braze))
        arguments = {
            "daemon": ("--config.file", file, "--web.listen-address", taken),
            "demo": ("demo", "--web.listen-address", taken),
            "simulate": ("simulate", "--listen-address", taken),
        }[command]

        ended = run(*arguments, environment=KEY)

        assert not braze.requests
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.lower() == (
        f"braze-exporter: cannot listen on {taken}: address already in use\n"
    )


def test_variables_apply_without_flags(tmp_path: Path) -> None:
    """A flag overrides its variable; the daemon listens on each of two addresses."""
    with Simulator() as braze:
        environment = {
            **KEY,
            "BRAZE_EXPORTER_CONFIG_FILE": written(
                tmp_path / "config.yaml", configuration(braze)
            ),
            "BRAZE_EXPORTER_WEB_LISTEN_ADDRESS": "127.0.0.1:0, 127.0.0.2:0",
            "BRAZE_EXPORTER_WEB_TELEMETRY_PATH": "/numbers",
            "BRAZE_EXPORTER_WEB_ROUTE_PREFIX": "/nowhere",
            "BRAZE_EXPORTER_LOG_FORMAT": "json",
        }
        flags = ("--web.route-prefix", "/here", "--log.format", "logfmt")
        with Process(*flags, environment=environment) as daemon:
            second = daemon.wait_for_line(r"address=(127\.0\.0\.2:[1-9]\d*)")[1]
            statuses = [
                get(f"{url}/here/numbers")[0]
                for url in (daemon.url, f"http://{second}")
            ]

    assert statuses == [200, 200]


def check_in_shell(
    directory: Path, ending: str, *, count: int = 1
) -> subprocess.CompletedProcess[str]:
    """Run `check` in a shell, with so many workspaces and an end of the line."""
    with Simulator() as braze:
        workspaces = [workspace(braze, name=str(number)) for number in range(count)]
    file = written(directory / "config.yaml", {"workspaces": workspaces})
    return subprocess.run(
        ["sh", "-c", f"{sys.executable} -m exporter check {file} {ending}"],
        capture_output=True,
        text=True,
        env={**clean_environment(), **KEY},
        check=False,
    )


def test_a_closed_pipe_prints_no_traceback(tmp_path: Path) -> None:
    """More output than the buffer of a pipe."""
    assert check_in_shell(tmp_path, "| true", count=500).stderr == ""


def test_a_full_disk_is_reported_without_a_traceback(tmp_path: Path) -> None:
    ended = check_in_shell(tmp_path, "> /dev/full")

    assert ended.returncode == 1
    assert ended.stderr == (
        "braze-exporter: standard output cannot be written: No space left on device\n"
    )


def test_an_ascii_terminal_shows_escapes() -> None:
    with Process(
        "simulate",
        "--listen-address=127.0.0.1:0",
        environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    ) as braze:
        braze.wait_for_line(r"Spring sale \\U0001f337")


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_a_closed_standard_stream_changes_no_exit_code(
    tmp_path: Path, descriptor: int
) -> None:
    """Service managers may start programs without them."""
    (tmp_path / "config.yaml").write_text("workspaces: 1\n")

    codes = [
        subprocess.run(
            [sys.executable, "-m", "exporter", *words],
            cwd=tmp_path,
            env=clean_environment(),
            stdout=None if descriptor == 1 else subprocess.DEVNULL,
            stderr=None if descriptor == 2 else subprocess.DEVNULL,
            preexec_fn=partial(os.close, descriptor),
            check=False,
        ).returncode
        for words in (("--version",), ("check", "config.yaml"))
    ]

    assert codes == [0, 2]
