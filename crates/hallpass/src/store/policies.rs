//! Policies of applications in the store: those that belong to one application, and reusable ones.

use std::sync::Arc;

use hallpass_core::app::App;
use hallpass_core::caller::{Grant, Scope};
use hallpass_core::id::{AppId, PolicyId};
use hallpass_core::policy::Policy;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::policies::{MAX_PRECEDENCE, PolicySpec};
use serde_json::json;

use super::batch::{Batch, Outcome, Work};
use super::engine::{Tx, expect_rows, in_time, on_engine};
use super::error::{Refusal, StoreError, WriteError};
use super::guarded::{self, Common, Which, decode, insert, reaches, refuse, run, texts, update};
use super::policy_rows::read;
use super::references::{self, Owner};
use super::{Page, Paging, Store, apps};

/// A policy with what is stored beside it.
#[derive(Debug, Clone)]
pub struct StoredPolicy {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its place in the application through which it was asked for.
    pub precedence: Option<u32>,
    /// How many applications use it.
    pub app_count: u64,
}

/// Where a policy is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Among the reusable ones.
    Reusable,
    /// Among those that an application uses.
    App(AppId),
}

/// The policies that a grant reaches.
#[derive(Debug)]
pub struct Policies<'a> {
    pub(super) store: &'a Store,
}

impl Policies<'_> {
    /// The reusable policy with this id, if the grant reaches it.
    pub async fn find(&self, grant: &Grant, id: PolicyId) -> Result<Option<StoredPolicy>, StoreError> {
        let found = self.read(&Which::one(&id)).await?.into_iter();
        Ok(found.filter(|stored| is_reusable(grant.scope(), stored)).last())
    }

    /// A page of the reusable policies that the grant reaches, newest first.
    pub async fn list(
        &self,
        grant: &Grant,
        name: Option<&str>,
        search: Option<&str>,
        paging: Paging,
    ) -> Result<Page<StoredPolicy>, StoreError> {
        let mut all = self.read(&Which::within(grant.scope())).await?;
        all.retain(|stored| {
            let policy = &stored.policy;
            is_reusable(grant.scope(), stored)
                && name.is_none_or(|name| name == policy.name.as_str())
                && guarded::is_found(search, &[policy.name.as_str(), &policy.id.to_string()])
        });
        Ok(Page::of(all, paging))
    }

    /// Makes a policy; without a precedence, it becomes the application's last.
    pub async fn create(
        &self,
        grant: &Grant,
        place: Place,
        id: PolicyId,
        spec: PolicySpec,
        precedence: Option<u32>,
        now: Timestamp,
    ) -> Result<StoredPolicy, WriteError> {
        let verb = PolicyVerb::Create(Box::new(spec), precedence);
        self.write(grant, now, PolicyWork { place, id, verb }).await
    }

    /// Replaces all that can be said of a policy; its precedence, if one is given.
    pub async fn replace(
        &self,
        grant: &Grant,
        place: Place,
        id: PolicyId,
        spec: PolicySpec,
        precedence: Option<u32>,
        now: Timestamp,
    ) -> Result<StoredPolicy, WriteError> {
        let verb = PolicyVerb::Replace(Box::new(spec), precedence);
        self.write(grant, now, PolicyWork { place, id, verb }).await
    }

    /// Deletes a policy that is reusable and not used, or an application's own.
    pub async fn delete(
        &self,
        grant: &Grant,
        place: Place,
        id: PolicyId,
        now: Timestamp,
    ) -> Result<StoredPolicy, WriteError> {
        self.write(grant, now, PolicyWork { place, id, verb: PolicyVerb::Delete }).await
    }

    /// Makes an application's own policy one that others can use, too.
    pub async fn make_reusable(
        &self,
        grant: &Grant,
        app: AppId,
        id: PolicyId,
        now: Timestamp,
    ) -> Result<StoredPolicy, WriteError> {
        let work = PolicyWork { place: Place::App(app), id, verb: PolicyVerb::MakeReusable };
        self.write(grant, now, work).await
    }

    async fn read(&self, which: &Which) -> Result<Vec<StoredPolicy>, StoreError> {
        in_time(async {
            let mut tx = self.store.readers().begin_reading().await?;
            let policies = read(&mut tx, which).await?;
            tx.commit().await?;
            Ok(policies)
        })
        .await
    }

    async fn write(
        &self,
        grant: &Grant,
        now: Timestamp,
        work: PolicyWork,
    ) -> Result<StoredPolicy, WriteError> {
        match self.store.write(grant, now, Work::Policy(work)).await? {
            Outcome::Policy(stored) => Ok(*stored),
            _ => Err(StoreError::Corrupt("the writer answered another question".to_owned()).into()),
        }
    }
}

fn is_reusable(scope: Scope, stored: &StoredPolicy) -> bool {
    stored.policy.app_id.is_none() && reaches(scope, stored.policy.account_id, stored.policy.zone_id)
}

/// A change of a policy, as data.
#[derive(Debug)]
pub(super) struct PolicyWork {
    place: Place,
    id: PolicyId,
    verb: PolicyVerb,
}

#[derive(Debug)]
enum PolicyVerb {
    Create(Box<PolicySpec>, Option<u32>),
    Replace(Box<PolicySpec>, Option<u32>),
    Delete,
    MakeReusable,
}

/// Writes a policy that is new, or one in place of another; what it refers to was checked.
pub(super) async fn write(tx: &mut Tx, policy: &Policy, before: Option<&Policy>) -> Result<(), sqlx::Error> {
    let row = Common {
        id: policy.id.to_string(),
        account_id: policy.account_id,
        zone_id: policy.zone_id,
        name: policy.name.as_str(),
        body: &policy.body,
        created_at: policy.created_at,
        updated_at: policy.updated_at,
    };
    match before {
        Some(_) => update(tx, "policies", &row).await?,
        None => {
            insert(tx, "policies", &row, Some(("app_id", policy.app_id.map(|app| app.to_string())))).await?;
        }
    }
    references::write(tx, Owner::Policy, &row.id, &policy.rules).await
}

/// Puts a policy in its place among an application's.
pub(super) async fn attach(
    tx: &mut Tx,
    app: AppId,
    id: PolicyId,
    precedence: u32,
) -> Result<(), sqlx::Error> {
    let attached = on_engine!(Tx, tx, conn => {
        sqlx::query(
            "INSERT INTO app_policies (app_id, policy_id, precedence) VALUES ($1, $2, $3) \
             ON CONFLICT (app_id, policy_id) DO UPDATE SET precedence = excluded.precedence",
        )
        .bind(app.to_string())
        .bind(id.to_string())
        .bind(i64::from(precedence))
        .execute(conn)
        .await?
        .rows_affected()
    });
    expect_rows(attached, 1)
}

/// Deletes a policy's row, and its place among an application's.
pub(super) async fn delete(tx: &mut Tx, id: PolicyId) -> Result<(), sqlx::Error> {
    run(tx, "DELETE FROM app_policies WHERE policy_id = $1", &[&id.to_string()]).await?;
    let deleted = run(tx, "DELETE FROM policies WHERE id = $1", &[&id.to_string()]).await?;
    expect_rows(deleted, 1)
}

/// Carries out a change of a policy.
pub(super) async fn apply(
    batch: &mut Batch,
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
    work: &PolicyWork,
) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
    let PolicyWork { place, id, verb } = work;
    let scope = grant.scope();
    let app = match place {
        Place::Reusable => None,
        Place::App(app) => match apps::reached(tx, scope, *app).await? {
            Some(app) => Some(app),
            None => return Ok(Err(Refusal::AbsentApp)),
        },
    };
    let stored = if let Some(app) = &app {
        attached(app, *id)
    } else {
        let found = read(tx, &Which::one(id)).await.map_err(decode)?;
        found.into_iter().find(|stored| is_reusable(scope, stored))
    };
    let (before, spec, wanted) = match (verb, stored) {
        (PolicyVerb::Create(spec, precedence), _) => (None, spec, *precedence),
        (_, None) => return Ok(Err(Refusal::Absent)),
        (PolicyVerb::MakeReusable, Some(stored)) => {
            return make_reusable(batch, tx, grant, now, stored).await;
        }
        (_, Some(stored)) if app.is_some() && stored.policy.app_id.is_none() => {
            let rule = "the policy is reusable: change it, or delete it, as one of the account's policies; to take it from this \
                        application alone, update the application without it";
            return Ok(Err(refuse("", rule)));
        }
        (PolicyVerb::Delete, Some(stored)) => return delete_unused(batch, tx, grant, now, stored).await,
        (PolicyVerb::Replace(spec, precedence), Some(stored)) => (Some(stored), spec, *precedence),
    };
    let (Some(account_id), before_policy) = (scope.account(), before.as_ref().map(|stored| &*stored.policy))
    else {
        return Ok(Err(Refusal::Absent));
    };
    let precedence = match &app {
        Some(app) => match place_in(app, *id, wanted, before.as_ref()) {
            Ok(precedence) => Some(precedence),
            Err(refusal) => return Ok(Err(refusal)),
        },
        None => None,
    };
    if let Err(refusal) = references::check(tx, batch, account_id, &spec.rules, "").await? {
        return Ok(Err(refusal));
    }
    let made_for =
        (account_id, app.as_ref().map(|app| app.id), app.as_ref().map_or(scope.zone(), |app| app.zone_id));
    let policy = described(*id, made_for, spec, before_policy, now);
    write(tx, &policy, before_policy).await?;
    if let (Some(app), Some(precedence)) = (&app, precedence) {
        attach(tx, app.id, *id, precedence).await?;
    }
    note(batch, grant, now, if before.is_some() { "policy.update" } else { "policy.create" }, &policy);
    let app_count = before.map_or(u64::from(app.is_some()), |stored| stored.app_count);
    Ok(Ok(Outcome::Policy(Box::new(StoredPolicy { policy: Arc::new(policy), precedence, app_count }))))
}

/// A policy as its description says; made for an account, an application, a zone, unless it was made before.
pub(super) fn described(
    id: PolicyId,
    (account_id, app_id, zone_id): (
        hallpass_core::id::AccountId,
        Option<AppId>,
        Option<hallpass_core::id::ZoneId>,
    ),
    spec: &PolicySpec,
    before: Option<&Policy>,
    now: Timestamp,
) -> Policy {
    Policy {
        id,
        account_id,
        zone_id: before.map_or(zone_id, |before| before.zone_id),
        app_id,
        name: spec.name.clone(),
        decision: spec.decision,
        rules: spec.rules.clone(),
        body: spec.body.clone(),
        created_at: before.map_or(now, |before| before.created_at),
        updated_at: now,
    }
}

/// A policy as one of an application's.
pub(super) fn attached(app: &App, id: PolicyId) -> Option<StoredPolicy> {
    let found = app.policies.iter().find(|attached| attached.policy.id == id)?;
    Some(StoredPolicy { policy: Arc::clone(&found.policy), precedence: Some(found.precedence), app_count: 1 })
}

/// The place that a policy gets among an application's: what is asked for, what it has, or the last.
fn place_in(
    app: &App,
    id: PolicyId,
    wanted: Option<u32>,
    before: Option<&StoredPolicy>,
) -> Result<u32, Refusal> {
    let others = || app.policies.iter().filter(|attached| attached.policy.id != id);
    let last = others().map(|attached| attached.precedence).max();
    let next = || last.map_or(1, |last| last.saturating_add(1));
    let precedence = wanted.or(before.and_then(|stored| stored.precedence)).unwrap_or_else(next);
    if precedence > MAX_PRECEDENCE || others().any(|attached| attached.precedence == precedence) {
        return Err(refuse("/precedence", "policy precedences must be unique"));
    }
    Ok(precedence)
}

async fn make_reusable(
    batch: &mut Batch,
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
    stored: StoredPolicy,
) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
    // One that is reusable already stays as it is.
    if stored.policy.app_id.is_none() {
        return Ok(Ok(Outcome::Policy(Box::new(stored))));
    }
    let policy = Policy { app_id: None, zone_id: None, updated_at: now, ..(*stored.policy).clone() };
    let id = policy.id.to_string();
    run(tx, "UPDATE policies SET app_id = NULL, zone_id = NULL WHERE id = $1", &[&id]).await?;
    write(tx, &policy, Some(&stored.policy)).await?;
    batch.note(grant, now, "policy.make_reusable", KIND, id, &json!({"name": policy.name.as_str()}));
    Ok(Ok(Outcome::Policy(Box::new(StoredPolicy { policy: Arc::new(policy), ..stored }))))
}

async fn delete_unused(
    batch: &mut Batch,
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
    stored: StoredPolicy,
) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
    const USERS: &str = "SELECT a.id, a.name FROM app_policies l JOIN apps a ON a.id = l.app_id WHERE l.policy_id = $1 \
        ORDER BY a.id LIMIT 11";
    let id = stored.policy.id;
    if stored.policy.app_id.is_none() {
        let users = texts::<(String, String)>(tx, USERS, &id.to_string()).await?;
        if !users.is_empty() {
            let named =
                users.into_iter().map(|(id, name)| format!("application \"{name}\" ({id})")).collect();
            let users = references::in_words(named);
            return Ok(Err(refuse("", format!("cannot delete the policy because it is used by {users}"))));
        }
    }
    delete(tx, id).await?;
    let detail = json!({"name": stored.policy.name.as_str(), "app_id": stored.policy.app_id});
    batch.note(grant, now, "policy.delete", KIND, id.to_string(), &detail);
    Ok(Ok(Outcome::Policy(Box::new(stored))))
}

fn note(batch: &mut Batch, grant: &Grant, now: Timestamp, action: &'static str, policy: &Policy) {
    let mut detail = guarded::of_body(&policy.body, &["name", "decision", "include", "exclude", "require"]);
    if let Some(app) = policy.app_id {
        detail.insert("app_id".to_owned(), json!(app));
    }
    batch.note(grant, now, action, KIND, policy.id.to_string(), &detail);
}

/// The text under which changes of policies are noted.
pub(super) const KIND: &str = "policy";
