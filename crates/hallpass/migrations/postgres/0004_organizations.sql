-- Organizations and signing keys. The twin for SQLite does the same.

-- What was said of an account's organization. An account without a row has the organization that every account begins with, so
-- that a server of the version before, which knows nothing of this table, can go on making accounts.
CREATE TABLE organizations (
  account_id TEXT COLLATE "C" PRIMARY KEY REFERENCES accounts (id),
  auth_domain TEXT COLLATE "C" NOT NULL UNIQUE,
  body TEXT COLLATE "C" NOT NULL,
  key_rotation_interval_days BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

-- The keys that sign assertions. The private half is encrypted under a key that is derived from the server key; a key that signs no
-- more has none.
CREATE TABLE signing_keys (
  kid TEXT COLLATE "C" PRIMARY KEY,
  account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
  state TEXT COLLATE "C" NOT NULL CHECK (state IN ('next', 'current', 'previous')),
  wrapped BYTEA,
  modulus TEXT COLLATE "C" NOT NULL,
  certificate TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  signs_since BIGINT,
  published_until BIGINT,
  CHECK ((state = 'previous') = (wrapped IS NULL))
);
-- One key signs, and one is published ahead.
CREATE UNIQUE INDEX signing_keys_in_use ON signing_keys (account_id, state) WHERE state <> 'previous';
CREATE INDEX signing_keys_by_account ON signing_keys (account_id, created_at, kid);
