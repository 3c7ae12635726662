-- Invites that let in so many people and no more, and rooms that ask for a passphrase.
ALTER TABLE invite ADD COLUMN max_uses INTEGER CHECK (max_uses > 0);   -- NULL: any number
ALTER TABLE invite ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;         -- counted where there is a maximum
ALTER TABLE room ADD COLUMN passphrase TEXT;                           -- a slow hash that only `enza` reads; NULL: none is asked
