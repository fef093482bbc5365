"""The library: beginnings, requests and pieces, in a folder on disk.

One SQLite file holds everything. What the page has received is on disk before, so that a kill of the server loses
nothing. A deleted piece can be brought back until the library is opened again.
"""

import json
import secrets
import sqlite3
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clara.errors import BadSetting, CannotWrite
from clara_app.web.pieces import Piece, decode_piece, encode_piece

FILE = "library.sqlite3"
VERSION = 2  # of the tables; requests of version 1 may lack the column seconds
N_TIMINGS = 50  # requests to estimate times from
TIMED_SETTINGS = ("model", "quality", "candidates", "bars", "quarters")
N_CACHED = 64  # pieces in memory
N_BEST = 8  # pieces of a request that the list shows, unless all are asked for
MAX_UNUSED_BEGINNINGS = 500  # that were read, and that nothing was composed from; the oldest go first
BUSY_SECONDS = 10  # to wait for another program that writes
COMPOSED = "composed"  # source of a composed piece; those of beginnings are "example", "file" and "played"
RUNNING, DONE, STOPPED, FAILED, INTERRUPTED = "running", "done", "stopped", "failed", "interrupted"
ORDERS = {"newest": "made DESC, rank", "best": "total IS NULL, total DESC", "starred": "starred DESC, made DESC, rank"}

TABLES = """
CREATE TABLE requests (
    id TEXT PRIMARY KEY, made REAL NOT NULL, settings TEXT NOT NULL, beginning TEXT, state TEXT NOT NULL, error TEXT,
    seconds REAL
) WITHOUT ROWID;
CREATE TABLE pieces (
    id TEXT PRIMARY KEY, made REAL NOT NULL, source TEXT NOT NULL, request TEXT, title TEXT NOT NULL,
    words TEXT NOT NULL, total REAL, seed INTEGER NOT NULL, rank INTEGER, starred INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0, facts TEXT NOT NULL
);
CREATE TABLE contents (id TEXT PRIMARY KEY, piece BLOB NOT NULL);
CREATE INDEX pieces_newest ON pieces (source, made DESC, rank);
CREATE INDEX pieces_of_request ON pieces (request, total);
CREATE INDEX requests_by_beginning ON requests (beginning);
"""


class Library:
    """Beginnings, requests and pieces, by random ids that nobody can guess.

    Parameters
    ----------
    folder : path
        Made if it does not exist.

    Raises
    ------
    BadSetting
        If the folder holds a file of that name that is no library, or one of a later version.
    CannotWrite
        If the folder cannot be written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder, FILE)
        self._lock = threading.RLock()
        self._cache: OrderedDict[str, Piece] = OrderedDict()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=BUSY_SECONDS, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as e:
            raise CannotWrite(f"{self.path}: the library cannot be opened ({e})") from e
        try:
            self._prepare()
        except sqlite3.DatabaseError as e:
            self._database.close()
            raise BadSetting(f"{self.path}: no library ({e}); move the file away, or choose --library") from e

    def _prepare(self):
        """Make the tables, mark the requests that a kill interrupted, and remove what was deleted."""
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in range(VERSION + 1):
            raise BadSetting(f"{self.path}: made by a later version of Clara; update Clara, or choose --library")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing, a power failure the last moment
        if version == 0:
            self._database.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version < VERSION:
            columns = [name for _, name, *_ in self._database.execute("PRAGMA table_info(requests)")]
            added = "" if "seconds" in columns else "ALTER TABLE requests ADD COLUMN seconds REAL;"
            self._database.executescript(f"BEGIN; {added} PRAGMA user_version = {VERSION}; COMMIT;")
        with self._writing() as database:
            database.execute("UPDATE requests SET state = ? WHERE state = ?", (INTERRUPTED, RUNNING))
            database.execute("DELETE FROM contents WHERE id IN (SELECT id FROM pieces WHERE deleted)")
            database.execute("DELETE FROM pieces WHERE deleted")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give the database for changes that are all written, or none of them."""
        with self._lock:
            try:
                with self._database:
                    yield self._database
            except sqlite3.OperationalError as e:  # the disk is full, or another program holds the file
                raise CannotWrite(f"{self.path}: the library cannot be written ({e})") from e

    def _rows(self, query: str, values: Sequence = ()) -> list[tuple]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def add_beginning(self, piece: Piece, source: str, facts: dict | None = None, words: str = "") -> str:
        """Keep a beginning that came from "example", "file" or "played"; return its id.

        Parameters
        ----------
        piece : Piece
        source : str
        facts : dict, optional
            What the page shows beside it in the list.
        words : str
            Words to find it by, besides its title.
        """
        piece_id = new_id()
        with self._writing() as database:
            self._insert(database, time.time(), piece_id, piece, source, None, facts or {}, None, words)
            unused = (
                "SELECT id FROM pieces WHERE source != ? AND id NOT IN "
                "(SELECT beginning FROM requests WHERE beginning IS NOT NULL) ORDER BY made DESC LIMIT -1 OFFSET ?"
            )
            old = database.execute(unused, (COMPOSED, MAX_UNUSED_BEGINNINGS)).fetchall()
            for table in ("contents", "pieces"):
                database.executemany(f"DELETE FROM {table} WHERE id = ?", old)
        return piece_id

    def add_request(self, settings: dict, beginning: str | None = None) -> str:
        """Keep a request that starts to run; return its id.

        Parameters
        ----------
        settings : dict
            What the page sent, so that it can show the same settings again.
        beginning : str, optional
            Id of the piece that it continues.
        """
        request_id = new_id()
        with self._writing() as database:
            row = (request_id, time.time(), json.dumps(settings), beginning, RUNNING)
            database.execute("INSERT INTO requests (id, made, settings, beginning, state) VALUES (?, ?, ?, ?, ?)", row)
        return request_id

    def end_request(self, request_id: str, state: str, error: str | None = None, seconds: float | None = None) -> None:
        """Keep how a request ended (DONE, STOPPED or FAILED), and how long composing took."""
        with self._writing() as database:
            row = (state, error, seconds, request_id)
            database.execute("UPDATE requests SET state = ?, error = ?, seconds = ? WHERE id = ?", row)

    def timings(self) -> list[dict]:
        """Return the settings and the seconds of the last requests that ran to their end, the last one first."""
        query = "SELECT settings, seconds FROM requests WHERE state = ? AND seconds > 0 ORDER BY made DESC LIMIT ?"
        rows = [(json.loads(settings), seconds) for settings, seconds in self._rows(query, (DONE, N_TIMINGS))]
        return [{name: s.get(name) for name in TIMED_SETTINGS} | {"seconds": seconds} for s, seconds in rows]

    def add_composed(self, request_id: str, pieces: Sequence[tuple[Piece, float | None, dict, str]]) -> list[str]:
        """Keep pieces of a request and rank them among its others; return their ids.

        Parameters
        ----------
        request_id : str
        pieces : sequence of (piece, total, facts, words)
            What each is ranked by, what the page shows beside the notes, and words to find it by.
        """
        ids = [new_id() for _ in pieces]
        with self._writing() as database:
            # all pieces of a request have its time, so that the list orders them by rank
            ((made,),) = database.execute("SELECT made FROM requests WHERE id = ?", (request_id,)).fetchall()
            for piece_id, (piece, total, facts, words) in zip(ids, pieces):
                self._insert(database, made, piece_id, piece, COMPOSED, request_id, facts, total, words)
            database.execute(
                "UPDATE pieces SET rank = ranking.place FROM (SELECT id, row_number() OVER "
                "(ORDER BY total DESC NULLS LAST, seed) AS place FROM pieces WHERE request = ?) AS ranking "
                "WHERE pieces.id = ranking.id",
                (request_id,),
            )
        return ids

    def add_version(self, piece_id: str, piece: Piece, facts: dict, words: str = "") -> str | None:
        """Keep another version of a piece beside it; return its id, or None if the piece is not here any more.

        Parameters
        ----------
        piece_id : str
            The piece that was edited; its source, request and rank are those of the version, too.
        piece : Piece
        facts, words
            As of `add_beginning`.
        """
        version_id = new_id()
        with self._writing() as database:
            query = "SELECT source, request, rank FROM pieces WHERE id = ? AND NOT deleted"
            found = database.execute(query, (piece_id,)).fetchone()
            if found is None:
                return None
            source, request_id, rank = found
            facts = facts | {"version_of": piece_id}
            self._insert(database, time.time(), version_id, piece, source, request_id, facts, None, words)
            database.execute("UPDATE pieces SET rank = ? WHERE id = ?", (rank, version_id))
        return version_id

    def _insert(self, database, made, piece_id, piece, source, request_id, facts, total, words=""):
        words = f"{piece.title} {words}".casefold()
        row = (piece_id, made, source, request_id, piece.title, words, total, piece.seed, json.dumps(facts))
        database.execute(
            "INSERT INTO pieces (id, made, source, request, title, words, total, seed, facts) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        database.execute("INSERT INTO contents VALUES (?, ?)", (piece_id, encode_piece(piece)))
        self._cached(piece_id, piece)

    def _cached(self, piece_id, piece):
        with self._lock:
            self._cache[piece_id] = piece
            self._cache.move_to_end(piece_id)
            while len(self._cache) > N_CACHED:
                self._cache.popitem(last=False)
        return piece

    def get(self, piece_id: str) -> Piece | None:
        """Return the beginning or piece with this id, or None.

        Raises
        ------
        BadSetting
            If the library's entry is broken.
        """
        with self._lock:
            if piece_id in self._cache:
                return self._cached(piece_id, self._cache[piece_id])
        rows = self._rows("SELECT piece FROM contents WHERE id = ?", (piece_id,))
        if not rows:
            return None
        try:
            return self._cached(piece_id, decode_piece(rows[0][0]))
        except (ValueError, KeyError, TypeError, zlib.error) as e:
            raise BadSetting(f"{self.path}: its entry {piece_id} is broken") from e

    def facts(self, piece_id: str) -> dict | None:
        """Return what is kept beside the notes of a piece: its facts, source, request, total and star."""
        names = ("source", "request", "total", "rank", "starred", "facts")
        rows = self._rows(f"SELECT {', '.join(names)} FROM pieces WHERE id = ?", (piece_id,))
        if not rows:
            return None
        values = dict(zip(names, rows[0]))
        return json.loads(values.pop("facts")) | values

    def request(self, request_id: str) -> dict | None:
        """Return the settings, state, error and number of pieces of a request, or None."""
        rows = self._rows("SELECT settings, beginning, state, error FROM requests WHERE id = ?", (request_id,))
        if not rows:
            return None
        settings, beginning, state, error = rows[0]
        ((n_pieces,),) = self._rows("SELECT count(*) FROM pieces WHERE request = ? AND NOT deleted", (request_id,))
        return {
            "id": request_id,
            "settings": json.loads(settings),
            "beginning": beginning,
            "state": state,
            "error": error,
            "n_pieces": n_pieces,
        }

    def best_of(self, request_id: str, n: int = N_BEST) -> list[str]:
        """Return the ids of the best pieces of a request, best first."""
        query = "SELECT id FROM pieces WHERE request = ? AND NOT deleted ORDER BY rank LIMIT ?"
        return [piece_id for (piece_id,) in self._rows(query, (request_id, n))]

    def search(
        self,
        words: str = "",
        starred: bool = False,
        every: bool = False,
        beginnings: bool = False,
        order: str = "newest",
        offset: int = 0,
        limit: int = 50,
    ) -> tuple[int, list[dict]]:
        """Find composed pieces, or beginnings.

        Parameters
        ----------
        words : str
            All of them must occur: in the title, the key, the model, the composers that it resembles, and so on.
        starred : bool
            Only pieces with a star.
        every : bool
            Also those that are not among the best of their request, and have no star.
        beginnings : bool
            Find beginnings in place of pieces.
        order : str
            One of `ORDERS`.
        offset, limit : int
            The part of the list to return.

        Returns
        -------
        n : int
            Number of pieces that were found.
        rows : list of dict

        Raises
        ------
        BadSetting
            If there is no such order.
        """
        if order not in ORDERS:
            raise BadSetting(f"order must be one of {', '.join(ORDERS)}, not {order!r}")
        conditions, values = ["source != ?" if beginnings else "source = ?", "NOT deleted"], [COMPOSED]
        for word in words.casefold().split():
            conditions.append("instr(words, ?)")
            values.append(word)
        if starred:
            conditions.append("starred")
        elif not (every or beginnings):
            conditions.append(f"(rank <= {N_BEST} OR starred)")
        where = " AND ".join(conditions)
        ((n_found,),) = self._rows(f"SELECT count(*) FROM pieces WHERE {where}", values)
        names = ("id", "made", "title", "total", "rank", "starred", "request", "source", "facts")
        query = f"SELECT {', '.join(names)} FROM pieces WHERE {where} ORDER BY {ORDERS[order]} LIMIT ? OFFSET ?"
        rows = [dict(zip(names, row)) for row in self._rows(query, [*values, limit, offset])]
        return n_found, [row | {"facts": json.loads(row["facts"])} for row in rows]

    def star(self, piece_id: str, starred: bool) -> bool:
        """Give a piece a star, or take it away; return whether there is such a piece."""
        with self._writing() as database:
            return bool(database.execute("UPDATE pieces SET starred = ? WHERE id = ?", (starred, piece_id)).rowcount)

    def delete(self, ids: Sequence[str], deleted: bool = True) -> int:
        """Delete pieces, or bring them back; return their number."""
        with self._writing() as database:
            rows = [(deleted, piece_id) for piece_id in ids]
            return database.executemany("UPDATE pieces SET deleted = ? WHERE id = ?", rows).rowcount

    def __len__(self) -> int:
        return self._rows("SELECT count(*) FROM pieces WHERE NOT deleted")[0][0]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()


def new_id() -> str:
    """Return a random id."""
    return secrets.token_urlsafe(12)
