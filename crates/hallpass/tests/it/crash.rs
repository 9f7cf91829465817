//! The kill loop: the real binary under load is killed at a random instant and started again, over and over, and what the store
//! then holds is compared with a ledger of what was acknowledged.
//!
//! Every client has tokens of its own and one request under way at a time. So after a kill, each token is exactly as it was last
//! acknowledged, except for one of each client, to which the request under way may have happened, as a whole.
//!
//! `HALLPASS_KILLS` sets the number of kills for each engine, `HALLPASS_CRASH_SEED` repeats the choices of a failed run.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use hallpass::server_key::ServerKey;
use hallpass_core::time::Timestamp;
use serde_json::{Value, json};
use sqlx::FromRow;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::harness::{Actor, Engine, Process, text};
use crate::inspect::{Database, Digests, Installation, digest};

const KILLS: u64 = 25;
const CLIENTS: u64 = 8;
/// How many tokens a client has at most.
const MOST_TOKENS: usize = 5;
/// How long a server lives at most before it is killed.
const LIFETIME_MILLIS: u64 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_sqlite_nothing_acknowledged_is_lost() {
    kill_loop(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: ./test brings one and runs this"]
async fn killed_on_postgres_nothing_acknowledged_is_lost() {
    kill_loop(Engine::Postgres).await;
}

#[expect(clippy::print_stdout, reason = "the sums say how much was tried")]
async fn kill_loop(engine: Engine) {
    let kills = setting("HALLPASS_KILLS").unwrap_or(KILLS);
    let seed = setting("HALLPASS_CRASH_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        now.as_secs() << 16 ^ u64::from(now.subsec_nanos())
    });
    let _seed = SaySeed(seed);
    let mut random = Random(seed);
    let installation = Installation::new(engine).await;
    let mut process = installation.serve();
    let mut database = Database::open(&installation.place.location).await;
    let mut revision = database.revision().await;
    let mut clients: Vec<_> = (0..CLIENTS).map(|n| Client::new(n, random.next(), &installation)).collect();
    let mut sums = Sums::default();

    for kill in 0..kills {
        let before = backends(&mut database).await;
        // While the server is dead nobody may have an embedded store open: so that it has to be recovered.
        drop(database);
        let actor = installation.token_actor(&process);
        let mut work = JoinSet::new();
        for client in clients.drain(..) {
            work.spawn(client.work(actor.clone()));
        }
        sleep(Duration::from_millis(random.below(LIFETIME_MILLIS))).await;
        process.kill();
        clients = work.join_all().await;

        if random.below(4) == 0 {
            kill_while_starting(&installation, random.below(100)).await;
        }
        process = installation.serve();
        database = Database::open(&installation.place.location).await;
        gone(&mut database, &before).await;

        let mut stored = stored_tokens(&mut database).await;
        let mut history = history(&mut database).await;
        let (mut acknowledged, mut applied) = (0, 0);
        for client in &mut clients {
            acknowledged += std::mem::take(&mut client.acknowledged);
            let under_way = client.pending.is_some();
            let happened = client.settle(&mut stored, &mut history);
            applied += i64::from(happened);
            sums.unanswered += i64::from(under_way);
        }
        assert!(stored.is_empty(), "kill {kill}: nobody made these: {stored:#?}");
        assert!(history.is_empty(), "kill {kill}: nobody did this: {history:#?}");
        let now = database.revision().await;
        assert_eq!(now, revision + acknowledged + applied, "kill {kill}: revision");
        revision = now;
        sums.acknowledged += acknowledged;
        sums.applied += applied;
        assert_shown(&installation, &process, &clients).await;
    }
    println!("{engine:?}, {kills} kills: {sums:?}");
    assert!(sums.acknowledged > i64::try_from(kills).unwrap(), "{sums:?}");
}

/// How much was tried.
#[derive(Debug, Default)]
struct Sums {
    acknowledged: i64,
    /// Requests under way when the server was killed.
    unanswered: i64,
    /// Those of them that happened.
    applied: i64,
}

/// Says how to repeat a failed run.
struct SaySeed(u64);

impl Drop for SaySeed {
    #[expect(clippy::print_stderr, reason = "the test runner shows it where the test failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat these choices: HALLPASS_CRASH_SEED={}", self.0);
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A start that does not get far.
async fn kill_while_starting(installation: &Installation, millis: u64) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hallpass"))
        .env("HALLPASS_OPERATOR", "off")
        .env("HALLPASS_GATE", "off")
        .args(installation.arguments())
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(millis)).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The server's connections to PostgreSQL. They outlive a killed server by the statement that they are at, which may be a commit.
async fn backends(database: &mut Database) -> Vec<i64> {
    if let Database::Sqlite(_) = database {
        return Vec::new();
    }
    let sql = "SELECT pid::bigint FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hallpass'";
    database.rows::<(i64,)>(sql).await.into_iter().map(|(pid,)| pid).collect()
}

async fn gone(database: &mut Database, old: &[i64]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while backends(database).await.iter().any(|pid| old.contains(pid)) {
        assert!(Instant::now() < deadline, "connections of a dead server stay open");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A token as replies show it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    client_id: String,
    name: String,
    duration: String,
    enabled: bool,
    version: i64,
    expires_at: i64,
    previous_until: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

/// A token with what is stored of its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    shown: Shown,
    digests: Digests,
}

impl Shown {
    fn read(reply: &Value) -> Self {
        let time = |value: &Value| text(value).parse::<Timestamp>().unwrap().as_micros();
        Self {
            client_id: text(&reply["client_id"]),
            name: text(&reply["name"]),
            duration: text(&reply["duration"]),
            enabled: reply["enabled"].as_bool().unwrap(),
            version: reply["client_secret_version"].as_i64().unwrap(),
            expires_at: time(&reply["expires_at"]),
            previous_until: reply.get("previous_client_secret_expires_at").map(time),
            created_at: time(&reply["created_at"]),
            updated_at: time(&reply["updated_at"]),
        }
    }
}

/// All service tokens of the store, straight from its tables.
async fn stored_tokens(database: &mut Database) -> BTreeMap<String, Token> {
    #[derive(FromRow)]
    struct Row {
        id: String,
        client_id: String,
        name: String,
        duration: String,
        enabled: bool,
        secret_version: i64,
        expires_at: i64,
        previous_secret_expires_at: Option<i64>,
        created_at: i64,
        updated_at: i64,
    }
    let floor = |micros: i64| Timestamp::from_micros(micros).unwrap().floor_second().as_micros();
    let mut digests = database.digests().await;
    let rows: Vec<Row> = database.rows("SELECT * FROM service_tokens").await;
    let tokens = rows
        .into_iter()
        .map(|row| {
            let digests = digests.remove(&row.id).unwrap_or_default();
            let shown = Shown {
                client_id: row.client_id,
                name: row.name,
                duration: row.duration,
                enabled: row.enabled,
                version: row.secret_version,
                expires_at: row.expires_at,
                previous_until: row.previous_secret_expires_at,
                created_at: floor(row.created_at),
                updated_at: floor(row.updated_at),
            };
            (row.id, Token { shown, digests })
        })
        .collect();
    assert!(digests.is_empty(), "digests of no token: {digests:?}");
    tokens
}

/// What the audit says was done to each service token, in order.
async fn history(database: &mut Database) -> BTreeMap<String, Vec<String>> {
    let mut history = BTreeMap::<String, Vec<String>>::new();
    for row in database.audit().await {
        if let Some(action) = row.action.strip_prefix("service_token.") {
            history.entry(row.object_id).or_default().push(action.to_owned());
        }
    }
    history
}

/// What a client asks for.
#[derive(Debug, Clone)]
enum Op {
    Create {
        name: String,
    },
    Refresh {
        id: String,
    },
    Rename {
        id: String,
        name: String,
    },
    Switch {
        id: String,
        enabled: bool,
    },
    Rotate {
        id: String,
        until: Option<String>,
    },
    /// The older way to rotate.
    Raise {
        id: String,
        version: i64,
    },
    Delete {
        id: String,
    },
}

struct Client {
    n: u64,
    random: Random,
    path: String,
    server_key: ServerKey,
    /// How many names it has given.
    names: u64,
    /// The ledger: each token as it is now,
    tokens: BTreeMap<String, Token>,
    /// and what was done to it, deleted ones included.
    history: BTreeMap<String, Vec<String>>,
    /// What it has asked for and not seen the answer of.
    pending: Option<Op>,
    acknowledged: i64,
}

impl Client {
    fn new(n: u64, seed: u64, installation: &Installation) -> Self {
        Self {
            n,
            random: Random(seed),
            path: installation.tokens_path(),
            server_key: installation.server_key(),
            names: 0,
            tokens: BTreeMap::new(),
            history: BTreeMap::new(),
            pending: None,
            acknowledged: 0,
        }
    }

    /// Asks for one thing after the other until the server is gone.
    async fn work(mut self, actor: Actor) -> Self {
        loop {
            let op = self.choose();
            self.pending = Some(op.clone());
            let (method, path, body) = self.request(&op);
            let Ok(reply) = actor.try_send(method, &path, Some(body.to_string().into_bytes())).await else {
                return self;
            };
            let status = if matches!(op, Op::Create { .. }) { 201 } else { 200 };
            self.acknowledge(&op, &reply.result(status));
            self.pending = None;
            self.acknowledged += 1;
        }
    }

    fn choose(&mut self) -> Op {
        let have = self.tokens.len();
        if have < 2 || (have < MOST_TOKENS && self.random.below(6) == 0) {
            return Op::Create { name: self.new_name() };
        }
        let n = usize::try_from(self.random.below(have as u64)).unwrap();
        let (id, token) = self.tokens.iter().nth(n).unwrap();
        let (id, shown) = (id.clone(), token.shown.clone());
        match self.random.below(15) {
            0..4 => Op::Refresh { id },
            4..6 => Op::Rename { id, name: self.new_name() },
            6..8 => Op::Switch { id, enabled: !shown.enabled },
            8..10 => Op::Rotate { id, until: None },
            10..12 => Op::Rotate {
                id,
                until: Some(format!(
                    "2100-01-01T{:02}:{:02}:00Z",
                    self.random.below(24),
                    self.random.below(60)
                )),
            },
            12 => Op::Raise { id, version: shown.version + 1 },
            _ => Op::Delete { id },
        }
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("client {} name {}", self.n, self.names)
    }

    fn request(&self, op: &Op) -> (&'static str, String, Value) {
        let path = |id: &str| format!("{}/{id}", self.path);
        match op {
            Op::Create { name } => ("POST", self.path.clone(), json!({"name": name, "duration": "24h"})),
            Op::Refresh { id } => ("POST", path(id) + "/refresh", json!({})),
            Op::Rename { id, name } => ("PUT", path(id), json!({"name": name})),
            Op::Switch { id, enabled } => ("PUT", path(id), json!({"enabled": enabled})),
            Op::Rotate { id, until: None } => ("POST", path(id) + "/rotate", json!({})),
            Op::Rotate { id, until } => {
                ("POST", path(id) + "/rotate", json!({"previous_client_secret_expires_at": until}))
            }
            Op::Raise { id, version } => ("PUT", path(id), json!({"client_secret_version": version})),
            Op::Delete { id } => ("DELETE", path(id), json!({})),
        }
    }

    /// Writes an answer into the ledger.
    fn acknowledge(&mut self, op: &Op, reply: &Value) {
        let id = text(&reply["id"]);
        self.note(op, &id);
        let before = self.tokens.remove(&id);
        let current = reply.get("client_secret").map(|secret| digest(&self.server_key, &id, &text(secret)));
        let digests = match (&before, current) {
            (Some(before), Some(current)) => {
                Digests { previous: before.digests.current.clone(), current: Some(current) }
            }
            (Some(before), None) => before.digests.clone(),
            (None, current) => Digests { current, previous: None },
        };
        let after = Token { shown: Shown::read(reply), digests };
        if let Op::Delete { id: asked } = op {
            assert_eq!((asked, Some(after)), (&id, before), "a delete shows what it deleted");
            return;
        }
        assert_happened(op, before.as_ref(), Some(&after));
        self.tokens.insert(id, after);
    }

    fn note(&mut self, op: &Op, id: &str) {
        let history = self.history.entry(id.to_owned()).or_default();
        history.push(op.action().to_owned());
    }

    /// Compares the ledger with what is stored, takes this client's tokens out of that, and says whether the request that was
    /// under way has happened. The audit says that, and the tokens must agree.
    fn settle(
        &mut self,
        stored: &mut BTreeMap<String, Token>,
        history: &mut BTreeMap<String, Vec<String>>,
    ) -> bool {
        let pending = self.pending.take();
        let target = pending.as_ref().and_then(|op| match op {
            Op::Create { name } => {
                let mut tokens = stored.iter();
                tokens.find(|(_, token)| token.shown.name == *name).map(|(id, _)| id.clone())
            }
            _ => op.target().cloned(),
        });
        let mut happened = false;
        if let (Some(op), Some(id)) = (&pending, target) {
            let noted = self.history.get(&id).map_or(0, Vec::len);
            happened = history.get(&id).map_or(0, Vec::len) > noted;
            if happened {
                self.note(op, &id);
                let after = stored.get(&id).cloned();
                assert_happened(op, self.tokens.remove(&id).as_ref(), after.as_ref());
                self.tokens.extend(after.map(|after| (id, after)));
            }
        }
        for (id, token) in &self.tokens {
            assert_eq!(stored.remove(id).as_ref(), Some(token), "{id}; under way was {pending:?}");
        }
        for (id, done) in &self.history {
            assert_eq!(history.remove(id).as_ref(), Some(done), "{id}; under way was {pending:?}");
        }
        happened
    }
}

impl Op {
    fn target(&self) -> Option<&String> {
        match self {
            Op::Create { .. } => None,
            Op::Refresh { id }
            | Op::Rename { id, .. }
            | Op::Switch { id, .. }
            | Op::Rotate { id, .. }
            | Op::Raise { id, .. }
            | Op::Delete { id } => Some(id),
        }
    }

    /// What the audit calls it.
    fn action(&self) -> &'static str {
        match self {
            Op::Create { .. } => "create",
            Op::Refresh { .. } => "refresh",
            Op::Rename { .. } | Op::Switch { .. } | Op::Raise { .. } => "update",
            Op::Rotate { .. } => "rotate",
            Op::Delete { .. } => "delete",
        }
    }
}

/// Fails unless `after` is `before` with this done to it, all of it and nothing else.
fn assert_happened(op: &Op, before: Option<&Token>, after: Option<&Token>) {
    let Some(after) = after else {
        assert!(matches!(op, Op::Delete { .. }), "{op:?} made this go: {before:#?}");
        return;
    };
    let Some(before) = before else {
        let (Op::Create { name }, shown) = (op, &after.shown) else {
            panic!("{op:?} made {after:#?}");
        };
        let first = (shown.name.as_str(), shown.version, shown.enabled, shown.previous_until);
        assert_eq!(first, (name.as_str(), 1, true, None), "{after:#?}");
        assert_eq!(shown.duration, "24h");
        assert!(after.digests.current.is_some() && after.digests.previous.is_none(), "{after:#?}");
        return;
    };
    let mut expected = before.clone();
    assert!(after.shown.updated_at >= before.shown.updated_at, "{op:?}");
    expected.shown.updated_at = after.shown.updated_at;
    match op {
        Op::Create { .. } | Op::Delete { .. } => panic!("{op:?} left {before:#?} as {after:#?}"),
        Op::Refresh { .. } => {
            assert!(after.shown.expires_at >= before.shown.expires_at);
            expected.shown.expires_at = after.shown.expires_at;
        }
        Op::Rename { name, .. } => expected.shown.name.clone_from(name),
        Op::Switch { enabled, .. } => expected.shown.enabled = *enabled,
        Op::Rotate { .. } | Op::Raise { .. } => {
            expected.shown.version += 1;
            expected.shown.previous_until = match op {
                Op::Rotate { until: Some(until), .. } => {
                    Some(until.parse::<Timestamp>().unwrap().as_micros())
                }
                _ => Some(after.shown.updated_at),
            };
            assert_ne!(after.digests.current, before.digests.current, "{op:?}");
            assert!(after.digests.current.is_some(), "{op:?}");
            expected.digests =
                Digests { current: after.digests.current.clone(), previous: before.digests.current.clone() };
        }
    }
    assert_eq!(*after, expected, "{op:?} of {before:#?}");
}

/// Fails unless the server that runs now shows what the ledgers say.
async fn assert_shown(installation: &Installation, process: &Process, clients: &[Client]) {
    let actor = installation.token_actor(process);
    let listed = actor
        .get(&installation.tokens_path())
        .await
        .result(200)
        .as_array()
        .unwrap()
        .iter()
        .map(|token| (text(&token["id"]), Shown::read(token)))
        .collect::<BTreeMap<_, _>>();
    let ledger = clients.iter().flat_map(|client| &client.tokens);
    let ledger = ledger.map(|(id, token)| (id.clone(), token.shown.clone())).collect();
    assert_eq!(listed, ledger);
}
