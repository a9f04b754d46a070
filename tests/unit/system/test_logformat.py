"""Log lines: one per event, with any fields."""

import json
import logging
import math
import re
import sys

import pytest
from exporter.system.logformat import Json, Logfmt
from hypothesis import given
from hypothesis import strategies as st

FORMATTERS = (Logfmt(), Json())
_PAIR = re.compile(r'(\S+?)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?: |$)')

any_text = st.text(st.characters()) | st.text(
    st.sampled_from('a "\\=\n\r\t\0\x1b\x7f\x85\u2028\u2029\ufeff\ud800\U000e0001😀')
)
facts_of = st.dictionaries(
    st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True),
    any_text | st.integers() | st.floats() | st.booleans() | st.none(),
    max_size=5,
)


def record(
    event: str = "poll.failed", *, level: int = logging.WARNING, **more: object
) -> logging.LogRecord:
    """Return a record of 2025-06-22, 10:00:00.125 UTC."""
    created = logging.LogRecord("exporter", level, __file__, 1, event, None, None)
    vars(created).update(created=1750586400.125, **more)
    return created


def joined(text: str) -> str:
    """Return a text with joined pairs of surrogates, as JSON parsers return it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


FACTS = {"campaign": "Spring sale", "tries": 5, "status": None}


def test_a_line_of_logfmt() -> None:
    assert Logfmt().format(record(fields=FACTS)) == (
        "time=2025-06-22T10:00:00.125Z level=warn event=poll.failed "
        'campaign="Spring sale" tries=5'
    )


def test_a_line_of_json() -> None:
    assert json.loads(Json().format(record(fields=FACTS))) == {
        "time": "2025-06-22T10:00:00.125Z",
        "level": "warn",
        "event": "poll.failed",
        "campaign": "Spring sale",
        "tries": 5,
    }


@pytest.mark.parametrize("name", ["debug", "info", "error"])
def test_levels_have_the_names_of_the_flag(name: str) -> None:
    created = record(level=logging.getLevelNamesMapping()[name.upper()])

    assert f" level={name} " in Logfmt().format(created)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        ("", '""'),
        (10.0, "10"),
        (1.23456, "1.235"),
        (float("inf"), "inf"),
        ("https://rest.iad-01.braze.com/x", "https://rest.iad-01.braze.com/x"),
        ("a=b", '"a=b"'),
        ('a "b"', r'"a \"b\""'),
        ("two\nlines", r'"two\nlines"'),
        ("\ud800", r'"\ud800"'),
        ("Grüße 😀", '"Grüße 😀"'),
    ],
)
def test_logfmt_values(value: object, text: str) -> None:
    line = Logfmt().format(record(fields={"fact": value}))

    assert line.partition(" fact=")[2] == text


@pytest.mark.parametrize("formatter", FORMATTERS)
@given(event=any_text, facts=facts_of)
def test_a_record_is_one_line(
    formatter: logging.Formatter, event: str, facts: dict[str, object]
) -> None:
    """No value adds a line, controls a terminal, or breaks the encoding."""
    line = formatter.format(record(event, fields=facts))

    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert line.encode()


@given(facts=facts_of)
def test_logfmt_can_be_parsed(facts: dict[str, object]) -> None:
    texts = {
        name: joined(value) for name, value in facts.items() if isinstance(value, str)
    }

    line = Logfmt().format(record(fields=texts))

    found = {
        name: json.loads(text) if text.startswith('"') else text
        for name, text in _PAIR.findall(line)
    }
    assert found | texts == found
    assert _PAIR.sub("", line) == ""


@given(facts=facts_of)
def test_json_can_be_parsed(facts: dict[str, object]) -> None:
    found = json.loads(Json().format(record(fields=facts)), parse_constant=pytest.fail)

    expected = {name: value for name, value in facts.items() if value is not None}
    for name, value in expected.items():
        if isinstance(value, float) and not math.isfinite(value):
            expected[name] = str(value)
        if isinstance(value, str):
            expected[name] = joined(value)
    assert found | expected == found
    assert len(found) == len(expected | dict.fromkeys(("time", "level", "event")))


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_traceback_stays_on_its_line(formatter: logging.Formatter) -> None:
    """The event of a library's record is its message with its arguments."""
    created = logging.LogRecord(
        "urllib3", logging.ERROR, __file__, 1, "retry %d of %s", (2, "x"), None
    )
    try:
        raise RuntimeError("broken\n\u2028\ud800")
    except RuntimeError:
        created.exc_info = sys.exc_info()

    line = formatter.format(created)

    assert len(line.splitlines()) == 1
    assert "retry 2 of x" in line
    assert "RuntimeError: broken" in line
