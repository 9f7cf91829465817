//! Applications in the store, with what they protect and the policies that they use.

use std::collections::HashMap;
use std::sync::Arc;

use hallpass_core::app::{App, Audience, Pattern};
use hallpass_core::caller::{Grant, Scope};
use hallpass_core::id::{AccountId, AppId, PolicyId};
use hallpass_core::policy::{AttachedPolicy, Policy};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::apps::{self as wire, AppSpec, PolicyUse, WantedPolicy};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, FromRow};

use super::batch::{Batch, Outcome, Work};
use super::engine::{Tx, expect_rows, in_time, on_engine};
use super::error::{Refusal, StoreError, WriteError};
use super::guarded::{self, Common, Which, decode, insert, reaches, refuse, run, update};
use super::policies::{self, StoredPolicy};
use super::{Page, Paging, Store, hosts, policy_rows, references};

/// The applications that a grant reaches.
#[derive(Debug)]
pub struct Apps<'a> {
    pub(super) store: &'a Store,
}

/// Which applications to list.
#[derive(Debug, Clone, Default)]
pub struct AppFilter {
    /// Only those with exactly this name.
    pub name: Option<String>,
    /// Only the one that protects exactly this.
    pub domain: Option<String>,
    /// Only the one with this audience tag.
    pub aud: Option<String>,
    /// Only those whose name, id, or what they protect holds this, in upper or lower case.
    pub search: Option<String>,
}

impl Apps<'_> {
    /// The application with this id, if the grant reaches it.
    pub async fn find(&self, grant: &Grant, id: AppId) -> Result<Option<App>, StoreError> {
        let found = self.read(&Which::one(&id)).await?;
        Ok(found.into_iter().find(|app| reaches(grant.scope(), app.account_id, app.zone_id)))
    }

    /// A page of the applications that the grant reaches, newest first.
    pub async fn list(
        &self,
        grant: &Grant,
        filter: &AppFilter,
        paging: Paging,
    ) -> Result<Page<App>, StoreError> {
        let mut apps = self.read(&Which::within(grant.scope())).await?;
        let domain = filter.domain.as_deref().map(Pattern::parse);
        apps.retain(|app| {
            let patterns = || app.patterns.iter().map(Pattern::as_str);
            let texts: Vec<_> =
                [app.name.as_str(), &app.id.to_string()].into_iter().map(str::to_owned).collect();
            let texts: Vec<_> = texts.iter().map(String::as_str).chain(patterns()).collect();
            reaches(grant.scope(), app.account_id, app.zone_id)
                && filter.name.as_ref().is_none_or(|name| name == app.name.as_str())
                && filter.aud.as_ref().is_none_or(|aud| aud == app.aud.as_str())
                && domain
                    .as_ref()
                    .is_none_or(|domain| domain.as_ref().is_ok_and(|domain| app.patterns.contains(domain)))
                && guarded::is_found(filter.search.as_deref(), &texts)
        });
        Ok(Page::of(apps, paging))
    }

    /// Makes an application.
    pub async fn create(
        &self,
        grant: &Grant,
        id: AppId,
        aud: Audience,
        spec: AppSpec,
        now: Timestamp,
    ) -> Result<App, WriteError> {
        self.write(grant, now, AppWork { id, verb: AppVerb::Create(aud, Box::new(spec)) }).await
    }

    /// Replaces all that can be said of an application, but for its policies where none are said.
    pub async fn replace(
        &self,
        grant: &Grant,
        id: AppId,
        spec: AppSpec,
        now: Timestamp,
    ) -> Result<App, WriteError> {
        self.write(grant, now, AppWork { id, verb: AppVerb::Replace(Box::new(spec)) }).await
    }

    /// Deletes an application, with the policies that are its own.
    pub async fn delete(&self, grant: &Grant, id: AppId, now: Timestamp) -> Result<App, WriteError> {
        self.write(grant, now, AppWork { id, verb: AppVerb::Delete }).await
    }

    /// Revokes the assertions that were issued for an application.
    pub async fn revoke_tokens(&self, grant: &Grant, id: AppId, now: Timestamp) -> Result<App, WriteError> {
        self.write(grant, now, AppWork { id, verb: AppVerb::RevokeTokens }).await
    }

    async fn read(&self, which: &Which) -> Result<Vec<App>, StoreError> {
        in_time(async {
            let mut tx = self.store.readers().begin_reading().await?;
            let apps = read(&mut tx, which).await?;
            tx.commit().await?;
            Ok(apps)
        })
        .await
    }

    async fn write(&self, grant: &Grant, now: Timestamp, work: AppWork) -> Result<App, WriteError> {
        match self.store.write(grant, now, Work::App(work)).await? {
            Outcome::App(app) => Ok(*app),
            _ => Err(StoreError::Corrupt("the writer answered another question".to_owned()).into()),
        }
    }
}

/// A change of an application, as data.
#[derive(Debug)]
pub(super) struct AppWork {
    id: AppId,
    verb: AppVerb,
}

#[derive(Debug)]
enum AppVerb {
    Create(Audience, Box<AppSpec>),
    Replace(Box<AppSpec>),
    Delete,
    RevokeTokens,
}

#[derive(Debug, FromRow)]
struct AppRow {
    id: String,
    account_id: String,
    zone_id: Option<String>,
    aud: String,
    body: String,
    revoked_before: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

impl AppRow {
    fn into_app(self, policies: Vec<AttachedPolicy>) -> Result<App, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("application {}: {what}", self.id));
        let time = |micros: i64| Timestamp::from_micros(micros).ok_or_else(|| corrupt("a time out of range"));
        let body: Value = serde_json::from_str(&self.body).map_err(|_| corrupt("body"))?;
        // Policies are stored apart, so none is ever made here.
        let mut none = || PolicyId::from_bytes([0; 16]);
        let spec = wire::read(&body, &mut none).map_err(|_| corrupt("body"))?;
        let zone_id = self.zone_id.as_deref().map(str::parse).transpose();
        Ok(App {
            id: self.id.parse().map_err(|_| corrupt("its id"))?,
            account_id: self.account_id.parse().map_err(|_| corrupt("account_id"))?,
            zone_id: zone_id.map_err(|_| corrupt("zone_id"))?,
            name: spec.name,
            aud: Audience::parse(&self.aud).ok_or_else(|| corrupt("aud"))?,
            patterns: spec.patterns,
            session_seconds: spec.session_seconds,
            credential_header: spec.credential_header,
            service_auth_401: spec.service_auth_401,
            revoked_before: self.revoked_before.map(time).transpose()?,
            policies,
            body: spec.body,
            created_at: time(self.created_at)?,
            updated_at: time(self.updated_at)?,
        })
    }
}

/// Reads applications with their policies, newest first.
pub(super) async fn read(tx: &mut Tx, which: &Which) -> Result<Vec<App>, StoreError> {
    let (condition, value) = which.condition("account_id", "id");
    let text = format!(
        "SELECT id, account_id, zone_id, aud, body, revoked_before, created_at, updated_at FROM apps WHERE {condition} \
         ORDER BY created_at DESC, id"
    );
    let rows = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, AppRow>(AssertSqlSafe(text)).bind(value).fetch_all(conn).await?
    });
    let mut attached = HashMap::<String, Vec<AttachedPolicy>>::new();
    for (app, policy) in policy_rows::read_attached(tx, which).await? {
        attached.entry(app).or_default().push(policy);
    }
    let app = |row: AppRow| {
        let policies = attached.remove(&row.id).unwrap_or_default();
        row.into_app(policies)
    };
    rows.into_iter().map(app).collect()
}

/// Reads an application that the scope reaches.
pub(super) async fn reached(tx: &mut Tx, scope: Scope, id: AppId) -> Result<Option<App>, sqlx::Error> {
    let found = read(tx, &Which::one(&id)).await.map_err(decode)?;
    Ok(found.into_iter().find(|app| reaches(scope, app.account_id, app.zone_id)))
}

/// Carries out a change of an application.
pub(super) async fn apply(
    batch: &mut Batch,
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
    work: &AppWork,
) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
    let stored = reached(tx, grant.scope(), work.id).await?;
    let id = work.id.to_string();
    let (before, aud, spec) = match (&work.verb, stored) {
        (AppVerb::Create(aud, spec), _) => (None, aud.clone(), spec),
        (_, None) => return Ok(Err(Refusal::Absent)),
        (AppVerb::Replace(spec), Some(app)) => {
            let aud = app.aud.clone();
            (Some(app), aud, spec)
        }
        (AppVerb::Delete, Some(app)) => {
            // What belongs to it goes with it.
            expect_rows(run(tx, "DELETE FROM apps WHERE id = $1", &[&id]).await?, 1)?;
            batch.note(grant, now, "app.delete", KIND, id, &json!({"name": app.name.as_str()}));
            return Ok(Ok(Outcome::App(Box::new(app))));
        }
        (AppVerb::RevokeTokens, Some(app)) => {
            let revoked = on_engine!(Tx, tx, conn => {
                let revoking = sqlx::query("UPDATE apps SET revoked_before = $2 WHERE id = $1").bind(&id);
                revoking.bind(now.as_micros()).execute(conn).await?.rows_affected()
            });
            expect_rows(revoked, 1)?;
            batch.note(grant, now, "app.revoke_tokens", KIND, id, &json!({"revoked_before": now}));
            return Ok(Ok(Outcome::App(Box::new(App { revoked_before: Some(now), ..app }))));
        }
    };
    let Some(account_id) = grant.scope().account() else { return Ok(Err(Refusal::Absent)) };
    let mut app = App {
        id: work.id,
        account_id,
        zone_id: before.as_ref().map_or(grant.scope().zone(), |app| app.zone_id),
        name: spec.name.clone(),
        aud,
        patterns: spec.patterns.clone(),
        session_seconds: spec.session_seconds,
        credential_header: spec.credential_header.clone(),
        service_auth_401: spec.service_auth_401,
        revoked_before: before.as_ref().and_then(|app| app.revoked_before),
        policies: Vec::new(),
        body: spec.body.clone(),
        created_at: before.as_ref().map_or(now, |app| app.created_at),
        updated_at: now,
    };
    if let Err(refusal) = hosts::check(tx, &app).await? {
        return Ok(Err(refusal));
    }
    let had = before.as_ref().map(|app| app.policies.as_slice()).unwrap_or_default();
    let plan = match &spec.policies {
        Some(wanted) => match plan(batch, tx, &app, had, wanted, now).await? {
            Ok(plan) => Some(plan),
            Err(refusal) => return Ok(Err(refusal)),
        },
        None => None,
    };
    // Nothing is refused from here on.
    write(tx, &app, before.is_some()).await?;
    app.policies = match plan {
        Some(plan) => write_policies(tx, &app, had, plan).await?,
        None => had.to_vec(),
    };
    note(batch, grant, now, if before.is_some() { "app.update" } else { "app.create" }, &app);
    Ok(Ok(Outcome::App(Box::new(app))))
}

/// A policy that an application will have, and what is to be done about it.
struct Planned {
    attached: AttachedPolicy,
    write: Writing,
}

/// Whether a policy is to be written.
enum Writing {
    /// It is stored as it is.
    Nothing,
    /// It is new.
    New,
    /// It takes the place of this one.
    Over(Arc<Policy>),
}

/// What an application's policies will be. Writes nothing.
async fn plan(
    batch: &Batch,
    tx: &mut Tx,
    app: &App,
    had: &[AttachedPolicy],
    wanted: &[WantedPolicy],
    now: Timestamp,
) -> Result<Result<Vec<Planned>, Refusal>, sqlx::Error> {
    let mut plan = Vec::with_capacity(wanted.len());
    for WantedPolicy { policy, precedence, pointer } in wanted {
        let (id, spec, known) = match policy {
            PolicyUse::New(id, spec) => (*id, Some(spec), None),
            PolicyUse::Known(id, spec) => {
                let own =
                    had.iter().map(|attached| &attached.policy).find(|policy| policy.id == *id).cloned();
                let known = match own {
                    Some(policy) => Some(policy),
                    None => reusable(tx, app.account_id, *id).await?,
                };
                let Some(known) = known else {
                    let message = "there is no such reusable policy in this account, and no such policy of the application";
                    return Ok(Err(refuse(pointer.clone(), message)));
                };
                // A reusable policy is not changed in passing.
                let spec = spec.as_ref().filter(|_| known.app_id.is_some());
                (*id, spec, Some(known))
            }
        };
        let (policy, write) = match (spec, known) {
            (Some(spec), before) => {
                if let Err(refusal) =
                    references::check(tx, batch, app.account_id, &spec.rules, pointer).await?
                {
                    return Ok(Err(refusal));
                }
                let made_for = (app.account_id, Some(app.id), app.zone_id);
                let policy = policies::described(id, made_for, spec, before.as_deref(), now);
                (Arc::new(policy), before.map_or(Writing::New, Writing::Over))
            }
            (None, Some(known)) => (known, Writing::Nothing),
            (None, None) => continue,
        };
        plan.push(Planned { attached: AttachedPolicy { precedence: *precedence, policy }, write });
    }
    Ok(Ok(plan))
}

async fn reusable(tx: &mut Tx, account: AccountId, id: PolicyId) -> Result<Option<Arc<Policy>>, sqlx::Error> {
    let found = policy_rows::read(tx, &Which::one(&id)).await.map_err(decode)?;
    let fits = |stored: &StoredPolicy| stored.policy.account_id == account && stored.policy.app_id.is_none();
    Ok(found.into_iter().find(fits).map(|stored| stored.policy))
}

/// Gives an application the planned policies, and deletes those of its own that are not among them.
async fn write_policies(
    tx: &mut Tx,
    app: &App,
    had: &[AttachedPolicy],
    plan: Vec<Planned>,
) -> Result<Vec<AttachedPolicy>, sqlx::Error> {
    run(tx, "DELETE FROM app_policies WHERE app_id = $1", &[&app.id.to_string()]).await?;
    for attached in had {
        let policy = &attached.policy;
        let stays = plan.iter().any(|planned| planned.attached.policy.id == policy.id);
        if policy.app_id.is_some() && !stays {
            policies::delete(tx, policy.id).await?;
        }
    }
    let mut attached = Vec::with_capacity(plan.len());
    for planned in plan {
        let AttachedPolicy { precedence, policy } = &planned.attached;
        match &planned.write {
            Writing::Nothing => {}
            Writing::New => policies::write(tx, policy, None).await?,
            Writing::Over(before) => policies::write(tx, policy, Some(before)).await?,
        }
        policies::attach(tx, app.id, policy.id, *precedence).await?;
        attached.push(planned.attached);
    }
    Ok(attached)
}

/// Writes an application's own rows.
async fn write(tx: &mut Tx, app: &App, exists: bool) -> Result<(), sqlx::Error> {
    let row = Common {
        id: app.id.to_string(),
        account_id: app.account_id,
        zone_id: app.zone_id,
        name: app.name.as_str(),
        body: &app.body,
        created_at: app.created_at,
        updated_at: app.updated_at,
    };
    if exists {
        update(tx, "apps", &row).await?;
        run(tx, "DELETE FROM app_patterns WHERE app_id = $1", &[&row.id]).await?;
    } else {
        insert(tx, "apps", &row, Some(("aud", Some(app.aud.to_string())))).await?;
    }
    for pattern in &app.patterns {
        let text = "INSERT INTO app_patterns (pattern, app_id) VALUES ($1, $2)";
        run(tx, text, &[pattern.as_str(), &row.id]).await?;
    }
    Ok(())
}

fn note(batch: &mut Batch, grant: &Grant, now: Timestamp, action: &'static str, app: &App) {
    let patterns: Vec<_> = app.patterns.iter().map(Pattern::as_str).collect();
    let policies: Vec<_> = app
        .policies
        .iter()
        .map(|attached| {
            let policy = &attached.policy;
            let mut shown =
                json!({"id": policy.id, "precedence": attached.precedence, "name": policy.name.as_str()});
            if policy.app_id.is_some() {
                let rules = guarded::of_body(&policy.body, &["decision", "include", "exclude", "require"]);
                shown.as_object_mut().into_iter().for_each(|shown| shown.extend(rules.clone()));
            }
            shown
        })
        .collect();
    let keys = ["session_duration", "read_service_tokens_from_header", "service_auth_401_redirect"];
    let mut detail = guarded::of_body(&app.body, &keys);
    detail.insert("name".to_owned(), json!(app.name.as_str()));
    detail.insert("domains".to_owned(), json!(patterns));
    detail.insert("policies".to_owned(), json!(policies));
    batch.note(grant, now, action, KIND, app.id.to_string(), &detail);
}

/// The text under which changes of applications are noted.
pub(super) const KIND: &str = "app";
