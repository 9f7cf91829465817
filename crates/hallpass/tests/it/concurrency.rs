//! Many at once: nothing is lost, and there is one winner where there can be only one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass::api::rate_limit::RateLimits;
use hallpass::api::{self, Api};
use hallpass::reference::References;
use hallpass::serve;
use hallpass::server_key::ServerKey;
use hallpass::store::accounts::Account;
use hallpass::store::error::{Refusal, WriteError};
use hallpass::store::{Durability, Founding, Purpose, Store};
use hallpass::world::World;
use hallpass_core::caller::{Grant, Scope, SystemReason};
use hallpass_core::id::AccountId;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::harness::{
    Actor, Engine, Options, Place, Reply, SERVICE_TOKENS_READ, START, TestServer, allow, both_engines, text,
};
use crate::inspect::{Database, Digests, Installation, digest};

const CALLERS: usize = 64;

/// Runs as many calls at once, numbered, and gives what they gave.
async fn at_once<T, F>(count: usize, call: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let mut calls = JoinSet::new();
    for n in 0..count {
        let (call, barrier) = (call(n), Arc::clone(&barrier));
        calls.spawn(async move {
            barrier.wait().await;
            call.await
        });
    }
    calls.join_all().await
}

fn id(token: &Value) -> String {
    text(&token["id"])
}

fn version(token: &Value) -> i64 {
    token["client_secret_version"].as_i64().unwrap()
}

/// A change that was acknowledged.
#[derive(Debug)]
struct Acknowledged {
    token: String,
    began: Instant,
    ended: Instant,
    what: What,
}

#[derive(Debug)]
enum What {
    Refreshed,
    Named(String),
    Rotated { version: i64, secret: String },
}

/// Refreshes, renames and rotates these tokens in turn, and looks after each change whether it can be seen.
async fn change(actors: Vec<Actor>, path: String, tokens: Vec<String>, n: usize) -> Vec<Acknowledged> {
    const STEPS: usize = 6;
    let mut acknowledged = Vec::new();
    for step in 0..STEPS {
        let token = tokens[(n + step) % tokens.len()].clone();
        let actor = &actors[(n / 4 + step) % actors.len()];
        let path = format!("{path}/{token}");
        let began = Instant::now();
        let (reply, name) = match (n / 2 + step) % 3 {
            0 => (actor.post(&format!("{path}/refresh"), json!({})).await, None),
            1 => {
                let name = format!("name {n} {step}");
                (actor.put(&path, json!({"name": name})).await, Some(name))
            }
            _ => (actor.post(&format!("{path}/rotate"), json!({})).await, None),
        };
        let ended = Instant::now();
        let reply = reply.result(200);
        let seen = actor.get(&path).await.result(200);
        assert!(version(&seen) >= version(&reply), "{seen} after {reply}");
        let what = match (reply.get("client_secret"), name) {
            (Some(secret), None) => What::Rotated { version: version(&reply), secret: text(secret) },
            (None, Some(name)) => {
                assert_eq!(reply["name"], name.as_str());
                What::Named(name)
            }
            (None, None) => What::Refreshed,
            (Some(_), Some(_)) => panic!("a new name brought a new secret: {reply}"),
        };
        acknowledged.push(Acknowledged { token, began, ended, what });
    }
    acknowledged
}

/// Makes tokens, lets many change them at once through all of the servers, and holds what is stored against what was
/// acknowledged.
async fn changes_of_few_tokens(server: &TestServer, actors: &[Actor]) {
    const TOKENS: usize = 4;
    let path = server.home.tokens_path();
    let mut first = BTreeMap::new();
    for n in 0..TOKENS {
        let made = server.make_service_token(&server.home, json!({"name": format!("token {n}")})).await;
        first.insert(id(&made), text(&made["client_secret"]));
    }
    let mut database = Database::open(&server.place.location).await;
    let before = database.revision().await;

    let tokens: Vec<_> = first.keys().cloned().collect();
    let all: Vec<_> = at_once(CALLERS, |n| change(actors.to_vec(), path.clone(), tokens.clone(), n))
        .await
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(
        database.revision().await - before,
        i64::try_from(all.len()).unwrap(),
        "one audit row for each acknowledged change"
    );

    let audit = database.audit().await;
    let digests = database.digests().await;
    for (token, first_secret) in first {
        let of_token: Vec<_> = all.iter().filter(|done| done.token == token).collect();
        let mut secrets = BTreeMap::from([(1, first_secret)]);
        for done in &of_token {
            if let What::Rotated { version, secret } = &done.what {
                let twice = secrets.insert(*version, secret.clone());
                assert_eq!(twice, None, "version {version} of {token} was given twice");
            }
        }
        let distinct: BTreeSet<_> = secrets.values().collect();
        assert_eq!(distinct.len(), secrets.len(), "a secret was given twice");
        let last = i64::try_from(secrets.len()).unwrap();
        let stored = actors[0].get(&format!("{path}/{token}")).await.result(200);
        assert_eq!(version(&stored), last, "1 and one more for each rotation");
        let expected = Digests {
            current: Some(digest(&server.server_key, &token, &secrets[&last])),
            previous: Some(digest(&server.server_key, &token, &secrets[&(last - 1)])),
        };
        assert_eq!(digests[&token], expected, "the secrets of the last two versions");
        assert_in_order(&of_token);

        // The audit tells the same story, in the order in which it happened.
        let details = |action: &str| {
            let rows = audit.iter().filter(|row| row.object_id == token);
            let rows = rows.filter(|row| row.action == action);
            rows.map(|row| serde_json::from_str(&row.detail).unwrap()).collect::<Vec<Value>>()
        };
        let versions: Vec<_> = details("service_token.rotate").iter().map(version).collect();
        assert_eq!(versions, (2..=last).collect::<Vec<_>>());
        let names: Vec<_> = details("service_token.update").iter().map(|row| text(&row["name"])).collect();
        let acknowledged: BTreeSet<_> = of_token
            .iter()
            .filter_map(|done| match &done.what {
                What::Named(name) => Some(name.clone()),
                What::Refreshed | What::Rotated { .. } => None,
            })
            .collect();
        assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), acknowledged);
        assert_eq!(names.len(), acknowledged.len());
        assert_eq!(stored["name"], names.last().unwrap().as_str());
    }
}

/// A rotation that was answered before another was asked for has the lower version.
fn assert_in_order(changes: &[&Acknowledged]) {
    let rotations: Vec<_> = changes
        .iter()
        .filter_map(|done| match done.what {
            What::Rotated { version, .. } => Some((done, version)),
            What::Refreshed | What::Named(_) => None,
        })
        .collect();
    for (early, low) in &rotations {
        for (late, high) in &rotations {
            assert!(early.ended >= late.began || low < high, "{early:?} came before {late:?}");
        }
    }
}

both_engines!(changes_of_few_tokens_are_all_kept, |server: TestServer| async move {
    let actor = server.key(&server.home);
    changes_of_few_tokens(&server, &[actor]).await;
});

both_engines!(two_servers_on_one_store_lose_nothing, |server: TestServer| async move {
    let second = Second::beside(&server).await;
    let actors = [server.key(&server.home), second.key(&server)];
    changes_of_few_tokens(&server, &actors).await;
});

both_engines!(a_version_is_reached_by_one_rotation, |server: TestServer| async move {
    let made = server.make_service_token(&server.home, json!({"name": "token"})).await;
    let mut database = Database::open(&server.place.location).await;
    let before = database.revision().await;
    let path = format!("{}/{}", server.home.tokens_path(), id(&made));
    let actor = server.key(&server.home);
    let replies = at_once(CALLERS, |_| {
        let (actor, path) = (actor.clone(), path.clone());
        async move { actor.put(&path, json!({"client_secret_version": 2})).await.result(200) }
    })
    .await;
    assert!(replies.iter().all(|reply| version(reply) == 2));
    let secrets: Vec<_> = replies.iter().filter_map(|reply| reply.get("client_secret")).collect();
    assert_eq!(secrets.len(), 1, "one of them has rotated");
    assert_eq!(database.revision().await, before + 1);
    let expected = Digests {
        current: Some(digest(&server.server_key, &id(&made), &text(secrets[0]))),
        previous: Some(digest(&server.server_key, &id(&made), &text(&made["client_secret"]))),
    };
    assert_eq!(database.digests().await[&id(&made)], expected);
});

both_engines!(retries_of_a_rotation_never_cost_the_previous_secret, |server: TestServer| async move {
    let made = server.make_service_token(&server.home, json!({"name": "token"})).await;
    let path = format!("{}/{}/rotate", server.home.tokens_path(), id(&made));
    let body = json!({"previous_client_secret_expires_at": "2026-07-01T00:00:00Z"});
    let actor = server.key(&server.home);
    actor.post(&path, body.clone()).await.result(200);
    let again = actor.with("x-stainless-retry-count", "1");
    let mut replies = at_once(CALLERS, |_| {
        let (again, path, body) = (again.clone(), path.clone(), body.clone());
        async move { again.post(&path, body).await.result(200) }
    })
    .await;
    replies.sort_by_key(version);
    let versions: Vec<_> = replies.iter().map(version).collect();
    let expected: Vec<_> = (3..).take(CALLERS).collect();
    assert_eq!(versions, expected);
    let last = text(&replies.last().unwrap()["client_secret"]);
    let expected = Digests {
        current: Some(digest(&server.server_key, &id(&made), &last)),
        previous: Some(digest(&server.server_key, &id(&made), &text(&made["client_secret"]))),
    };
    let mut database = Database::open(&server.place.location).await;
    assert_eq!(database.digests().await[&id(&made)], expected);
});

both_engines!(one_of_many_deletes_wins, |server: TestServer| async move {
    let made = server.make_service_token(&server.home, json!({"name": "token"})).await;
    let mut database = Database::open(&server.place.location).await;
    let before = database.revision().await;
    let path = format!("{}/{}", server.home.tokens_path(), id(&made));
    let actor = server.key(&server.home);
    let replies = at_once(CALLERS, |_| {
        let (actor, path) = (actor.clone(), path.clone());
        async move { actor.delete(&path).await }
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|reply| reply.refusal() == (404, 12135)));
    assert_eq!(database.revision().await, before + 1);
    assert_eq!(database.number("SELECT COUNT(*) FROM service_tokens").await, 0);
    assert!(database.digests().await.is_empty());
});

both_engines!(nothing_happens_to_a_token_after_its_delete, |server: TestServer| async move {
    let path = server.home.tokens_path();
    let actor = server.key(&server.home);
    let done: usize = at_once(32, |n| life(actor.clone(), path.clone(), n)).await.into_iter().sum();
    let mut database = Database::open(&server.place.location).await;
    database.revision().await;
    assert_eq!(database.number("SELECT COUNT(*) FROM service_tokens").await, 0);
    assert!(database.digests().await.is_empty());
    let mut deleted = BTreeSet::new();
    let mut rows = 0;
    for row in database.audit().await {
        if row.action.starts_with("service_token.") {
            rows += 1;
            assert!(!deleted.contains(&row.object_id), "{row:?} after the delete");
            if row.action == "service_token.delete" {
                deleted.insert(row.object_id);
            }
        }
    }
    assert_eq!((deleted.len(), rows), (32, done));
});

/// Makes a token, deletes it while others change it, and gives the number of acknowledged changes.
async fn life(actor: Actor, tokens: String, n: usize) -> usize {
    let made = actor.post(&tokens, json!({"name": format!("token {n}")})).await.result(201);
    let path = format!("{tokens}/{}", id(&made));
    let replies = at_once(4, |n| {
        let (actor, path) = (actor.clone(), path.clone());
        async move {
            match n {
                0 => (n, actor.delete(&path).await),
                1 => (n, actor.post(&format!("{path}/refresh"), json!({})).await),
                2 => (n, actor.post(&format!("{path}/rotate"), json!({})).await),
                _ => (n, actor.put(&path, json!({"name": "other"})).await),
            }
        }
    })
    .await;
    let mut done = 1;
    for (n, reply) in replies {
        if reply.status == 200 {
            done += 1;
        } else {
            assert_eq!(reply.refusal(), (404, 12135));
            assert_ne!(n, 0, "the only delete found nothing");
        }
    }
    for reply in [
        actor.get(&path).await,
        actor.post(&format!("{path}/refresh"), json!({})).await,
        actor.delete(&path).await,
    ] {
        assert_eq!(reply.refusal(), (404, 12135));
    }
    done
}

both_engines!(creates_and_deletes_mixed_are_all_kept, |server: TestServer| async move {
    let path = server.home.tokens_path();
    let actor = server.key(&server.home);
    let mut old = Vec::new();
    for n in 0..CALLERS / 2 {
        let made = server.make_service_token(&server.home, json!({"name": format!("old {n}")})).await;
        old.push(id(&made));
    }
    let replies = at_once(CALLERS, |n| {
        let (actor, path, old) = (actor.clone(), path.clone(), old.get(n).cloned());
        async move {
            match old {
                Some(old) => (false, actor.delete(&format!("{path}/{old}")).await.result(200)),
                None => (true, actor.post(&path, json!({"name": "new"})).await.result(201)),
            }
        }
    })
    .await;
    let made: BTreeMap<_, _> = replies
        .iter()
        .filter(|(made, _)| *made)
        .map(|(_, token)| {
            let current = digest(&server.server_key, &id(token), &text(&token["client_secret"]));
            let digests = Digests { current: Some(current), previous: None };
            (id(token), digests)
        })
        .collect();
    assert_eq!(made.len(), CALLERS / 2);
    let mut database = Database::open(&server.place.location).await;
    database.revision().await;
    assert_eq!(database.digests().await, made);
    let listed = actor.get(&path).await.result(200);
    let listed: BTreeSet<_> = listed.as_array().unwrap().iter().map(id).collect();
    assert_eq!(listed, made.into_keys().collect());
});

both_engines!(one_of_many_rolls_of_an_api_token_counts, |server: TestServer| async move {
    let (token, first) = server.make_account_token(&server.home, &[SERVICE_TOKENS_READ], json!({})).await;
    let path = format!("{}/tokens/{token}/value", server.home.account_path());
    let owner = server.key(&server.home);
    let values = at_once(CALLERS, |_| {
        let (owner, path) = (owner.clone(), path.clone());
        async move { text(&owner.put(&path, json!({})).await.result(200)) }
    })
    .await;
    assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), CALLERS);
    let mut working = 0;
    for value in values.iter().chain([&first]) {
        let reply = server.bearer(value).get(&server.home.tokens_path()).await;
        if reply.status == 200 {
            working += 1;
        } else {
            assert_eq!(reply.refusal(), (403, 9109));
        }
    }
    assert_eq!(working, 1);
});

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_kept_on_sqlite() {
    quota(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: ./test brings one and runs this"]
async fn a_quota_is_kept_on_postgres() {
    quota(Engine::Postgres).await;
}

/// Two servers make more tokens at once than the account may have, and other things of that account.
async fn quota(engine: Engine) {
    const QUOTA: u32 = 40;
    let options = Options { service_token_quota: Some(QUOTA), ..Options::default() };
    let server = TestServer::start_with(engine, options).await;
    let second = Second::with_quota(&server, Some(QUOTA)).await;
    let actors = [server.key(&server.home), second.key(&server)];
    let replies = at_once(2 * CALLERS, |n| {
        let (actor, path) = (actors[n % 2].clone(), server.home.tokens_path());
        let tokens = server.home.account_path() + "/tokens";
        let policies = json!([allow(&[SERVICE_TOKENS_READ], server.home.resources())]);
        async move {
            if n % 4 < 2 {
                (true, actor.post(&path, json!({"name": "token"})).await)
            } else {
                let body = json!({"name": "token", "policies": policies});
                (false, actor.post(&tokens, body).await)
            }
        }
    })
    .await;
    let (mut made, mut refused) = (0, 0);
    for (service_token, reply) in replies {
        match (service_token, reply.status) {
            (true, 201) => made += 1,
            (true, 400) => {
                assert_eq!(reply.refusal(), (400, 12130));
                refused += 1;
            }
            (false, 200) => {}
            _ => panic!("{}: {}", reply.status, reply.text),
        }
    }
    assert_eq!((made, refused), (QUOTA, 64 - QUOTA));
    let mut database = Database::open(&server.place.location).await;
    let stored = database.number("SELECT COUNT(*) FROM service_tokens").await;
    assert_eq!(stored, i64::from(QUOTA));
    let rolls = database.number("SELECT COUNT(*) FROM api_tokens").await;
    assert_eq!(rolls, 64);
}

/// Another server on the same store, as another node would be.
struct Second {
    address: SocketAddr,
}

impl Second {
    async fn beside(server: &TestServer) -> Self {
        Self::with_quota(server, None).await
    }

    async fn with_quota(server: &TestServer, service_token_quota: Option<u32>) -> Self {
        let store = Store::open(
            &server.place.location,
            &server.server_key,
            Purpose::Service,
            Durability::Full,
            &server.world,
        )
        .await
        .unwrap();
        let api = Api {
            store,
            world: server.world.clone(),
            purpose: Purpose::Service,
            limits: Arc::new(RateLimits::new(None)),
            service_token_quota: service_token_quota.into(),
            trusted_peers: Arc::<[_]>::from([]).into(),
            references: Arc::new(References::new(&server.server_key)),
            requests: api::Requests::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve::serve(listener, api::router(api), std::future::pending::<()>()));
        Self { address }
    }

    fn key(&self, server: &TestServer) -> Actor {
        let headers =
            [("x-auth-email", server.home.email.as_str()), ("x-auth-key", server.home.key.as_str())];
        Actor::new(self.base_url(), &headers)
    }

    fn bearer(&self, token: &str) -> Actor {
        Actor::new(self.base_url(), &[("authorization", &format!("Bearer {token}"))])
    }

    fn base_url(&self) -> String {
        format!("http://{}/client/v4", self.address)
    }
}

/// Asks until the answer has this status, at most for two seconds. One node learns from another within one.
async fn becomes(actor: &Actor, path: &str, status: u16) -> Reply {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let reply = actor.get(path).await;
        if reply.status == status {
            return reply;
        }
        assert!(Instant::now() < deadline, "still {} and not {status}: {}", reply.status, reply.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

both_engines!(what_one_server_does_to_api_tokens_reaches_the_other, |server: TestServer| async move {
    let second = Second::beside(&server).await;
    let (path, tokens) = (server.home.tokens_path(), server.home.account_path() + "/tokens");
    let owner = server.key(&server.home);
    let (token, secret) = server.make_account_token(&server.home, &[SERVICE_TOKENS_READ], json!({})).await;
    let (here, there) = (server.bearer(&secret), second.bearer(&secret));

    here.get(&path).await.result(200);
    becomes(&there, &path, 200).await;

    let disabled = json!({
        "name": "token", "status": "disabled",
        "policies": [allow(&[SERVICE_TOKENS_READ], server.home.resources())],
    });
    owner.put(&format!("{tokens}/{token}"), disabled).await.result(200);
    assert_eq!(here.get(&path).await.refusal(), (403, 9109));
    assert_eq!(becomes(&there, &path, 403).await.refusal(), (403, 9109));

    let (token, secret) = server.make_account_token(&server.home, &[SERVICE_TOKENS_READ], json!({})).await;
    let (here, there) = (server.bearer(&secret), second.bearer(&secret));
    becomes(&there, &path, 200).await;
    second.key(&server).delete(&format!("{tokens}/{token}")).await.result(200);
    assert_eq!(there.get(&path).await.refusal(), (403, 9109));
    assert_eq!(becomes(&here, &path, 403).await.refusal(), (403, 9109));
});

both_engines!(one_of_many_foundings_wins, |server: TestServer| async move {
    let place = Place::new(server.engine).await;
    let world = World::standing(START.parse().unwrap());
    let key = ServerKey::random(&world);
    let open = || Store::open(&place.location, &key, Purpose::Service, Durability::Full, &world);
    let stores = [open().await.unwrap(), open().await.unwrap()];
    let results = at_once(16, |n| {
        let (store, world) = (stores[n % 2].clone(), world.clone());
        async move { found(&store, &world, u8::try_from(n).unwrap()).await }
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1, "{lost:?}");
    for result in lost {
        assert!(matches!(result, Err(WriteError::Refused(Refusal::Conflict))), "{result:?}");
    }
    let mut database = Database::open(&place.location).await;
    database.revision().await;
    assert_eq!(database.number("SELECT COUNT(*) FROM accounts").await, 1);
    for store in stores {
        store.close().await;
    }
});

async fn found(store: &Store, world: &World, n: u8) -> Result<(), WriteError> {
    let account =
        Account { id: AccountId::from_bytes([n; 16]), name: format!("account {n}"), created_at: world.now() };
    let grant = Grant::system(SystemReason::Bootstrap, Scope::Account(account.id), world.request_id());
    let founding = Founding { accounts: vec![account], ..Founding::default() };
    store.found(&grant, founding, world.now()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_bootstraps_wins_on_sqlite() {
    for _ in 0..5 {
        bootstrap_at_once(Engine::Sqlite).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: ./test brings one and runs this"]
async fn one_of_many_bootstraps_wins_on_postgres() {
    for _ in 0..5 {
        bootstrap_at_once(Engine::Postgres).await;
    }
}

/// Several processes want to found one empty place. One does; the others say that it was done; and what the one printed works.
async fn bootstrap_at_once(engine: Engine) {
    let place = Place::new(engine).await;
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_hallpass"))
            .env("HALLPASS_OPERATOR", "off")
            .env("HALLPASS_GATE", "off")
            .args(["bootstrap", "--json"])
            .args(place.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let processes: Vec<_> = (0..4).map(|_| start()).collect();
    let ended: Vec<_> = processes
        .into_iter()
        .map(|process| {
            let output = process.wait_with_output().unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
        })
        .collect();
    let mut codes: Vec<_> = ended.iter().map(|(code, _, _)| *code).collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 3, 3, 3], "{ended:#?}");
    let printed = ended.iter().find(|(code, _, _)| *code == 0).unwrap().1.clone();
    let installation = Installation::founded(place, &printed);
    let process = installation.serve();
    for actor in [installation.key_actor(&process), installation.token_actor(&process)] {
        actor.get(&installation.tokens_path()).await.result(200);
    }
}
