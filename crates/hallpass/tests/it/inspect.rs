//! Looking behind the server: the rows of its store, and the real binary on a place of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hallpass::server_key::ServerKey;
use hallpass::store::{self, Location};
use hallpass_core::secret::{ClientSecret, SecretDigest, SecretKind};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, FromRow, PgConnection, SqliteConnection};

use crate::harness::{Actor, Engine, Place, Process, run, text};

/// A connection of the test's own to a server's store.
pub(crate) enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// What is stored of the secrets of one owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) current: Option<Vec<u8>>,
    pub(crate) previous: Option<Vec<u8>>,
}

/// One row of the audit.
#[derive(Debug, FromRow)]
pub(crate) struct AuditRow {
    pub(crate) action: String,
    pub(crate) object_id: String,
    pub(crate) detail: String,
}

impl Database {
    pub(crate) async fn open(location: &Location) -> Self {
        match location {
            Location::Directory(directory) => {
                let options = SqliteConnectOptions::new().filename(store::database_file(directory));
                Self::Sqlite(options.connect().await.unwrap())
            }
            Location::Postgres(url) => Self::Postgres(PgConnection::connect(url).await.unwrap()),
        }
    }

    pub(crate) async fn rows<T>(&mut self, sql: &str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => sqlx::query_as(sql).fetch_all(connection).await.unwrap(),
            Self::Postgres(connection) => sqlx::query_as(sql).fetch_all(connection).await.unwrap(),
        }
    }

    /// Runs a statement.
    pub(crate) async fn execute(&mut self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => {
                sqlx::query(sql).execute(connection).await.unwrap();
            }
            Self::Postgres(connection) => {
                sqlx::query(sql).execute(connection).await.unwrap();
            }
        }
    }

    /// The one number that a query gives.
    pub(crate) async fn number(&mut self, sql: &str) -> i64 {
        self.rows::<(i64,)>(sql).await[0].0
    }

    /// The audit, in its order.
    pub(crate) async fn audit(&mut self) -> Vec<AuditRow> {
        self.rows("SELECT action, object_id, detail FROM audit ORDER BY revision").await
    }

    /// The digests of all service tokens, by the token's id.
    pub(crate) async fn digests(&mut self) -> BTreeMap<String, Digests> {
        let sql = "SELECT owner_id, slot, digest FROM digests WHERE kind = 'service_token'";
        let mut digests = BTreeMap::<String, Digests>::new();
        for (owner, slot, digest) in self.rows::<(String, String, Vec<u8>)>(sql).await {
            let of_owner = digests.entry(owner).or_default();
            match slot.as_str() {
                "current" => of_owner.current = Some(digest),
                "previous" => of_owner.previous = Some(digest),
                slot => panic!("a slot is called {slot}"),
            }
        }
        digests
    }

    /// The revision, where everything that is numbered by it agrees.
    pub(crate) async fn revision(&mut self) -> i64 {
        let sql = "SELECT (SELECT n FROM revision), (SELECT COUNT(*) FROM audit), \
                   (SELECT COALESCE(MAX(revision), 0) FROM audit), (SELECT COALESCE(MAX(revision), 0) FROM changes), \
                   (SELECT COUNT(*) FROM audit a JOIN changes c ON c.revision = a.revision AND c.object_id = a.object_id), \
                   (SELECT COUNT(*) FROM changes)";
        let (n, audited, top, top_change, paired, changes) =
            self.rows::<(i64, i64, i64, i64, i64, i64)>(sql).await[0];
        assert_eq!(
            [audited, top, top_change, paired, changes],
            [n; 5],
            "revision {n}: audit rows, highest of them, highest change, audit rows with a change, change rows"
        );
        n
    }
}

/// The digest that a store with this key keeps of a service token's secret.
pub(crate) fn digest(key: &ServerKey, id: &str, secret: &str) -> Vec<u8> {
    let secret = ClientSecret::presented(secret);
    let digest = SecretDigest::new(&key.digest_key(), SecretKind::ServiceToken, id, &secret);
    digest.as_bytes().to_vec()
}

/// The real binary's place, founded by `hallpass bootstrap`.
pub(crate) struct Installation {
    pub(crate) place: Place,
    pub(crate) account_id: String,
    pub(crate) zone_id: String,
    pub(crate) email: String,
    pub(crate) api_key: String,
    pub(crate) api_token: String,
}

impl Installation {
    pub(crate) async fn new(engine: Engine) -> Self {
        let place = Place::new(engine).await;
        let mut arguments = vec!["bootstrap".to_owned(), "--json".to_owned()];
        arguments.extend(place.arguments());
        let (status, out, err) = run(&arguments);
        assert_eq!(status, 0, "{err}");
        Self::founded(place, &out)
    }

    /// From what `hallpass bootstrap --json` printed.
    pub(crate) fn founded(place: Place, printed: &str) -> Self {
        let printed: Value = serde_json::from_str(printed).unwrap();
        Self {
            place,
            account_id: text(&printed["account_id"]),
            zone_id: text(&printed["zone_id"]),
            email: text(&printed["email"]),
            api_key: text(&printed["api_key"]),
            api_token: text(&printed["api_token"]),
        }
    }

    /// The arguments that serve this place without a rate limit.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["serve".to_owned(), "--rate-limit".to_owned(), "off".to_owned()];
        arguments.extend(self.place.arguments());
        arguments
    }

    pub(crate) fn serve(&self) -> Process {
        Process::start(self.place.directory.path(), &self.arguments())
    }

    /// Runs a program under strace with these expressions. Its process id is the program's own, and ending it ends the trace.
    pub(crate) fn serve_traced(&self, expressions: &[&str], trace: &Path, program: &Path) -> Process {
        let mut arguments = vec!["-D", "-f", "-y", "-s", "24", "--seccomp-bpf"];
        for expression in expressions {
            arguments.extend(["-e", expression]);
        }
        let (trace, program) = (trace.display().to_string(), program.display().to_string());
        arguments.extend(["-o", &trace, &program]);
        let mut arguments: Vec<_> = arguments.into_iter().map(str::to_owned).collect();
        arguments.extend(self.arguments());
        Process::start_program(Path::new("strace"), self.place.directory.path(), &arguments)
    }

    /// A file in the place's directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.place.directory.path().join(name)
    }

    pub(crate) fn server_key(&self) -> ServerKey {
        ServerKey::read(&match &self.place.location {
            Location::Directory(directory) => store::key_file(directory),
            Location::Postgres(_) => self.file("server.key"),
        })
        .unwrap()
    }

    /// Whoever shows the first API token.
    pub(crate) fn token_actor(&self, process: &Process) -> Actor {
        Self::bearer(process, &self.api_token)
    }

    pub(crate) fn bearer(process: &Process, token: &str) -> Actor {
        Actor::new(process.base_url.clone(), &[("authorization", &format!("Bearer {token}"))])
    }

    /// The first user. The use of an API token is written down now and then, that of a key never.
    pub(crate) fn key_actor(&self, process: &Process) -> Actor {
        let headers = [("x-auth-email", self.email.as_str()), ("x-auth-key", self.api_key.as_str())];
        Actor::new(process.base_url.clone(), &headers)
    }

    pub(crate) fn tokens_path(&self) -> String {
        format!("/accounts/{}/access/service_tokens", self.account_id)
    }
}
