"""The workspaces of a command: from a configuration or from flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from exporter.commands.target import TARGET_FLAGS, WORKSPACE, Target, TargetParser
from exporter.model.config import KeySource
from exporter.model.errors import ConfigError

from tests.unit.config.invalid_files import MINIMAL

URL = "https://rest.iad-01.braze.com"


def target(*arguments: str, validates_keys: bool = True, **environment: Any) -> Target:
    parser = TargetParser((*TARGET_FLAGS, WORKSPACE), program="test", description="")
    options = parser.parse(arguments, environment)
    return parser.target(options, arguments, environment, validates_keys=validates_keys)


@pytest.mark.parametrize(
    ("more", "name"), [((), "production"), (("--workspace=shop",), "shop")]
)
def test_flags_describe_a_workspace(more: tuple[str, ...], name: str) -> None:
    """Endpoint and key source are validated as in a configuration."""
    (workspace,) = target(
        f"--endpoint={URL}/", "--api-key-env=KEY", *more, KEY="key"
    ).config.workspaces

    assert workspace.name == name
    assert workspace.endpoint == URL
    assert workspace.key_source == KeySource(env="KEY")


def test_a_configuration_contains_workspaces(tmp_path: Path) -> None:
    """Named by flag or variable; --endpoint wins over the variable."""
    file = tmp_path / "c.yaml"
    file.write_text(MINIMAL)
    variables: dict[str, Any] = {
        "BRAZE_EXPORTER_CONFIG_FILE": str(file),
        "BRAZE_API_KEY": "key",
    }

    assert not target("--config.file", str(file), BRAZE_API_KEY="key").is_direct
    assert not target(**variables).is_direct
    assert target(
        "--endpoint", URL, "--api-key-env", "BRAZE_API_KEY", **variables
    ).is_direct
    assert not target(**variables, BRAZE_EXPORTER_ENDPOINT=URL).is_direct


def test_keys_need_not_be_validated(tmp_path: Path) -> None:
    """Then an empty key is not a problem."""
    file = tmp_path / "c.yaml"
    file.write_text(MINIMAL)

    with pytest.raises(ConfigError, match="the API key is empty"):
        target("--config.file", str(file), BRAZE_API_KEY="")
    found = target("--config.file", str(file), validates_keys=False, BRAZE_API_KEY="")

    assert found.warnings == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--endpoint=https://sdk.iad-01.braze.com", "--endpoint: this is the SDK host"),
        (f"--endpoint={URL}", "no API key: give --api-key-env"),
        (f"--endpoint={URL} --api-key-env=a.b", "--api-key-env: expected the name"),
        (
            f"--endpoint={URL} --api-key-file=0d1c2b3a-8fa0-4c9b-a5c0-4505edf3e064",
            "--api-key-file: this looks like an API key",
        ),
    ],
)
def test_invalid_flags_are_problems_that_do_not_repeat_the_value(
    arguments: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        target(*arguments.split())

    assert message in str(caught.value)
    assert "0d1c2b3a" not in str(caught.value)


def test_an_unlisted_host_is_a_warning_that_names_the_flag() -> None:
    arguments = ("--endpoint=https://rest.example", "--api-key-env=KEY")

    (warning,) = target(*arguments, KEY="k").warnings

    assert str(warning).startswith("command line:1: --endpoint: warning: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "no workspace: give --config.file"),
        ("--config.file=x --endpoint=y", "--config.file or --endpoint, not both"),
        ("--api-key hunter2", "no flag accepts an API key"),
        ("--api-key=hunter2", "no flag accepts an API key"),
        ("hunter2", "unrecognized arguments; a configuration is given by --conf"),
        ("--config.file", "expected one argument"),
    ],
)
def test_usage_errors_do_not_repeat_unknown_arguments(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of them could be a key."""
    with pytest.raises(SystemExit) as caught:
        target(*arguments.split())

    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert message in error
    assert "hunter2" not in error
