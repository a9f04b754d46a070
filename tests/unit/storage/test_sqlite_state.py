"""The state file: what it gives back, and what costs one complaint and no more."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from exporter.metrics.store import Kept
from exporter.model.errors import FailureReason, StateError
from exporter.model.snapshot import Snapshot
from exporter.series import snapshot_json
from exporter.storage.sqlite_state import FILE_NAME, SqliteState

from tests.support.daemon_process import clean_environment, until
from tests.unit.series.test_snapshot_json import example

SNAPSHOT = example()
DOCUMENT = json.dumps(snapshot_json.write(SNAPSHOT))
KEPT = Kept(1_700_000_000.5, None, SNAPSHOT)
FAILED = Kept(1_700_000_001.0, FailureReason.SERVER_ERROR, SNAPSHOT)
KEY, OTHER = ("shop", "c1"), ("shop", "c2")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the state of `tmp_path` stands, with one campaign in it."""
    SqliteState(tmp_path).save({KEY: KEPT})
    return tmp_path / FILE_NAME


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """By another process too; the directory is made if there is none."""
    path = tmp_path / "deep" / "er"

    SqliteState(path).save({KEY: KEPT, OTHER: FAILED})

    assert SqliteState(path).load() == {KEY: KEPT, OTHER: FAILED}


def test_only_what_changed_is_given(file: Path) -> None:
    """The rest stays, and what is gone goes."""
    state = SqliteState(file.parent)

    state.save({OTHER: FAILED})
    both = state.load()
    state.save({OTHER: KEPT}, gone=[KEY])

    assert both == {KEY: KEPT, OTHER: FAILED}
    assert state.load() == {OTHER: KEPT}


@pytest.mark.parametrize("is_there", [False, True])
def test_no_file_and_an_empty_one_hold_nothing(
    tmp_path: Path, *, is_there: bool
) -> None:
    """That is how every state begins; the next save begins it."""
    if is_there:
        (tmp_path / FILE_NAME).touch()

    assert SqliteState(tmp_path).load() == {}
    SqliteState(tmp_path).save({KEY: KEPT})
    assert SqliteState(tmp_path).load() == {KEY: KEPT}


def edit(statement: str, *values: str) -> Callable[[Path], None]:
    """Return what runs a statement in a file."""

    def run(file: Path) -> None:
        database = sqlite3.connect(file)
        with database:
            database.execute(statement, values)
        database.close()

    return run


def truncate(file: Path) -> None:
    """Cut a file's end off."""
    os.truncate(file, file.stat().st_size - 4096)


def make_directory(file: Path) -> None:
    """Put a directory in a file's place."""
    file.unlink()
    file.mkdir()
    (file / "something").touch()


def make_foreign(file: Path) -> None:
    """Put another program's database in a file's place."""
    file.unlink()
    edit("CREATE TABLE kept (x)")(file)


def make_link(file: Path) -> None:
    """Put a link to the file in its place."""
    file.rename(file.with_suffix(".elsewhere"))
    file.symlink_to(file.with_suffix(".elsewhere"))


def make_pipe(file: Path) -> None:
    """Put a pipe that nobody writes to in a file's place."""
    file.unlink()
    os.mkfifo(file)


def make_endless(file: Path) -> None:
    """Put a view that never ends in the table's place."""
    edit("DROP TABLE kept")(file)
    edit(
        "CREATE VIEW kept AS WITH RECURSIVE n(x) AS"
        " (SELECT 1 UNION ALL SELECT x FROM n) SELECT x AS workspace,"
        " x AS campaign_id, 1.0 AS last_success_at,"
        " NULL AS failure, '' AS snapshot FROM n WHERE x > 1"
    )(file)


BROKEN: dict[str, Callable[[Path], object]] = {
    "truncated": truncate,
    "a page of it": lambda file: os.truncate(file, 100),
    "no database": lambda file: file.write_bytes(b"\0\xff" * 5000),
    "foreign": make_foreign,
    "newer": edit(f"PRAGMA user_version = {snapshot_json.VERSION + 1}"),
    "a directory": make_directory,
    "a link": make_link,
    "a pipe": make_pipe,
    "an endless view": make_endless,
    "a table more": edit("CREATE TABLE more (x)"),
    "a trigger": edit(
        "CREATE TRIGGER t AFTER INSERT ON kept BEGIN DELETE FROM kept; END"
    ),
    "a huge text": edit("UPDATE kept SET snapshot = zeroblob(70000000)"),
    "a campaign twice": edit(
        "INSERT INTO kept SELECT name, 'c1', 1.0, NULL, snapshot FROM kept,"
        " (SELECT x'73686f70' AS name UNION ALL SELECT 'b''shop''')"
    ),
    "no table": edit("ALTER TABLE kept RENAME TO others"),
    "no JSON": edit("UPDATE kept SET snapshot = '{'"),
    "no text": edit("UPDATE kept SET snapshot = 1.5"),
    "no UTF-8": edit("UPDATE kept SET snapshot = CAST(x'ff' AS TEXT)"),
    "no snapshot": edit("UPDATE kept SET snapshot = '[]'"),
    "too deep": edit("UPDATE kept SET snapshot = ?", "[" * 100_000),
    "a huge number": edit("UPDATE kept SET snapshot = ?", "9" * 9999),
    "no instant": edit("UPDATE kept SET last_success_at = 'now'"),
    "no time": edit("UPDATE kept SET last_success_at = NULL"),
    "endless": edit("UPDATE kept SET last_success_at = 9e999"),
    "no reason": edit("UPDATE kept SET failure = 'whatever'"),
}


def test_a_file_of_version_1_is_read_and_written_to(file: Path) -> None:
    """Its values are served; from the next save on it is one of ours."""
    document = json.loads(DOCUMENT)
    for name in ("is_quiet", "is_active", "first_complete"):
        del document[name]
    edit("UPDATE kept SET snapshot = ?", json.dumps(document))(file)
    edit("PRAGMA user_version = 1")(file)

    before = SqliteState(file.parent).load()
    SqliteState(file.parent).save({OTHER: KEPT})

    assert before[KEY].snapshot.last_complete == SNAPSHOT.last_complete
    assert SqliteState(file.parent).load() == {**before, OTHER: KEPT}
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_file_that_cannot_be_used_is_one_complaint(file: Path, fault: str) -> None:
    """Named with its file; once it is set aside, saving makes a new one."""
    BROKEN[fault](file)
    state = SqliteState(file.parent)

    with pytest.raises(StateError, match=FILE_NAME):
        state.load()
    state.set_aside()
    state.save({OTHER: KEPT})

    assert state.load() == {OTHER: KEPT}
    assert file.with_suffix(".unusable").exists()


@pytest.mark.parametrize("fault", ["foreign", "newer", "a directory", "no database"])
def test_what_is_not_ours_is_not_written_to(file: Path, fault: str) -> None:
    """Saving complains and leaves it as it was."""
    BROKEN[fault](file)
    before = file.is_dir() or file.read_bytes()

    with pytest.raises(StateError, match="cannot be written"):
        SqliteState(file.parent).save({KEY: KEPT})

    assert (file.is_dir() or file.read_bytes()) == before


def test_a_file_that_others_could_read_is_made_private(file: Path) -> None:
    """Whoever made it so, the next save ends it."""
    file.chmod(0o644)

    SqliteState(file.parent).save({OTHER: KEPT})

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    """Not even to begin a file where it points to."""
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StateError, match="it is a link or a directory"):
        SqliteState(tmp_path).save({KEY: KEPT})

    assert not (tmp_path / "elsewhere").exists()


def test_a_first_save_that_was_undone_leaves_nothing(file: Path) -> None:
    """SQLite rolls a crash back to no table at all, and that is a beginning."""
    edit("DROP TABLE kept")(file)
    state = SqliteState(file.parent)

    assert state.load() == {}
    state.save({OTHER: KEPT})
    assert state.load() == {OTHER: KEPT}


def test_a_text_that_cannot_be_written_is_a_complaint(tmp_path: Path) -> None:
    """A lone surrogate in a name, and nothing else is written either."""
    state = SqliteState(tmp_path)

    with pytest.raises(StateError):
        state.save({KEY: KEPT, ("shop", "\ud800"): KEPT})

    assert state.load() == {}


def test_a_file_in_the_directorys_place_is_one_complaint(tmp_path: Path) -> None:
    """For loading and saving."""
    (tmp_path / "state").write_text("mine")
    state = SqliteState(tmp_path / "state")

    with pytest.raises(StateError):
        state.save({KEY: KEPT})

    assert (tmp_path / "state").read_text() == "mine"


def test_the_file_is_for_us_alone(tmp_path: Path) -> None:
    """Whatever the umask is; so is a directory that had to be made."""
    before = os.umask(0)
    try:
        SqliteState(tmp_path / "made").save({KEY: KEPT})
    finally:
        os.umask(before)

    file = tmp_path / "made" / FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


PROGRAM = """
import json, os, resource, sys
from pathlib import Path
from exporter import snapshot_document
from exporter.model.errors import StateError
from exporter.storage.sqlite_state import State
from exporter.metrics.store import Kept

state = State(Path(sys.argv[1]))
snapshot = snapshot_document.read(json.loads(sys.argv[2]))

def state_of(number):
    kept = Kept(float(number), None, snapshot)
    return {("shop", f"c{n}"): kept for n in range(40)}
"""
SAVE_FOR_EVER = (
    PROGRAM
    + """
number = 1 + int(max((one.last_success_at for one in state.load().values()), default=0))
print("ready", flush=True)
while True:
    state.save(state_of(number))
    number += 1
"""
)
SAVE_WITHOUT_SPACE = (
    PROGRAM
    + """
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    state.save(state_of(2))
except StateError as error:
    print(error)
"""
)
# A superuser is let into everything: the nobody he becomes is not.
SAVE_UNPRIVILEGED = (
    PROGRAM
    + """
if os.getuid() == 0:
    os.setgroups([])
    os.setuid(65534)
for act in (state.load, lambda: state.save(state_of(2))):
    try:
        print(len(act()))
    except StateError as error:
        print(error)
"""
)


def start(program: str, directory: Path) -> subprocess.Popen[str]:
    """Start a program of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, str(directory), DOCUMENT],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )


def output(program: str, directory: Path) -> str:
    """Return what a program of its own prints."""
    with start(program, directory) as process:
        return process.communicate(timeout=30)[0]


def test_a_full_disk_leaves_the_former_state(file: Path) -> None:
    """The complaint names the file, and there is no half of the new one."""
    told = output(SAVE_WITHOUT_SPACE, file.parent)

    assert f"the state file {file} cannot be written" in told
    assert SqliteState(file.parent).load() == {KEY: KEPT}


def test_a_read_only_directory_is_one_complaint_each(file: Path) -> None:
    """What was kept there is read nevertheless, and stays."""
    for path, mode in ((file, 0o444), (file.parent, 0o555)):
        path.chmod(mode)
    outside = file.parent
    while outside != outside.parent and outside.stat().st_uid == os.getuid():
        outside.chmod(outside.stat().st_mode | 0o055)
        outside = outside.parent

    loaded, saved = output(SAVE_UNPRIVILEGED, file.parent).splitlines()

    assert loaded == "1"
    assert "cannot be written" in saved


def test_a_file_that_may_not_be_read_is_one_complaint(file: Path) -> None:
    """Another user's state is not ours to read."""
    file.chmod(0)
    for directory in (file.parent, file.parent.parent, file.parent.parent.parent):
        directory.chmod(0o755)

    loaded, saved = output(SAVE_UNPRIVILEGED, file.parent).splitlines()

    assert "cannot be read" in loaded
    assert "cannot be written" in saved


def test_a_kill_at_any_moment_leaves_a_whole_state(tmp_path: Path) -> None:
    """Killed 40 times in the midst of saving: all rows are of one save, never older."""
    newest = 0.0
    for attempt in range(40):
        with start(SAVE_FOR_EVER, tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            until((tmp_path / FILE_NAME).exists)
            time.sleep(attempt * 0.0013)  # another moment each time
            process.send_signal(signal.SIGKILL)

        instants = {
            one.last_success_at for one in SqliteState(tmp_path).load().values()
        }

        assert len(instants) <= 1
        assert max(instants, default=newest) >= newest
        newest = max(instants, default=newest)
    assert newest > 1


def test_no_document_says_more_than_its_snapshot(file: Path) -> None:
    """What stands in the file is the snapshot as JSON: whoever repairs it can read."""
    database = sqlite3.connect(file)
    ((document,),) = database.execute("SELECT snapshot FROM kept")
    database.close()

    assert json.loads(document) == json.loads(DOCUMENT)


def test_a_long_history_of_saves_does_not_grow_the_file(file: Path) -> None:
    """Space is used again."""
    state = SqliteState(file.parent)
    size = file.stat().st_size

    for number in range(30):
        state.save({KEY: KEPT._replace(last_success_at=float(number))})

    assert file.stat().st_size == size
    assert isinstance(state.load()[KEY].snapshot, Snapshot)
