-- The first schema, for SQLite. Its twin for PostgreSQL has the same tables, columns and rules.
-- Times are microseconds since 1970; identifiers are the texts that the API shows.

-- What belongs to the store as a whole: which key fits it, what it is for.
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row, locked and raised inside every writing transaction: revision order is commit order.
CREATE TABLE revision (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  n INTEGER NOT NULL
) STRICT;
INSERT INTO revision (one, n) VALUES (1, 0);

-- What changed at which revision, deletions included. Followers read it; old rows are pruned.
CREATE TABLE changes (
  revision INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  object_id TEXT NOT NULL
) STRICT;

-- Who did what. Never holds a secret or a digest.
CREATE TABLE audit (
  revision INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  account_id TEXT,
  action TEXT NOT NULL,
  object_id TEXT NOT NULL,
  detail TEXT NOT NULL,
  client TEXT,
  request_id TEXT NOT NULL
) STRICT;

CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE zones (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  id TEXT PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE memberships (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id),
  account_id TEXT NOT NULL REFERENCES accounts (id),
  UNIQUE (user_id, account_id)
) STRICT, WITHOUT ROWID;

-- No digest and no last use in here: an update of a token cannot damage what it does not hold.
CREATE TABLE service_tokens (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  zone_id TEXT REFERENCES zones (id),
  client_id TEXT NOT NULL,
  name TEXT NOT NULL,
  search_name TEXT NOT NULL,
  duration TEXT NOT NULL,
  expires_at INTEGER,
  enabled INTEGER NOT NULL,
  secret_version INTEGER NOT NULL CHECK (secret_version >= 1),
  previous_secret_expires_at INTEGER,
  previous_secret_until INTEGER,
  rotated_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- A presented client ID is looked up by its 32 digits, whatever follows them.
CREATE UNIQUE INDEX service_tokens_by_client_id ON service_tokens (substr(client_id, 1, 32));
CREATE INDEX service_tokens_by_account ON service_tokens (account_id, created_at DESC, id);
CREATE INDEX service_tokens_by_zone ON service_tokens (zone_id, created_at DESC, id) WHERE zone_id IS NOT NULL;

CREATE TABLE api_tokens (
  id TEXT PRIMARY KEY,
  user_id TEXT REFERENCES users (id),
  account_id TEXT REFERENCES accounts (id),
  name TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  policies TEXT NOT NULL,
  condition TEXT,
  not_before TEXT,
  expires_on TEXT,
  issued_on INTEGER NOT NULL,
  modified_on INTEGER NOT NULL,
  CHECK ((user_id IS NULL) <> (account_id IS NULL))
) STRICT, WITHOUT ROWID;

-- Only store/digests.rs writes here.
CREATE TABLE digests (
  kind TEXT NOT NULL CHECK (kind IN ('service_token', 'api_token', 'user')),
  owner_id TEXT NOT NULL,
  slot TEXT NOT NULL CHECK (slot IN ('current', 'previous')),
  key_version INTEGER NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  PRIMARY KEY (kind, owner_id, slot)
) STRICT, WITHOUT ROWID;

-- When something was last used; written in batches, apart from what was used.
CREATE TABLE activity (
  kind TEXT NOT NULL,
  owner_id TEXT NOT NULL,
  last_seen_at INTEGER NOT NULL,
  PRIMARY KEY (kind, owner_id)
) STRICT, WITHOUT ROWID;
