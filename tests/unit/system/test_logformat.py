"""Log lines: one per event, whatever its facts hold."""

import io
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

hostile = st.text(st.characters()) | st.text(
    st.sampled_from('a "\\=\n\r\t\0\x1b\x7f\x85\u2028\u2029\ufeff\ud800\U000e0001😀')
)
facts_of = st.dictionaries(
    st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True),
    hostile | st.integers() | st.floats() | st.booleans() | st.none(),
    max_size=5,
)


def record(
    event: str = "poll.failed",
    *,
    facts: object = None,
    level: int = logging.WARNING,
) -> logging.LogRecord:
    """Return a record of 2025-06-22, 10:00:00.125 UTC."""
    made = logging.LogRecord("exporter", level, __file__, 1, event, None, None)
    made.created = 1750586400.125
    if facts is not None:
        made.facts = facts
    return made


def read_logfmt(line: str) -> dict[str, str]:
    """Read a line of logfmt as its consumers do: a quoted value is a JSON string."""
    found = {
        name: json.loads(text) if text.startswith('"') else text
        for name, text in _PAIR.findall(line)
    }
    assert _PAIR.sub("", line) == ""
    return found


def joined(text: str) -> str:
    """Return a text as readers of JSON do, who join pairs of surrogates."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def test_logfmt_is_read_by_people() -> None:
    """Time, level and event come first; only what needs quotes has them."""
    facts = {"campaign": "Spring sale", "reason": "timeout", "tries": 5}

    line = Logfmt().format(record(facts=facts))

    assert line == (
        "time=2025-06-22T10:00:00.125Z level=warn event=poll.failed "
        'campaign="Spring sale" reason=timeout tries=5'
    )


def test_json_is_read_by_machines() -> None:
    """The same facts, with numbers as numbers."""
    facts = {"campaign": "Spring sale", "tries": 5, "status": None}

    line = Json().format(record(facts=facts))

    assert json.loads(line) == {
        "time": "2025-06-22T10:00:00.125Z",
        "level": "warn",
        "event": "poll.failed",
        "campaign": "Spring sale",
        "tries": 5,
    }


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (logging.DEBUG, "debug"),
        (logging.INFO, "info"),
        (logging.WARNING, "warn"),
        (logging.ERROR, "error"),
    ],
)
def test_levels_are_called_as_the_flag_calls_them(level: int, name: str) -> None:
    """What `--log.level` takes is what a line shows."""
    assert f" level={name} " in Logfmt().format(record(level=level))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        ("", '""'),
        (0.0, "0"),
        (10.0, "10"),
        (2.5, "2.5"),
        (1.23456, "1.235"),
        (float("inf"), "inf"),
        ("https://rest.iad-01.braze.com/x", "https://rest.iad-01.braze.com/x"),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("two\nlines", r'"two\nlines"'),
        ("\u2028", r'"\u2028"'),
        ("\ud800", r'"\ud800"'),
        ("Grüße 😀", '"Grüße 😀"'),
    ],
)
def test_logfmt_values(value: object, text: str) -> None:
    """Absent, empty and odd values can be told apart, and floats are short."""
    line = Logfmt().format(record(facts={"fact": value}))

    assert line.partition(" fact=")[2] == text


@pytest.mark.parametrize("formatter", FORMATTERS)
@given(event=hostile, facts=facts_of)
def test_a_record_is_one_line(
    formatter: logging.Formatter, event: str, facts: dict[str, object]
) -> None:
    """No fact can break a line, drive a terminal, or break the stream's encoding."""
    line = formatter.format(record(event, facts=facts))

    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert line.encode()


@given(facts=facts_of)
def test_logfmt_is_read_back(facts: dict[str, object]) -> None:
    """Each text comes back as it was, quotes, controls and astral planes included."""
    texts = {
        name: joined(value) for name, value in facts.items() if isinstance(value, str)
    }

    found = read_logfmt(Logfmt().format(record(facts=texts)))

    assert found | texts == found


@given(facts=facts_of)
def test_json_is_read_back(facts: dict[str, object]) -> None:
    """By strict readers too: what is no finite number is text, what is None absent."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(Json().format(record(facts=facts)), parse_constant=refuse)

    assert not {name for name, value in facts.items() if value is None} & set(found)
    for name, value in facts.items():
        if value is None:
            continue
        is_text = isinstance(value, float) and not math.isfinite(value)
        wanted = str(value) if is_text else value
        assert found[name] == (joined(wanted) if isinstance(wanted, str) else wanted)


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_traceback_stays_on_its_line(formatter: logging.Formatter) -> None:
    """It is one fact among the others, whatever the exception's text holds."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    made = record("poll.crashed", level=logging.ERROR)
    try:
        message = "broken\n\u2028\ud800"
        raise RuntimeError(message)
    except RuntimeError:
        made.exc_info = sys.exc_info()

    handler.emit(made)

    line = stream.getvalue()
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    assert "RuntimeError: broken" in line


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_librarys_record_is_a_line_too(formatter: logging.Formatter) -> None:
    """Its message, with its arguments, is the event."""
    made = logging.LogRecord(
        "urllib3", logging.WARNING, __file__, 1, "retry %d of %s", (2, "x"), None
    )

    line = formatter.format(made)

    assert "retry 2 of x" in line
