"""Loading of the configuration file with the keys and files that it names."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from exporter.config import schema
from exporter.model.config import KeySource, Problem
from exporter.model.errors import ConfigError
from exporter.system.api_key import read_key, unreadable_reason
from exporter.system.read_file import MIB, decoded, read_regular, read_stream

_LONGEST_BYTES = 64 * MIB


def load(
    file: str,
    environment: Mapping[str, str],
    *,
    keys_required: bool = True,
    is_reloaded: bool = False,
    read: Callable[[KeySource], str | None] | None = None,
) -> schema.ParsedConfig:
    """Read and parse a configuration file, or raise `ConfigError`.

    A file that is read again later must be a regular file; a pipe has no more to read.
    `read` replaces the reading of keys from files and the environment.
    """
    read_bytes = read_regular if is_reloaded else read_stream
    try:
        text = decoded(read_bytes(file, at_most=_LONGEST_BYTES))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _unreadable(file, f"cannot be read: {reason}") from error
    except ValueError as error:
        raise _unreadable(file, str(error)) from error
    return schema.parse(
        text,
        file=file,
        read_key=read or (lambda source: read_key(source, environment)),
        unreadable=unreadable_reason,
        is_file=lambda path: Path(path).is_file(),
        is_public=_is_public,
        keys_required=keys_required,
    )


def _is_public(path: str) -> bool:
    try:
        return bool(Path(path).stat().st_mode & stat.S_IROTH)
    except (OSError, ValueError):
        return False  # reported by the check of the key


def _unreadable(file: str, message: str) -> ConfigError:
    problem = Problem(file, 1, "", f"the file {message}; expected a readable YAML file")
    return ConfigError((problem,))
