"""Commands run in this process: much faster than in a new process."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout

from exporter.commands import COMMANDS, load
from exporter.model.errors import ConfigError


def invoke(
    name: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends; return its exit code and output."""
    assert name in COMMANDS
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            code = load(name).main(arguments, environment or {})
        except ConfigError as error:
            errors.write(f"{error}\n")
            code = 2
        except SystemExit as error:
            code = error.code
    return subprocess.CompletedProcess(
        (name, *arguments), code, output.getvalue(), errors.getvalue()
    )
