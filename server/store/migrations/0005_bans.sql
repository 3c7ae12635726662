-- Who may not come back, and how many people accepted which words. Nothing here names a person.
CREATE TABLE ban (
    id       INTEGER PRIMARY KEY NOT NULL,
    room     TEXT NOT NULL REFERENCES room (id) ON DELETE CASCADE,
    identity BLOB NOT NULL,                 -- SHA-256 of the room's id and the identity
    mark     BLOB,                          -- SHA-256 of the room's id and what the browser keeps, if it sent that
    created  INTEGER NOT NULL               -- ms since 1970-01-01 UTC
) STRICT;

CREATE INDEX ban_room ON ban (room);

CREATE TABLE acceptance (
    room    TEXT NOT NULL REFERENCES room (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,               -- of the room's agreement
    people  INTEGER NOT NULL,
    PRIMARY KEY (room, version)
) STRICT, WITHOUT ROWID;
