-- Sessions get numbers, and remember packet ids of QoS 2. Fails where rolls are not by columns yet.
SELECT rows_of FROM roll_file LIMIT 0;

ALTER TABLE session RENAME TO session_1;
CREATE TABLE session (
    session    INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id  TEXT NOT NULL UNIQUE,
    expires_at INTEGER
);
INSERT INTO session (client_id, expires_at) SELECT client_id, expires_at FROM session_1;
DROP TABLE session_1;

CREATE TABLE session_packet (
    session   INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    PRIMARY KEY (session, packet_id)
) WITHOUT ROWID;
CREATE TRIGGER session_ended AFTER DELETE ON session BEGIN
    DELETE FROM session_packet WHERE session = old.session;
END;
