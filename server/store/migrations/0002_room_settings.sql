-- What the hosts of a room set while it ran: JSON, read with today's defaults for what is absent.
ALTER TABLE room ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
