//! Service tokens that nobody uses: those of an account whose organization says what becomes of them.
//!
//! A token is inactive if it was neither used nor changed for so many days, and no policy or group refers to it. The last look is in
//! the transaction that ends it: what was used, changed or referred to meanwhile stays, and of several nodes one comes first.

use hallpass_core::caller::{Grant, Scope, SystemReason};
use hallpass_core::id::{AccountId, ServiceTokenId};
use hallpass_core::organization::{Inactivity, InactivityAction};
use hallpass_core::service_token::{Edit, TokenChange};
use hallpass_core::time::Timestamp;
use sqlx::{AssertSqlSafe, FromRow};

use super::batch::{Batch, Outcome, Work};
use super::engine::{Tx, in_time, on_engine};
use super::error::{Refusal, StoreError, WriteError};
use super::{Store, organizations};
use crate::world::World;

const DAY: i64 = 86_400_000_000;
/// How many tokens of an account are ended in one go: the others come the next time.
const MOST_AT_ONCE: usize = 1_000;

/// A token that is inactive.
#[derive(Debug, Clone)]
pub struct InactiveToken {
    /// Which.
    pub id: ServiceTokenId,
    /// What people call it.
    pub name: String,
    /// When it was last used or changed.
    pub since: Timestamp,
    /// What is done with it.
    pub action: InactivityAction,
}

#[derive(FromRow)]
struct Row {
    id: String,
    name: String,
    since: i64,
}

impl Store {
    /// The inactive tokens of the grant's account, longest unused first, a thousand at most: what [`Self::end_inactive`] would take now
    /// if the account's organization asked for this.
    pub async fn inactive_tokens(
        &self,
        grant: &Grant,
        inactivity: Inactivity,
        now: Timestamp,
    ) -> Result<Vec<InactiveToken>, StoreError> {
        let Some(account) = grant.scope().account() else { return Ok(Vec::new()) };
        in_time(async {
            let mut tx = self.readers().begin_reading().await?;
            let found = find(&mut tx, account, inactivity, now, None).await?;
            tx.commit().await?;
            let token = |row: Row| {
                let corrupt = || StoreError::Corrupt(format!("service token {}", row.id));
                Ok(InactiveToken {
                    id: row.id.parse().map_err(|_| corrupt())?,
                    since: Timestamp::from_micros(row.since).ok_or_else(corrupt)?,
                    name: row.name,
                    action: inactivity.action,
                })
            };
            found.into_iter().map(token).collect()
        })
        .await
    }

    /// Disables or deletes the inactive tokens of all accounts, as their organizations say, and says how many it were.
    pub async fn end_inactive(&self, world: &World) -> Result<u64, StoreError> {
        let mut ended = 0;
        for organization in self.organizations().all().await? {
            let Some(inactivity) = organization.inactivity else { continue };
            let account = organization.account_id;
            let grant =
                || Grant::system(SystemReason::Inactivity, Scope::Account(account), world.request_id());
            for token in self.inactive_tokens(&grant(), inactivity, world.now()).await? {
                let grant = grant();
                match self.write(&grant, world.now(), Work::EndInactive(token.id)).await {
                    Ok(_) => ended += 1,
                    // It was used or changed meanwhile, the organization asks for something else, or another node was first.
                    Err(WriteError::Refused(_)) => {}
                    Err(WriteError::Store(error)) => return Err(error),
                }
            }
        }
        Ok(ended)
    }
}

/// Ends a token, if it is still inactive.
pub(super) async fn end(
    batch: &mut Batch,
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
    id: ServiceTokenId,
) -> Result<Result<Outcome, Refusal>, sqlx::Error> {
    let Some(account) = grant.scope().account() else { return Ok(Err(Refusal::Absent)) };
    let stored = organizations::read(tx, account).await?;
    let Some(inactivity) = stored.and_then(|stored| stored.organization.inactivity) else {
        return Ok(Err(Refusal::Absent));
    };
    // An earlier job of the batch may have changed it, and that is not yet in the table.
    let unchanged = batch.held(id).flatten().is_some_and(|token| token.updated_at <= before(inactivity, now));
    if !unchanged || find(tx, account, inactivity, now, Some(id)).await?.is_empty() {
        return Ok(Err(Refusal::Absent));
    }
    match inactivity.action {
        InactivityAction::Disable => {
            let change = TokenChange::Edit(Edit { enabled: Some(false), ..Edit::default() });
            Ok(batch.change(grant, now, id, &change, None).map(Outcome::ServiceToken))
        }
        InactivityAction::Delete => Box::pin(batch.add(tx, grant, now, &Work::DeleteServiceToken(id))).await,
    }
}

/// What was last used or changed at this time or earlier is inactive.
fn before(inactivity: Inactivity, now: Timestamp) -> Timestamp {
    let earlier = now.checked_add_micros(-i64::from(inactivity.days).saturating_mul(DAY));
    earlier.or_else(|| Timestamp::from_micros(0)).unwrap_or(now)
}

async fn find(
    tx: &mut Tx,
    account: AccountId,
    inactivity: Inactivity,
    now: Timestamp,
    only: Option<ServiceTokenId>,
) -> Result<Vec<Row>, sqlx::Error> {
    let enabled = match inactivity.action {
        InactivityAction::Disable => "AND t.enabled",
        InactivityAction::Delete => "",
    };
    // A use of the previous secret is a use, too. Creation and rotation are changes.
    let text = format!(
        "SELECT t.id, t.name, CASE WHEN a.last_seen_at > t.updated_at THEN a.last_seen_at ELSE t.updated_at END AS since \
         FROM service_tokens t LEFT JOIN activity a ON a.kind = 'service_token' AND a.owner_id = t.id \
         WHERE t.account_id = $1 AND t.updated_at <= $2 AND (a.last_seen_at IS NULL OR a.last_seen_at <= $2) \
         AND ($3 = '' OR t.id = $3) {enabled} \
         AND NOT EXISTS (SELECT 1 FROM policy_service_tokens r WHERE r.service_token_id = t.id) \
         AND NOT EXISTS (SELECT 1 FROM group_service_tokens r WHERE r.service_token_id = t.id) \
         ORDER BY since, t.id LIMIT {MOST_AT_ONCE}"
    );
    let only = only.map(|id| id.to_string()).unwrap_or_default();
    Ok(on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, Row>(AssertSqlSafe(text))
            .bind(account.to_string())
            .bind(before(inactivity, now).as_micros())
            .bind(only)
            .fetch_all(conn)
            .await?
    }))
}
