-- What the gate decided. Its twin for SQLite has the same tables, columns and rules.

-- A row is one refusal, or all acceptances of one secret by one application in one minute.
CREATE TABLE access_requests (
  -- Of a refusal it is random. Of acceptances it says what they have in common, so that another node's are added to them.
  id TEXT COLLATE "C" PRIMARY KEY,
  account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
  at BIGINT NOT NULL,
  app_id TEXT COLLATE "C",
  app_domain TEXT COLLATE "C",
  token_id TEXT COLLATE "C",
  secret TEXT COLLATE "C" CHECK (secret IN ('current', 'previous')),
  -- Why it was refused; absent, if it was accepted.
  reason TEXT COLLATE "C",
  client TEXT COLLATE "C",
  requests BIGINT NOT NULL CHECK (requests >= 1)
);
CREATE INDEX access_requests_by_account ON access_requests (account_id, at, id);
CREATE INDEX access_requests_by_time ON access_requests (at);
