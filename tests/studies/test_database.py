"""A file that can't be used gets one sentence, and what is in it stays."""

import os
import sqlite3
import threading

import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.studies import database
from lowrank_kit.studies.database import create, reading, writing

INSERT = """INSERT INTO baselines (network, seed, weights, data, date, device, kit, torch)
  VALUES (?, ?, '', '', '', '', '', '')"""


@pytest.fixture
def file(path):
    create(path)
    with writing(path) as connection:
        connection.execute(INSERT, ("first", 0))
    return path


@pytest.fixture
def limited(monkeypatch):
    """Every connection gets these statements first."""
    connect = sqlite3.connect

    def limit(*statements, mode=None):
        def limited_connect(address, **options):
            connection = connect(address if mode is None else address.replace("mode=rw", f"mode={mode}"), **options)
            for statement in statements:
                connection.execute(statement)
            return connection

        monkeypatch.setattr(sqlite3, "connect", limited_connect)

    return limit


def names(path):
    with reading(path) as connection:
        return [row["network"] for row in connection.execute("SELECT network FROM baselines ORDER BY network")]


def refusal(path, work=create):
    with pytest.raises(InputError) as fault:
        work(path)
    said = str(fault.value)
    assert said.startswith(f"{path} must ")
    assert "\n" not in said
    return said


def add(path, name="second", seed=0):
    with writing(path) as connection:
        connection.execute(INSERT, (name, seed))


def test_making_a_file_again_leaves_it_as_it_is(file):
    before = file.read_bytes()
    create(file)
    assert file.read_bytes() == before
    assert names(file) == ["first"]


def test_an_empty_file_becomes_a_study(path):
    path.touch()
    assert "must hold a study's results; it is empty so far" in refusal(path, names)
    create(path)
    assert names(path) == []


def test_a_name_may_hold_anything_a_file_may(tmp_path):
    path = tmp_path / "50% ? #1 日本.sqlite"
    create(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_fault_amid_a_transaction_leaves_nothing_of_it(file):
    with pytest.raises(ZeroDivisionError), writing(file) as connection:
        connection.execute(INSERT, ("half", 0))
        raise ZeroDivisionError
    assert names(file) == ["first"]


def test_a_locked_file_is_waited_for(file, monkeypatch):
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.5, other.execute, ["COMMIT"])
    release.start()
    add(file)
    release.join()
    other.close()
    assert names(file) == ["first", "second"]


@pytest.mark.parametrize("work", [create, add, names])
def test_a_file_that_stays_locked_is_given_up(file, monkeypatch, work):
    monkeypatch.setattr(database, "PATIENCE_S", 0.1)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    said = refusal(file, work)
    assert "must not be locked; another program has kept it so for 0.1 seconds" in said
    assert "it goes on from the rows that are stored" in said
    other.close()
    assert names(file) == ["first"]


def test_a_full_disk_keeps_what_is_there(file, limited):
    limited("PRAGMA max_page_count = 20")
    stored = 0
    with pytest.raises(InputError, match="must have room to grow; the disk is full"):
        for seed in range(10_000):
            add(file, 500 * "more", seed)
            stored += 1
    assert names(file) == ["first"] + stored * [500 * "more"]
    assert stored > 0


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "none" / "results.sqlite"
    assert f"must be a file in {path.parent}, a folder that is there" in refusal(path)
    assert not path.parent.exists()


def test_a_folder_is_no_file(tmp_path):
    assert "must be a file where it can be written" in refusal(tmp_path)


def test_a_file_that_was_taken_away_is_noticed(file):
    file.unlink()
    refusal(file, add)
    assert not file.exists()


def test_a_file_that_can_only_be_read_is_read_and_not_written(file, limited):
    limited(mode="ro")
    assert names(file) == ["first"]
    assert "must be a file where it can be written; attempt to write a readonly database" in refusal(file, add)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="this user may write everything")
def test_a_file_without_permission_is_not_written(file):
    file.chmod(0o444)
    assert "must be a file where it can be written" in refusal(file, add)
    assert names(file) == ["first"]


@pytest.mark.parametrize("work", [create, names])
def test_something_that_is_no_database_is_left_alone(path, work):
    path.write_text("a letter, at some length " * 100)
    before = path.read_bytes()
    assert "must be a whole SQLite file; it is damaged or something else" in refusal(path, work)
    assert path.read_bytes() == before


def test_a_damaged_study_is_seen_before_anything_is_added(file):
    for seed in range(20):
        add(file, 500 * "more", seed)
    content = bytearray(file.read_bytes())
    content[4096 : len(content) - 4096] = b"\xa5" * (len(content) - 8192)
    file.write_bytes(content)
    assert "must be a whole SQLite file; it is damaged" in refusal(file)
    assert file.read_bytes() == content


def test_a_file_cut_short_is_damaged(file):
    for seed in range(20):
        add(file, 500 * "more", seed)
    file.write_bytes(file.read_bytes()[: 3 * 4096 + 100])
    assert "must be a whole SQLite file; it is damaged" in refusal(file)


@pytest.mark.parametrize("work", [create, names])
def test_a_database_of_something_else_is_left_alone(path, work):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cells (a)")
    connection.close()
    before = path.read_bytes()
    assert "must hold a study's results; it is a database of something else" in refusal(path, work)
    assert path.read_bytes() == before


def test_a_file_of_a_later_kit_is_left_alone(file):
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    assert "must be of format 1; it is of format 2. Use the version of the kit that wrote it" in refusal(file)


def test_a_wrong_statement_is_a_bug(file):
    with pytest.raises(sqlite3.OperationalError, match="no such table"), writing(file) as connection:
        connection.execute("SELECT * FROM absent")
