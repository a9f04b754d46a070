"""Which command runs, with which flags, and how it ends."""

from __future__ import annotations

import os
import re
import shutil
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
from exporter.commands.flags import OF_DAEMON
from exporter.simulator import Simulator

from tests.support.daemon_process import (
    Process,
    clean_environment,
    configuration,
    get,
    run,
    written,
)
from tests.support.scripted_peer import closed_port

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


def test_version_is_printed() -> None:
    """`--version` prints name and version, regardless of other arguments."""
    for arguments in (("--version",), ("--log.level", "debug", "--version")):
        ended = run(*arguments)

        assert ended.returncode == 0
        assert ended.stdout == f"braze-exporter {__version__}\n"


def test_help_teaches() -> None:
    """It names every flag with its environment twin, every command, the exit codes."""
    ended = run("--help")

    assert ended.returncode == 0
    for flag in OF_DAEMON:
        assert re.search(rf"--{re.escape(flag.name)}\s", ended.stdout)
        assert flag.variable in ended.stdout
    for name, text in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", ended.stdout, re.MULTILINE)
    assert "0 success, 1 failure, 2 invalid usage or configuration" in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 88


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_its_own_help(command: str, shell: Shell) -> None:
    """`COMMAND --help` exits 0 and names the command."""
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
    """The message is logged; it names the place of the password, not the password."""
    code, out, err = shell(*arguments)

    assert code == 2
    assert "ret" not in out + err
    assert "error: " in err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
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
        (("--log.level", "loud"), "invalid choice: 'loud'"),
        (("--config.file",), "expected one argument"),
        (("--config.fil", "x"), "unrecognized arguments: --config.fil"),
        (("--config.file=x", "--web.listen-address=10417"), "--web.listen-address"),
        (("--config.file=x", "--config.check", "--web.route-prefix=?"), "such as /br"),
        (("check",), "give FILE or set BRAZE_EXPORTER_CONFIG_FILE"),
        (("check", "--nope", "x"), "--nope"),
        (("demo", "--campaigns", "none"), "--campaigns is 'none', expected a whole"),
        (("demo", "--campaigns", "0"), "1 or more"),
        (("demo", "--seed", "-1"), "--seed"),
        (("demo", "--timezone", "America"), "--timezone is 'America'"),
        (("demo", "--timezone", "../etc/passwd"), "such as Europe/Paris"),
        (("demo", "--web.listen-address", "x"), "host:port"),
        (("simulate", "--rate-limit", "250"), "as in 250/3600"),
        (("simulate", "--rate-limit", "250/0"), "--rate-limit is '0'"),
        (("simulate", "--active-fraction", "nan"), "from 0 to 1"),
        (("simulate", "--listen-address", "10418"), "host:port"),
        (("healthcheck", "--web.listen-address", "[::1"), "as in [::1]:10417"),
    ],
)
def test_wrong_usage_ends_with_2_and_the_expected_form(
    arguments: tuple[str, ...], complaint: str, shell: Shell
) -> None:
    """No traceback; the complaint in the first line, where to read on in the last."""
    code, out, err = shell(*arguments)

    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    first, last = err.splitlines()
    assert complaint in first
    assert re.fullmatch(r"see braze-exporter( \w+)? --help", last)


@pytest.mark.parametrize("how", [("check",), ("--config.check", "--config.file"), ()])
def test_all_problems_are_reported_at_once(
    tmp_path: Path, how: tuple[str, ...]
) -> None:
    """All of them on standard error, each with file, line and path; exit code 2."""
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
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, command: str, shell: Shell
) -> None:
    """Missing, a directory, binary, not YAML, empty: a line that names it, and 2."""
    (tmp_path / "binary").write_bytes(b"\x7fELF\xff\xfe")
    (tmp_path / "control").write_bytes(b"workspaces: \x00")
    (tmp_path / "broken").write_text("workspaces: [")
    (tmp_path / "empty").write_text("")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    wrong = {
        "missing": "No such file or directory",
        ".": "not a regular file",
        "loop": "symbolic links",
        "binary": "UTF-8",
        "control": "U+0000",
        "broken": "expected",
        "empty": "expected",
    }

    for name, complaint in wrong.items():
        code, out, err = shell(command, str(tmp_path / name))

        assert code == 2
        assert out == ""
        assert len(err.splitlines()) == 1
        assert err.startswith(f"{tmp_path / name}:")
        assert complaint in err


@pytest.mark.parametrize("command", ["daemon", "demo", "simulate"])
def test_a_taken_port_is_1_and_one_line(tmp_path: Path, command: str) -> None:
    """The one line on standard error names the address and the reason."""
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
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.lower() == (
        f"braze-exporter: cannot listen on {taken}: address already in use\n"
    )


def test_two_addresses_both_serve_and_are_logged(tmp_path: Path) -> None:
    """The flag may be repeated, and port 0 picks a free one."""
    with Simulator() as braze:
        file = written(tmp_path / "config.yaml", configuration(braze))
        addresses = [f"--web.listen-address=127.0.0.{n}:0" for n in (1, 2)]
        with Process("--config.file", file, *addresses, environment=KEY) as daemon:
            found = [
                daemon.wait_for_line(rf"web\.listening address=({host}:(\d+)) ")
                for host in (r"127\.0\.0\.1", r"127\.0\.0\.2")
            ]
            statuses = [get(f"http://{match[1]}/-/healthy")[0] for match in found]

    assert statuses == [200, 200]
    assert all(int(match[2]) > 0 for match in found)


def test_variables_apply_without_flags(tmp_path: Path) -> None:
    """Each flag has its twin, and the flag wins."""
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
            daemon.wait_for_line(r"address=127\.0\.0\.2:")
            status, _, _ = get(f"{daemon.url}/here/numbers")

    assert status == 200


def test_a_bad_twin_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that the environment gives is complained of by its variable's name."""
    monkeypatch.setenv("BRAZE_EXPORTER_LOG_LEVEL", "loud")

    code, _, err = shell("demo")

    assert code == 2
    assert "BRAZE_EXPORTER_LOG_LEVEL is 'loud'" in err


def test_a_closed_pipe_prints_no_traceback(tmp_path: Path) -> None:
    """`braze-exporter check FILE | head -1` complains of nothing."""
    with Simulator() as braze:
        document = configuration(braze)
        workspace = document["workspaces"][0]  # type: ignore[index]  # it is a list
        document["workspaces"] = [workspace | {"name": str(n)} for n in range(500)]
    file = written(tmp_path / "config.yaml", document)

    ended = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m exporter check {file} | true"],
        capture_output=True,
        text=True,
        env={**clean_environment(), **KEY},
        check=False,
    )

    assert ended.stderr == ""


def test_a_full_disk_is_reported_without_a_traceback(tmp_path: Path) -> None:
    """`braze-exporter check FILE > full` fails with a message."""
    with Simulator() as braze:
        file = written(tmp_path / "config.yaml", configuration(braze))

    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "exporter", "check", str(file)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean_environment(), **KEY},
            check=False,
        )

    assert ended.returncode == 1
    assert ended.stderr == (
        "braze-exporter: standard output cannot be written: No space left on device\n"
    )


def test_any_terminal_can_show_any_name() -> None:
    """A terminal that knows ASCII only shows escapes instead of a traceback."""
    with Process(
        "simulate",
        "--listen-address=127.0.0.1:0",
        environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    ) as braze:
        braze.wait_for_line(r"Spring sale \\U0001f337")


def test_it_is_the_command_that_is_installed() -> None:
    """The installed command does what `python -m exporter` does."""
    command = shutil.which("braze-exporter", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("needs the package installed")

    ended = subprocess.run(
        [command, "--version"], capture_output=True, text=True, check=True
    )

    assert ended.stdout == f"braze-exporter {__version__}\n"


def test_the_health_check_reports_a_refused_connection() -> None:
    """Exit code 1 and one line with the address and the reason."""
    ended = run("healthcheck", f"--web.listen-address=127.0.0.1:{closed_port()}")

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert re.fullmatch(
        r"unhealthy: request to 127\.0\.0\.1:\d+/-/healthy failed: .+ check that .+\n",
        ended.stderr,
    )


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
