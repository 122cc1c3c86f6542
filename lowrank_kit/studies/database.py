"""One SQLite file for a study's results: its tables, and what can go wrong with a file."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from lowrank_kit.checks import InputError

__all__ = ["create", "reading", "writing"]

# In the file's header: "LRKS", and the version of the tables.
APPLICATION, FORMAT = 0x4C524B53, 1
# How long a row is tried again while another program has locked the file.
PATIENCE_S = 10.0

CELL = "network, seed, method, rule, budget, cost"
CELL_COLUMNS = """
  network TEXT NOT NULL, seed INTEGER NOT NULL, method TEXT NOT NULL, rule TEXT NOT NULL, budget REAL NOT NULL,
  cost TEXT NOT NULL
"""
CONDITIONS = "date TEXT NOT NULL, device TEXT NOT NULL, kit TEXT NOT NULL, torch TEXT NOT NULL"
# The blobs are lowrank_kit.studies.packing's.
TABLES = (
    f"""CREATE TABLE baselines (
  network TEXT NOT NULL, seed INTEGER NOT NULL, weights TEXT NOT NULL, data TEXT NOT NULL,
  n_params INTEGER, size_bytes INTEGER, macs INTEGER, accuracy REAL, validation_accuracy REAL,
  n_examples INTEGER, labels BLOB, predictions BLOB, {CONDITIONS},
  PRIMARY KEY (network, seed))""",
    f"""CREATE TABLE cells ({CELL_COLUMNS},
  status TEXT NOT NULL, reason TEXT NOT NULL, weights TEXT NOT NULL, plan TEXT,
  n_params INTEGER, size_bytes INTEGER, macs INTEGER, accuracy REAL, accuracy_low REAL, accuracy_high REAL,
  n_examples INTEGER, change REAL, change_low REAL, change_high REAL, validation_accuracy REAL,
  layers_compressed INTEGER, layers_dense INTEGER, layers_refused INTEGER, predictions BLOB,
  {CONDITIONS}, seconds REAL NOT NULL,
  PRIMARY KEY ({CELL}))""",
    f"""CREATE TABLE timings ({CELL_COLUMNS},
  batch INTEGER NOT NULL, median_s REAL, p95_s REAL, dense_median_s REAL, dense_p95_s REAL, speedup REAL, busy REAL,
  conditions TEXT, dense_conditions TEXT, raw_s BLOB, dense_raw_s BLOB, {CONDITIONS},
  PRIMARY KEY ({CELL}, batch))""",
    """CREATE VIEW results AS SELECT cells.*, baselines.data, baselines.n_params AS dense_n_params,
  baselines.size_bytes AS dense_size_bytes, baselines.macs AS dense_macs, baselines.accuracy AS dense_accuracy,
  baselines.validation_accuracy AS dense_validation_accuracy
  FROM cells JOIN baselines USING (network, seed)""",
)


def create(path: Path) -> None:
    """Make the file where there is none; look at it in full where there is one.

    Raises InputError where it is damaged, is no study's, or can't be written.
    """
    with _opened(path, "rwc") as connection, _transaction(connection):
        if _is_new(connection):
            for table in TABLES:
                connection.execute(table)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        _check(connection, path)
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise InputError(_damaged(path, " ".join(verdict.split())))


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for a moment, rows by column name. Raises InputError where the file is no study's."""
    with _opened(path, "rw") as connection:
        _check(connection, path)
        yield connection


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one transaction: all of it is in the file afterwards, or nothing.

    Opened anew each time, so that no lock is held in between, a file that was taken away is noticed, and a generator
    may go on in another thread.
    """
    with _opened(path, "rw") as connection, _transaction(connection):
        yield connection


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    try:
        address = f"{path.absolute().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(address, uri=True, timeout=PATIENCE_S, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection
    except sqlite3.Error as fault:
        sentence = _sentence(path, fault)
        if sentence is None:
            raise
        raise InputError(sentence) from None


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    # At once, not at the first change: a lock is waited for here, with nothing begun. A fault rolls back on closing.
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("COMMIT")


def _is_new(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application, found = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application != APPLICATION:
        what = "empty so far" if _is_new(connection) else "a database of something else"
        raise InputError(f"{path} must hold a study's results; it is {what}. Name another file.")
    if found != FORMAT:
        raise InputError(
            f"{path} must be of format {FORMAT}; it is of format {found}. Use the version of the kit that wrote it, "
            "or name another file."
        )


def _damaged(path: Path, said: object) -> str:
    return f"{path} must be a whole SQLite file; it is damaged or something else ({said}). Name another file."


def _sentence(path: Path, fault: sqlite3.Error) -> str | None:
    """What a user can do about it; None for a bug."""
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"{path} must not be locked; another program has kept it so for {PATIENCE_S:g} seconds. End that program "
            "and run the study again: it goes on from the rows that are stored."
        )
    if code == sqlite3.SQLITE_FULL:
        return (
            f"{path} must have room to grow; the disk is full. Make room and run the study again: "
            "it goes on from the rows that are stored."
        )
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return _damaged(path, fault)
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
        where = f"in {path.parent}, a folder that is there" if not path.parent.is_dir() else "where it can be written"
        return f"{path} must be a file {where}; {fault}. Name another file."
    return None
