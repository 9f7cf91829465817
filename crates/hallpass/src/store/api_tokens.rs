//! API tokens in the store.

use std::sync::Arc;

use hallpass_core::api_token::{ApiToken, Owner, Policy, Status};
use hallpass_core::caller::{Grant, Scope};
use hallpass_core::id::{ApiTokenId, TokenPolicyId};
use hallpass_core::secret::SecretDigest;
use hallpass_core::service_token::Name;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::api_tokens::{self as wire, ApiTokenSpec};
use sqlx::FromRow;

use super::batch::{Batch, Outcome, Work};
use super::digests::{DigestOwner, DigestWork};
use super::engine::{Tx, expect_rows, on_engine, reading};
use super::error::{Refusal, StoreError, WriteError};
use super::{Page, Paging, Store, activity};

/// A token with what is stored beside it.
#[derive(Debug, Clone)]
pub struct StoredApiToken {
    /// The token.
    pub token: ApiToken,
    /// When it was last used.
    pub last_used_on: Option<Timestamp>,
}

/// Which tokens to list, and in which order.
#[derive(Debug, Clone, Copy)]
pub struct ApiTokenFilter {
    /// Those whose time is over, too.
    pub expired: Expired,
    /// By time of issue.
    pub order: Order,
}

/// Whether expired tokens are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// They are.
    Included,
    /// They are not.
    LeftOut,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// The API tokens that a grant reaches.
#[derive(Debug)]
pub struct ApiTokens<'a> {
    pub(super) store: &'a Store,
}

macro_rules! columns {
    () => {
        "id, user_id, account_id, name, enabled, policies, condition, not_before, expires_on, issued_on, modified_on, \
         (SELECT a.last_seen_at FROM activity a WHERE a.kind = 'api_token' AND a.owner_id = api_tokens.id) AS last_used_on"
    };
}

/// To whom the tokens of a scope belong; `None` for a zone, which has none.
pub(super) fn owner(scope: Scope) -> Option<Owner> {
    match scope {
        Scope::Account(account) => Some(Owner::Account(account)),
        Scope::User(user) => Some(Owner::User(user)),
        Scope::Zone { .. } => None,
    }
}

impl ApiTokens<'_> {
    /// The token with this id, if the grant reaches it.
    pub async fn find(&self, grant: &Grant, id: ApiTokenId) -> Result<Option<StoredApiToken>, StoreError> {
        let row = reading!(self.store, pool => {
            sqlx::query_as::<_, TokenRow>(concat!("SELECT ", columns!(), " FROM api_tokens WHERE id = $1"))
                .bind(id.to_string())
                .fetch_optional(pool)
                .await?
        });
        let found = row.map(StoredApiToken::try_from).transpose()?;
        Ok(found.filter(|stored| Some(stored.token.owner) == owner(grant.scope())))
    }

    /// A page of the tokens that the grant reaches.
    pub async fn list(
        &self,
        grant: &Grant,
        filter: ApiTokenFilter,
        paging: Paging,
        now: Timestamp,
    ) -> Result<Page<StoredApiToken>, StoreError> {
        let rows = match owner(grant.scope()) {
            Some(Owner::Account(account)) => reading!(self.store, pool => {
                let all = concat!("SELECT ", columns!(), " FROM api_tokens WHERE account_id = $1 ORDER BY issued_on DESC, id");
                sqlx::query_as::<_, TokenRow>(all).bind(account.to_string()).fetch_all(pool).await?
            }),
            Some(Owner::User(user)) => reading!(self.store, pool => {
                let all = concat!("SELECT ", columns!(), " FROM api_tokens WHERE user_id = $1 ORDER BY issued_on DESC, id");
                sqlx::query_as::<_, TokenRow>(all).bind(user.to_string()).fetch_all(pool).await?
            }),
            None => Vec::new(),
        };
        // An owner has a few hundred at most, and whether one is over is the rule's to say.
        let mut tokens = rows.into_iter().map(StoredApiToken::try_from).collect::<Result<Vec<_>, _>>()?;
        if filter.expired == Expired::LeftOut {
            tokens.retain(|stored| !stored.token.is_over(now));
        }
        if filter.order == Order::Ascending {
            tokens.reverse();
        }
        Ok(Page::of(tokens, paging))
    }

    /// Stores a new token with the digest of its secret.
    pub async fn create(
        &self,
        grant: &Grant,
        token: ApiToken,
        digest: SecretDigest,
        now: Timestamp,
    ) -> Result<StoredApiToken, WriteError> {
        let work = Work::CreateApiToken(Box::new(token), digest);
        self.store.write(grant, now, work).await?.into_api_token()
    }

    /// Replaces all that can be said of a token, but for its secret.
    pub async fn replace(
        &self,
        grant: &Grant,
        id: ApiTokenId,
        spec: ApiTokenSpec,
        now: Timestamp,
    ) -> Result<StoredApiToken, WriteError> {
        let work = Work::ReplaceApiToken { id, spec: Box::new(spec) };
        self.store.write(grant, now, work).await?.into_api_token()
    }

    /// Replaces a token's secret, if its policies are still those that the caller was found to hold.
    pub async fn roll(
        &self,
        grant: &Grant,
        id: ApiTokenId,
        seen: Arc<[Policy]>,
        fresh: SecretDigest,
        now: Timestamp,
    ) -> Result<StoredApiToken, WriteError> {
        self.store.write(grant, now, Work::RollApiToken { id, seen, fresh }).await?.into_api_token()
    }

    /// Deletes a token.
    pub async fn delete(
        &self,
        grant: &Grant,
        id: ApiTokenId,
        now: Timestamp,
    ) -> Result<StoredApiToken, WriteError> {
        self.store.write(grant, now, Work::DeleteApiToken(id)).await?.into_api_token()
    }
}

/// A row of the table.
#[derive(Debug, FromRow)]
pub(super) struct TokenRow {
    id: String,
    user_id: Option<String>,
    account_id: Option<String>,
    name: String,
    enabled: bool,
    policies: String,
    condition: Option<String>,
    not_before: Option<String>,
    expires_on: Option<String>,
    issued_on: i64,
    modified_on: i64,
    last_used_on: Option<i64>,
}

impl TryFrom<TokenRow> for StoredApiToken {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("API token {}: {what}", row.id));
        let time = |micros: i64| Timestamp::from_micros(micros).ok_or_else(|| corrupt("a time out of range"));
        let written = |text: &Option<String>| {
            let read = text.as_deref().map(wire::read_time).transpose();
            read.map_err(|_| corrupt("a date"))
        };
        let owner = match (&row.user_id, &row.account_id) {
            (Some(user), None) => user.parse().map(Owner::User),
            (None, Some(account)) => account.parse().map(Owner::Account),
            _ => return Err(corrupt("its owner")),
        };
        let condition = match &row.condition {
            Some(json) => {
                let object = serde_json::from_str(json).map_err(|_| corrupt("condition"))?;
                wire::read_condition(&object, "").map_err(|_| corrupt("condition"))?
            }
            None => None,
        };
        let token = ApiToken {
            id: row.id.parse().map_err(|_| corrupt("its id"))?,
            owner: owner.map_err(|_| corrupt("its owner"))?,
            name: Name::parse(&row.name).map_err(|_| corrupt("name"))?,
            status: if row.enabled { Status::Active } else { Status::Disabled },
            policies: read_policies(&row.policies).ok_or_else(|| corrupt("policies"))?,
            condition,
            not_before: written(&row.not_before)?,
            expires_on: written(&row.expires_on)?,
            issued_on: time(row.issued_on)?,
            modified_on: time(row.modified_on)?,
        };
        Ok(Self { token, last_used_on: row.last_used_on.map(time).transpose()? })
    }
}

/// Policies are stored as the JSON that the API shows, and read by the same rules.
fn read_policies(json: &str) -> Option<Arc<[Policy]>> {
    let list: Vec<serde_json::Value> = serde_json::from_str(json).ok()?;
    let mut missing = || TokenPolicyId::from_bytes([0; 16]);
    wire::read_policies(&list, "", &mut missing).ok().map(Into::into)
}

fn write_policies(policies: &[Policy]) -> Result<String, sqlx::Error> {
    let shown: Vec<_> = policies.iter().map(wire::Policy::show).collect();
    serde_json::to_string(&shown).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn write_condition(token: &ApiToken) -> Result<Option<String>, sqlx::Error> {
    let shown = token.condition.as_ref().map(wire::Condition::show);
    shown
        .map(|shown| serde_json::to_string(&shown))
        .transpose()
        .map_err(|error| sqlx::Error::Encode(error.into()))
}

impl Outcome {
    fn into_api_token(self) -> Result<StoredApiToken, WriteError> {
        match self {
            Self::ApiToken(stored) => Ok(*stored),
            _ => Err(StoreError::Corrupt("the writer answered another question".to_owned()).into()),
        }
    }
}

/// Reads a token that the scope reaches.
pub(super) async fn read(
    tx: &mut Tx,
    scope: Scope,
    id: ApiTokenId,
) -> Result<Result<StoredApiToken, Refusal>, sqlx::Error> {
    let row = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, TokenRow>(concat!("SELECT ", columns!(), " FROM api_tokens WHERE id = $1")).bind(id.to_string()).fetch_optional(conn).await?
    });
    let found =
        row.map(StoredApiToken::try_from).transpose().map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(found.filter(|stored| Some(stored.token.owner) == owner(scope)).ok_or(Refusal::Absent))
}

pub(super) async fn insert(tx: &mut Tx, token: &ApiToken) -> Result<(), sqlx::Error> {
    let (user, account) = match token.owner {
        Owner::User(user) => (Some(user.to_string()), None),
        Owner::Account(account) => (None, Some(account.to_string())),
    };
    let policies = write_policies(&token.policies)?;
    let condition = write_condition(token)?;
    on_engine!(Tx, tx, conn => {
        sqlx::query(
            "INSERT INTO api_tokens (id, user_id, account_id, name, enabled, policies, condition, not_before, expires_on, issued_on, modified_on) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(token.id.to_string())
        .bind(user)
        .bind(account)
        .bind(token.name.as_str())
        .bind(token.status == Status::Active)
        .bind(policies)
        .bind(condition)
        .bind(token.not_before.as_ref().map(|time| time.text.as_str()))
        .bind(token.expires_on.as_ref().map(|time| time.text.as_str()))
        .bind(token.issued_on.as_micros())
        .bind(token.modified_on.as_micros())
        .execute(conn)
        .await?;
    });
    Ok(())
}

pub(super) async fn update(tx: &mut Tx, token: &ApiToken) -> Result<(), sqlx::Error> {
    let policies = write_policies(&token.policies)?;
    let condition = write_condition(token)?;
    let written = on_engine!(Tx, tx, conn => {
        sqlx::query(
            "UPDATE api_tokens SET name = $2, enabled = $3, policies = $4, condition = $5, not_before = $6, expires_on = $7, \
             modified_on = $8 WHERE id = $1",
        )
        .bind(token.id.to_string())
        .bind(token.name.as_str())
        .bind(token.status == Status::Active)
        .bind(policies)
        .bind(condition)
        .bind(token.not_before.as_ref().map(|time| time.text.as_str()))
        .bind(token.expires_on.as_ref().map(|time| time.text.as_str()))
        .bind(token.modified_on.as_micros())
        .execute(conn)
        .await?
        .rows_affected()
    });
    expect_rows(written, 1)
}

pub(super) async fn delete(tx: &mut Tx, id: ApiTokenId) -> Result<(), sqlx::Error> {
    let deleted = on_engine!(Tx, tx, conn => {
        let deleting = sqlx::query("DELETE FROM api_tokens WHERE id = $1").bind(id.to_string());
        deleting.execute(conn).await?.rows_affected()
    });
    expect_rows(deleted, 1)
}

/// Reads all tokens, or one, each with the digest of its secret: for the directory of callers.
pub(super) async fn with_digests(
    tx: &mut Tx,
    only: Option<&str>,
) -> Result<Vec<(StoredApiToken, [u8; 32])>, StoreError> {
    #[derive(FromRow)]
    struct Row {
        #[sqlx(flatten)]
        token: TokenRow,
        digest: Vec<u8>,
    }
    let rows = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, Row>(concat!(
            "SELECT ", columns!(), ", d.digest FROM api_tokens JOIN digests d ON d.kind = 'api_token' AND d.owner_id = api_tokens.id \
             AND d.slot = 'current' WHERE $1 OR id = $2"
        ))
        .bind(only.is_none())
        .bind(only.unwrap_or_default())
        .fetch_all(conn)
        .await?
    });
    let read = |row: Row| {
        let digest = row
            .digest
            .try_into()
            .map_err(|_| StoreError::Corrupt("a digest has another length".to_owned()))?;
        Ok((StoredApiToken::try_from(row.token)?, digest))
    };
    rows.into_iter().map(read).collect()
}

/// The text under which digests and activity of API tokens are kept.
pub(super) const KIND: &str = "api_token";

impl Batch {
    pub(super) async fn replace_api_token(
        &mut self,
        tx: &mut Tx,
        grant: &Grant,
        now: Timestamp,
        id: ApiTokenId,
        spec: &ApiTokenSpec,
    ) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
        let mut stored = match read(tx, grant.scope(), id).await? {
            Ok(stored) => stored,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let token = &mut stored.token;
        token.name = spec.name.clone();
        token.status = spec.status.unwrap_or(token.status);
        token.policies = spec.policies.clone().into();
        token.condition.clone_from(&spec.condition);
        token.not_before.clone_from(&spec.not_before);
        token.expires_on.clone_from(&spec.expires_on);
        token.modified_on = now;
        update(tx, token).await?;
        self.note_api_token(grant, now, "api_token.update", &stored.token);
        Ok(Ok(Outcome::ApiToken(Box::new(stored))))
    }

    pub(super) async fn roll_api_token(
        &mut self,
        tx: &mut Tx,
        grant: &Grant,
        now: Timestamp,
        id: ApiTokenId,
        seen: &[Policy],
        fresh: &SecretDigest,
    ) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
        let mut stored = match read(tx, grant.scope(), id).await? {
            Ok(stored) => stored,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if *stored.token.policies != *seen {
            return Ok(Err(Refusal::Changed));
        }
        stored.token.modified_on = now;
        update(tx, &stored.token).await?;
        self.digests.push(DigestWork::ReplaceCurrent(DigestOwner::api_token(id), *fresh));
        self.note_api_token(grant, now, "api_token.roll", &stored.token);
        Ok(Ok(Outcome::ApiToken(Box::new(stored))))
    }

    pub(super) async fn delete_api_token(
        &mut self,
        tx: &mut Tx,
        grant: &Grant,
        now: Timestamp,
        id: ApiTokenId,
    ) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
        let stored = match read(tx, grant.scope(), id).await? {
            Ok(stored) => stored,
            Err(refusal) => return Ok(Err(refusal)),
        };
        delete(tx, id).await?;
        activity::forget(tx, KIND, &id.to_string()).await?;
        self.digests.push(DigestWork::Delete(DigestOwner::api_token(id)));
        self.note_api_token(grant, now, "api_token.delete", &stored.token);
        Ok(Ok(Outcome::ApiToken(Box::new(stored))))
    }

    /// Notes a change of an API token, with all that it may do from now on.
    pub(super) fn note_api_token(
        &mut self,
        grant: &Grant,
        now: Timestamp,
        action: &'static str,
        token: &ApiToken,
    ) {
        let detail = wire::ApiToken::show(token, None, None, now);
        self.note(grant, now, action, KIND, token.id.to_string(), &detail);
    }
}
