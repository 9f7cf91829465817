//! The other side of the benchmarks: fills a store with service tokens, and runs the statements of a refresh without HTTP,
//! authentication or rules, in batches of 64, as fast as the engine lets it. `bench/run` calls it.
//!
//! `baseline seed (--data DIR | --database URL --server-key-file FILE) TOKENS`: prints credentials and the ids as JSON.
//! `baseline bare (--data DIR | --database URL) SECONDS`: prints refreshes per second.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a tool for measuring ends at the first surprise and prints its figure"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass::server_key::ServerKey;
use hallpass::store::accounts::{Account, Membership, User, Zone};
use hallpass::store::{Durability, FirstToken, Founding, Location, Purpose, Store, key_file, make_directory};
use hallpass::world::World;
use hallpass_core::caller::{Grant, Scope, SystemReason};
use hallpass_core::client_id::ClientId;
use hallpass_core::secret::{ClientSecret, SecretKind};
use hallpass_core::service_token::{Name, NewServiceToken, ServiceToken, ServiceTokenSpec};
use hallpass_core::validity::Validity;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Row as _};

const BATCH: usize = 64;
const ROWS: i64 = 64;

/// The statements of a batch of refreshes, as `store/writer.rs` sends them: lock, revision, audit, changes, tokens, commit.
macro_rules! bare {
    ($pool:expr, $begin:literal, $mark:expr, $lock:literal, $seconds:expr) => {{
        let texts = Texts::new(&$mark);
        let all: Vec<String> =
            sqlx::query_scalar("SELECT id FROM service_tokens").fetch_all(&$pool).await.unwrap();
        let limit = Duration::from_secs($seconds as u64);
        let began = Instant::now();
        let (mut done, mut dice) = (0_usize, 0x9e37_79b9_7f4a_7c15_u64);
        while began.elapsed() < limit {
            let ids = draw(&all, &mut dice);
            let now = jiff::Timestamp::now().as_microsecond();
            let mut tx = $pool.begin_with($begin).await.unwrap();
            if !$lock.is_empty() {
                sqlx::query($lock).execute(&mut *tx).await.unwrap();
            }
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&texts.select)));
            for id in &ids {
                query = query.bind(*id);
            }
            let found = query.fetch_all(&mut *tx).await.unwrap();
            let raising = sqlx::query("UPDATE revision SET n = n + $1 RETURNING n").bind(ROWS);
            let top: i64 = raising.fetch_one(&mut *tx).await.unwrap().get(0);
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&texts.audit)));
            for (revision, row) in (top - ROWS + 1..).zip(&found) {
                query = query
                    .bind(revision)
                    .bind(now)
                    .bind("user")
                    .bind("00000000000000000000000000000000")
                    .bind(Some("00000000000000000000000000000000"))
                    .bind(Some(row.get::<&str, _>("account_id")))
                    .bind("service_token.refresh")
                    .bind(row.get::<&str, _>("id"))
                    .bind("{\"expires_at\":\"2027-11-21T22:34:38Z\"}")
                    .bind(Some("127.0.0.1"))
                    .bind("00000000000000000000000000000000");
            }
            query.execute(&mut *tx).await.unwrap();
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&texts.changes)));
            for (revision, row) in (top - ROWS + 1..).zip(&found) {
                query = query.bind(revision).bind("service_token").bind(row.get::<&str, _>("id"));
            }
            query.execute(&mut *tx).await.unwrap();
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&texts.extend)));
            for row in &found {
                query = query.bind(row.get::<&str, _>("id")).bind(Some(now + 31_536_000_000_000)).bind(now);
            }
            assert_eq!(query.execute(&mut *tx).await.unwrap().rows_affected(), BATCH as u64);
            tx.commit().await.unwrap();
            done += BATCH;
        }
        println!("{:.0}", done as f64 / began.elapsed().as_secs_f64());
    }};
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)).cloned()
    };
    let (data, database) = (value("--data").map(PathBuf::from), value("--database"));
    let number: usize = arguments.last().and_then(|last| last.parse().ok()).expect("a number comes last");
    match (arguments.first().map(String::as_str), data, database) {
        (Some("seed"), Some(data), None) => {
            make_directory(&data).unwrap();
            let key = ServerKey::create(&key_file(&data), &World::machine()).unwrap();
            seed(&Location::Directory(data), &key, number).await;
        }
        (Some("seed"), None, Some(url)) => {
            let file = value("--server-key-file").expect("a key file");
            seed(&Location::Postgres(url), &ServerKey::read(Path::new(&file)).unwrap(), number).await;
        }
        (Some("bare"), Some(data), None) => {
            let options = SqliteConnectOptions::new()
                .filename(hallpass::store::database_file(&data))
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("temp_store", "memory");
            let pool = SqlitePoolOptions::new().max_connections(1).test_before_acquire(false);
            let pool = pool.connect_with(options).await.unwrap();
            bare!(pool, "BEGIN IMMEDIATE", |_| "?".to_owned(), "", number);
        }
        (Some("bare"), None, Some(url)) => {
            let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
            let pool = pool.connect(&url).await.unwrap();
            bare!(pool, "BEGIN", |n: usize| format!("${n}"), "SELECT n FROM revision FOR UPDATE", number);
        }
        _ => panic!("see the head of this file for the arguments"),
    }
}

/// Fills an empty store: one account, one user with a key, and so many service tokens.
async fn seed(location: &Location, key: &ServerKey, tokens: usize) {
    let world = World::machine();
    let store = Store::open(location, key, Purpose::Service, Durability::Full, &world).await.unwrap();
    let now = world.now();
    let account = Account { id: world.account_id(), name: "Bench".to_owned(), created_at: now };
    let zone =
        Zone { id: world.zone_id(), account_id: account.id, name: "example.com".to_owned(), created_at: now };
    let user = User { id: world.user_id(), email: "bench@example.com".to_owned(), created_at: now };
    let membership = Membership { id: world.membership_id(), user_id: user.id, account_id: account.id };
    let key = world.mint(SecretKind::GlobalKey);
    let first_token = |n: usize| {
        let spec = ServiceTokenSpec {
            name: Name::parse(&format!("token {n}")).unwrap(),
            validity: Validity::one_year(),
            enabled: true,
            secret_version: 1,
            previous_secret_expires_at: None,
        };
        let new = NewServiceToken {
            id: world.service_token_id(),
            account_id: account.id,
            zone_id: None,
            client_id: ClientId::random(world.random()),
            spec,
        };
        FirstToken {
            token: ServiceToken::issue(new, now).unwrap(),
            secret: world.mint(SecretKind::ServiceToken),
        }
    };
    let service_tokens: Vec<_> = (0..tokens).map(first_token).collect();
    let ids: Vec<_> = service_tokens.iter().take(10_000).map(|first| first.token.id.to_string()).collect();
    let credentials: Vec<_> = service_tokens
        .iter()
        .take(1_000)
        .map(|first| (first.token.client_id.to_string(), first.secret.reveal().to_owned()))
        .collect();
    println!(
        "{}",
        json!({
            "account_id": account.id, "email": user.email, "api_key": key.reveal(), "tokens": ids,
            "credentials": credentials,
        })
    );
    let grant = Grant::system(SystemReason::Seed, Scope::Account(account.id), world.request_id());
    let founding = Founding {
        accounts: vec![account],
        zones: vec![zone],
        users: vec![(user, ClientSecret::presented(key.reveal()))],
        memberships: vec![membership],
        ..Founding::default()
    };
    store.found(&grant, founding, now).await.unwrap();
    // A transaction must not take longer than the store is waited for.
    let mut rest = service_tokens.into_iter();
    loop {
        let service_tokens: Vec<_> = rest.by_ref().take(10_000).collect();
        if service_tokens.is_empty() {
            break;
        }
        store.add(&grant, Founding { service_tokens, ..Founding::default() }, now).await.unwrap();
    }
    store.close().await;
}

struct Texts {
    select: Arc<str>,
    audit: Arc<str>,
    changes: Arc<str>,
    extend: Arc<str>,
}

impl Texts {
    fn new(mark: &impl Fn(usize) -> String) -> Self {
        let rows = |columns: usize| {
            let row = |row: usize| {
                let marks: Vec<_> = (1..=columns).map(|column| mark(row * columns + column)).collect();
                format!("({})", marks.join(", "))
            };
            (0..BATCH).map(row).collect::<Vec<_>>().join(", ")
        };
        Self {
            select: format!(
                "SELECT id, account_id, zone_id, client_id, name, duration, expires_at, enabled, secret_version, \
                 previous_secret_expires_at, previous_secret_until, rotated_at, created_at, updated_at, \
                 (SELECT a.last_seen_at FROM activity a WHERE a.kind = 'service_token' AND a.owner_id = service_tokens.id) \
                 AS last_seen_at FROM service_tokens WHERE id IN ({})",
                rows(1)
            )
            .into(),
            audit: format!(
                "INSERT INTO audit (revision, at, actor, actor_id, actor_user_id, account_id, action, object_id, detail, client, request_id) \
                 SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9, \
                 v.column10, v.column11 FROM (VALUES {}) AS v WHERE v.column1 > 0",
                rows(11)
            )
            .into(),
            changes: format!(
                "INSERT INTO changes (revision, kind, object_id) SELECT v.column1, v.column2, v.column3 \
                 FROM (VALUES {}) AS v WHERE v.column1 > 0",
                rows(3)
            )
            .into(),
            extend: format!(
                "UPDATE service_tokens SET expires_at = v.column2, updated_at = v.column3 \
                 FROM (VALUES {}) AS v WHERE service_tokens.id = v.column1",
                rows(3)
            )
            .into(),
        }
    }
}

/// As many different ids as a batch holds, by xorshift.
fn draw<'a>(all: &'a [String], dice: &mut u64) -> BTreeSet<&'a str> {
    let mut ids = BTreeSet::new();
    while ids.len() < BATCH {
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        let at = usize::try_from(*dice >> 33).unwrap() % all.len();
        ids.extend(all.get(at).map(String::as_str));
    }
    ids
}
