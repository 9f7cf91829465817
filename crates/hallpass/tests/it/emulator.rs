//! `hallpass dev` as the real binary: the published example, a clock that can be moved, faults on demand, and no way in for a web
//! page. Nothing of it is in `hallpass serve`.

use std::net::SocketAddr;
use std::path::Path;

use hallpass_core::time::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Actor, Process, SERVICE_TOKENS_WRITE, allow, run, text};
use crate::raw::{send, send_as};

const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const TOKEN: &str = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415";
const API_TOKEN: &str = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY";
const API_KEY: &str = "144c9defac04969c7bfad8efaa8ea194";

struct Dev {
    process: Process,
    directory: TempDir,
}

impl Dev {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts it with a temporary directory of its own, to see what is left there.
    fn start_with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let temporary = directory.path().join("tmp");
        std::fs::create_dir(&temporary).unwrap();
        let mut all = vec![
            format!("TMPDIR={}", temporary.display()),
            env!("CARGO_BIN_EXE_hallpass").to_owned(),
            "dev".to_owned(),
        ];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let process = Process::start_program(Path::new("/usr/bin/env"), directory.path(), &all);
        Self { process, directory }
    }

    fn address(&self) -> SocketAddr {
        self.process.api.strip_prefix("http://").unwrap().parse().unwrap()
    }

    fn user(&self) -> Actor {
        Actor::new(self.process.base_url.clone(), &[("authorization", &format!("Bearer {API_TOKEN}"))])
    }

    fn key(&self) -> Actor {
        Actor::new(
            self.process.base_url.clone(),
            &[("x-auth-email", "user@example.com"), ("x-auth-key", API_KEY)],
        )
    }

    /// The emulator's own switches.
    fn switches(&self) -> Actor {
        Actor::new(format!("{}/dev", self.process.api), &[])
    }

    async fn clock(&self) -> Timestamp {
        let shown = self.switches().get("/clock").await.result(200);
        text(&shown["now"]).parse().unwrap()
    }

    fn left(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("tmp")).unwrap().count()
    }
}

fn tokens() -> String {
    format!("/accounts/{ACCOUNT}/access/service_tokens")
}

fn seconds_between(one: Timestamp, two: Timestamp) -> i64 {
    (two.as_micros() - one.as_micros()) / 1_000_000
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_the_published_example_and_nothing_else() {
    let dev = Dev::start();
    for actor in [dev.user(), dev.key()] {
        let reply = actor.get(&tokens()).await;
        assert!(reply.headers.get("ratelimit").is_none(), "nobody is counted here");
        let list = reply.result(200);
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
        let token = &list[0];
        for (field, value) in [
            ("id", TOKEN),
            ("name", "CI/CD token"),
            ("duration", "60m"),
            ("client_id", "88bf3b6d86161464f6509f7219099e57.access.example.com"),
        ] {
            assert_eq!(token[field], value);
        }
        assert_eq!((&token["enabled"], &token["client_secret_version"]), (&json!(true), &json!(1)));
        let made = text(&token["created_at"]).parse::<Timestamp>().unwrap();
        let expires = text(&token["expires_at"]).parse::<Timestamp>().unwrap();
        let (now, lasts) = (dev.clock().await, seconds_between(made, expires));
        assert!((0..60).contains(&seconds_between(made, now)), "made at {made}, it is {now}");
        assert!((3_600..=3_601).contains(&lasts), "{lasts}");
        assert_eq!(actor.get("/accounts").await.result(200)[0]["id"], ACCOUNT);
        let zone = &actor.get("/zones").await.result(200)[0];
        assert_eq!((&zone["id"], &zone["name"]), (&json!(ACCOUNT), &json!("example.com")));
        assert_eq!(actor.get("/user").await.result(200)["email"], "user@example.com");
    }
    // The documented snippet.
    let path = format!("{}/{TOKEN}/refresh", tokens());
    assert_eq!(dev.user().post(&path, json!({})).await.result(200)["id"], TOKEN);
    dev.user().get("/user/tokens/verify").await.result(200);
    // The token holds both permissions on service tokens and no more; the key may do everything.
    assert_eq!(dev.user().get("/user/tokens").await.refusal(), (403, 10000));
    let held = dev.key().get("/user/tokens").await.result(200);
    assert_eq!(held.as_array().unwrap().len(), 1);
    assert_eq!(held[0]["policies"][0]["permission_groups"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_clock_is_moved_and_tokens_expire_by_it() {
    let dev = Dev::start();
    let (user, switches) = (dev.user(), dev.switches());
    let one = format!("{}/{TOKEN}", tokens());
    let began = dev.clock().await;
    let moved = switches.post("/clock", json!({"advance": "8760h"})).await.result(200);
    let year = text(&moved["now"]).parse::<Timestamp>().unwrap();
    assert!((31_536_000..31_536_060).contains(&seconds_between(began, year)));
    let shown = user.get(&one).await.result(200);
    assert!(text(&shown["expires_at"]).parse::<Timestamp>().unwrap() < dev.clock().await);
    let shown = user.post(&format!("{one}/refresh"), json!({})).await.result(200);
    let expires = text(&shown["expires_at"]).parse::<Timestamp>().unwrap();
    assert!((3_599..=3_601).contains(&seconds_between(dev.clock().await, expires)));
    switches.post("/clock", json!({"advance": "-1h"})).await.result(200);
    assert!((31_532_400..31_532_460).contains(&seconds_between(began, dev.clock().await)));
    switches.post("/clock", json!({"set": "2027-01-01T00:00:00Z"})).await.result(200);
    let made = user.post(&tokens(), json!({"name": "n", "duration": "1h"})).await.result(201);
    assert!(text(&made["expires_at"]).starts_with("2027-01-01T01:0"));
    // API tokens expire by it as well.
    let policy =
        allow(&[SERVICE_TOKENS_WRITE], json!({format!("com.cloudflare.api.account.{ACCOUNT}"): "*"}));
    let body = json!({"name": "t", "policies": [policy], "expires_on": "2027-01-01T12:00:00Z"});
    let made = dev.key().post("/user/tokens", body).await.result(200);
    let bearer = Actor::new(
        dev.process.base_url.clone(),
        &[("authorization", &format!("Bearer {}", text(&made["value"])))],
    );
    assert_eq!(bearer.get(&tokens()).await.status, 200);
    switches.post("/clock", json!({"advance": "12h"})).await.result(200);
    assert_eq!(bearer.get(&tokens()).await.refusal(), (403, 9109));
    for (body, pointer) in [
        (json!({}), ""),
        (json!({"advance": "1h", "set": "2027-01-01T00:00:00Z"}), ""),
        (json!({"advance": "8760h", "set": null}), "ok"),
        (json!({"advance": "1d"}), "/advance"),
        (json!({"advance": 5}), "/advance"),
        (json!({"set": "tomorrow"}), "/set"),
        (json!({"set": "3000-01-01T00:00:00Z"}), "/set"),
        (json!({"set": "1969-12-31T23:59:59Z"}), "/set"),
        (json!([]), ""),
    ] {
        let reply = switches.post("/clock", body.clone()).await;
        if pointer == "ok" {
            assert_eq!(reply.status, 200, "{}", reply.text);
        } else {
            assert_eq!(reply.refusal(), (400, 12130), "{body}");
            assert!(reply.pointers().contains(&pointer.to_owned()), "{body}: {}", reply.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_restores_the_seed_and_the_real_clock() {
    let dev = Dev::start();
    let (user, switches) = (dev.user(), dev.switches());
    let began = dev.clock().await;
    user.delete(&format!("{}/{TOKEN}", tokens())).await.result(200);
    for _ in 0..3 {
        user.post(&tokens(), json!({"name": "n"})).await.result(201);
    }
    let id = text(&dev.key().get("/user/tokens").await.result(200)[0]["id"]);
    dev.key().delete(&format!("/user/tokens/{id}")).await.result(200);
    assert_eq!(user.get(&tokens()).await.refusal(), (403, 9109));
    switches.post("/clock", json!({"advance": "8760h"})).await.result(200);
    switches.post("/faults", json!({"status": 500, "times": 9})).await.result(200);
    for _ in 0..2 {
        switches.post("/reset", json!({})).await.result(200);
        assert!((0..60).contains(&seconds_between(began, dev.clock().await)));
        let list = user.get(&tokens()).await.result(200);
        assert_eq!((list.as_array().unwrap().len(), &list[0]["id"]), (1, &json!(TOKEN)));
        assert_eq!(list[0]["client_secret_version"], 1);
    }
    // The stores of before are gone.
    for _ in 0..200 {
        if dev.left() == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{} directories are left", dev.left());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_500_is_marked_for_retries_as_the_real_one_would_be() {
    let dev = Dev::start();
    let (user, switches) = (dev.user(), dev.switches());
    let (list, one) = (tokens(), format!("{}/{TOKEN}", tokens()));
    let (zone, api) = (one.replace("accounts", "zones"), format!("/user/tokens/{}", "a".repeat(32)));
    for (method, path, body, repeatable) in [
        ("GET", list.as_str(), "", true),
        ("GET", &one, "", true),
        ("POST", &list, r#"{"name":"n"}"#, false),
        ("POST", &format!("{one}/rotate"), "", false),
        ("POST", &format!("{zone}/rotate"), "{}", false),
        ("POST", &format!("{one}/refresh"), "", true),
        ("PUT", &one, r#"{"name":"n"}"#, true),
        ("PUT", &one, r#"{"client_secret_version":2}"#, false),
        ("PUT", &zone, r#"{"client_secret_version":2,"name":"n"}"#, false),
        ("DELETE", &one, "", true),
        ("POST", "/user/tokens", "{}", false),
        ("PUT", &format!("{api}/value"), "{}", false),
        ("PUT", &api, "{}", true),
        ("GET", "/nothing", "", true),
    ] {
        switches.post("/faults", json!({"status": 500})).await.result(200);
        let reply = user.send(method, path, Some(body.as_bytes().to_vec())).await;
        assert_eq!(reply.refusal(), (500, 10001), "{method} {path}");
        let mark = reply.headers.get("x-should-retry").map(|mark| mark.to_str().unwrap());
        assert_eq!(mark, if repeatable { None } else { Some("false") }, "{method} {path} {body}");
    }
    // None of them did anything.
    let list = user.get(&list).await.result(200);
    assert_eq!((list.as_array().unwrap().len(), &list[0]["client_secret_version"]), (1, &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_counted_and_meet_the_api_alone() {
    let dev = Dev::start();
    let (user, switches) = (dev.user(), dev.switches());
    let wait = json!({"status": 429, "times": 2, "retry_after": 7});
    assert_eq!(switches.post("/faults", wait).await.result(200), json!({"pending": 2}));
    let pending = switches.post("/faults", json!({"status": 500.0, "times": 1})).await;
    assert_eq!(pending.result(200), json!({"pending": 3}));
    // The emulator's own and health are not met.
    switches.get("/clock").await.result(200);
    assert_eq!(send(dev.address(), "GET", "/healthz", &[], b"").status, 200);
    for _ in 0..2 {
        let reply = user.post(&tokens(), json!({"name": "n"})).await;
        assert_eq!((reply.refusal(), &reply.headers["retry-after"]), ((429, 971), &"7".parse().unwrap()));
        assert!(reply.headers.get("x-should-retry").is_none(), "nothing was done: it may be sent again");
    }
    assert_eq!(user.get(&tokens()).await.refusal(), (500, 10001));
    assert_eq!(user.get(&tokens()).await.result(200).as_array().unwrap().len(), 1);
    switches.post("/faults", json!({"status": 429})).await.result(200);
    assert_eq!(user.get(&tokens()).await.headers["retry-after"], "1");
    for (body, pointer) in [
        (json!({}), "/status"),
        (json!({"status": 418}), "/status"),
        (json!({"status": "500"}), "/status"),
        (json!({"status": 500, "times": 1_001}), "/times"),
        (json!({"status": 500, "times": -1}), "/times"),
        (json!({"status": 429, "retry_after": 3_601}), "/retry_after"),
    ] {
        let reply = switches.post("/faults", body.clone()).await;
        assert_eq!(reply.refusal(), (400, 12130), "{body}");
        assert!(reply.pointers().contains(&pointer.to_owned()), "{body}: {}", reply.text);
    }
    assert_eq!(user.get(&tokens()).await.status, 200, "a refused fault is none");
    let many = json!({"status": 500, "times": 1_000});
    switches.post("/faults", many.clone()).await.result(200);
    assert_eq!(switches.post("/faults", many).await.result(200), json!({"pending": 1_000}));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_web_page_reaches_its_switches() {
    let dev = Dev::start();
    let address = dev.address();
    let (json, port) = (("content-type", "application/json"), address.port());
    let before = dev.clock().await;
    for host in [
        "example.com",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "hallpass:8484",
        "192.168.1.1",
        "",
        "[::2]",
    ] {
        for (method, path) in
            [("GET", "/dev/clock"), ("POST", "/dev/clock"), ("POST", "/dev/reset"), ("POST", "/dev/faults")]
        {
            let body = br#"{"advance":"1h","status":500}"#;
            let reply = send(address, method, path, &[("host", host), json], body);
            assert_eq!(reply.refusal(), (400, vec![12130]), "{host} {path}");
            assert_eq!(reply.body()["errors"][0]["source"]["pointer"], "/host");
        }
    }
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data"),
        Some("application/jsonx"),
        Some(""),
    ] {
        for path in ["/dev/clock", "/dev/reset", "/dev/faults"] {
            let headers: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
            let reply = send(address, "POST", path, &headers, br#"{"advance":"1h","status":500}"#);
            assert_eq!(reply.refusal(), (400, vec![12130]), "{kind:?} {path}");
            assert_eq!(reply.body()["errors"][0]["source"]["pointer"], "/content-type");
        }
    }
    // Nor does it ask first and get an answer.
    let asking = [("origin", "https://evil.example"), ("access-control-request-method", "POST")];
    for path in ["/dev/clock", "/dev/reset", &format!("/client/v4{}", tokens())] {
        let reply = send(address, "OPTIONS", path, &asking, b"");
        assert!(reply.status >= 400, "{path}: {}", reply.status);
        assert!(!reply.head.contains("access-control-allow"), "{}", reply.head);
    }
    assert!((0..60).contains(&seconds_between(before, dev.clock().await)), "somebody moved the clock");
    for host in [
        "localhost".to_owned(),
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        "[::1]:1".to_owned(),
    ] {
        let reply = send(
            address,
            "POST",
            "/dev/clock",
            &[("host", &host), ("content-type", "application/json; charset=utf-8")],
            br#"{"advance":"0s"}"#,
        );
        assert_eq!(reply.status, 200, "{host}: {}", reply.text);
    }
    for (method, path) in [("DELETE", "/dev/clock"), ("GET", "/dev/reset"), ("PUT", "/dev/faults")] {
        let reply = send(address, method, path, &[json], b"{}");
        assert_eq!(reply.refusal(), (405, vec![10405]), "{method} {path}");
    }
    let reply = send_as(&dev.user(), address, "GET", "/dev/nothing", &[], b"");
    assert_eq!(reply.refusal(), (404, vec![7003, 7000]));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_on_loopback_unless_told_otherwise() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let (status, out, error) = run(&["dev", "--listen", listen].map(str::to_owned));
        assert_eq!((status, out.as_str()), (2, ""), "{error}");
        assert!(error.contains("--allow-remote"), "{error}");
    }
    // The harness asks for a free port on loopback; a shell replaces that.
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "exec {} dev --listen 0.0.0.0:0 --allow-remote --ready-file \"$3\"",
        env!("CARGO_BIN_EXE_hallpass")
    );
    let shell = Path::new("/bin/sh");
    let process = Process::start_program(shell, directory.path(), &["-c".to_owned(), script]);
    let address = process.api.strip_prefix("http://").unwrap().parse().unwrap();
    for (host, status) in [("hallpass:8484", 200), ("172.17.0.2:8484", 200), ("evil.example", 400)] {
        let reply = send(address, "GET", "/dev/clock", &[("host", host)], b"");
        assert_eq!(reply.status, status, "{host}");
    }
    for _ in 0..200 {
        if process.log().contains("listens beyond loopback") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no warning: {}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_with_a_seed_file_and_says_what_is_wrong_with_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("seed.json");
    let path = file.display().to_string();
    let (status, example, _) = run(&["dev", "--print-seed"].map(str::to_owned));
    assert_eq!(status, 0);
    let mut seed: Value = serde_json::from_str(&example).unwrap();
    assert_eq!(seed["service_tokens"][0]["id"], TOKEN);
    seed["service_tokens"][0]["name"] = json!("mine");
    seed["api_tokens"][0]["value"] = json!("my-own-token");
    std::fs::write(&file, seed.to_string()).unwrap();
    let dev = Dev::start_with(&["--seed", &path]);
    let mine = Actor::new(dev.process.base_url.clone(), &[("authorization", "Bearer my-own-token")]);
    assert_eq!(mine.get(&tokens()).await.result(200)[0]["name"], "mine");
    assert_eq!(dev.user().get(&tokens()).await.refusal(), (403, 9109));
    seed["service_tokens"][0]["duration"] = json!("1d");
    seed["accounts"][0]["id"] = json!("x");
    for (text, places) in [
        (seed.to_string(), &["/service_tokens/0/duration", "/accounts/0/id"][..]),
        ("{".to_owned(), &["JSON"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let (status, _, error) = run(&["dev", "--seed", &path, "--listen", "127.0.0.1:0"].map(str::to_owned));
        assert_eq!(status, 2, "{error}");
        assert!(places.iter().all(|place| error.contains(place)), "{error}");
    }
    let (status, _, error) = run(&["dev", "--seed", "/nowhere.json"].map(str::to_owned));
    assert_eq!(status, 1);
    assert!(error.contains("/nowhere.json"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_on_sigterm_and_leaves_nothing_behind() {
    for signal in ["TERM", "INT"] {
        let mut dev = Dev::start();
        assert_eq!(dev.left(), 1);
        dev.user().post(&tokens(), json!({"name": "n"})).await.result(201);
        dev.process.signal(signal);
        let status = dev.process.child.wait().unwrap();
        assert_eq!((status.code(), dev.left()), (Some(0), 0), "{}", dev.process.log());
    }
}
