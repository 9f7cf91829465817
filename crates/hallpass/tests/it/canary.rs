//! Secrets are canaries: after everything that can be done with them, in their places and in wrong ones, they are looked for in
//! logs, files, tables and replies. A reply shows a secret once, when it is made; nothing else ever does.
//!
//! What a client puts into a path is repeated in the error about it, and the key of an object in the pointer to it; what it puts
//! into a name or a note is kept. These it gets back, and it alone.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use hallpass::store::Location;
use serde_json::{Value, json};

use crate::harness::{
    ACCOUNT_TOKENS_WRITE, Actor, DNS_READ, Engine, Process, SERVICE_TOKENS_WRITE, USER_TOKENS_WRITE, allow,
    text,
};
use crate::inspect::{Database, Installation};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_found_anywhere_on_sqlite() {
    canary(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: ./test brings one and runs this"]
async fn no_secret_is_found_anywhere_on_postgres() {
    canary(Engine::Postgres).await;
}

async fn canary(engine: Engine) {
    let installation = Installation::new(engine).await;
    let mut arguments = installation.arguments();
    arguments.extend(["--log".to_owned(), "trace".to_owned()]);
    let mut process = Process::start(installation.place.directory.path(), &arguments);
    let mut watch = Watch::default();
    watch.secrets.insert(installation.api_key.clone());
    watch.secrets.insert(installation.api_token.clone());
    let client_id = life(&installation, &process, &mut watch).await;
    for kind in ["cfast_", "cfat_", "cfut_", "cfk_"] {
        let mut secrets = watch.secrets.iter();
        let secret = secrets.find(|secret| secret.starts_with(kind)).unwrap().clone();
        wrong_places(&installation, &process, &mut watch, &secret).await;
    }
    failing_store(&installation, &process, &mut watch).await;
    assert!(watch.secrets.len() > 12, "{}", watch.secrets.len());

    // Once with the embedded store's log in place, and once after it was folded into the store.
    let dump = watch.search(&installation, &process).await;
    assert!(dump.contains(&client_id), "the dump shows what a dump should show");
    assert!(process.log().contains("service_tokens"), "{}", process.log());
    end(&mut process);
    watch.search(&installation, &process).await;
}

/// Ends a server: from then on its log is complete.
pub(crate) fn end(process: &mut Process) {
    process.signal("TERM");
    let deadline = Instant::now() + Duration::from_secs(30);
    while process.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the server does not stop");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What is looked for, and where besides logs and store.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) secrets: BTreeSet<String>,
    pub(crate) replies: Vec<(String, String)>,
}

impl Watch {
    /// Sends a request and keeps the reply. A secret that the reply is there to show becomes one to look for.
    pub(crate) async fn send(
        &mut self,
        actor: &Actor,
        method: &str,
        path: &str,
        body: impl ToString,
    ) -> Value {
        let sent = body.to_string();
        let reply = actor.send(method, path, Some(sent.clone().into_bytes())).await;
        let result = &reply.body["result"];
        let shown = if path.ends_with("/value") {
            result.as_str()
        } else {
            result["client_secret"].as_str().or(result["value"].as_str())
        };
        let mut seen = format!("{:?} {}", reply.headers, reply.text);
        for error in reply.body["errors"].as_array().unwrap() {
            if let Some(pointer) = error["source"]["pointer"].as_str() {
                seen = seen.replace(pointer, "");
            }
        }
        if let Some(secret) = shown {
            assert!(method != "GET", "GET {path} shows a secret");
            assert!(self.secrets.insert(secret.to_owned()), "a secret came twice");
            assert_eq!(seen.matches(secret).count(), 1, "{method} {path}");
            seen = seen.replace(secret, "");
        }
        self.replies.push((format!("the reply to {method} {path}"), seen));
        reply.body
    }

    /// Looks for every secret everywhere, and gives a dump of the tables.
    pub(crate) async fn search(&self, installation: &Installation, process: &Process) -> String {
        let mut places = self.replies.clone();
        places.push(("the log".to_owned(), process.log()));
        let mut database = Database::open(&installation.place.location).await;
        for digest in stored_digests(&mut database).await {
            for (place, text) in &places {
                assert!(!text.contains(&digest), "{place} shows a digest");
            }
        }
        let dump = dump(&mut database).await;
        places.push(("the tables".to_owned(), dump.clone()));
        files(installation.place.directory.path(), &mut places);
        if let Location::Directory(directory) = &installation.place.location {
            let whole = std::fs::read_to_string(directory.join("server.key")).unwrap();
            assert_absent(whole.trim(), &places);
        } else {
            assert_absent(&"5a".repeat(32), &places);
        }
        for secret in &self.secrets {
            // A part is as bad as the whole.
            let (_, body) = secret.split_once('_').unwrap();
            let part = &body[..20];
            assert_absent(part, &places);
            assert_absent(&hex(part.as_bytes()), &places);
        }
        dump
    }
}

fn assert_absent(needle: &str, places: &[(String, String)]) {
    for (place, text) in places {
        if let Some(at) = text.find(needle) {
            let from = text[..at].char_indices().rev().nth(200).map_or(0, |(n, _)| n);
            panic!("{place} shows {needle}: …{}", &text[from..at + needle.len()]);
        }
    }
}

/// Reads every file below, except for the server key.
fn files(directory: &Path, places: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, places);
        } else if path.file_name().unwrap() != "server.key" {
            let bytes = std::fs::read(&path).unwrap();
            places.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}

/// Every table as text.
async fn dump(database: &mut Database) -> String {
    let tables = match database {
        Database::Sqlite(_) => "SELECT name FROM sqlite_schema WHERE type = 'table'",
        Database::Postgres(_) => {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'"
        }
    };
    let mut dump = String::new();
    for (table,) in database.rows::<(String,)>(tables).await {
        let rows = match database {
            Database::Sqlite(_) => {
                let columns = format!("SELECT name FROM pragma_table_info('{table}')");
                let columns: Vec<_> = database.rows::<(String,)>(&columns).await;
                let columns: Vec<_> =
                    columns.into_iter().map(|(column,)| format!("quote({column})")).collect();
                format!("SELECT {} FROM {table}", columns.join(" || ' ' || "))
            }
            Database::Postgres(_) => format!("SELECT t::text FROM {table} t"),
        };
        for (row,) in database.rows::<(String,)>(&rows).await {
            writeln!(dump, "{table}: {row}").unwrap();
        }
    }
    assert!(dump.contains("audit: ") && dump.contains("digests: "), "{dump}");
    dump
}

async fn stored_digests(database: &mut Database) -> Vec<String> {
    let digests = database.rows::<(Vec<u8>,)>("SELECT digest FROM digests").await;
    assert!(digests.len() > 3);
    digests.into_iter().map(|(digest,)| hex(&digest)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Does everything that can be done, as it is meant to be done. Gives the client ID of a token that is still there.
async fn life(installation: &Installation, process: &Process, watch: &mut Watch) -> String {
    let owner = installation.token_actor(process);
    let user = installation.key_actor(process);
    let nothing = json!({});
    let mut client_id = String::new();
    for (actor, tokens) in [
        (&owner, installation.tokens_path()),
        (&user, format!("/zones/{}/access/service_tokens", installation.zone_id)),
    ] {
        let made = watch.send(actor, "POST", &tokens, json!({"name": "canary", "duration": "24h"})).await;
        client_id = text(&made["result"]["client_id"]);
        let token = format!("{tokens}/{}", text(&made["result"]["id"]));
        let grace = json!({"previous_client_secret_expires_at": "2100-01-01T00:00:00Z"});
        for (method, path, body) in [
            ("POST", format!("{token}/refresh"), nothing.clone()),
            ("POST", format!("{token}/rotate"), nothing.clone()),
            ("POST", format!("{token}/rotate"), grace),
            ("PUT", token.clone(), json!({"client_secret_version": 9})),
            ("PUT", token.clone(), json!({"enabled": false, "name": "renamed"})),
            ("GET", token.clone(), nothing.clone()),
            ("GET", tokens.clone(), nothing.clone()),
            ("GET", format!("{tokens}?search=canary"), nothing.clone()),
        ] {
            let reply = watch.send(actor, method, &path, body).await;
            assert_eq!(reply["success"], true, "{method} {path}: {reply}");
        }
        let gone = watch.send(actor, "POST", &tokens, json!({"name": "gone"})).await;
        let gone = format!("{tokens}/{}", text(&gone["result"]["id"]));
        watch.send(actor, "DELETE", &gone, &nothing).await;
        watch.send(actor, "DELETE", &gone, &nothing).await;
    }
    let on_account = json!({format!("com.cloudflare.api.account.{}", installation.account_id): "*"});
    for (actor, tokens) in [
        (&owner, format!("/accounts/{}/tokens", installation.account_id)),
        (&user, "/user/tokens".to_owned()),
    ] {
        let policies = json!([allow(&[SERVICE_TOKENS_WRITE], on_account.clone())]);
        let body = json!({"name": "canary", "policies": policies});
        let made = watch.send(actor, "POST", &tokens, body.clone()).await;
        let (id, value) = (text(&made["result"]["id"]), text(&made["result"]["value"]));
        let token = format!("{tokens}/{id}");
        let itself = Installation::bearer(process, &value);
        watch.send(&itself, "GET", &format!("{tokens}/verify"), &nothing).await;
        watch.send(&itself, "GET", &tokens, &nothing).await;
        for (method, path, body) in [
            ("GET", tokens.clone(), nothing.clone()),
            ("GET", token.clone(), nothing.clone()),
            ("PUT", token.clone(), body.clone()),
            ("PUT", format!("{token}/value"), nothing.clone()),
        ] {
            let reply = watch.send(actor, method, &path, body).await;
            assert_eq!(reply["success"], true, "{method} {path}: {reply}");
        }
        let gone = watch.send(actor, "POST", &tokens, body).await;
        let gone = format!("{tokens}/{}", text(&gone["result"]["id"]));
        watch.send(actor, "DELETE", &gone, &nothing).await;
    }
    for path in ["/accounts", "/zones", "/memberships", "/user"] {
        watch.send(&user, "GET", path, &nothing).await;
    }
    client_id
}

/// Puts a secret wherever it does not belong.
async fn wrong_places(installation: &Installation, process: &Process, watch: &mut Watch, secret: &str) {
    wrong_fields(installation, process, watch, secret).await;
    wrong_policies(installation, process, watch, secret).await;
    wrong_texts(installation, process, watch, secret).await;
    wrong_headers(installation, process, watch, secret).await;

    let owner = installation.token_actor(process);
    let tokens = installation.tokens_path();
    // A path is repeated to whoever sent it. Elsewhere it must not be.
    for path in [
        format!("/{secret}"),
        format!("{tokens}/{secret}"),
        format!("{tokens}/{secret}/rotate"),
        format!("/accounts/{secret}/access/service_tokens"),
        format!("/user/tokens/{secret}"),
    ] {
        for method in ["GET", "POST", "PATCH"] {
            owner.send(method, &path, None).await;
        }
    }
    no_http(&process.api, secret);
}

async fn wrong_fields(installation: &Installation, process: &Process, watch: &mut Watch, secret: &str) {
    let owner = installation.token_actor(process);
    let tokens = installation.tokens_path();
    let absent = format!("{tokens}/00000000-0000-4000-8000-000000000000");
    let api_tokens = format!("/accounts/{}/tokens", installation.account_id);

    for (field, value) in [
        ("name", json!({"x": secret})),
        ("name", json!([secret])),
        ("name", json!(secret.repeat(10))),
        ("name", json!(format!("{secret}\n"))),
        ("duration", json!(secret)),
        ("enabled", json!(secret)),
        ("client_secret_version", json!(secret)),
        ("previous_client_secret_expires_at", json!(secret)),
        ("client_secret", json!(secret)),
        ("client_id", json!(secret)),
        (secret, json!(secret)),
    ] {
        let mut body = json!({"name": "wrong place"});
        body[field] = value.clone();
        watch.send(&owner, "POST", &tokens, &body).await;
        watch.send(&owner, "PUT", &absent, &body).await;
        watch.send(&owner, "POST", &format!("{absent}/rotate"), &body).await;
        watch.send(&owner, "POST", &format!("{absent}/refresh"), &body).await;
        body["policies"] = json!([]);
        watch.send(&owner, "POST", &api_tokens, &body).await;
    }
}

async fn wrong_policies(installation: &Installation, process: &Process, watch: &mut Watch, secret: &str) {
    let owner = installation.token_actor(process);
    let api_tokens = format!("/accounts/{}/tokens", installation.account_id);
    let on_account = json!({format!("com.cloudflare.api.account.{}", installation.account_id): "*"});
    let group = json!([{"id": SERVICE_TOKENS_WRITE, "name": secret}]);
    let fine = allow(&[SERVICE_TOKENS_WRITE], on_account.clone());
    for body in [
        json!({"policies": secret}),
        json!({"policies": [secret]}),
        json!({"policies": [{"effect": secret, "permission_groups": group, "resources": on_account}]}),
        json!({"policies": [{"effect": "allow", "permission_groups": group, "resources": on_account}]}),
        json!({"policies": [{"effect": "allow", "permission_groups": [{"id": secret}], "resources": on_account}]}),
        json!({"policies": [{"effect": "allow", "permission_groups": [secret], "resources": on_account}]}),
        json!({"policies": [{"effect": "allow", "permission_groups": group, "resources": secret}]}),
        json!({"policies": [{"effect": "allow", "permission_groups": group, "resources": {
            (format!("com.cloudflare.api.account.{}", installation.account_id)): secret
        }}]}),
        json!({"policies": [{"effect": "allow", "permission_groups": group, "resources": {
            (format!("com.cloudflare.api.account.{secret}")): "*"
        }}]}),
        json!({"policies": [fine], "status": secret}),
        json!({"policies": [fine], "not_before": secret}),
        json!({"policies": [fine], "expires_on": secret}),
        json!({"policies": [fine], "condition": secret}),
        json!({"policies": [fine], "condition": {"request_ip": {"in": [secret]}}}),
        json!({"policies": [fine], "condition": {"request.ip": {"not_in": [secret]}}}),
        json!({"policies": [fine], "condition": {secret: {"in": []}}}),
        json!({"policies": [fine], "value": secret}),
        json!({"policies": [allow(&[DNS_READ, USER_TOKENS_WRITE, ACCOUNT_TOKENS_WRITE], on_account.clone())], "value": secret}),
    ] {
        let mut body = body;
        body["name"] = json!("wrong place");
        watch.send(&owner, "POST", &api_tokens, &body).await;
    }
}

/// Bodies that are no JSON, and queries.
async fn wrong_texts(installation: &Installation, process: &Process, watch: &mut Watch, secret: &str) {
    let owner = installation.token_actor(process);
    let tokens = installation.tokens_path();
    let absent = format!("{tokens}/00000000-0000-4000-8000-000000000000");
    let api_tokens = format!("/accounts/{}/tokens", installation.account_id);
    for body in [
        secret.to_owned(),
        format!("\"{secret}\""),
        format!("[\"{secret}\"]"),
        format!("{{\"client_secret\": \"{secret}\""),
        format!("{{\"name\": \"x\"}} {secret}"),
        format!("{{\"name\": \"x\", {secret}: 1}}"),
        format!("{{\"{secret}\": 1, \"{secret}\": 2}}"),
        format!("{{\"name\": \"{secret}\\x\"}}"),
        format!("client_secret={secret}"),
        format!("{}\"{secret}\"{}", "[".repeat(300), "]".repeat(300)),
    ] {
        watch.send(&owner, "POST", &tokens, &body).await;
        watch.send(&owner, "PUT", &absent, &body).await;
        watch.send(&owner, "POST", &api_tokens, &body).await;
    }
    for query in [
        format!("page={secret}"),
        format!("per_page={secret}"),
        format!("page=1&page={secret}"),
        format!("name={secret}"),
        format!("search={secret}"),
        format!("search={secret}&search={secret}"),
        format!("direction={secret}"),
        format!("include_expired={secret}"),
        format!("scope={secret}"),
        format!("{secret}=1"),
        format!("%ff{secret}=%ff{secret}"),
        format!("client_secret={secret}"),
    ] {
        for list in [
            tokens.clone(),
            api_tokens.clone(),
            format!("{api_tokens}/permission_groups"),
            "/accounts".to_owned(),
            "/zones".to_owned(),
        ] {
            let reply = watch.send(&owner, "GET", &format!("{list}?{query}"), "").await;
            assert_ne!(reply["errors"][0]["code"], 7003, "{list}?{query}");
        }
    }
}

async fn wrong_headers(installation: &Installation, process: &Process, watch: &mut Watch, secret: &str) {
    let path = installation.tokens_path();
    let (email, key) = (installation.email.as_str(), installation.api_key.as_str());
    let spaced = format!("{secret} x");
    let bearer = format!("Bearer {secret}");
    for headers in [
        &[("authorization", secret)][..],
        &[("authorization", bearer.as_str())],
        &[("authorization", &format!("Bearer {spaced}"))],
        &[("authorization", &format!("Bearer {secret}x"))],
        &[("authorization", &format!("Basic {secret}"))],
        &[("authorization", &bearer), ("authorization", &bearer)],
        &[("x-auth-email", secret), ("x-auth-key", key)],
        &[("x-auth-email", &format!("{secret}@example.com")), ("x-auth-key", key)],
        &[("x-auth-email", email), ("x-auth-key", &spaced)],
        &[("x-auth-email", email), ("x-auth-key", secret)],
        &[("x-auth-key", secret)],
        &[("x-auth-user-service-key", secret)],
        &[("cf-access-client-secret", secret)],
        &[("cookie", &format!("CF_Authorization={secret}"))],
    ] {
        let actor = Actor::new(process.base_url.clone(), headers);
        watch.send(&actor, "GET", &path, "").await;
        let verify = format!("/accounts/{}/tokens/verify", installation.account_id);
        watch.send(&actor, "GET", &verify, "").await;
    }
    let owner = installation.token_actor(process);
    for name in [
        "user-agent",
        "x-forwarded-for",
        "x-request-id",
        "x-stainless-retry-count",
        "content-type",
        "referer",
        "traceparent",
        "cf-access-client-secret",
    ] {
        let actor = owner.with(name, secret);
        watch.send(&actor, "GET", &path, "").await;
        watch.send(&actor, "POST", &format!("{path}/x/rotate"), "{").await;
    }
}

/// Sends what is no HTTP, with a secret in it.
pub(crate) fn no_http(url: &str, secret: &str) {
    let address = url.strip_prefix("http://").unwrap();
    for text in [
        format!("{secret}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nAuthorization Bearer {secret}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX: {secret}\0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {secret}\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{secret}\r\n"),
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut reply = Vec::new();
        // The server may hang up while it is still being talked to.
        let _ = stream.read_to_end(&mut reply);
        let reply = String::from_utf8_lossy(&reply);
        assert!(!reply.contains(secret), "what is no HTTP is not repeated: {reply}");
    }
}

/// Lets every kind of write fail in the store, with its values at hand, and reads.
async fn failing_store(installation: &Installation, process: &Process, watch: &mut Watch) {
    let owner = installation.token_actor(process);
    let tokens = installation.tokens_path();
    let api_tokens = format!("/accounts/{}/tokens", installation.account_id);
    let listed = watch.send(&owner, "GET", &tokens, "").await;
    let token = format!("{tokens}/{}", text(&listed["result"][0]["id"]));
    let on_account = json!({format!("com.cloudflare.api.account.{}", installation.account_id): "*"});
    let policies = json!([allow(&[SERVICE_TOKENS_WRITE], on_account)]);
    let mut database = Database::open(&installation.place.location).await;
    for table in ["digests", "service_tokens", "audit"] {
        database.execute(&format!("ALTER TABLE {table} RENAME TO elsewhere")).await;
        let mut failed = 0;
        for (method, path, body) in [
            ("POST", tokens.clone(), json!({"name": "x"})),
            ("POST", format!("{token}/rotate"), json!({})),
            ("PUT", token.clone(), json!({"client_secret_version": 99})),
            ("POST", api_tokens.clone(), json!({"name": "x", "policies": policies})),
        ] {
            let reply = watch.send(&owner, method, &path, body).await;
            failed += usize::from(reply["success"] == false);
        }
        assert!(failed > 2, "{failed} of 4 fail without {table}");
        watch.send(&owner, "GET", &tokens, "").await;
        database.execute(&format!("ALTER TABLE elsewhere RENAME TO {table}")).await;
    }
    let reply = watch.send(&owner, "POST", &tokens, json!({"name": "x"})).await;
    assert_eq!(reply["success"], true, "{reply}");
}
