-- When each secret of a service token was last used, by application. Its twin for PostgreSQL does the same.

-- Which of its owner's secrets it is, by number. Empty for other owners, and in rows from before: there the current one has its
-- token's number, and the previous one that less one.
ALTER TABLE digests ADD COLUMN secret_version INTEGER;

-- Written in batches beside the access log, and kept as long as token and application are.
CREATE TABLE service_token_uses (
  token_id TEXT NOT NULL REFERENCES service_tokens (id) ON DELETE CASCADE,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  secret_version INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  PRIMARY KEY (token_id, app_id, secret_version)
) STRICT, WITHOUT ROWID;
CREATE INDEX service_token_uses_by_app ON service_token_uses (app_id);
