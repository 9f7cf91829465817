//! Groups of rules in the store.

use hallpass_core::caller::Grant;
use hallpass_core::id::GroupId;
use hallpass_core::policy::Group;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::groups::{self as wire, GroupSpec};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, FromRow};

use super::batch::{Batch, Outcome, Work};
use super::engine::{Tx, in_time, on_engine};
use super::error::{Refusal, StoreError, WriteError};
use super::guarded::{self, Common, Which, decode, insert, reaches, refuse, run, update};
use super::references::{self, Owner};
use super::{Page, Paging, Store};

/// The groups that a grant reaches.
#[derive(Debug)]
pub struct Groups<'a> {
    pub(super) store: &'a Store,
}

/// Which groups to list.
#[derive(Debug, Clone, Default)]
pub struct GroupFilter {
    /// Only those with exactly this name.
    pub name: Option<String>,
    /// Only those whose name or id holds this, in upper or lower case.
    pub search: Option<String>,
}

impl Groups<'_> {
    /// The group with this id, if the grant reaches it.
    pub async fn find(&self, grant: &Grant, id: GroupId) -> Result<Option<Group>, StoreError> {
        let found = self.read(&Which::one(&id)).await?;
        Ok(found.into_iter().find(|group| reaches(grant.scope(), group.account_id, group.zone_id)))
    }

    /// A page of the groups that the grant reaches, newest first.
    pub async fn list(
        &self,
        grant: &Grant,
        filter: &GroupFilter,
        paging: Paging,
    ) -> Result<Page<Group>, StoreError> {
        let mut groups = self.read(&Which::within(grant.scope())).await?;
        groups.retain(|group| {
            reaches(grant.scope(), group.account_id, group.zone_id)
                && filter.name.as_ref().is_none_or(|name| name == group.name.as_str())
                && guarded::is_found(filter.search.as_deref(), &[group.name.as_str(), &group.id.to_string()])
        });
        Ok(Page::of(groups, paging))
    }

    /// Makes a group.
    pub async fn create(
        &self,
        grant: &Grant,
        id: GroupId,
        spec: GroupSpec,
        now: Timestamp,
    ) -> Result<Group, WriteError> {
        self.write(grant, now, GroupWork::Create(id, Box::new(spec))).await
    }

    /// Replaces all that can be said of a group.
    pub async fn replace(
        &self,
        grant: &Grant,
        id: GroupId,
        spec: GroupSpec,
        now: Timestamp,
    ) -> Result<Group, WriteError> {
        self.write(grant, now, GroupWork::Replace(id, Box::new(spec))).await
    }

    /// Deletes a group to which nothing refers.
    pub async fn delete(&self, grant: &Grant, id: GroupId, now: Timestamp) -> Result<Group, WriteError> {
        self.write(grant, now, GroupWork::Delete(id)).await
    }

    async fn read(&self, which: &Which) -> Result<Vec<Group>, StoreError> {
        in_time(async {
            let mut tx = self.store.readers().begin_reading().await?;
            let groups = read(&mut tx, which).await?;
            tx.commit().await?;
            Ok(groups)
        })
        .await
    }

    async fn write(&self, grant: &Grant, now: Timestamp, work: GroupWork) -> Result<Group, WriteError> {
        match self.store.write(grant, now, Work::Group(work)).await? {
            Outcome::Group(group) => Ok(*group),
            _ => Err(StoreError::Corrupt("the writer answered another question".to_owned()).into()),
        }
    }
}

/// A change of a group, as data.
#[derive(Debug)]
pub(super) enum GroupWork {
    Create(GroupId, Box<GroupSpec>),
    Replace(GroupId, Box<GroupSpec>),
    Delete(GroupId),
}

#[derive(Debug, FromRow)]
struct GroupRow {
    id: String,
    account_id: String,
    zone_id: Option<String>,
    body: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<GroupRow> for Group {
    type Error = StoreError;

    fn try_from(row: GroupRow) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("group {}: {what}", row.id));
        let time = |micros: i64| Timestamp::from_micros(micros).ok_or_else(|| corrupt("a time out of range"));
        let body: Value = serde_json::from_str(&row.body).map_err(|_| corrupt("body"))?;
        let GroupSpec { name, rules, body } = wire::read(&body).map_err(|_| corrupt("body"))?;
        let zone_id = row.zone_id.as_deref().map(str::parse).transpose();
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt("its id"))?,
            account_id: row.account_id.parse().map_err(|_| corrupt("account_id"))?,
            zone_id: zone_id.map_err(|_| corrupt("zone_id"))?,
            name,
            rules,
            body,
            created_at: time(row.created_at)?,
            updated_at: time(row.updated_at)?,
        })
    }
}

/// Reads groups, newest first.
pub(super) async fn read(tx: &mut Tx, which: &Which) -> Result<Vec<Group>, StoreError> {
    let (condition, value) = which.condition("account_id", "id");
    let text = format!(
        "SELECT id, account_id, zone_id, body, created_at, updated_at FROM rule_groups WHERE {condition} ORDER BY created_at DESC, id"
    );
    let rows = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, GroupRow>(AssertSqlSafe(text)).bind(value).fetch_all(conn).await?
    });
    rows.into_iter().map(Group::try_from).collect()
}

/// Carries out a change of a group.
pub(super) async fn apply(
    batch: &mut Batch,
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
    work: &GroupWork,
) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
    let (id, spec) = match work {
        GroupWork::Create(id, spec) | GroupWork::Replace(id, spec) => (*id, Some(spec)),
        GroupWork::Delete(id) => (*id, None),
    };
    let stored = read(tx, &Which::one(&id)).await.map_err(decode)?.into_iter().next();
    let stored = stored.filter(|group| reaches(grant.scope(), group.account_id, group.zone_id));
    let Some(spec) = spec else {
        let Some(group) = stored else { return Ok(Err(Refusal::Absent)) };
        let users = references::users_of_group(tx, id).await?;
        if !users.is_empty() {
            return Ok(Err(refuse("", format!("cannot delete the group because it is used by {users}"))));
        }
        run(tx, "DELETE FROM rule_groups WHERE id = $1", &[&id.to_string()]).await?;
        batch.note(grant, now, "group.delete", KIND, id.to_string(), &json!({"name": group.name.as_str()}));
        return Ok(Ok(Outcome::Group(Box::new(group))));
    };
    let creates = matches!(work, GroupWork::Create(..));
    let (account_id, zone_id, created_at) = match (&stored, grant.scope().account()) {
        (Some(group), _) => (group.account_id, group.zone_id, group.created_at),
        (None, Some(account)) if creates => (account, grant.scope().zone(), now),
        (None, _) => return Ok(Err(Refusal::Absent)),
    };
    let group = Group {
        id,
        account_id,
        zone_id,
        name: spec.name.clone(),
        rules: spec.rules.clone(),
        body: spec.body.clone(),
        created_at,
        updated_at: now,
    };
    // A new group has nobody who could be part of itself through it; one that names itself names what is not there.
    if let Err(refusal) = references::check(tx, batch, account_id, &group.rules, "").await? {
        return Ok(Err(refusal));
    }
    if let Err(refusal) = references::check_nesting(tx, account_id, id, &group.rules).await? {
        return Ok(Err(refusal));
    }
    let row = Common {
        id: id.to_string(),
        account_id,
        zone_id,
        name: group.name.as_str(),
        body: &group.body,
        created_at,
        updated_at: now,
    };
    let action = if creates {
        insert(tx, "rule_groups", &row, None).await?;
        "group.create"
    } else {
        update(tx, "rule_groups", &row).await?;
        "group.update"
    };
    references::write(tx, Owner::Group, &row.id, &group.rules).await?;
    let detail = guarded::of_body(&group.body, &["name", "include", "exclude", "require"]);
    batch.note(grant, now, action, KIND, id.to_string(), &detail);
    Ok(Ok(Outcome::Group(Box::new(group))))
}

/// The text under which changes of groups are noted.
pub(super) const KIND: &str = "group";
