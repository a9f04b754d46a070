"""API keys from environment variables and files."""

from pathlib import Path

import pytest
from exporter.model.config import KeySource
from exporter.system.api_key import ApiKey, Secret, read_key, unreadable_reason


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({"BRAZE_API_KEY": " k-1\n", "OTHER": "k-2"}, "k-1"),
        ({"BRAZE_API_KEY": ""}, ""),
        ({"BRAZE_API_KEY": '"k-1"'}, "k-1"),
        ({"BRAZE_API_KEY": " 'k-1'\n"}, "k-1"),
        ({"BRAZE_API_KEY": '"'}, '"'),
        ({"BRAZE_API_KEY": "\"k-1'"}, "\"k-1'"),
        ({}, None),
    ],
)
def test_a_key_in_a_variable(environment: dict[str, str], key: str | None) -> None:
    """Whitespace and a pair of quotes are removed; unset and empty differ."""
    assert read_key(KeySource(env="BRAZE_API_KEY"), environment) == key


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"k-1\n", "k-1"),
        (b"k-1\r\n", "k-1"),
        (b"\n k-1 \n", "k-1"),
        (b"\xff\xfe\x00k", None),
        (bytes(64 * 1024 + 1), None),
    ],
)
def test_a_key_in_a_file(tmp_path: Path, content: bytes, key: str | None) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)

    assert read_key(KeySource(file=str(path)), {}) == key


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("k-1".encode("utf-16"), "is encoded in UTF-16, not in UTF-8"),
        (b"\xfe\xff\0k", "is encoded in UTF-16, not in UTF-8"),
        ("k-1".encode("utf-16-le"), "is encoded in UTF-16, not in UTF-8"),
        ("k-1".encode("utf-16-be"), "is encoded in UTF-16, not in UTF-8"),
        ("k-ü".encode("latin-1"), "is not UTF-8"),
        (b"k" * (64 * 1024 + 1), "cannot be read: it is larger than 65536 bytes"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_the_reason_why_a_file_has_no_key(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    """Windows PowerShell, for example, writes UTF-16."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)

    assert read_key(KeySource(file=str(path)), {}) is None
    assert unreadable_reason(KeySource(file=str(path))) == reason


@pytest.mark.parametrize("path", ["missing", "nul\0"])
def test_an_unreadable_file_has_no_key(path: str) -> None:
    assert read_key(KeySource(file=path), {}) is None


@pytest.mark.parametrize(
    ("texts", "key"),
    [
        (["old", "new"], "new"),
        (["k-1", None], "k-1"),
        (["k-1", ""], "k-1"),
        ([None, None], ""),
    ],
)
def test_the_previous_key_is_used_while_none_can_be_read(
    texts: list[str | None], key: str
) -> None:
    reads = iter(texts)
    api_key = ApiKey(KeySource(env="X"), lambda _: next(reads))
    api_key()

    assert api_key() == Secret(key)
