-- What the gate decided. Its twin for PostgreSQL has the same tables, columns and rules.

-- A row is one refusal, or all acceptances of one secret by one application in one minute.
CREATE TABLE access_requests (
  -- Of a refusal it is random. Of acceptances it says what they have in common, so that another node's are added to them.
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  at INTEGER NOT NULL,
  app_id TEXT,
  app_domain TEXT,
  token_id TEXT,
  secret TEXT CHECK (secret IN ('current', 'previous')),
  -- Why it was refused; absent, if it was accepted.
  reason TEXT,
  client TEXT,
  requests INTEGER NOT NULL CHECK (requests >= 1)
) STRICT, WITHOUT ROWID;
CREATE INDEX access_requests_by_account ON access_requests (account_id, at, id);
CREATE INDEX access_requests_by_time ON access_requests (at);
