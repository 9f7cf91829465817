//! Accounts, zones, users and memberships in the store. They are few, are made by operators alone, and all of them are held in
//! memory by [`super::callers`]; so this file only writes and loads.

use hallpass_core::id::{AccountId, MembershipId, UserId, ZoneId};
use hallpass_core::time::Timestamp;
use sqlx::FromRow;

use super::engine::{Tx, on_engine};
use super::error::StoreError;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its identifier.
    pub id: AccountId,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its identifier.
    pub id: ZoneId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// Its domain name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its identifier.
    pub id: UserId,
    /// The e-mail address, in lower case.
    pub email: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A user's membership of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its identifier.
    pub id: MembershipId,
    /// The member.
    pub user_id: UserId,
    /// Of what.
    pub account_id: AccountId,
}

/// As audit and changes name them; `USER_KIND` also the digests of users' keys.
pub(super) const KIND: &str = "account";
pub(super) const ZONE_KIND: &str = "zone";
pub(super) const USER_KIND: &str = "user";
pub(super) const MEMBERSHIP_KIND: &str = "membership";

pub(super) async fn insert_account(tx: &mut Tx, account: &Account) -> Result<(), sqlx::Error> {
    on_engine!(Tx, tx, conn => {
        sqlx::query("INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, $3)")
            .bind(account.id.to_string())
            .bind(&account.name)
            .bind(account.created_at.as_micros())
            .execute(conn)
            .await?;
    });
    Ok(())
}

pub(super) async fn insert_zone(tx: &mut Tx, zone: &Zone) -> Result<(), sqlx::Error> {
    on_engine!(Tx, tx, conn => {
        sqlx::query("INSERT INTO zones (id, account_id, name, created_at) VALUES ($1, $2, $3, $4)")
            .bind(zone.id.to_string())
            .bind(zone.account_id.to_string())
            .bind(&zone.name)
            .bind(zone.created_at.as_micros())
            .execute(conn)
            .await?;
    });
    Ok(())
}

pub(super) async fn insert_user(tx: &mut Tx, user: &User) -> Result<(), sqlx::Error> {
    on_engine!(Tx, tx, conn => {
        sqlx::query("INSERT INTO users (id, email, created_at) VALUES ($1, $2, $3)")
            .bind(user.id.to_string())
            .bind(&user.email)
            .bind(user.created_at.as_micros())
            .execute(conn)
            .await?;
    });
    Ok(())
}

pub(super) async fn insert_membership(tx: &mut Tx, membership: &Membership) -> Result<(), sqlx::Error> {
    on_engine!(Tx, tx, conn => {
        sqlx::query("INSERT INTO memberships (id, user_id, account_id) VALUES ($1, $2, $3)")
            .bind(membership.id.to_string())
            .bind(membership.user_id.to_string())
            .bind(membership.account_id.to_string())
            .execute(conn)
            .await?;
    });
    Ok(())
}

/// All accounts, zones, users with the digest of their key, and memberships.
pub(super) struct Everyone {
    pub(super) accounts: Vec<Account>,
    pub(super) zones: Vec<Zone>,
    pub(super) users: Vec<(User, [u8; 32])>,
    pub(super) memberships: Vec<Membership>,
}

/// Reads them all.
pub(super) async fn load(tx: &mut Tx) -> Result<Everyone, StoreError> {
    #[derive(FromRow)]
    struct AccountRow {
        id: String,
        name: String,
        created_at: i64,
    }
    #[derive(FromRow)]
    struct ZoneRow {
        id: String,
        account_id: String,
        name: String,
        created_at: i64,
    }
    #[derive(FromRow)]
    struct UserRow {
        id: String,
        email: String,
        created_at: i64,
        digest: Vec<u8>,
    }
    #[derive(FromRow)]
    struct MembershipRow {
        id: String,
        user_id: String,
        account_id: String,
    }

    let corrupt = |what: &str| StoreError::Corrupt(format!("{what} cannot be read"));
    let accounts = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, AccountRow>("SELECT id, name, created_at FROM accounts ORDER BY created_at DESC, id").fetch_all(conn).await?
    });
    let zones = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, ZoneRow>("SELECT id, account_id, name, created_at FROM zones ORDER BY created_at DESC, id").fetch_all(conn).await?
    });
    let users = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, UserRow>(
            "SELECT u.id, u.email, u.created_at, d.digest FROM users u \
             JOIN digests d ON d.kind = 'user' AND d.owner_id = u.id AND d.slot = 'current'",
        )
        .fetch_all(conn)
        .await?
    });
    let memberships = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, MembershipRow>("SELECT id, user_id, account_id FROM memberships ORDER BY id").fetch_all(conn).await?
    });

    let time = |micros| Timestamp::from_micros(micros).ok_or_else(|| corrupt("a time"));
    let account = |row: AccountRow| {
        Ok(Account {
            id: row.id.parse().map_err(|_| corrupt("an account's id"))?,
            name: row.name,
            created_at: time(row.created_at)?,
        })
    };
    let zone = |row: ZoneRow| {
        Ok(Zone {
            id: row.id.parse().map_err(|_| corrupt("a zone's id"))?,
            account_id: row.account_id.parse().map_err(|_| corrupt("a zone's account"))?,
            name: row.name,
            created_at: time(row.created_at)?,
        })
    };
    let user = |row: UserRow| {
        let user = User {
            id: row.id.parse().map_err(|_| corrupt("a user's id"))?,
            email: row.email,
            created_at: time(row.created_at)?,
        };
        Ok((user, row.digest.try_into().map_err(|_| corrupt("a user's digest"))?))
    };
    let membership = |row: MembershipRow| {
        Ok(Membership {
            id: row.id.parse().map_err(|_| corrupt("a membership's id"))?,
            user_id: row.user_id.parse().map_err(|_| corrupt("a membership's user"))?,
            account_id: row.account_id.parse().map_err(|_| corrupt("a membership's account"))?,
        })
    };
    Ok(Everyone {
        accounts: accounts.into_iter().map(account).collect::<Result<_, StoreError>>()?,
        zones: zones.into_iter().map(zone).collect::<Result<_, StoreError>>()?,
        users: users.into_iter().map(user).collect::<Result<_, StoreError>>()?,
        memberships: memberships.into_iter().map(membership).collect::<Result<_, StoreError>>()?,
    })
}
