-- The newest time that was ever written. Its twin for SQLite does the same.

-- A gate whose clock is behind it refuses, also after a restart, and whatever a clock that was set back has written since.
ALTER TABLE revision ADD COLUMN newest BIGINT NOT NULL DEFAULT 0;
UPDATE revision SET newest = (SELECT COALESCE(MAX(at), 0) FROM audit);
