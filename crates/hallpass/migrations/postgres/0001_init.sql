-- The first schema, for PostgreSQL. Its twin for SQLite has the same tables, columns and rules.
-- Texts compare byte by byte, as SQLite's do. Times are microseconds since 1970; identifiers are the texts that the API shows.

-- What belongs to the store as a whole: which key fits it, what it is for.
CREATE TABLE meta (
  key TEXT COLLATE "C" PRIMARY KEY,
  value TEXT COLLATE "C" NOT NULL
);

-- One row, locked and raised inside every writing transaction: revision order is commit order.
CREATE TABLE revision (
  one BIGINT PRIMARY KEY CHECK (one = 1),
  n BIGINT NOT NULL
);
INSERT INTO revision (one, n) VALUES (1, 0);

-- What changed at which revision, deletions included. Followers read it; old rows are pruned.
CREATE TABLE changes (
  revision BIGINT PRIMARY KEY,
  kind TEXT COLLATE "C" NOT NULL,
  object_id TEXT COLLATE "C" NOT NULL
);

-- Who did what. Never holds a secret or a digest.
CREATE TABLE audit (
  revision BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  actor TEXT COLLATE "C" NOT NULL,
  actor_id TEXT COLLATE "C" NOT NULL,
  account_id TEXT COLLATE "C",
  action TEXT COLLATE "C" NOT NULL,
  object_id TEXT COLLATE "C" NOT NULL,
  detail TEXT COLLATE "C" NOT NULL,
  client TEXT COLLATE "C",
  request_id TEXT COLLATE "C" NOT NULL
);

CREATE TABLE accounts (
  id TEXT COLLATE "C" PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE zones (
  id TEXT COLLATE "C" PRIMARY KEY,
  account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
  name TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE users (
  id TEXT COLLATE "C" PRIMARY KEY,
  email TEXT COLLATE "C" NOT NULL UNIQUE,
  created_at BIGINT NOT NULL
);

CREATE TABLE memberships (
  id TEXT COLLATE "C" PRIMARY KEY,
  user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
  account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
  UNIQUE (user_id, account_id)
);

-- No digest and no last use in here: an update of a token cannot damage what it does not hold.
CREATE TABLE service_tokens (
  id TEXT COLLATE "C" PRIMARY KEY,
  account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
  zone_id TEXT COLLATE "C" REFERENCES zones (id),
  client_id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  search_name TEXT COLLATE "C" NOT NULL,
  duration TEXT COLLATE "C" NOT NULL,
  expires_at BIGINT,
  enabled BOOLEAN NOT NULL,
  secret_version BIGINT NOT NULL CHECK (secret_version >= 1),
  previous_secret_expires_at BIGINT,
  previous_secret_until BIGINT,
  rotated_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
-- A presented client ID is looked up by its 32 digits, whatever follows them.
CREATE UNIQUE INDEX service_tokens_by_client_id ON service_tokens (substr(client_id, 1, 32));
CREATE INDEX service_tokens_by_account ON service_tokens (account_id, created_at DESC, id);
CREATE INDEX service_tokens_by_zone ON service_tokens (zone_id, created_at DESC, id) WHERE zone_id IS NOT NULL;

CREATE TABLE api_tokens (
  id TEXT COLLATE "C" PRIMARY KEY,
  user_id TEXT COLLATE "C" REFERENCES users (id),
  account_id TEXT COLLATE "C" REFERENCES accounts (id),
  name TEXT COLLATE "C" NOT NULL,
  enabled BOOLEAN NOT NULL,
  policies TEXT COLLATE "C" NOT NULL,
  condition TEXT COLLATE "C",
  not_before TEXT COLLATE "C",
  expires_on TEXT COLLATE "C",
  issued_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  CHECK ((user_id IS NULL) <> (account_id IS NULL))
);

-- Only store/digests.rs writes here.
CREATE TABLE digests (
  kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('service_token', 'api_token', 'user')),
  owner_id TEXT COLLATE "C" NOT NULL,
  slot TEXT COLLATE "C" NOT NULL CHECK (slot IN ('current', 'previous')),
  key_version BIGINT NOT NULL,
  digest BYTEA NOT NULL CHECK (length(digest) = 32),
  PRIMARY KEY (kind, owner_id, slot)
);

-- When something was last used; written in batches, apart from what was used.
CREATE TABLE activity (
  kind TEXT COLLATE "C" NOT NULL,
  owner_id TEXT COLLATE "C" NOT NULL,
  last_seen_at BIGINT NOT NULL,
  PRIMARY KEY (kind, owner_id)
);
