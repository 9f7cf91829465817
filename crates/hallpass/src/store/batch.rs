//! A batch: what the jobs of one transaction come to. Rules run in memory, each job on what its predecessor left; then everything
//! is written, one statement per table, with revision, audit and changes.

use std::collections::HashMap;
use std::sync::Arc;

use hallpass_core::api_token::{ApiToken, Policy};
use hallpass_core::app::App;
use hallpass_core::caller::{Actor, Grant, SystemReason};
use hallpass_core::id::{AccountId, ApiTokenId, ServiceTokenId};
use hallpass_core::key_rotation::KeyRotation;
use hallpass_core::organization::Organization;
use hallpass_core::policy::Group;
use hallpass_core::secret::SecretDigest;
use hallpass_core::service_token::{SecretChange, ServiceToken, TokenChange};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::api_tokens::ApiTokenSpec;
use hallpass_core::wire::organizations::Change;
use serde::Serialize;
use serde_json::json;

use super::accounts::{self, Account, Membership, User, Zone};
use super::api_tokens::{self, StoredApiToken};
use super::apps::{self, AppWork};
use super::audit::{Detail, Entry};
use super::concern::Concern;
use super::digests::{DigestOwner, DigestWork};
use super::engine::{Tx, on_engine};
use super::error::Refusal;
use super::groups::{self, GroupWork};
use super::organizations;
use super::policies::{self, PolicyWork, StoredPolicy};
use super::service_tokens::{self, Changed, StoredServiceToken};
use super::signing_keys::{self, KeyWork};
use super::writer::Writer;
use super::{activity, inactivity, references};

/// A change, as data.
#[derive(Debug)]
pub(super) enum Work {
    CreateServiceToken {
        token: Arc<ServiceToken>,
        digest: SecretDigest,
        quota: Option<u32>,
    },
    ChangeServiceToken {
        id: ServiceTokenId,
        change: TokenChange,
        fresh: Option<SecretDigest>,
    },
    DeleteServiceToken(ServiceTokenId),
    EndInactive(ServiceTokenId),
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
    ChangeOrganization(AccountId, Change),
    Keys(AccountId, KeyWork),
    /// Notes that the store has its first account; refused if it has one already.
    Found,
    App(AppWork),
    Policy(PolicyWork),
    Group(GroupWork),
    /// All of these, or none.
    All(Vec<Work>),
}

/// What became of a change.
#[derive(Debug)]
pub(super) enum Outcome {
    ServiceToken(Changed),
    ApiToken(Box<StoredApiToken>),
    App(Box<App>),
    Policy(Box<StoredPolicy>),
    Group(Box<Group>),
    Organization(Box<Organization>),
    Keys(KeyRotation),
    Done,
}

impl Work {
    pub(super) fn service_token(&self) -> Option<ServiceTokenId> {
        match self {
            Self::ChangeServiceToken { id, .. } | Self::DeleteServiceToken(id) | Self::EndInactive(id) => {
                Some(*id)
            }
            Self::CreateServiceToken { .. }
            | Self::CreateApiToken(..)
            | Self::ReplaceApiToken { .. }
            | Self::RollApiToken { .. }
            | Self::DeleteApiToken(_)
            | Self::CreateAccount(_)
            | Self::CreateZone(_)
            | Self::CreateUser(..)
            | Self::CreateMembership(_)
            | Self::ChangeOrganization(..)
            | Self::Keys(..)
            | Self::Found
            | Self::App(_)
            | Self::Policy(_)
            | Self::Group(_)
            | Self::All(_) => None,
        }
    }
}

/// A service token in a batch: as it was, and as it is after the jobs so far. Each job sees what its predecessor left.
struct Slot {
    before: Option<Arc<ServiceToken>>,
    after: Option<Arc<ServiceToken>>,
    last_seen_at: Option<Timestamp>,
}

impl Slot {
    fn stored(stored: StoredServiceToken) -> Self {
        let token = stored.token;
        Self { before: Some(Arc::clone(&token)), after: Some(token), last_seen_at: stored.last_seen_at }
    }
}

/// What a transaction is going to write.
#[derive(Default)]
pub(super) struct Batch {
    slots: HashMap<ServiceTokenId, Slot>,
    pub(super) digests: Vec<DigestWork>,
    pub(super) entries: Vec<Entry>,
}

impl Batch {
    /// Takes in the tokens that its jobs are about, as they are stored.
    pub(super) fn hold(&mut self, tokens: Vec<StoredServiceToken>) {
        self.slots.extend(tokens.into_iter().map(|stored| (stored.token.id, Slot::stored(stored))));
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it changes who may call.
    pub(super) fn concerns_callers(&self) -> bool {
        self.entries.iter().any(|entry| Concern::of(entry.kind).is_of_callers())
    }

    /// Runs a job's rules. Service tokens are only noted, and written at the end; the rest is rare and is written at once.
    pub(super) async fn add(
        &mut self,
        tx: &mut Tx,
        grant: &Grant,
        now: Timestamp,
        work: &Work,
    ) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
        match work {
            Work::CreateServiceToken { token, digest, quota } => {
                let full = match quota {
                    Some(quota) => self.refusal_if_full(tx, token.account_id, *quota).await?,
                    None => None,
                };
                Ok(full.map_or_else(|| Ok(self.create(grant, now, token, digest)), Err))
            }
            Work::ChangeServiceToken { id, change, fresh } => {
                let changed = self.change(grant, now, *id, change, fresh.as_ref());
                Ok(changed.map(Outcome::ServiceToken))
            }
            Work::DeleteServiceToken(id) => {
                let users = references::users_of_token(tx, *id).await?;
                if !users.is_empty() && self.reached(grant, *id).is_some() {
                    return Ok(Err(Refusal::ServiceTokenInUse(users)));
                }
                let deleted = self.delete(grant, now, *id);
                if deleted.is_ok() {
                    activity::forget(tx, service_tokens::KIND, &id.to_string()).await?;
                }
                Ok(deleted.map(Outcome::ServiceToken))
            }
            Work::EndInactive(id) => inactivity::end(self, tx, grant, now, *id).await,
            Work::CreateApiToken(token, digest) => {
                api_tokens::insert(tx, token).await?;
                self.digests.push(DigestWork::Create(DigestOwner::api_token(token.id), *digest));
                self.note_api_token(grant, now, "api_token.create", token);
                let stored = StoredApiToken { token: (**token).clone(), last_used_on: None };
                Ok(Ok(Outcome::ApiToken(Box::new(stored))))
            }
            Work::ReplaceApiToken { id, spec } => self.replace_api_token(tx, grant, now, *id, spec).await,
            Work::RollApiToken { id, seen, fresh } => {
                self.roll_api_token(tx, grant, now, *id, seen, fresh).await
            }
            Work::DeleteApiToken(id) => self.delete_api_token(tx, grant, now, *id).await,
            Work::CreateAccount(account) => {
                accounts::insert_account(tx, account).await?;
                let (id, detail) = (account.id.to_string(), json!({"name": account.name}));
                self.note(grant, now, "account.create", accounts::KIND, id, &detail);
                Ok(Ok(Outcome::Done))
            }
            Work::CreateZone(zone) => {
                accounts::insert_zone(tx, zone).await?;
                let (id, detail) = (zone.id.to_string(), json!({"name": zone.name}));
                self.note(grant, now, "zone.create", accounts::ZONE_KIND, id, &detail);
                Ok(Ok(Outcome::Done))
            }
            Work::CreateUser(user, key) => {
                accounts::insert_user(tx, user).await?;
                self.digests.push(DigestWork::Create(DigestOwner::user(user.id), *key));
                let (id, detail) = (user.id.to_string(), json!({"email": user.email}));
                self.note(grant, now, "user.create", accounts::USER_KIND, id, &detail);
                Ok(Ok(Outcome::Done))
            }
            Work::CreateMembership(membership) => {
                accounts::insert_membership(tx, membership).await?;
                let detail = json!({"user_id": membership.user_id, "account_id": membership.account_id});
                let id = membership.id.to_string();
                self.note(grant, now, "membership.create", accounts::MEMBERSHIP_KIND, id, &detail);
                Ok(Ok(Outcome::Done))
            }
            Work::ChangeOrganization(account, change) => {
                let changed = organizations::change(tx, grant, now, *account, change).await?;
                Ok(changed.map(|(organization, entry)| {
                    self.entries.extend(entry);
                    Outcome::Organization(Box::new(organization))
                }))
            }
            Work::Keys(account, work) => {
                let done = signing_keys::run(tx, grant, now, *account, work).await?;
                Ok(done.map(|(rotation, entries)| {
                    self.entries.extend(entries);
                    Outcome::Keys(rotation)
                }))
            }
            Work::Found => {
                // The key's uniqueness decides between two who try at once.
                on_engine!(Tx, tx, conn => {
                    sqlx::query("INSERT INTO meta (key, value) VALUES ('founded', '1')").execute(conn).await?;
                });
                self.note(grant, now, "store.found", "store", "founded".to_owned(), &json!({}));
                Ok(Ok(Outcome::Done))
            }
            Work::App(work) => apps::apply(self, tx, grant, now, work).await,
            Work::Policy(work) => policies::apply(self, tx, grant, now, work).await,
            Work::Group(work) => groups::apply(self, tx, grant, now, work).await,
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
    pub(super) async fn write(&self, tx: &mut Tx, writer: &Writer) -> Result<(), sqlx::Error> {
        let mut inserted = Vec::new();
        let mut updated = Vec::new();
        let mut deleted = Vec::new();
        for (id, slot) in &self.slots {
            match (&slot.before, &slot.after) {
                (None, Some(token)) => inserted.push(&**token),
                (Some(before), Some(after)) if before != after => updated.push((&**before, &**after)),
                (Some(_), None) => deleted.push(*id),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        writer.audit.record(tx, &self.entries).await?;
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
        token: &Arc<ServiceToken>,
        digest: &SecretDigest,
    ) -> Outcome {
        self.digests.push(DigestWork::Create(DigestOwner::current_of(token), *digest));
        let imported = *grant.actor() == Actor::System(SystemReason::Import);
        let detail = Detail {
            name: Some(token.name.as_str()),
            client_id: Some(token.client_id.as_str()),
            duration: Some(token.validity.as_str()),
            expires_at: token.expires_at.filter(|_| imported),
            enabled: imported.then_some(token.enabled),
            ..Detail::default()
        };
        let action = if imported { "service_token.import" } else { "service_token.create" };
        self.note(grant, now, action, service_tokens::KIND, token.id.to_string(), &detail);
        self.slots
            .insert(token.id, Slot { before: None, after: Some(Arc::clone(token)), last_seen_at: None });
        let stored = StoredServiceToken { token: Arc::clone(token), last_seen_at: None };
        Outcome::ServiceToken(Changed { stored, secret: SecretChange::Replace })
    }

    /// The refusal of one more token to an account that has as many as it may have.
    async fn refusal_if_full(
        &self,
        tx: &mut Tx,
        account: AccountId,
        quota: u32,
    ) -> Result<Option<Refusal>, sqlx::Error> {
        let stored = service_tokens::count(tx, account).await?;
        Ok((self.count_in(account, stored) >= u64::from(quota)).then_some(Refusal::Quota(quota)))
    }

    /// How many tokens an account will have after the jobs so far, of `stored` ones.
    fn count_in(&self, account: AccountId, stored: u64) -> u64 {
        let has = |token: &Option<Arc<ServiceToken>>| {
            token.as_ref().is_some_and(|token| token.account_id == account)
        };
        let added = self.slots.values().filter(|slot| has(&slot.after)).count() as u64;
        let known = self.slots.values().filter(|slot| has(&slot.before)).count() as u64;
        (stored + added).saturating_sub(known)
    }

    /// A service token of which the batch knows what will become of it: `Some(None)` is one that is going to be deleted.
    #[expect(clippy::option_option, reason = "unknown, known to go, and known to stay are three things")]
    pub(super) fn held(&self, id: ServiceTokenId) -> Option<Option<&ServiceToken>> {
        self.slots.get(&id).map(|slot| slot.after.as_deref())
    }

    /// A service token that is held, if the grant reaches it.
    fn reached(&self, grant: &Grant, id: ServiceTokenId) -> Option<&ServiceToken> {
        self.held(id).flatten().filter(|token| service_tokens::reaches(grant.scope(), token))
    }

    /// Changes a service token that is held.
    pub(super) fn change(
        &mut self,
        grant: &Grant,
        now: Timestamp,
        id: ServiceTokenId,
        change: &TokenChange,
        fresh: Option<&SecretDigest>,
    ) -> Result<Changed, Refusal> {
        let slot = self.slots.get_mut(&id).ok_or(Refusal::Absent)?;
        let reached = slot.after.as_ref().filter(|token| service_tokens::reaches(grant.scope(), token));
        let before = Arc::clone(reached.ok_or(Refusal::Absent)?);
        let (after, secret) = (*before).clone().apply(change, now)?;
        let work = match (secret, fresh) {
            (SecretChange::Keep, _) => None,
            (SecretChange::Replace, Some(fresh)) => {
                Some(DigestWork::Replace(DigestOwner::current_of(&after), *fresh))
            }
            (SecretChange::ReplaceCurrentOnly, Some(fresh)) => {
                Some(DigestWork::ReplaceCurrent(DigestOwner::current_of(&after), *fresh))
            }
            // Whoever asks for a change that may rotate brings a fresh digest; without one there is nothing to replace it by.
            (SecretChange::Replace | SecretChange::ReplaceCurrentOnly, None) => return Err(Refusal::Changed),
        };
        let after = Arc::new(after);
        slot.after = Some(Arc::clone(&after));
        let stored = StoredServiceToken { token: after, last_seen_at: slot.last_seen_at };
        self.digests.extend(work);
        let action = match change {
            TokenChange::Refresh => "service_token.refresh",
            TokenChange::Rotate { .. } => "service_token.rotate",
            TokenChange::Edit(_) => "service_token.update",
        };
        // An edit without effect is no change; a refresh is one even where the expiry was later already.
        if stored.token != before || matches!(change, TokenChange::Refresh) {
            let detail = Detail::of_change(&before, &stored.token, secret);
            self.note(grant, now, action, service_tokens::KIND, id.to_string(), &detail);
        }
        Ok(Changed { stored, secret })
    }

    fn delete(&mut self, grant: &Grant, now: Timestamp, id: ServiceTokenId) -> Result<Changed, Refusal> {
        let slot = self.slots.get_mut(&id).ok_or(Refusal::Absent)?;
        let reached = slot.after.take_if(|token| service_tokens::reaches(grant.scope(), token));
        let token = reached.ok_or(Refusal::Absent)?;
        self.digests.push(DigestWork::Delete(DigestOwner::service_token(id)));
        let stored = StoredServiceToken { token: Arc::clone(&token), last_seen_at: slot.last_seen_at };
        let detail = Detail {
            name: Some(token.name.as_str()),
            client_id: Some(token.client_id.as_str()),
            ..Detail::default()
        };
        self.note(grant, now, "service_token.delete", service_tokens::KIND, id.to_string(), &detail);
        Ok(Changed { stored, secret: SecretChange::Keep })
    }

    /// Notes a change, for audit and for those who follow.
    pub(super) fn note(
        &mut self,
        grant: &Grant,
        now: Timestamp,
        action: &'static str,
        kind: &'static str,
        id: String,
        detail: &impl Serialize,
    ) {
        self.entries.push(Entry::new(grant, now, action, kind, id, detail));
    }
}
