-- Organizations and signing keys. The twin for PostgreSQL does the same.

-- What was said of an account's organization. An account without a row has the organization that every account begins with, so
-- that a server of the version before, which knows nothing of this table, can go on making accounts.
CREATE TABLE organizations (
  account_id TEXT PRIMARY KEY REFERENCES accounts (id),
  auth_domain TEXT NOT NULL UNIQUE,
  body TEXT NOT NULL,
  key_rotation_interval_days INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The keys that sign assertions. The private half is encrypted under a key that is derived from the server key; a key that signs no
-- more has none.
CREATE TABLE signing_keys (
  kid TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  state TEXT NOT NULL CHECK (state IN ('next', 'current', 'previous')),
  wrapped BLOB,
  modulus TEXT NOT NULL,
  certificate TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  signs_since INTEGER,
  published_until INTEGER,
  CHECK ((state = 'previous') = (wrapped IS NULL))
) STRICT, WITHOUT ROWID;
-- One key signs, and one is published ahead.
CREATE UNIQUE INDEX signing_keys_in_use ON signing_keys (account_id, state) WHERE state <> 'previous';
CREATE INDEX signing_keys_by_account ON signing_keys (account_id, created_at, kid);
