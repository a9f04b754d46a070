"""API keys, read from where the configuration says."""

import os
from pathlib import Path

import pytest
from exporter.model.config import KeySource
from exporter.system.api_key import ApiKey, Secret, read_key


def from_file(path: Path) -> str | None:
    """Read a key from a file."""
    return read_key(KeySource(file=str(path)), {})


def test_a_key_is_read_from_the_environment() -> None:
    """The variable that is named holds it; space around it is none of it."""
    source = KeySource(env="BRAZE_API_KEY")

    key = read_key(source, {"BRAZE_API_KEY": " k-1\n", "OTHER": "k-2"})

    assert key == "k-1"


def test_a_variable_that_is_not_set_holds_no_key() -> None:
    """Absent and empty are not the same."""
    source = KeySource(env="BRAZE_API_KEY")

    assert read_key(source, {}) is None
    assert read_key(source, {"BRAZE_API_KEY": ""}) == ""


@pytest.mark.parametrize("content", [b"k-1", b"k-1\n", b"k-1\r\n", b"\n k-1 \n"])
def test_a_key_is_read_from_a_file(tmp_path: Path, content: bytes) -> None:
    """Editors and `echo` leave a newline behind it."""
    path = tmp_path / "key"
    path.write_bytes(content)

    assert from_file(path) == "k-1"


def test_a_file_that_is_not_there_holds_no_key(tmp_path: Path) -> None:
    """Missing files and directories are no key, and no error either."""
    assert from_file(tmp_path / "missing") is None
    assert from_file(tmp_path) is None


def test_a_file_that_cannot_be_read_holds_no_key(tmp_path: Path) -> None:
    """Nor does a link that points to itself, or a path that no system takes."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    assert from_file(loop) is None
    assert from_file(Path("nul\0")) is None


def test_a_binary_file_holds_no_key(tmp_path: Path) -> None:
    """What is no text is not sent to anybody."""
    path = tmp_path / "key"
    path.write_bytes(b"\xff\xfe\x00k")

    assert from_file(path) is None


def test_a_huge_file_holds_no_key(tmp_path: Path) -> None:
    """A wrong path must not cost memory."""
    path = tmp_path / "key"
    path.write_bytes(b"k" * (64 * 1024 + 1))

    assert from_file(path) is None


def test_a_pipe_and_a_device_hold_no_key(tmp_path: Path) -> None:
    """Nobody waits for a writer, or for the end of zeros."""
    os.mkfifo(tmp_path / "key")

    assert from_file(tmp_path / "key") is None
    assert from_file(Path("/dev/zero")) is None


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """The next request has the new key."""
    path = tmp_path / "key"
    path.write_text("old")
    key = ApiKey(KeySource(file=str(path)), lambda source: read_key(source, {}))
    first = key()

    path.write_text("new")

    assert (first, key()) == (Secret("old"), Secret("new"))


@pytest.mark.parametrize("text", [None, ""])
def test_a_key_that_vanished_stays_what_it_was(text: str | None) -> None:
    """A moment without the file, or with an empty one, is no wrong key."""
    texts = iter(["k-1", text])
    key = ApiKey(KeySource(env="X"), lambda _: next(texts))
    key()

    assert key() == Secret("k-1")


def test_a_key_that_never_was_is_empty() -> None:
    """Whoever sends it must look: nothing is made up."""
    key = ApiKey(KeySource(env="X"), lambda _: None)

    assert key() == Secret("")
