"""The command line's flags and their twins in the environment."""

from argparse import Namespace
from collections.abc import Mapping
from importlib import import_module

import pytest
from exporter.commands import COMMANDS, target
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


def parser() -> Parser:
    """Return a parser of all flags."""
    return Parser(FLAGS, program="braze-exporter", description="It exports.")


def parse(*arguments: str, environment: Mapping[str, str] | None = None) -> Namespace:
    """Parse a command line."""
    return parser().parse(arguments, environment or {})


def test_defaults_stand_where_nothing_is_said() -> None:
    """Without a flag or a twin each has its default, or None."""
    options = parse()

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


@pytest.mark.parametrize(
    ("flag", "variable"),
    [
        (CONFIG_FILE, "BRAZE_EXPORTER_CONFIG_FILE"),
        (WEB[0], "BRAZE_EXPORTER_WEB_LISTEN_ADDRESS"),
        (LOG[0], "BRAZE_EXPORTER_LOG_LEVEL"),
    ],
)
def test_twins_are_named_after_flags(flag: Flag, variable: str) -> None:
    """In capitals, with underscores, behind the exporter's name."""
    assert flag.variable == variable


@pytest.mark.parametrize("flag", VALUED, ids=lambda flag: flag.name)
def test_a_twin_says_what_its_flag_would(flag: Flag) -> None:
    """The same value has the same meaning in either place."""
    value = flag.choices[-1] if flag.choices else "/x"

    by_flag = parse(f"--{flag.name}", value)
    by_twin = parse(environment={flag.variable: value})

    assert by_flag == by_twin
    assert by_flag != parse()


@pytest.mark.parametrize(
    ("text", "is_on"),
    [("true", True), ("1", True), ("On", True), ("FALSE", False), ("0", False)],
)
def test_a_switch_has_a_twin_and_wins_over_it(text: str, is_on: bool) -> None:
    """Its variable accepts the usual words; `--no-` turns it off."""
    environment = {SWITCH.variable: text}

    assert parse(environment=environment).web_enable_lifecycle is is_on
    assert parse(f"--{SWITCH.name}", environment=environment).web_enable_lifecycle
    off = parse(f"--no-{SWITCH.name}", environment=environment)
    assert not off.web_enable_lifecycle


@pytest.mark.parametrize("flag", VALUED, ids=lambda flag: flag.name)
def test_a_flag_wins_over_its_twin(flag: Flag) -> None:
    """Even if the variable is invalid."""
    value = flag.choices[0] if flag.choices else "/x"

    options = parse(f"--{flag.name}", value, environment={flag.variable: "/other"})

    assert options == parse(f"--{flag.name}", value)


@pytest.mark.parametrize("text", ["", " ", ","])
def test_an_empty_twin_says_nothing(text: str) -> None:
    """Compose files and charts leave variables empty where nothing is set."""
    options = parse(environment={flag.variable: text for flag in FLAGS})

    assert options == parse()


def test_addresses_may_be_repeated() -> None:
    """On the command line one flag each; in the environment commas, with spaces."""
    arguments = ("--web.listen-address", ":1", "--web.listen-address", "[::1]:2")

    by_flags = parse(*arguments)
    by_twin = parse(environment={"BRAZE_EXPORTER_WEB_LISTEN_ADDRESS": ":1, [::1]:2,"})

    assert (
        by_flags.web_listen_address == by_twin.web_listen_address == [":1", "[::1]:2"]
    )


@pytest.mark.parametrize(
    ("flag", "text", "expected"),
    [
        (LOG[0], "loud", "expected one of debug, info, warn, error"),
        (LOG[1], "xml", "expected one of logfmt, json"),
        (SWITCH, "perhaps", "expected one of true, 1, yes, on, false, 0, no, off"),
    ],
)
def test_a_wrong_choice_in_the_environment_is_wrong_usage(
    flag: Flag, text: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with exit code 2, and names the variable and its valid values."""
    with pytest.raises(SystemExit) as end:
        parse(environment={flag.variable: text})

    message = capsys.readouterr().err
    assert end.value.code == 2
    assert f"{flag.variable} is '{text}', {expected}" in message


@pytest.mark.parametrize(
    "arguments",
    [
        ("--log.level", "loud"),
        ("--web.listen", ":1"),
        ("--config.file",),
        ("config.yaml",),
        ("--api-key", "k"),
    ],
)
def test_wrong_arguments_are_wrong_usage(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong choices, shortened, incomplete and unknown flags end with exit code 2."""
    with pytest.raises(SystemExit) as end:
        parse(*arguments)

    assert end.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("braze-exporter: error: ")
    assert second == "see braze-exporter --help"


def test_a_twin_may_come_with_a_line_end() -> None:
    """As from a Secret that was made of a file; spaces around it are nothing, too."""
    options = parse(environment={"BRAZE_EXPORTER_WEB_TELEMETRY_PATH": " /a\r\n"})

    assert options.web_telemetry_path == "/a"


def test_a_variable_that_is_no_flags_is_told_with_a_guess() -> None:
    """Not those of other programs, of other commands, of Kubernetes or of a key."""
    strange = {"BRAZE_EXPORTER_WEB_LISTEN_ADRESS": ":1", "BRAZE_EXPORTER_X9": ""}
    others = (
        *(flag.variable for flag in OF_DAEMON),
        *("BRAZE_API_KEY", "PATH", "BRAZE_EXPORTER_SEED", "BRAZE_EXPORTER_KEY_OF_A"),
        *("BRAZE_EXPORTER_SERVICE_HOST", "BRAZE_EXPORTER_SERVICE_PORT_HTTP"),
        *("BRAZE_EXPORTER_PORT", "BRAZE_EXPORTER_PORT_10417_TCP_ADDR"),
        "BRAZE_EXPORTER_EU_PORT_10417_TCP",
    )

    told = unknown_variables(
        {**strange, **dict.fromkeys(others, "x")}, but={"BRAZE_EXPORTER_KEY_OF_A"}
    )

    assert told == (
        "the environment variable BRAZE_EXPORTER_WEB_LISTEN_ADRESS belongs to no flag; "
        "did you mean BRAZE_EXPORTER_WEB_LISTEN_ADDRESS?",
        "the environment variable BRAZE_EXPORTER_X9 belongs to no flag",
    )


def test_the_flags_of_all_commands_are_known() -> None:
    """Add to `OF_COMMANDS` what a command has alone."""
    modules = [import_module(f"exporter.commands.{name}") for name in COMMANDS]
    named = {
        flag.name
        for module in (*modules, target)
        for value in vars(module).values()
        if isinstance(value, tuple)
        for flag in ((value,) if isinstance(value, Flag) else value)
        if isinstance(flag, Flag)
    }
    own = {flag.name for flag in OF_DAEMON}

    assert sorted(named - own) == sorted(OF_COMMANDS)


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_help_tells_of_each_flag(flag: Flag) -> None:
    """Its name, its twin, its default and its choices are all there."""
    text = parser().format_help()

    said = " ".join(text.split()).replace("- ", "-")
    assert f"--{flag.name} " in said
    assert f"env: {flag.variable})" in said
    assert f"default: {flag.default};" in said or flag.default is None
    assert "|".join(flag.choices) in said
