//! The writer: one task that owns the write path of this node and commits in groups.
//!
//! It takes what has queued up, runs the rules in memory, writes one multi-row statement per table, commits, and only then
//! answers. A refused change has written nothing, so no savepoints are needed. What is waited for while one batch commits becomes
//! the next batch; there is no timer.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use hallpass_core::api_token::{ApiToken, Policy};
use hallpass_core::caller::Grant;
use hallpass_core::id::{ApiTokenId, ServiceTokenId};
use hallpass_core::secret::SecretDigest;
use hallpass_core::service_token::{SecretChange, ServiceToken, TokenChange};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::api_tokens::ApiTokenSpec;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::accounts::{self, Account, Membership, User, Zone};
use super::activity;
use super::api_tokens::{self, StoredApiToken};
use super::audit::{self, Entry};
use super::callers::Callers;
use super::digests::{self, DigestOwner, DigestWork};
use super::engine::{CAP, Pool, Tx, on_engine};
use super::error::{Refusal, StoreError, WriteError};
use super::service_tokens::{self, Changed, StoredServiceToken};

/// How many messages wait for the writer before those who send more wait, too.
pub(super) const QUEUE: usize = 1024;
/// How many change rows are kept for followers.
pub(super) const CHANGES_KEPT: i64 = 100_000;

/// What the writer is asked to do.
#[expect(clippy::large_enum_variant, reason = "nearly every message is a write")]
pub(super) enum Message {
    /// Make a change.
    Write(Job),
    /// Write down when things were last used.
    Touch(HashMap<ApiTokenId, Timestamp>),
    /// Forget old change rows.
    Prune,
}

/// A change, with who may make it and who waits for it.
pub(super) struct Job {
    pub(super) grant: Grant,
    pub(super) now: Timestamp,
    pub(super) work: Work,
    pub(super) answer: oneshot::Sender<Result<Outcome, WriteError>>,
}

/// A change, as data.
#[derive(Debug)]
pub(super) enum Work {
    CreateServiceToken(Box<ServiceToken>, SecretDigest),
    ChangeServiceToken {
        id: ServiceTokenId,
        change: TokenChange,
        fresh: Option<SecretDigest>,
    },
    DeleteServiceToken(ServiceTokenId),
    CreateApiToken(Box<ApiToken>, SecretDigest),
    ReplaceApiToken {
        id: ApiTokenId,
        spec: Box<ApiTokenSpec>,
    },
    RollApiToken {
        id: ApiTokenId,
        seen: Arc<[Policy]>,
        fresh: SecretDigest,
    },
    DeleteApiToken(ApiTokenId),
    CreateAccount(Account),
    CreateZone(Zone),
    CreateUser(User, SecretDigest),
    CreateMembership(Membership),
    /// Notes that the store has its first account; refused if it has one already.
    Found,
    /// All of these, or none.
    All(Vec<Work>),
}

/// What became of a change.
#[derive(Debug)]
pub(super) enum Outcome {
    ServiceToken(Box<Changed>),
    ApiToken(Box<StoredApiToken>),
    Done,
}

/// The task's state.
pub(super) struct Writer {
    pub(super) pool: Pool,
    pub(super) readers: Pool,
    pub(super) callers: Arc<Callers>,
    pub(super) tokens: service_tokens::Statements,
    pub(super) digests: digests::Statements,
    pub(super) audit: audit::Statements,
}

/// How a transaction failed.
enum Failure {
    /// Before its commit: nothing was written.
    Before(sqlx::Error),
    /// During its commit: nobody knows.
    AtCommit(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Before(error)
    }
}

impl Writer {
    /// Runs until every sender is gone and the queue is empty.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(CAP);
        while queue.recv_many(&mut messages, CAP).await > 0 {
            let mut jobs = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Write(job) => jobs.push(job),
                    Message::Touch(seen) => self.touch(&seen).await,
                    Message::Prune => self.prune().await,
                }
            }
            if !jobs.is_empty() {
                // A panic drops the transaction, which undoes it, and must not end the only task that can write.
                let answers = AssertUnwindSafe(self.commit(&jobs))
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_| {
                        let error = StoreError::UnknownOutcome("the writer panicked".to_owned());
                        jobs.iter().map(|_| Err(error.clone().into())).collect()
                    });
                answer(jobs, answers);
            }
        }
    }

    /// Commits a batch; where one job of several spoils it, each by itself.
    async fn commit(&self, jobs: &[Job]) -> Vec<Result<Outcome, WriteError>> {
        match self.transact(jobs).await {
            Ok(outcomes) => outcomes,
            Err(Failure::Before(error)) if spoils_a_batch(&error) => {
                let mut answers = Vec::with_capacity(jobs.len());
                for job in jobs {
                    answers.push(match self.transact(std::slice::from_ref(job)).await {
                        Ok(outcomes) => outcomes
                            .into_iter()
                            .next()
                            .unwrap_or_else(|| Err(Refusal::Absent.into())),
                        Err(Failure::Before(error)) if is_conflict(&error) => Err(Refusal::Conflict.into()),
                        Err(failure) => Err(failure.into()),
                    });
                }
                answers
            }
            // Busy, or a lost connection: waiting once more for every job would take that long for each.
            Err(failure) => {
                let error = StoreError::from(failure);
                tracing::error!(%error, jobs = jobs.len(), "a batch of writes failed");
                jobs.iter().map(|_| Err(error.clone().into())).collect()
            }
        }
    }

    async fn transact(&self, jobs: &[Job]) -> Result<Vec<Result<Outcome, WriteError>>, Failure> {
        let mut tx = self.pool.begin().await?;
        let mut batch = Batch::default();
        let ids = service_tokens::sorted(jobs.iter().filter_map(|job| job.work.service_token()));
        if !ids.is_empty() {
            for stored in self.tokens.lock(&mut tx, &ids).await? {
                batch.slots.insert(stored.token.id, Slot::stored(stored));
            }
        }
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            let outcome = Box::pin(batch.add(&mut tx, &job.grant, job.now, &job.work)).await?;
            outcomes.push(outcome.map_err(WriteError::from));
        }
        if batch.entries.is_empty() {
            // Nothing to write: the dropped transaction ends by itself, and there is nothing to wait for.
            return Ok(outcomes);
        }
        self.audit.record(&mut tx, &batch.entries).await?;
        batch.write(&mut tx, self).await?;
        tx.commit().await.map_err(Failure::AtCommit)?;
        if batch.concerns_callers {
            // Whoever was told that an API token is gone must be able to rely on it.
            self.callers.catch_up(&self.readers).await;
        }
        Ok(outcomes)
    }

    async fn touch(&self, seen: &HashMap<ApiTokenId, Timestamp>) {
        if let Err(error) = activity::write(&self.pool, seen).await {
            tracing::warn!(%error, tokens = seen.len(), "could not write when API tokens were last used");
        }
    }

    async fn prune(&self) {
        let text = "DELETE FROM changes WHERE revision <= (SELECT n FROM revision) - $1";
        let pruned = on_engine!(Pool, &self.pool, pool => {
            sqlx::query(text).bind(CHANGES_KEPT).execute(pool).await.map(|done| done.rows_affected())
        });
        if let Err(error) = pruned {
            tracing::warn!(%error, "could not prune old change rows");
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Before(error) => error.into(),
            Failure::AtCommit(error) => Self::UnknownOutcome(error.to_string()),
        }
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}

fn answer(jobs: Vec<Job>, answers: Vec<Result<Outcome, WriteError>>) {
    for (job, result) in jobs.into_iter().zip(answers) {
        // Whoever asked may have hung up.
        let _ = job.answer.send(result);
    }
}

/// Whether the error comes from one job of the batch or from a race with another node: then each job deserves its own try.
fn spoils_a_batch(error: &sqlx::Error) -> bool {
    const SERIALIZATION_FAILURE: &str = "40001";
    const DEADLOCK: &str = "40P01";
    let raced = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    is_conflict(error) || raced.is_some_and(|code| code == SERIALIZATION_FAILURE || code == DEADLOCK)
}

fn is_conflict(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.is_unique_violation() || error.is_foreign_key_violation() || error.is_check_violation()
    })
}

impl Work {
    fn service_token(&self) -> Option<ServiceTokenId> {
        match self {
            Self::ChangeServiceToken { id, .. } | Self::DeleteServiceToken(id) => Some(*id),
            Self::CreateServiceToken(..)
            | Self::CreateApiToken(..)
            | Self::ReplaceApiToken { .. }
            | Self::RollApiToken { .. }
            | Self::DeleteApiToken(_)
            | Self::CreateAccount(_)
            | Self::CreateZone(_)
            | Self::CreateUser(..)
            | Self::CreateMembership(_)
            | Self::Found
            | Self::All(_) => None,
        }
    }
}

/// A service token in a batch: as it was, and as it is after the jobs so far. Each job sees what its predecessor left.
struct Slot {
    before: Option<ServiceToken>,
    after: Option<ServiceToken>,
    last_seen_at: Option<Timestamp>,
}

impl Slot {
    fn stored(stored: StoredServiceToken) -> Self {
        Self {
            before: Some(stored.token.clone()),
            after: Some(stored.token),
            last_seen_at: stored.last_seen_at,
        }
    }
}

/// What a transaction is going to write.
#[derive(Default)]
struct Batch {
    slots: HashMap<ServiceTokenId, Slot>,
    digests: Vec<DigestWork>,
    entries: Vec<Entry>,
    concerns_callers: bool,
}

impl Batch {
    /// Runs a job's rules. Service tokens are only noted, and written at the end; the rest is rare and is written at once.
    async fn add(
        &mut self,
        tx: &mut Tx,
        grant: &Grant,
        now: Timestamp,
        work: &Work,
    ) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
        match work {
            Work::CreateServiceToken(token, digest) => Ok(Ok(self.create(grant, now, token, digest))),
            Work::ChangeServiceToken { id, change, fresh } => {
                let changed = self.change(grant, now, *id, change, fresh.as_ref());
                Ok(changed.map(|changed| Outcome::ServiceToken(Box::new(changed))))
            }
            Work::DeleteServiceToken(id) => {
                let deleted = self.delete(grant, now, *id);
                if deleted.is_ok() {
                    activity::forget(tx, service_tokens::KIND, &id.to_string()).await?;
                }
                Ok(deleted.map(|deleted| Outcome::ServiceToken(Box::new(deleted))))
            }
            Work::CreateApiToken(token, digest) => {
                api_tokens::insert(tx, token).await?;
                self.digests
                    .push(DigestWork::Create(api_token_digest(token.id), *digest));
                self.note_api_token(grant, now, "api_token.create", token);
                let stored = StoredApiToken {
                    token: (**token).clone(),
                    last_used_on: None,
                };
                Ok(Ok(Outcome::ApiToken(Box::new(stored))))
            }
            Work::ReplaceApiToken { id, spec } => self.replace_api_token(tx, grant, now, *id, spec).await,
            Work::RollApiToken { id, seen, fresh } => {
                self.roll_api_token(tx, grant, now, *id, seen, fresh).await
            }
            Work::DeleteApiToken(id) => self.delete_api_token(tx, grant, now, *id).await,
            Work::CreateAccount(account) => {
                accounts::insert_account(tx, account).await?;
                Ok(Ok(self.note(
                    grant,
                    now,
                    "account.create",
                    "account",
                    account.id.to_string(),
                    &json!({"name": account.name}),
                )))
            }
            Work::CreateZone(zone) => {
                accounts::insert_zone(tx, zone).await?;
                Ok(Ok(self.note(
                    grant,
                    now,
                    "zone.create",
                    "zone",
                    zone.id.to_string(),
                    &json!({"name": zone.name}),
                )))
            }
            Work::CreateUser(user, key) => {
                accounts::insert_user(tx, user).await?;
                let owner = DigestOwner {
                    kind: accounts::USER_KIND,
                    id: user.id.to_string(),
                };
                self.digests.push(DigestWork::Create(owner, *key));
                Ok(Ok(self.note(
                    grant,
                    now,
                    "user.create",
                    "user",
                    user.id.to_string(),
                    &json!({"email": user.email}),
                )))
            }
            Work::CreateMembership(membership) => {
                accounts::insert_membership(tx, membership).await?;
                let detail = json!({"user_id": membership.user_id, "account_id": membership.account_id});
                Ok(Ok(self.note(
                    grant,
                    now,
                    "membership.create",
                    "membership",
                    membership.id.to_string(),
                    &detail,
                )))
            }
            Work::Found => {
                // The key's uniqueness decides between two who try at once.
                on_engine!(Tx, tx, conn => {
                    sqlx::query("INSERT INTO meta (key, value) VALUES ('founded', '1')").execute(conn).await?;
                });
                Ok(Ok(Outcome::Done))
            }
            Work::All(works) => {
                for work in works {
                    if let Err(refusal) = Box::pin(self.add(tx, grant, now, work)).await? {
                        // Ends the transaction: the parts before this one must not stay.
                        return Err(sqlx::Error::Decode(
                            format!("part of a whole was refused: {refusal}").into(),
                        ));
                    }
                }
                Ok(Ok(Outcome::Done))
            }
        }
    }

    /// Writes what was only noted.
    async fn write(&self, tx: &mut Tx, writer: &Writer) -> Result<(), sqlx::Error> {
        let mut inserted = Vec::new();
        let mut updated = Vec::new();
        let mut deleted = Vec::new();
        for (id, slot) in &self.slots {
            match (&slot.before, &slot.after) {
                (None, Some(token)) => inserted.push(token),
                (Some(before), Some(after)) if before != after => updated.push((before, after)),
                (Some(_), None) => deleted.push(*id),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        writer.tokens.insert(tx, &inserted).await?;
        writer.tokens.update(tx, &updated).await?;
        for id in deleted {
            service_tokens::delete(tx, id).await?;
        }
        writer.digests.run(tx, &self.digests).await
    }

    fn create(
        &mut self,
        grant: &Grant,
        now: Timestamp,
        token: &ServiceToken,
        digest: &SecretDigest,
    ) -> Outcome {
        self.digests
            .push(DigestWork::Create(service_token_digest(token.id), *digest));
        let detail = json!({"name": token.name.as_str(), "client_id": token.client_id, "duration": token.validity.as_str()});
        self.note_service_token(grant, now, "service_token.create", token.id, &detail);
        self.slots.insert(
            token.id,
            Slot {
                before: None,
                after: Some(token.clone()),
                last_seen_at: None,
            },
        );
        let stored = StoredServiceToken {
            token: token.clone(),
            last_seen_at: None,
        };
        Outcome::ServiceToken(Box::new(Changed {
            stored,
            secret: SecretChange::Replace,
        }))
    }

    fn change(
        &mut self,
        grant: &Grant,
        now: Timestamp,
        id: ServiceTokenId,
        change: &TokenChange,
        fresh: Option<&SecretDigest>,
    ) -> Result<Changed, Refusal> {
        let slot = self.slots.get_mut(&id).ok_or(Refusal::Absent)?;
        let reached = slot
            .after
            .as_ref()
            .filter(|token| service_tokens::reaches(grant.scope(), token));
        let before = reached.ok_or(Refusal::Absent)?.clone();
        let (after, secret) = before.clone().apply(change, now)?;
        let work = match (secret, fresh) {
            (SecretChange::Keep, _) => None,
            (SecretChange::Replace, Some(fresh)) => {
                Some(DigestWork::Replace(service_token_digest(id), *fresh))
            }
            (SecretChange::ReplaceCurrentOnly, Some(fresh)) => {
                Some(DigestWork::ReplaceCurrent(service_token_digest(id), *fresh))
            }
            // Whoever asks for a change that may rotate brings a fresh digest; without one there is nothing to replace it by.
            (SecretChange::Replace | SecretChange::ReplaceCurrentOnly, None) => return Err(Refusal::Changed),
        };
        slot.after = Some(after.clone());
        let stored = StoredServiceToken {
            token: after,
            last_seen_at: slot.last_seen_at,
        };
        self.digests.extend(work);
        if stored.token != before || matches!(change, TokenChange::Refresh) {
            let (action, detail) = describe(change, &before, &stored.token, secret);
            self.note_service_token(grant, now, action, id, &detail);
        }
        Ok(Changed { stored, secret })
    }

    fn delete(&mut self, grant: &Grant, now: Timestamp, id: ServiceTokenId) -> Result<Changed, Refusal> {
        let slot = self.slots.get_mut(&id).ok_or(Refusal::Absent)?;
        let reached = slot
            .after
            .take_if(|token| service_tokens::reaches(grant.scope(), token));
        let token = reached.ok_or(Refusal::Absent)?;
        let stored = StoredServiceToken {
            token,
            last_seen_at: slot.last_seen_at,
        };
        self.digests.push(DigestWork::Delete(service_token_digest(id)));
        let detail = json!({"name": stored.token.name.as_str(), "client_id": stored.token.client_id});
        self.note_service_token(grant, now, "service_token.delete", id, &detail);
        Ok(Changed {
            stored,
            secret: SecretChange::Keep,
        })
    }

    async fn replace_api_token(
        &mut self,
        tx: &mut Tx,
        grant: &Grant,
        now: Timestamp,
        id: ApiTokenId,
        spec: &ApiTokenSpec,
    ) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
        let mut stored = match api_tokens::lock(tx, grant.scope(), id).await? {
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
        api_tokens::update(tx, token).await?;
        self.note_api_token(grant, now, "api_token.update", &stored.token);
        Ok(Ok(Outcome::ApiToken(Box::new(stored))))
    }

    async fn roll_api_token(
        &mut self,
        tx: &mut Tx,
        grant: &Grant,
        now: Timestamp,
        id: ApiTokenId,
        seen: &[Policy],
        fresh: &SecretDigest,
    ) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
        let mut stored = match api_tokens::lock(tx, grant.scope(), id).await? {
            Ok(stored) => stored,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if *stored.token.policies != *seen {
            return Ok(Err(Refusal::Changed));
        }
        stored.token.modified_on = now;
        api_tokens::update(tx, &stored.token).await?;
        self.digests
            .push(DigestWork::ReplaceCurrent(api_token_digest(id), *fresh));
        self.note_api_token(grant, now, "api_token.roll", &stored.token);
        Ok(Ok(Outcome::ApiToken(Box::new(stored))))
    }

    async fn delete_api_token(
        &mut self,
        tx: &mut Tx,
        grant: &Grant,
        now: Timestamp,
        id: ApiTokenId,
    ) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
        let stored = match api_tokens::lock(tx, grant.scope(), id).await? {
            Ok(stored) => stored,
            Err(refusal) => return Ok(Err(refusal)),
        };
        api_tokens::delete(tx, id).await?;
        activity::forget(tx, api_tokens::KIND, &id.to_string()).await?;
        self.digests.push(DigestWork::Delete(api_token_digest(id)));
        self.note_api_token(grant, now, "api_token.delete", &stored.token);
        Ok(Ok(Outcome::ApiToken(Box::new(stored))))
    }

    fn note_service_token(
        &mut self,
        grant: &Grant,
        now: Timestamp,
        action: &'static str,
        id: ServiceTokenId,
        detail: &serde_json::Value,
    ) {
        self.entries.push(Entry::new(
            grant,
            now,
            action,
            service_tokens::KIND,
            id.to_string(),
            detail,
        ));
    }

    fn note_api_token(&mut self, grant: &Grant, now: Timestamp, action: &'static str, token: &ApiToken) {
        self.note(
            grant,
            now,
            action,
            api_tokens::KIND,
            token.id.to_string(),
            &json!({"name": token.name.as_str()}),
        );
    }

    /// Notes a change of something that decides who may call.
    fn note(
        &mut self,
        grant: &Grant,
        now: Timestamp,
        action: &'static str,
        kind: &'static str,
        id: String,
        detail: &serde_json::Value,
    ) -> Outcome {
        self.concerns_callers = true;
        self.entries
            .push(Entry::new(grant, now, action, kind, id, detail));
        Outcome::Done
    }
}

fn service_token_digest(id: ServiceTokenId) -> DigestOwner {
    DigestOwner {
        kind: service_tokens::KIND,
        id: id.to_string(),
    }
}

fn api_token_digest(id: ApiTokenId) -> DigestOwner {
    DigestOwner {
        kind: api_tokens::KIND,
        id: id.to_string(),
    }
}

/// The action and the detail of a change, for the audit row: what is different now.
fn describe(
    change: &TokenChange,
    before: &ServiceToken,
    after: &ServiceToken,
    secret: SecretChange,
) -> (&'static str, serde_json::Value) {
    let action = match change {
        TokenChange::Refresh => "service_token.refresh",
        TokenChange::Rotate { .. } => "service_token.rotate",
        TokenChange::Edit(_) => "service_token.update",
    };
    let mut detail = serde_json::Map::new();
    if after.name != before.name {
        detail.insert("name".to_owned(), json!(after.name.as_str()));
    }
    if after.validity != before.validity {
        detail.insert("duration".to_owned(), json!(after.validity.as_str()));
    }
    if after.expires_at != before.expires_at {
        detail.insert(
            "expires_at".to_owned(),
            json!(after.expires_at.unwrap_or(Timestamp::FOREVER)),
        );
    }
    if after.enabled != before.enabled {
        detail.insert("enabled".to_owned(), json!(after.enabled));
    }
    if secret != SecretChange::Keep {
        detail.insert("client_secret_version".to_owned(), json!(after.secret_version));
    }
    if after.previous_secret_expires_at != before.previous_secret_expires_at {
        detail.insert(
            "previous_client_secret_expires_at".to_owned(),
            json!(after.previous_secret_expires_at),
        );
    }
    (action, detail.into())
}
