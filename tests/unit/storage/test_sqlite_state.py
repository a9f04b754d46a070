"""The state file: what it returns, how it is migrated, and which faults it reports."""

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
import zlib
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from exporter.model.errors import FailureReason, StateError
from exporter.model.snapshot import VARIATION, WHOLE, Day, Figures, Part
from exporter.series import older_days, snapshot_json
from exporter.series.kept import Kept
from exporter.series.older_days import NOTHING_OLDER
from exporter.storage import sqlite_state, table_reader
from exporter.storage.sqlite_state import FILE_NAME, VERSION, SqliteState

from tests.support.daemon_process import clean_environment, until
from tests.support.object_keys import key
from tests.support.snapshots import TODAY, example_canvas, example_snapshot

FIXTURES = Path(__file__).parents[2] / "fixtures/state"
SNAPSHOT = example_snapshot()
DOCUMENT = json.dumps(snapshot_json.dump(SNAPSHOT))
KEPT = Kept(1_700_000_000.5, None, SNAPSHOT)
OLDER = older_days.merge(
    older_days.NOTHING_OLDER,
    [(TODAY - timedelta(days=20), {"time": "2025-06-02", "total_stats": {"n": 1.5}})],
    today=TODAY,
    request=1,
    days=28,
)._replace(read_at=1_700_000_000.0)
WITH_OLDER = Kept(1_700_000_000.5, None, example_canvas(), OLDER, "0123456789abcdef")
FAILED = Kept(1_700_000_001.0, FailureReason.SERVER_ERROR, SNAPSHOT)
KEY, OTHER, CANVAS = key("c1"), key("c2"), key("c1", kind="canvas")
ACCOUNT = ("shop", "https://rest.iad-01.braze.com", "campaign", "file key")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    state = SqliteState(tmp_path)
    state.save({KEY: KEPT})
    state.save_catalogues({ACCOUNT: "{}"})
    return tmp_path / FILE_NAME


def edit(statement: str, *values: str) -> Callable[[Path], None]:
    def run(file: Path) -> None:
        with closing(sqlite3.connect(file)) as database, database:
            database.execute(statement, values)

    return run


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def test_a_save_changes_only_what_it_is_given(tmp_path: Path) -> None:
    """A missing directory is created; catalogues are replaced as a whole."""
    state, other = SqliteState(tmp_path / "deep" / "er"), ("other", *ACCOUNT[1:])
    state.save({KEY: KEPT})
    state.save_catalogues({ACCOUNT: "one"})
    assert SqliteState(state.directory).load_catalogues() == {ACCOUNT: "one"}

    state.save({OTHER: FAILED})
    assert SqliteState(state.directory).load() == {KEY: KEPT, OTHER: FAILED}
    state.save({OTHER: KEPT}, gone=[KEY])
    state.save_catalogues({other: "two"})

    assert state.load() == {OTHER: KEPT}
    assert state.load_catalogues() == {other: "two"}


@pytest.mark.parametrize("exists", [False, True])
def test_a_missing_and_an_empty_file_hold_nothing(
    tmp_path: Path, *, exists: bool
) -> None:
    if exists:
        (tmp_path / FILE_NAME).touch()
    state = SqliteState(tmp_path)

    assert state.load() == {}
    assert state.load_catalogues() == {}
    state.save({KEY: KEPT})
    assert state.load() == {KEY: KEPT}


def old_file(directory: Path, *, version: int = 2) -> SqliteState:
    """Return the state of a file that the code before version 3 or 4 wrote."""
    file = directory / FILE_NAME
    shutil.copy(FIXTURES / FILE_NAME, directory)
    if version == 3:
        edit(
            "CREATE TABLE catalogues (workspace TEXT, endpoint TEXT, key_source TEXT, "
            "document TEXT, PRIMARY KEY (workspace, endpoint, key_source)) "
            "WITHOUT ROWID"
        )(file)
        edit("INSERT INTO catalogues VALUES ('a', 'b', 'c', 'a list')")(file)
        edit("UPDATE kept SET snapshot = json_remove(snapshot, '$.series')")(file)
        edit("PRAGMA user_version = 3")(file)
    return SqliteState(directory)


def old_figures(document: dict[str, Any], figures: dict[str, Any]) -> Figures:
    """Return figures of a document before version 4, which had no parts."""
    parts = [Part(VARIATION, *about) for about in document["variations"]]
    variations = tuple((parts[number], one) for number, one in figures["variations"])
    overall = ((WHOLE, figures["overall"]),) if figures["overall"] else ()
    return (*overall, *variations)


def old_day(document: dict[str, Any], name: str) -> Day | None:
    """Return a day of a document before version 4."""
    if (day := document[name]) is None:
        return None
    figures = old_figures(document, day["figures"])
    return Day(date.fromisoformat(day["date"]), day["starts_at"], figures)


def old_date(day: dict[str, Any]) -> dict[str, Any]:
    return {name: day[name] for name in ("date", "starts_at")}


@pytest.mark.parametrize("version", [2, 3])
def test_an_older_file_is_loaded_and_migrated(tmp_path: Path, version: int) -> None:
    """All campaigns are kept, with all their values."""
    state = old_file(tmp_path, version=version)
    assert version_of(tmp_path / FILE_NAME) == version
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        rows = database.execute("SELECT campaign_id, snapshot FROM kept").fetchall()
    documents = {id_: json.loads(document) for id_, document in rows}

    loaded = state.load()
    state.save({KEY: KEPT})
    state.save_catalogues({ACCOUNT: "{}"})

    assert version_of(tmp_path / FILE_NAME) == VERSION
    assert set(loaded) == {key(id_, workspace="production") for id_ in documents}
    assert len(documents) == 3
    for (*_, id_), kept in loaded.items():
        old, snapshot = documents[id_], kept.snapshot
        assert snapshot.latest == old_day(old, "latest")
        assert snapshot.last_complete == old_day(old, "last_complete")
        assert snapshot.trailing == tuple(
            (window, old_figures(old, figures)) for window, figures in old["trailing"]
        )
        assert snapshot.trailing
        written = snapshot_json.dump(snapshot)
        first, changed = old["first_complete"], {"latest", "last_complete", "trailing"}
        parts = [[*WHOLE, first["overall"]]]
        parts += [[VARIATION, *about] for about in first["variations"]]
        found = written["first_complete"]
        assert found == {**old_date(first), "parts": parts}
        same = set(written) & set(old) - changed - {"first_complete"}
        assert {name: written[name] for name in same} == {n: old[n] for n in same}
        assert same >= {"history", "is_quiet", "is_active", "skipped_rows"}
        assert kept.older == NOTHING_OLDER
    assert SqliteState(tmp_path).load() == {**loaded, KEY: KEPT}
    assert SqliteState(tmp_path).load_catalogues() == {ACCOUNT: "{}"}


def test_a_file_of_version_5_is_loaded_without_endpoints(
    tmp_path: Path, file: Path
) -> None:
    SqliteState(tmp_path).save({CANVAS: WITH_OLDER})
    edit("ALTER TABLE kept DROP COLUMN endpoint_digest")(file)
    edit("PRAGMA user_version = 5")(file)

    loaded = SqliteState(tmp_path).load()

    assert loaded == {KEY: KEPT, CANVAS: WITH_OLDER._replace(endpoint_digest="")}
    assert version_of(file) == VERSION


def test_catalogues_survive_the_migration_from_version_3(tmp_path: Path) -> None:
    state = old_file(tmp_path, version=3)

    assert state.load_catalogues() == {("a", "b", "campaign", "c"): "a list"}
    assert version_of(tmp_path / FILE_NAME) == VERSION
    assert len(state.load()) == 3


def test_a_canvas_is_kept_with_its_older_days(tmp_path: Path) -> None:
    """Beside a campaign with the same id; each is deleted alone."""
    state = SqliteState(tmp_path)
    state.save({KEY: KEPT, CANVAS: WITH_OLDER})

    assert SqliteState(tmp_path).load() == {KEY: KEPT, CANVAS: WITH_OLDER}
    state.save({}, gone=[KEY])
    assert SqliteState(tmp_path).load() == {CANVAS: WITH_OLDER}


def test_a_file_of_version_1_is_loaded(tmp_path: Path) -> None:
    state = old_file(tmp_path)
    new = {"is_quiet", "is_active", "first_complete"}
    old = {key: one for key, one in json.loads(DOCUMENT).items() if key not in new}
    edit("UPDATE kept SET snapshot = ?", json.dumps(old))(tmp_path / FILE_NAME)
    edit("PRAGMA user_version = 1")(tmp_path / FILE_NAME)

    found = [kept.snapshot.last_complete for kept in state.load().values()]

    assert found == [SNAPSHOT.last_complete] * 3
    assert version_of(tmp_path / FILE_NAME) == VERSION


def test_an_old_file_that_another_process_has_locked_is_not_migrated(
    tmp_path: Path,
) -> None:
    """It is loaded at the next start."""
    state, file = old_file(tmp_path), tmp_path / FILE_NAME
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError) as error:
            state.load()

    assert error.value.is_locked
    assert version_of(file) == 2
    assert len(state.load()) == 3


def replace_by(create: Callable[[Path], object]) -> Callable[[Path], None]:
    def run(file: Path) -> None:
        file.rename(file.with_suffix(".elsewhere"))
        create(file)

    return run


def make_endless_view(file: Path) -> None:
    edit("DROP TABLE kept")(file)
    edit(
        "CREATE VIEW kept AS WITH RECURSIVE n(x) AS"
        " (SELECT 1 UNION ALL SELECT x FROM n) SELECT x AS workspace,"
        " x AS kind, x AS object_id, 1.0 AS last_success_at, NULL AS failure,"
        " '' AS snapshot, NULL AS older, NULL AS endpoint_digest FROM n WHERE x > 1"
    )(file)


BROKEN: dict[str, Callable[[Path], object]] = {
    "truncated": lambda file: os.truncate(file, file.stat().st_size - 4096),
    "less than a page": lambda file: os.truncate(file, 100),
    "no database": lambda file: file.write_bytes(b"\0\xff" * 5000),
    "foreign": replace_by(edit("CREATE TABLE kept (x)")),
    "newer": edit(f"PRAGMA user_version = {VERSION + 1}"),
    "without a version": edit("PRAGMA user_version = 0"),
    "a directory": replace_by(lambda file: (file / "something").mkdir(parents=True)),
    "a link": replace_by(lambda file: file.symlink_to(file.with_suffix(".elsewhere"))),
    "a pipe": replace_by(os.mkfifo),
    "an endless view": make_endless_view,
    "one table more": edit("CREATE TABLE more (x)"),
    "a trigger": edit(
        "CREATE TRIGGER t AFTER INSERT ON kept BEGIN DELETE FROM kept; END"
    ),
    "no table": edit("ALTER TABLE kept RENAME TO others"),
}


def base64_of(content: bytes) -> str:
    return b64encode(content).decode()


older_document = older_days.dump(OLDER)
assert older_document is not None
BAD_ROWS: dict[str, Callable[[Path], object]] = {
    "a huge text": edit("UPDATE kept SET snapshot = zeroblob(70000000)"),
    "a huge name": edit("UPDATE kept SET workspace = zeroblob(30000000)"),
    "a name not UTF-8": edit("UPDATE kept SET workspace = CAST(x'ff' AS TEXT)"),
    "snapshot not JSON": edit("UPDATE kept SET snapshot = '{'"),
    "snapshot not UTF-8": edit("UPDATE kept SET snapshot = CAST(x'ff' AS TEXT)"),
    "not a snapshot": edit("UPDATE kept SET snapshot = '[]'"),
    "snapshot too deep": edit("UPDATE kept SET snapshot = ?", "[" * 100_000),
    "a huge number": edit("UPDATE kept SET snapshot = ?", "9" * 9999),
    "a text as time": edit("UPDATE kept SET last_success_at = 'now'"),
    "an infinite time": edit("UPDATE kept SET last_success_at = 9e999"),
    "an unknown reason": edit("UPDATE kept SET failure = 'unknown'"),
    "a reason not UTF-8": edit("UPDATE kept SET failure = CAST(x'ff' AS TEXT)"),
    "figures of another kind": edit(
        "UPDATE kept SET snapshot = replace(snapshot, '[\"variation\"', '[\"step\"'), "
        "kind = 'canvas'"
    ),
    "a kind of another version": edit("UPDATE kept SET kind = 'segment'"),
    "older days not JSON": edit("UPDATE kept SET older = '{'"),
    "older days not UTF-8": edit("UPDATE kept SET older = CAST(x'ff' AS TEXT)"),
    "older days a number": edit("UPDATE kept SET older = 1"),
    "not older days": edit("UPDATE kept SET older = '[]'"),
    "older days too deep": edit("UPDATE kept SET older = ?", "[" * 100_000),
    **{
        f"older days with {name} {value}": edit(
            "UPDATE kept SET older = ?", json.dumps(older_document | {name: value})
        )
        for name, value in (
            ("rows", None),
            ("rows", {"yesterday": {}}),
            ("rows", {"2025-06-02": []}),
            ("rows", {"2025-06-02": "no base64"}),
            ("rows", {"2025-06-02": base64_of(b"not deflated")}),
            ("rows", {"2025-06-02": base64_of(zlib.compress(b"{}")[:-1])}),
            ("rows", {"2025-06-02": base64_of(zlib.compress(b"{}") + b"more")}),
            ("rows", {"2025-06-02": base64_of(zlib.compress(b"no JSON"))}),
            ("rows", {"2025-06-02": base64_of(zlib.compress(b"[]"))}),
            ("rows", {"2025-06-02": base64_of(zlib.compress(b"[" * 100_000))}),
            ("requested", None),
            ("requested", [1]),
            ("requested", ["yesterday"]),
            ("read_at", None),
            ("read_at", float("inf")),
        )
    },
    "a blob as time": edit("UPDATE kept SET last_success_at = x'00'"),
}


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    return [(one.getMessage(), one.__dict__["fields"]) for one in caplog.records]


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_a_bad_row_costs_only_itself(
    file: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and replaced when the campaign is saved again."""
    BAD_ROWS[fault](file)
    state = SqliteState(file.parent)
    state.save({OTHER: FAILED, key("a"): KEPT})

    assert state.load() == {OTHER: FAILED, key("a"): KEPT}
    ((event, fields),) = logged(caplog)
    assert (event, fields["rows"], fields["table"]) == ("state.skipped", 1, "kept")
    assert fields["file"] == str(file)
    assert len(str(fields["error"])) < 500
    state.save({KEY: KEPT})
    assert set(state.load()) == {KEY, OTHER, key("a")}


def test_a_row_that_occurs_twice_is_loaded_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once as a text and once as a blob."""
    edit(
        "INSERT INTO kept SELECT x'73686f70', kind, 'c1', 1.0, NULL, snapshot, NULL, "
        "NULL FROM kept"
    )(file)

    assert SqliteState(file.parent).load() == {KEY: KEPT}
    assert [event for event, _ in logged(caplog)] == ["state.skipped"]


def test_values_too_large_to_be_read_back_cost_themselves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged once; the others of the same save are kept."""
    monkeypatch.setattr(sqlite_state, "_MAX_VALUE_BYTES", 80_000)
    figures = {f"field_{n}": n for n in range(3000)}
    day = Day(TODAY, 1.0, ((WHOLE, figures),))
    large = SNAPSHOT._replace(parts=(WHOLE,), latest=day, last_complete=None)
    large = large._replace(trailing=(), first_complete=None)
    state = SqliteState(tmp_path)

    for _ in range(2):
        state.save({OTHER: KEPT._replace(snapshot=large), KEY: KEPT})

    assert state.load() == {KEY: KEPT}
    ((event, fields),) = logged(caplog)
    assert (event, fields["campaign_id"]) == ("state.not_kept", "c2")


@pytest.mark.parametrize("size", [100, 1_000_000])
def test_what_is_read_is_bounded(
    tmp_path: Path,
    size: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many short rows count too. The rows beyond stay in the file."""
    monkeypatch.setattr(table_reader, "MAX_BYTES", 10_000_000)
    rows = 10_000 if size == 100 else 50
    state = SqliteState(tmp_path)
    state.save({KEY: KEPT})
    file = tmp_path / FILE_NAME
    with closing(sqlite3.connect(file)) as database, database:
        database.executemany(
            "INSERT INTO kept VALUES ('shop', 'campaign', ?, 1.0, NULL, ?, NULL, NULL)",
            ((f"d{n:05}", DOCUMENT + " " * size) for n in range(rows)),
        )

    loaded = state.load()

    assert KEY in loaded
    assert 5 < len(loaded) < rows
    ((event, fields),) = logged(caplog)
    assert event == "state.too_long"
    assert "only the first 9 MiB" in str(fields["error"])
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM kept").fetchone() == (rows + 1,)


@pytest.mark.parametrize("fault", BROKEN)
def test_an_unusable_file_is_reported_and_replaced(file: Path, fault: str) -> None:
    BROKEN[fault](file)
    state = SqliteState(file.parent)

    with pytest.raises(StateError, match=FILE_NAME):
        state.load()
    state.quarantine()
    state.save({OTHER: KEPT})

    assert state.load() == {OTHER: KEPT}
    assert file.with_suffix(".unusable").exists()


@pytest.mark.parametrize("fault", ["foreign", "newer", "a directory", "no database"])
def test_a_foreign_file_is_not_written_to(file: Path, fault: str) -> None:
    BROKEN[fault](file)
    before = file.is_dir() or file.read_bytes()
    state = SqliteState(file.parent)

    with pytest.raises(StateError, match="cannot be written"):
        state.save({KEY: KEPT})
    with pytest.raises(StateError, match="cannot be written"):
        state.save_catalogues({})

    assert (file.is_dir() or file.read_bytes()) == before


@pytest.mark.parametrize("exists", [True, False])
def test_the_file_and_its_directory_are_private(
    tmp_path: Path, *, exists: bool
) -> None:
    """Independent of the umask; the mode of an existing file is set."""
    file = tmp_path / "made" / FILE_NAME
    before = os.umask(0)
    try:
        if exists:
            SqliteState(file.parent).save({OTHER: KEPT})
            file.chmod(0o644)
        SqliteState(file.parent).save({KEY: KEPT})
    finally:
        os.umask(before)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StateError, match="it is a link or a directory"):
        SqliteState(tmp_path).save({KEY: KEPT})

    assert not (tmp_path / "elsewhere").exists()


def test_a_first_save_that_was_rolled_back_leaves_a_usable_file(file: Path) -> None:
    for table in ("kept", "catalogues"):
        edit(f"DROP TABLE {table}")(file)
    state = SqliteState(file.parent)

    assert state.load() == {}
    state.save({OTHER: KEPT})
    assert state.load() == {OTHER: KEPT}


def test_a_text_that_sqlite_cannot_store_is_an_error(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)

    with pytest.raises(StateError):
        state.save({KEY: KEPT, key("\ud800"): KEPT})

    assert state.load() == {}


def test_a_file_in_place_of_the_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("mine")
    state = SqliteState(tmp_path / "state")

    with pytest.raises(StateError, match=r"cannot be read: .* expected a directory"):
        state.load()
    with pytest.raises(StateError, match=r"cannot be written: .* expected a directory"):
        state.save({KEY: KEPT})

    assert (tmp_path / "state").read_text() == "mine"


PROGRAM = """
import json, os, resource, sys
from pathlib import Path
from exporter.model.errors import StateError
from exporter.model.snapshot import VARIATION, WHOLE, Day, Figures, Part
from exporter.series import older_days, snapshot_json
from exporter.metrics.store import ObjectKey
from exporter.series.kept import Kept
from exporter.storage.sqlite_state import SqliteState

state = SqliteState(Path(sys.argv[1]))
snapshot = snapshot_json.parse(json.loads(sys.argv[2]))

def state_of(number):
    kept = Kept(float(number), None, snapshot)
    return {ObjectKey("shop", "campaign", f"c{n}"): kept for n in range(40)}
"""
SAVE_FOR_EVER = """
number = 1 + int(max((one.last_success_at for one in state.load().values()), default=0))
print("ready", flush=True)
while True:
    state.save(state_of(number))
    number += 1
    print(number, flush=True)
"""
SAVE_WITHOUT_SPACE = """
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    state.save(state_of(2))
except StateError as error:
    print(error)
"""
# Permissions do not apply to root, so the program gives that up.
SAVE_UNPRIVILEGED = """
if os.getuid() == 0:
    os.setgroups([])
    os.setuid(65534)
for act in (state.load, lambda: state.save(state_of(2))):
    try:
        print(len(act()))
    except StateError as error:
        print(error)
"""


def start(program: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + program, str(directory), DOCUMENT],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )


def output(program: str, directory: Path) -> str:
    with start(program, directory) as process:
        return process.communicate(timeout=120)[0]


def test_a_full_disk_leaves_the_previous_state(file: Path) -> None:
    printed = output(SAVE_WITHOUT_SPACE, file.parent)

    assert f"the state file {file} cannot be written" in printed
    assert SqliteState(file.parent).load() == {KEY: KEPT}


@pytest.mark.parametrize(
    ("mode", "directory_mode", "loaded"),
    [(0o444, 0o555, "1"), (0, 0o755, "cannot be read")],
    ids=["read-only", "unreadable"],
)
def test_missing_permissions_are_reported(
    file: Path, mode: int, directory_mode: int, loaded: str
) -> None:
    file.chmod(mode)
    file.parent.chmod(directory_mode)
    outside = file.parent.parent
    while outside != outside.parent and outside.stat().st_uid == os.getuid():
        outside.chmod(outside.stat().st_mode | 0o055)
        outside = outside.parent

    first, second = output(SAVE_UNPRIVILEGED, file.parent).splitlines()

    assert loaded in first
    assert "cannot be written" in second


def test_a_kill_at_any_moment_leaves_a_whole_state(tmp_path: Path) -> None:
    """Killed 40 times during a save: all rows are of one save, never an older one."""
    newest = 0.0
    for attempt in range(40):
        with start(SAVE_FOR_EVER, tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            until((tmp_path / FILE_NAME).exists)
            if not attempt:  # at least one save is complete
                assert int(process.stdout.readline()) == 2
            time.sleep(attempt * 0.0013)  # another moment each time
            process.send_signal(signal.SIGKILL)

        instants = {
            one.last_success_at for one in SqliteState(tmp_path).load().values()
        }

        assert len(instants) <= 1
        assert max(instants, default=newest) >= newest
        newest = max(instants, default=newest)
    assert newest >= 1


def test_many_saves_do_not_grow_the_file(file: Path) -> None:
    state = SqliteState(file.parent)
    size = file.stat().st_size

    for number in range(30):
        state.save({KEY: KEPT._replace(last_success_at=float(number))})

    assert file.stat().st_size == size
    assert state.load()[KEY].snapshot == SNAPSHOT
