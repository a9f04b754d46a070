"""How commands get to a workspace: by a configuration, or by flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from exporter.commands.target import ACCESS, WORKSPACE, Target, TargetParser, access
from exporter.model.config import KeySource
from exporter.model.errors import ConfigError

from tests.unit.config.invalid_files import MINIMAL

URL = "https://rest.iad-01.braze.com"


def reach(*arguments: str, judges_keys: bool = True, **environment: Any) -> Target:
    """Return what arguments and environment lead to."""
    parser = TargetParser(ACCESS, program="test", description="")
    options = parser.parse(arguments, environment)
    return access(parser, options, arguments, environment, judges_keys=judges_keys)


def test_flags_name_a_workspace() -> None:
    """Endpoint and source of the key, by the rules of a configuration."""
    (workspace,) = reach(
        f"--endpoint={URL}/", "--api-key-env=KEY", KEY="key"
    ).config.workspaces

    assert workspace.endpoint == URL
    assert workspace.key_source == KeySource(env="KEY")


def test_a_workspace_may_be_given_its_name() -> None:
    """Where the command has a flag for it; else it has one of ours."""
    where = (f"--endpoint={URL}", "--api-key-env=KEY")
    flags = (*ACCESS, WORKSPACE)

    names = []
    for more in ((), ("--workspace=shop",)):
        parser = TargetParser(flags, program="test", description="")
        options = parser.parse((*where, *more), {})
        found = access(parser, options, where, {"KEY": "k"}, judges_keys=True)
        names += [one.name for one in found.config.workspaces]

    assert names == ["production", "shop"]


def test_a_configuration_names_them(tmp_path: Path) -> None:
    """By flag or environment; the flag of the other way wins over the environment."""
    file = tmp_path / "c.yaml"
    file.write_text(MINIMAL)
    twin: dict[str, Any] = {
        "BRAZE_EXPORTER_CONFIG_FILE": str(file),
        "BRAZE_API_KEY": "key",
    }

    assert not reach("--config.file", str(file), BRAZE_API_KEY="key").is_direct
    assert not reach(**twin).is_direct
    assert reach("--endpoint", URL, "--api-key-env", "BRAZE_API_KEY", **twin).is_direct
    assert not reach(**twin, BRAZE_EXPORTER_ENDPOINT=URL).is_direct


def test_keys_may_be_left_to_who_asks(tmp_path: Path) -> None:
    """Then an empty one is no problem of the configuration."""
    file = tmp_path / "c.yaml"
    file.write_text(MINIMAL)

    with pytest.raises(ConfigError, match="the API key is empty"):
        reach("--config.file", str(file), BRAZE_API_KEY="")
    found = reach("--config.file", str(file), judges_keys=False, BRAZE_API_KEY="")

    assert found.warnings == ()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("--endpoint", "https://sdk.iad-01.braze.com"),
            "--endpoint: this is the SDK host",
        ),
        (("--endpoint", URL), "where is the key? expected --api-key-env"),
        (
            ("--endpoint", URL, "--api-key-env", "a b"),
            "--api-key-env: expected the name",
        ),
        (
            (
                "--endpoint",
                URL,
                "--api-key-file",
                "0d1c2b3a-8fa0-4c9b-a5c0-4505edf3e064",
            ),
            "--api-key-file: this looks like an API key",
        ),
    ],
)
def test_wrong_flags_are_problems(arguments: tuple[str, ...], complaint: str) -> None:
    """Told by the name of the flag, without its value."""
    with pytest.raises(ConfigError) as caught:
        reach(*arguments)

    assert complaint in str(caught.value)
    assert "0d1c2b3a" not in str(caught.value)


def test_a_doubtful_host_is_a_warning() -> None:
    """By the name of the flag, too."""
    (warning,) = reach(
        "--endpoint=https://rest.example", "--api-key-env=KEY", KEY="k"
    ).warnings

    assert str(warning).startswith("command line:1: --endpoint: warning: ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "which workspace? give --config.file"),
        (("--config.file=x", "--endpoint=y"), "--config.file or --endpoint, not both"),
        (("--api-key", "hunter2"), "unknown flags or words: --api-key"),
        (("--api-key=hunter2",), "unknown flags or words: --api-key"),
        (("hunter2",), "unknown flags or words; a configuration is named by --conf"),
        (("--config.file",), "expected one argument"),
    ],
)
def test_wrong_usage_repeats_no_word(
    arguments: tuple[str, ...],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Somebody may think that a flag takes the key."""
    with pytest.raises(SystemExit) as caught:
        reach(*arguments)

    told = capsys.readouterr().err
    assert caught.value.code == 2
    assert complaint in told
    assert "hunter2" not in told
