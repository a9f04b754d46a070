"""The command line's flags and their environment variables."""

from argparse import Namespace
from collections.abc import Mapping
from importlib import import_module

import pytest
from exporter.commands import COMMANDS, backfill_options, target
from exporter.commands.flags import (
    CONFIG_FILE,
    LOG,
    OF_COMMANDS,
    OF_DAEMON,
    WEB,
    Flag,
    Parser,
    unknown_variables,
)

FLAGS = (CONFIG_FILE, *WEB, *LOG)
VALUED = tuple(flag for flag in FLAGS if not flag.is_switch)
(SWITCH,) = (flag for flag in WEB if flag.is_switch)


def parse(*arguments: str, environment: Mapping[str, str] | None = None) -> Namespace:
    parser = Parser(FLAGS, program="braze-exporter", description="It exports.")
    return parser.parse(arguments, environment or {})


@pytest.mark.parametrize("text", [None, "", " ", ","])
def test_defaults_apply_without_a_flag_and_with_an_empty_variable(
    text: str | None,
) -> None:
    """Compose files and charts leave variables empty where nothing is set."""
    names = [flag.variable for flag in FLAGS]

    options = parse(environment={} if text is None else dict.fromkeys(names, text))

    assert vars(options) == {
        "config_file": None,
        "web_listen_address": [":10417"],
        "web_telemetry_path": "/metrics",
        "web_external_url": None,
        "web_route_prefix": None,
        "web_enable_lifecycle": False,
        "web_config_file": None,
        "log_level": "info",
        "log_format": "logfmt",
    }


@pytest.mark.parametrize("flag", VALUED, ids=lambda flag: flag.name)
def test_a_variable_sets_the_same_as_its_flag_which_has_precedence(flag: Flag) -> None:
    """A flag has precedence over an invalid variable too."""
    value = flag.choices[-1] if flag.choices else "/x"

    by_flag = parse(f"--{flag.name}", value)

    assert by_flag == parse(environment={flag.variable: value})
    invalid = {flag.variable: "/other"}
    assert by_flag == parse(f"--{flag.name}", value, environment=invalid)
    assert by_flag != parse()


@pytest.mark.parametrize(
    ("text", "is_on"),
    [("true", True), ("1", True), ("On", True), ("FALSE", False), ("0", False)],
)
def test_the_variable_of_a_switch_accepts_the_usual_words(
    text: str, is_on: bool
) -> None:
    environment = {SWITCH.variable: text}

    assert parse(environment=environment).web_enable_lifecycle is is_on
    assert parse(f"--{SWITCH.name}", environment=environment).web_enable_lifecycle
    off = parse(f"--no-{SWITCH.name}", environment=environment)
    assert not off.web_enable_lifecycle


def test_addresses_may_be_repeated() -> None:
    """On the command line one flag each; in the environment commas, with spaces."""
    arguments = ("--web.listen-address", ":1", "--web.listen-address", "[::1]:2")
    environment = {"BRAZE_EXPORTER_WEB_LISTEN_ADDRESS": ":1, [::1]:2,"}

    found = parse(*arguments)

    assert found == parse(environment=environment)
    assert found.web_listen_address == [":1", "[::1]:2"]


@pytest.mark.parametrize(
    ("flag", "text", "expected"),
    [
        (LOG[0], "loud", "expected one of debug, info, warn, error"),
        (LOG[1], "xml", "expected one of logfmt, json"),
        (SWITCH, "perhaps", "expected one of true, 1, yes, on, false, 0, no, off"),
    ],
)
def test_an_invalid_choice_in_a_variable_is_a_usage_error(
    flag: Flag, text: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(environment={flag.variable: text})

    message = capsys.readouterr().err
    assert end.value.code == 2
    assert f"{flag.variable} is '{text}', {expected}" in message


def test_a_variable_may_end_with_a_line_break() -> None:
    """As from a Secret that was made of a file."""
    options = parse(environment={"BRAZE_EXPORTER_WEB_TELEMETRY_PATH": " /a\r\n"})

    assert options.web_telemetry_path == "/a"


def test_unknown_variables_are_reported_with_a_guess() -> None:
    """Not those of other programs, of other commands, of Kubernetes or of a key."""
    unknown = {"BRAZE_EXPORTER_WEB_LISTEN_ADRESS": ":1", "BRAZE_EXPORTER_X9": ""}
    others = (
        *(flag.variable for flag in OF_DAEMON),
        *("BRAZE_API_KEY", "PATH", "BRAZE_EXPORTER_SEED", "BRAZE_EXPORTER_KEY_OF_A"),
        *("BRAZE_EXPORTER_SERVICE_HOST", "BRAZE_EXPORTER_SERVICE_PORT_HTTP"),
        *("BRAZE_EXPORTER_PORT", "BRAZE_EXPORTER_PORT_10417_TCP_ADDR"),
        "BRAZE_EXPORTER_EU_PORT_10417_TCP",
    )

    warnings = unknown_variables(
        {**unknown, **dict.fromkeys(others, "x")}, but={"BRAZE_EXPORTER_KEY_OF_A"}
    )

    assert warnings == (
        "the environment variable BRAZE_EXPORTER_WEB_LISTEN_ADRESS belongs to no flag; "
        "did you mean BRAZE_EXPORTER_WEB_LISTEN_ADDRESS?",
        "the environment variable BRAZE_EXPORTER_X9 belongs to no flag",
    )


def test_the_flags_of_all_commands_are_known() -> None:
    """Add the flags of a command to `OF_COMMANDS`."""
    modules = [import_module(f"exporter.commands.{name}") for name in COMMANDS]
    named = {
        flag.name
        for module in (*modules, backfill_options, target)
        for value in vars(module).values()
        if isinstance(value, tuple)
        for flag in ((value,) if isinstance(value, Flag) else value)
        if isinstance(flag, Flag)
    }

    assert sorted(named - {flag.name for flag in OF_DAEMON}) == sorted(OF_COMMANDS)
