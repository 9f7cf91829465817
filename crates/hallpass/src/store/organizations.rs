//! Organizations in the store. An account for which nothing was ever said has no row, and the organization that it began with.

use hallpass_core::caller::Grant;
use hallpass_core::id::AccountId;
use hallpass_core::key_rotation::DEFAULT_INTERVAL_DAYS;
use hallpass_core::organization::Organization;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::organizations::{self as wire, Change};
use serde_json::{Value, json};
use sqlx::FromRow;

use super::audit::Entry;
use super::batch::{Outcome, Work};
use super::engine::{Tx, in_time, on_engine, reading};
use super::error::{Refusal, StoreError, WriteError};
use super::{Store, hosts};

/// The kind of an organization in change rows; its id there is the account's.
pub(super) const KIND: &str = "organization";

/// The organization that a grant reaches.
#[derive(Debug)]
pub struct Organizations<'a> {
    pub(super) store: &'a Store,
}

/// An organization with what is stored beside it.
pub(super) struct Stored {
    pub(super) organization: Organization,
    pub(super) interval_days: u32,
}

#[derive(FromRow)]
struct Row {
    account_id: String,
    account_name: String,
    account_created_at: i64,
    body: Option<String>,
    key_rotation_interval_days: Option<i64>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.id AS account_id, a.name AS account_name, a.created_at AS account_created_at, o.body, \
             o.key_rotation_interval_days, o.created_at, o.updated_at \
             FROM accounts a LEFT JOIN organizations o ON o.account_id = a.id ",
            $rest
        )
    };
}

impl Organizations<'_> {
    /// The organization of the grant's account; `None` where there is no such account.
    pub async fn find(&self, grant: &Grant) -> Result<Option<Organization>, StoreError> {
        let Some(account) = grant.scope().account() else { return Ok(None) };
        let row = reading!(self.store, pool => {
            let find = sqlx::query_as::<_, Row>(select!("WHERE a.id = $1")).bind(account.to_string());
            find.fetch_optional(pool).await?
        });
        Ok(row.map(Stored::try_from).transpose()?.map(|stored| stored.organization))
    }

    /// Those of all accounts: for what Hallpass itself decides by them.
    pub async fn all(&self) -> Result<Vec<Organization>, StoreError> {
        in_time(async {
            let mut tx = self.store.readers().begin_reading().await?;
            load(&mut tx).await
        })
        .await
    }

    /// Changes it.
    pub async fn change(
        &self,
        grant: &Grant,
        change: Change,
        now: Timestamp,
    ) -> Result<Organization, WriteError> {
        let account = grant.scope().account().ok_or(Refusal::Absent)?;
        let work = Work::ChangeOrganization(account, change);
        match self.store.write(grant, now, work).await? {
            Outcome::Organization(organization) => Ok(*organization),
            _ => Err(StoreError::Corrupt("the writer answered another question".to_owned()).into()),
        }
    }
}

/// Reads the organizations of all accounts.
pub(super) async fn load(tx: &mut Tx) -> Result<Vec<Organization>, StoreError> {
    let rows = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, Row>(select!("ORDER BY a.id")).fetch_all(conn).await?
    });
    rows.into_iter().map(|row| Ok(Stored::try_from(row)?.organization)).collect()
}

/// Reads the organization of an account; `None` where there is no such account.
pub(super) async fn read(tx: &mut Tx, account: AccountId) -> Result<Option<Stored>, sqlx::Error> {
    let row = on_engine!(Tx, tx, conn => {
        let find = sqlx::query_as::<_, Row>(select!("WHERE a.id = $1")).bind(account.to_string());
        find.fetch_optional(conn).await?
    });
    row.map(Stored::try_from).transpose().map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Writes all that is stored of an organization.
pub(super) async fn write(tx: &mut Tx, stored: &Stored) -> Result<(), sqlx::Error> {
    let Stored { organization, interval_days } = stored;
    let body =
        serde_json::to_string(&organization.body).map_err(|error| sqlx::Error::Encode(error.into()))?;
    on_engine!(Tx, tx, conn => {
        sqlx::query(
            "INSERT INTO organizations (account_id, auth_domain, body, key_rotation_interval_days, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id) DO UPDATE SET auth_domain = excluded.auth_domain, \
             body = excluded.body, key_rotation_interval_days = excluded.key_rotation_interval_days, \
             updated_at = excluded.updated_at",
        )
        .bind(organization.account_id.to_string())
        .bind(&organization.auth_domain)
        .bind(body)
        .bind(i64::from(*interval_days))
        .bind(organization.created_at.as_micros())
        .bind(organization.updated_at.as_micros())
        .execute(conn)
        .await?;
    });
    Ok(())
}

/// Runs the rules of a change, and writes what comes of it. A change without effect has no entry.
pub(super) async fn change(
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
    account: AccountId,
    change: &Change,
) -> Result<Result<(Organization, Option<Entry>), Refusal>, sqlx::Error> {
    let Some(mut stored) = read(tx, account).await? else { return Ok(Err(Refusal::Absent)) };
    let before = stored.organization;
    let after = match change.apply(&before, now) {
        Ok(after) => after,
        Err(errors) => return Ok(Err(Refusal::Fields(errors))),
    };
    if after == before {
        return Ok(Ok((after, None)));
    }
    let taken = on_engine!(Tx, tx, conn => {
        sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM organizations WHERE auth_domain = $1 AND account_id <> $2",
        )
        .bind(&after.auth_domain)
        .bind(account.to_string())
        .fetch_one(&mut *conn)
        .await?
    });
    let elsewhere = hosts::of_another(tx, account, std::iter::once(after.auth_domain.as_str())).await?;
    if taken > 0 || elsewhere.is_some() {
        return Ok(Err(Refusal::AuthDomainTaken));
    }
    let detail = difference(&before, &after);
    let entry = Entry::new(grant, now, "organization.update", KIND, account.to_string(), &detail);
    stored.organization = after.clone();
    write(tx, &stored).await?;
    Ok(Ok((after, Some(entry))))
}

/// The fields that are different now; `null` for one that is gone.
fn difference(before: &Organization, after: &Organization) -> Value {
    let keys = before.body.keys().chain(after.body.keys());
    let differs = keys.filter(|key| before.body.get(*key) != after.body.get(*key));
    differs.map(|key| (key.clone(), after.body.get(key).cloned().unwrap_or(Value::Null))).collect()
}

/// Notes another interval of key rotations; without effect, no entry.
pub(super) async fn set_interval(
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
    mut stored: Stored,
    days: u32,
) -> Result<Option<Entry>, sqlx::Error> {
    if stored.interval_days == days {
        return Ok(None);
    }
    stored.interval_days = days;
    write(tx, &stored).await?;
    let detail = json!({"key_rotation_interval_days": days});
    let id = stored.organization.account_id.to_string();
    Ok(Some(Entry::new(grant, now, "organization.update_keys", KIND, id, &detail)))
}

impl TryFrom<Row> for Stored {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("{what} of an organization"));
        let time = |micros| Timestamp::from_micros(micros).ok_or_else(|| corrupt("a time"));
        let account_id: AccountId = row.account_id.parse().map_err(|_| corrupt("the account"))?;
        let mut organization =
            Organization::new(account_id, &row.account_name, time(row.account_created_at)?);
        let mut interval_days = DEFAULT_INTERVAL_DAYS;
        if let Some(body) = row.body {
            let body: Value = serde_json::from_str(&body).map_err(|_| corrupt("the body"))?;
            // What was never said was not read by the rules of a body: an account's name may be one that they refuse.
            let spec = wire::read(&body, account_id).map_err(|_| corrupt("the body"))?;
            organization = Organization {
                account_id,
                auth_domain: spec.auth_domain,
                name: spec.name,
                inactivity: spec.inactivity,
                body: spec.body,
                created_at: time(row.created_at.unwrap_or_default())?,
                updated_at: time(row.updated_at.unwrap_or_default())?,
            };
            let days = row.key_rotation_interval_days.unwrap_or_default();
            interval_days = u32::try_from(days).map_err(|_| corrupt("the interval"))?;
        }
        Ok(Self { organization, interval_days })
    }
}
