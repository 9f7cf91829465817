-- Applications, policies and groups. The twin for SQLite does the same.

-- What the client sent is one JSON text, and is read by the rules by which it was accepted.
CREATE TABLE apps (
  id TEXT COLLATE "C" PRIMARY KEY,
  account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
  zone_id TEXT COLLATE "C" REFERENCES zones (id),
  name TEXT COLLATE "C" NOT NULL,
  aud TEXT COLLATE "C" NOT NULL UNIQUE,
  body TEXT COLLATE "C" NOT NULL,
  revoked_before BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX apps_by_account ON apps (account_id);

-- One host and path has one application, whoever owns it.
CREATE TABLE app_patterns (
  pattern TEXT COLLATE "C" PRIMARY KEY,
  app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE
);
CREATE INDEX app_patterns_by_app ON app_patterns (app_id);

-- A policy with an app_id belongs to that application and goes with it; one without is reusable.
CREATE TABLE policies (
  id TEXT COLLATE "C" PRIMARY KEY,
  account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
  zone_id TEXT COLLATE "C" REFERENCES zones (id),
  app_id TEXT COLLATE "C" REFERENCES apps (id) ON DELETE CASCADE,
  name TEXT COLLATE "C" NOT NULL,
  body TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX policies_by_account ON policies (account_id);
CREATE INDEX policies_by_app ON policies (app_id) WHERE app_id IS NOT NULL;

-- Which applications use which policies, reusable ones and their own.
CREATE TABLE app_policies (
  app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  policy_id TEXT COLLATE "C" NOT NULL REFERENCES policies (id),
  precedence BIGINT NOT NULL CHECK (precedence >= 0),
  PRIMARY KEY (app_id, policy_id),
  UNIQUE (app_id, precedence)
);
CREATE INDEX app_policies_by_policy ON app_policies (policy_id);

CREATE TABLE rule_groups (
  id TEXT COLLATE "C" PRIMARY KEY,
  account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
  zone_id TEXT COLLATE "C" REFERENCES zones (id),
  name TEXT COLLATE "C" NOT NULL,
  body TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX rule_groups_by_account ON rule_groups (account_id);

-- What rules refer to. It cannot be deleted while they do.
CREATE TABLE policy_service_tokens (
  policy_id TEXT COLLATE "C" NOT NULL REFERENCES policies (id) ON DELETE CASCADE,
  service_token_id TEXT COLLATE "C" NOT NULL REFERENCES service_tokens (id),
  PRIMARY KEY (policy_id, service_token_id)
);
CREATE INDEX policy_service_tokens_by_token ON policy_service_tokens (service_token_id);

CREATE TABLE policy_groups (
  policy_id TEXT COLLATE "C" NOT NULL REFERENCES policies (id) ON DELETE CASCADE,
  group_id TEXT COLLATE "C" NOT NULL REFERENCES rule_groups (id),
  PRIMARY KEY (policy_id, group_id)
);
CREATE INDEX policy_groups_by_group ON policy_groups (group_id);

CREATE TABLE group_service_tokens (
  owner_id TEXT COLLATE "C" NOT NULL REFERENCES rule_groups (id) ON DELETE CASCADE,
  service_token_id TEXT COLLATE "C" NOT NULL REFERENCES service_tokens (id),
  PRIMARY KEY (owner_id, service_token_id)
);
CREATE INDEX group_service_tokens_by_token ON group_service_tokens (service_token_id);

-- A group that others are part of. No group is part of itself, however far down.
CREATE TABLE group_groups (
  owner_id TEXT COLLATE "C" NOT NULL REFERENCES rule_groups (id) ON DELETE CASCADE,
  group_id TEXT COLLATE "C" NOT NULL REFERENCES rule_groups (id),
  PRIMARY KEY (owner_id, group_id),
  CHECK (owner_id <> group_id)
);
CREATE INDEX group_groups_by_group ON group_groups (group_id);
