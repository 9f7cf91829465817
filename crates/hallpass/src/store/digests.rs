//! Digests of secrets. This is the only file that writes them, and it does so for nothing but creation, rotation and deletion.

use hallpass_core::id::{ApiTokenId, ServiceTokenId, UserId};
use hallpass_core::secret::SecretDigest;
use hallpass_core::service_token::ServiceToken;
use sqlx::AssertSqlSafe;

use super::engine::{Batched, CAP, Engine, Tx, expect_rows, on_engine};
use super::{accounts, api_tokens, service_tokens};

/// The version of the server key under which digests are made. There is one so far.
const KEY_VERSION: i64 = 1;

/// Whose digest it is: the kind of record, its id, and the number of a service token's secret.
#[derive(Debug, Clone)]
pub(super) struct DigestOwner {
    kind: &'static str,
    id: String,
    secret_version: Option<u32>,
}

impl DigestOwner {
    pub(super) fn service_token(id: ServiceTokenId) -> Self {
        Self { kind: service_tokens::KIND, id: id.to_string(), secret_version: None }
    }

    /// For the digest of the secret that is the current one of a service token.
    pub(super) fn current_of(token: &ServiceToken) -> Self {
        Self { secret_version: Some(token.secret_version), ..Self::service_token(token.id) }
    }

    pub(super) fn api_token(id: ApiTokenId) -> Self {
        Self { kind: api_tokens::KIND, id: id.to_string(), secret_version: None }
    }

    pub(super) fn user(id: UserId) -> Self {
        Self { kind: accounts::USER_KIND, id: id.to_string(), secret_version: None }
    }
}

/// What to do with an owner's digests.
#[derive(Debug, Clone)]
pub(super) enum DigestWork {
    /// The first one.
    Create(DigestOwner, SecretDigest),
    /// The current one becomes the previous one, and this one current.
    Replace(DigestOwner, SecretDigest),
    /// This one becomes current; the previous one stays.
    ReplaceCurrent(DigestOwner, SecretDigest),
    /// All of them go.
    Delete(DigestOwner),
}

/// The statement that writes many first digests at once.
#[derive(Debug)]
pub(super) struct Statements {
    insert: Batched,
}

impl Statements {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            insert: Batched::new(engine, 6, |values| {
                format!(
                    "INSERT INTO digests (kind, owner_id, slot, key_version, digest, secret_version) \
                     SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6 FROM (VALUES {values}) AS v \
                     WHERE v.column1 <> ''"
                )
            }),
        }
    }

    /// Does the work: all first digests at once, the rest in order.
    pub(super) async fn run(&self, tx: &mut Tx, works: &[DigestWork]) -> Result<(), sqlx::Error> {
        let mut first = Vec::new();
        for work in works {
            if let DigestWork::Create(owner, digest) = work {
                first.push((owner, digest));
            }
        }
        for digests in first.chunks(CAP) {
            self.insert(tx, digests).await?;
        }
        for work in works {
            match work {
                DigestWork::Create(..) => {}
                DigestWork::Replace(owner, digest) => {
                    drop_slot(tx, owner, "previous").await?;
                    rename_current(tx, owner).await?;
                    self.insert(tx, &[(owner, digest)]).await?;
                }
                DigestWork::ReplaceCurrent(owner, digest) => {
                    drop_slot(tx, owner, "current").await?;
                    self.insert(tx, &[(owner, digest)]).await?;
                }
                DigestWork::Delete(owner) => {
                    drop_slot(tx, owner, "previous").await?;
                    drop_slot(tx, owner, "current").await?;
                }
            }
        }
        Ok(())
    }

    async fn insert(
        &self,
        tx: &mut Tx,
        digests: &[(&DigestOwner, &SecretDigest)],
    ) -> Result<(), sqlx::Error> {
        let (text, size) = self.insert.for_rows(digests.len());
        let written = on_engine!(Tx, tx, conn => {
            let mut query = sqlx::query(AssertSqlSafe(text));
            for n in 0..size {
                let row = digests.get(n);
                query = query
                    .bind(row.map_or("", |(owner, _)| owner.kind))
                    .bind(row.map_or("", |(owner, _)| owner.id.as_str()))
                    .bind("current")
                    .bind(KEY_VERSION)
                    .bind(row.map_or(&[] as &[u8], |(_, digest)| digest.as_bytes().as_slice()))
                    .bind(row.and_then(|(owner, _)| owner.secret_version).map(i64::from));
            }
            query.execute(conn).await?.rows_affected()
        });
        expect_rows(written, digests.len())
    }
}

async fn drop_slot(tx: &mut Tx, owner: &DigestOwner, slot: &'static str) -> Result<(), sqlx::Error> {
    on_engine!(Tx, tx, conn => {
        sqlx::query("DELETE FROM digests WHERE kind = $1 AND owner_id = $2 AND slot = $3")
            .bind(owner.kind)
            .bind(&owner.id)
            .bind(slot)
            .execute(conn)
            .await?;
    });
    Ok(())
}

async fn rename_current(tx: &mut Tx, owner: &DigestOwner) -> Result<(), sqlx::Error> {
    let renamed = on_engine!(Tx, tx, conn => {
        let renaming = sqlx::query("UPDATE digests SET slot = 'previous' WHERE kind = $1 AND owner_id = $2 AND slot = 'current'");
        renaming.bind(owner.kind).bind(&owner.id).execute(conn).await?.rows_affected()
    });
    expect_rows(renamed, 1)
}
