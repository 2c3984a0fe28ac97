-- Dead letters get numbers that never come again, and are found by queue.
CREATE TABLE dead_3 (
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
INSERT INTO dead_3 SELECT letter, queue, lane, id, rows, published_at, attempts, reason, died_at, bytes, NULL FROM dead;
DROP TABLE dead;
ALTER TABLE dead_3 RENAME TO dead;
CREATE INDEX dead_queue ON dead (queue);

-- Queues count what entered them. What that was so far is what became of it.
ALTER TABLE queue ADD COLUMN dead_rows  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN dead_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN entered    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN dropped    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN carried    INTEGER NOT NULL DEFAULT 0;
UPDATE queue SET
    dead_rows = (SELECT coalesce(sum(rows), 0) FROM dead WHERE dead.queue = queue.queue),
    dead_bytes = (SELECT coalesce(sum(length(bytes)), 0) FROM dead WHERE dead.queue = queue.queue);
CREATE TEMP TABLE reader (queue INTEGER PRIMARY KEY, stage TEXT NOT NULL);
INSERT INTO reader VALUES
    (0, 'validate'), (1, 'transform'), (2, 'analyze'), (3, 'alert'), (4, 'store'), (5, 'notify');
UPDATE queue SET entered = rows + dead_rows + coalesce((
    SELECT consumed + quarantined + repeated + filtered FROM books JOIN reader USING (stage)
    WHERE reader.queue = queue.queue), 0);

-- From here on what entered a queue is held against what the stages before it produced, see queue/balance.rs; earlier
-- versions may have counted otherwise, so what differs now is carried.
UPDATE queue SET carried = entered - coalesce((
    SELECT sum(produced) FROM books
    WHERE (queue.queue = 0 AND stage = 'ingest') OR (queue.queue = 1 AND stage = 'validate')
       OR (queue.queue = 2 AND stage = 'transform')), 0)
WHERE queue IN (0, 1, 2);
UPDATE queue SET carried = entered + (SELECT entered FROM queue WHERE queue = 3)
    - coalesce((SELECT sum(produced) FROM books WHERE stage IN ('analyze', 'alert')), 0)
    - coalesce((SELECT sum(quarantined) FROM books), 0)
WHERE queue = 4;
DROP TABLE reader;

CREATE TABLE replayed (message INTEGER PRIMARY KEY, replays INTEGER NOT NULL) WITHOUT ROWID;

-- Sessions tell which process serves their client.
ALTER TABLE session ADD COLUMN owner INTEGER;

-- Refused messages have two columns more when their frames are read: what a roll that was interrupted wrote of them goes
-- by these. Either name is made of the columns, see GroupKey.
UPDATE roll_file SET rows_of = 'quarantine-c7be486b76b3a6d8' WHERE rows_of = 'quarantine-78acc538bd7d18ac';

-- What is stored has a checksum beside it, from here on.
ALTER TABLE body ADD COLUMN sum INTEGER;
ALTER TABLE snapshot ADD COLUMN sum INTEGER;
ALTER TABLE delta ADD COLUMN sum INTEGER;
