-- Every table of the data file, format version 3. Times are microseconds since 1970, UTC.

-- Single numbers: the last owner id given out, the last epoch of ingest (a new file's begin with the minute it is made in),
-- the number of lanes (0 = not yet fixed).
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('owner', 0), ('ingest_epoch', 0), ('lanes', 0);

-- What each queue holds, kept by whoever adds or removes a frame. dead are its dead letters, which have dead_rows
-- and dead_bytes. Counted since it exists: entered are the rows that were published into it, dropped those of dead
-- letters that were thrown away. carried are rows of entered that no stage before it tells of: see migrate/2-3.sql.
CREATE TABLE queue (
    queue      INTEGER PRIMARY KEY,
    frames     INTEGER NOT NULL DEFAULT 0,
    rows       INTEGER NOT NULL DEFAULT 0,
    bytes      INTEGER NOT NULL DEFAULT 0,
    dead       INTEGER NOT NULL DEFAULT 0,
    dead_rows  INTEGER NOT NULL DEFAULT 0,
    dead_bytes INTEGER NOT NULL DEFAULT 0,
    entered    INTEGER NOT NULL DEFAULT 0,
    dropped    INTEGER NOT NULL DEFAULT 0,
    carried    INTEGER NOT NULL DEFAULT 0
);
INSERT INTO queue (queue) VALUES (0), (1), (2), (3), (4), (5);

-- A frame in a queue. seq is the order of publishing. line is what it stands in: its lane in an ordered
-- queue, 0 in an unordered one. holder is NULL while it waits, 0 while it is put off until held_until,
-- else (owner << 32 | worker), with the lease it holds it by until held_until. In a line of an ordered
-- queue, those held or put off stand before those that wait.
CREATE TABLE frame (
    seq          INTEGER PRIMARY KEY,
    queue        INTEGER NOT NULL,
    line         INTEGER NOT NULL,
    lane         INTEGER NOT NULL,
    id           BLOB NOT NULL,
    rows         INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    losses       INTEGER NOT NULL DEFAULT 0,
    holder       INTEGER,
    lease        INTEGER,
    held_until   INTEGER
);
CREATE INDEX frame_line ON frame (queue, line, holder, seq);
CREATE INDEX frame_held ON frame (held_until, holder) WHERE holder IS NOT NULL;
CREATE INDEX frame_suspect ON frame (queue, holder) WHERE losses >= 3;

-- The bytes of a frame, apart: a lease never rewrites them. Here as below, sum is the checksum of the bytes (XXH3, 64 bits);
-- NULL where a version before 3 wrote them.
CREATE TABLE body (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL, sum INTEGER);

-- Frames that are given up, with the reason. The number of a letter never comes again: people name letters by it.
CREATE TABLE dead (
    letter       INTEGER PRIMARY KEY AUTOINCREMENT,
    queue        INTEGER NOT NULL,
    lane         INTEGER NOT NULL,
    id           BLOB NOT NULL,
    rows         INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    died_at      INTEGER NOT NULL,
    bytes        BLOB NOT NULL,
    sum          INTEGER
);
CREATE INDEX dead_queue ON dead (queue);

-- Ids published of late. bucket is the time in whole dedupe windows: an old one goes as one range.
CREATE TABLE published (
    bucket INTEGER NOT NULL,
    queue  INTEGER NOT NULL,
    id     BLOB NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (bucket, queue, id)
) WITHOUT ROWID;

-- State of stages by lane: a snapshot, and what changed since.
CREATE TABLE snapshot (
    stage TEXT NOT NULL, lane INTEGER NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL, sum INTEGER,
    PRIMARY KEY (stage, lane)
);
CREATE TABLE delta (
    stage TEXT NOT NULL, lane INTEGER NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL, sum INTEGER,
    PRIMARY KEY (stage, lane, number)
);

-- What became of rows, by stage: consumed + quarantined + repeated + filtered = rows taken.
CREATE TABLE books (
    stage       TEXT PRIMARY KEY,
    consumed    INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    repeated    INTEGER NOT NULL,
    filtered    INTEGER NOT NULL,
    produced    INTEGER NOT NULL,
    late        INTEGER NOT NULL
) WITHOUT ROWID;

-- MQTT sessions of the listener. The number of a session never comes again: a client that begins anew has
-- another one. expires_at is NULL while the client is connected; owner is the process that serves it then.
CREATE TABLE session (
    session    INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id  TEXT NOT NULL UNIQUE,
    expires_at INTEGER,
    owner      INTEGER
);

-- Packet ids of messages of QoS 2 that were taken and are not released yet.
CREATE TABLE session_packet (
    session   INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    PRIMARY KEY (session, packet_id)
) WITHOUT ROWID;
CREATE TRIGGER session_ended AFTER DELETE ON session BEGIN
    DELETE FROM session_packet WHERE session = old.session;
END;

-- What store is about to write: see the module lake. While open, a roll belongs to a worker that may be
-- only asleep; once resolved, its files are those that are there.
CREATE TABLE roll (roll TEXT PRIMARY KEY, resolved INTEGER NOT NULL DEFAULT 0);
CREATE TABLE roll_file (
    roll      TEXT NOT NULL,
    path      TEXT NOT NULL,
    rows_of   TEXT NOT NULL, -- dataset and columns
    starts_at INTEGER NOT NULL,
    ends_at   INTEGER NOT NULL,
    PRIMARY KEY (roll, path)
) WITHOUT ROWID;
CREATE TABLE roll_frame (
    frame BLOB NOT NULL,
    roll  TEXT NOT NULL,
    PRIMARY KEY (frame, roll)
) WITHOUT ROWID;

-- Messages of the quarantine that were published again, and how often: of the rows that the lake has of one, those wait that
-- were replayed no less often.
CREATE TABLE replayed (message INTEGER PRIMARY KEY, replays INTEGER NOT NULL) WITHOUT ROWID;
