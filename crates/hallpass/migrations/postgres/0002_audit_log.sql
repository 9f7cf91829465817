-- Reading the audit. The twin for SQLite does the same.

-- The user behind an API token that acted: the token may be gone when somebody asks. Empty in rows from before.
ALTER TABLE audit ADD COLUMN actor_user_id TEXT COLLATE "C";

-- An account's rows in the order of their time, from any point on. The price is one index more for every change to write, with a
-- place of its own for each account. One by time alone would cost less, but then looking at a quiet account would read the rows of
-- the busy ones. The other filters have no index: they are looked at row by row within the time asked for.
CREATE INDEX audit_by_account ON audit (account_id, at, revision) WHERE account_id IS NOT NULL;
