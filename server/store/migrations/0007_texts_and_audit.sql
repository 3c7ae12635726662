-- What people wrote in rooms that keep it for days. Lines to the hosts alone are never here.
CREATE TABLE text (
    room    TEXT NOT NULL REFERENCES room (id) ON DELETE CASCADE,
    number  INTEGER NOT NULL,               -- the circle's; grows within the room
    sender  TEXT NOT NULL,                  -- the writer's identity and name then
    name    TEXT NOT NULL,
    body    TEXT NOT NULL,
    at      INTEGER NOT NULL,               -- ms since 1970-01-01 UTC
    until   INTEGER NOT NULL,               -- when it is forgotten
    PRIMARY KEY (room, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX text_until ON text (until);

-- What hosts did, without names, and to the hour.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY NOT NULL,
    room    TEXT NOT NULL REFERENCES room (id) ON DELETE CASCADE,
    act     TEXT NOT NULL,
    actor   TEXT NOT NULL,                  -- a role, or 'operator'
    people  INTEGER NOT NULL,               -- whom it concerned
    hour    INTEGER NOT NULL                -- its beginning, ms since 1970-01-01 UTC
) STRICT;

CREATE INDEX audit_room ON audit (room, id);
CREATE INDEX audit_hour ON audit (hour);
