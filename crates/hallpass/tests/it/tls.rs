//! TLS as the real binary serves it, and certificates that are replaced while it runs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client};
use serde_json::json;

use crate::command_line::{founded, serve};
use crate::harness::{Engine, Place, Process, run};
use crate::inspect::Installation;

/// A certificate for 127.0.0.1, and its key.
struct Issued {
    certificate: String,
    key: String,
}

impl Issued {
    fn new() -> Self {
        let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        Self { certificate: issued.cert.pem(), key: issued.signing_key.serialize_pem() }
    }

    fn trusted(&self) -> Certificate {
        Certificate::from_pem(self.certificate.as_bytes()).unwrap()
    }
}

/// A server with a certificate.
struct Secured {
    process: Process,
    certificate: PathBuf,
    key: PathBuf,
    first: Installation,
}

impl Secured {
    async fn start(issued: &Issued) -> Self {
        let first = founded(Place::new(Engine::Sqlite).await);
        let directory = first.place.directory.path();
        let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        std::fs::write(&certificate, &issued.certificate).unwrap();
        std::fs::write(&key, &issued.key).unwrap();
        let arguments =
            ["--tls-certificate", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let process = serve(&first.place, &arguments);
        Self { process, certificate, key, first }
    }

    /// Puts another pair into the files, one after the other, as a careless tool would.
    fn replace(&self, issued: &Issued) {
        std::fs::write(&self.certificate, &issued.certificate).unwrap();
        std::fs::write(&self.key, &issued.key).unwrap();
    }

    fn url(&self) -> String {
        format!("{}/healthz", self.process.api)
    }

    /// Whether somebody who trusts this certificate alone gets an answer on a new connection.
    async fn shows(&self, issued: &Issued) -> bool {
        get(&client(&[issued]), &self.url()).await.is_ok()
    }

    async fn shows_soon(&self, issued: &Issued) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.shows(issued).await {
            assert!(Instant::now() < deadline, "the certificate is not served: {}", self.process.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A client with no connection yet, which trusts these certificates and no others.
fn client(trusted: &[&Issued]) -> Client {
    let trusted = trusted.iter().map(|issued| issued.trusted());
    Client::builder().no_proxy().tls_certs_only(trusted).build().unwrap()
}

async fn get(client: &Client, url: &str) -> Result<(), String> {
    let reply = client.get(url).send().await.map_err(|error| format!("{error:?}"))?;
    let status = reply.status();
    reply.bytes().await.map_err(|error| format!("{error:?}"))?;
    if status == 200 { Ok(()) } else { Err(status.to_string()) }
}

async fn wait_for_log(process: &Process, text: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !process.log().contains(text) {
        assert!(Instant::now() < deadline, "{text}: {}", process.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_served_over_tls_and_not_without() {
    let issued = Issued::new();
    let server = Secured::start(&issued).await;
    assert!(server.process.base_url.starts_with("https://127.0.0.1:"), "{}", server.process.base_url);
    let token = format!("Bearer {}", server.first.api_token);
    let tokens = format!("{}{}", server.process.base_url, server.first.tokens_path());
    let client = client(&[&issued]);
    let body = json!({"name": "n"}).to_string();
    let made = client.post(&tokens).header("authorization", &token).body(body).send().await.unwrap();
    assert_eq!((made.status().as_u16(), made.version()), (201, reqwest::Version::HTTP_11));
    let listed = client.get(&tokens).header("authorization", &token).send().await.unwrap();
    let listed: serde_json::Value = listed.json().await.unwrap();
    assert_eq!(listed["result"].as_array().unwrap().len(), 1);

    assert!(!server.shows(&Issued::new()).await, "another certificate is not this one");
    let plain = server.url().replace("https://", "http://");
    assert!(get(&client, &plain).await.is_err(), "plain HTTP is not answered");
    // A kept connection does not hold up the end.
    server.process.signal("TERM");
    let mut process = server.process;
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_hold_nobody_up() {
    let issued = Issued::new();
    let server = Secured::start(&issued).await;
    let address = server.process.api.strip_prefix("https://").unwrap().to_owned();
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let mut rude = TcpStream::connect(&address).unwrap();
    rude.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = rude.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    get(&client(&[&issued]), &server.url()).await.unwrap();
    // Nor do they hold up the end.
    server.process.signal("TERM");
    let mut process = server.process;
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_come_is_given_up_on() {
    let server = Secured::start(&Issued::new()).await;
    let address = server.process.api.strip_prefix("https://").unwrap();
    let mut silent = TcpStream::connect(address).unwrap();
    silent.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0, "the server hangs up");
}

/// Requests without end, on one kept connection and on a new one each time, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU32>,
    failed: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(url: &str, trusted: &[&Issued]) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let certificates: Vec<_> = trusted.iter().map(|issued| issued.trusted()).collect();
        let failed = (0..4).map(|n| {
            let (stop, done, url) = (Arc::clone(&stop), Arc::clone(&done), url.to_owned());
            let client = Client::builder().no_proxy().tls_certs_only(certificates.clone());
            // Half of them keep their connection.
            let client = if n % 2 == 0 { client } else { client.pool_max_idle_per_host(0) };
            let client = client.build().unwrap();
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    failed.extend(get(&client, &url).await.err());
                    done.fetch_add(1, Ordering::Relaxed);
                }
                failed
            })
        });
        let failed = failed.collect();
        Self { stop, done, failed }
    }

    /// Waits until so many more requests are done.
    async fn go_on(&self, requests: u32) {
        let until = self.done.load(Ordering::Relaxed) + requests;
        while self.done.load(Ordering::Relaxed) < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many requests were made, and what went wrong with them.
    async fn end(self) -> (u32, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        for task in self.failed {
            failed.extend(task.await.unwrap());
        }
        (self.done.load(Ordering::Relaxed), failed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_under_load_without_a_failed_request() {
    let issued: Vec<_> = (0..4).map(|_| Issued::new()).collect();
    let server = Secured::start(&issued[0]).await;
    let load = Load::start(&server.url(), &issued.iter().collect::<Vec<_>>());
    load.go_on(50).await;
    for (n, next) in issued.iter().enumerate().skip(1) {
        server.replace(next);
        // The files are looked at without being asked; the last time, the server is told.
        if n == 3 {
            server.process.signal("HUP");
        }
        server.shows_soon(next).await;
        assert!(!server.shows(&issued[n - 1]).await, "the old certificate is gone");
        load.go_on(50).await;
    }
    let (done, failed) = load.end().await;
    assert!(done > 200);
    assert_eq!(failed, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_pair_leaves_the_old_one_in_force() {
    let (old, new) = (Issued::new(), Issued::new());
    let server = Secured::start(&old).await;
    std::fs::write(&server.certificate, &new.certificate).unwrap();
    wait_for_log(&server.process, "the old one stays in force").await;
    assert!(server.shows(&old).await, "the new certificate has no key yet");
    std::fs::write(&server.key, "no key").unwrap();
    wait_for_log(&server.process, "holds no unencrypted private key").await;
    assert!(server.shows(&old).await);
    server.process.signal("HUP");
    wait_for_log(&server.process, "was not reloaded").await;
    std::fs::remove_file(&server.key).unwrap();
    wait_for_log(&server.process, "cannot read").await;
    assert!(server.shows(&old).await);
    server.replace(&new);
    server.shows_soon(&new).await;
    let log = server.process.log();
    let secret = new.key.lines().nth(1).unwrap();
    assert!(!log.contains(secret), "{log}");
}

/// What `--check-config` says of a pair.
fn check(certificate: &Path, key: &Path) -> (i32, String) {
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let arguments = [
        "serve",
        "--check-config",
        "--listen",
        "0.0.0.0:0",
        "--tls-certificate",
        certificate,
        "--tls-key",
        key,
    ];
    let (status, out, error) = run(&arguments.map(str::to_owned));
    (status, out + &error)
}

#[test]
fn a_pair_is_checked_before_it_is_used_and_makes_insecure_http_needless() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (one, other) = (Issued::new(), Issued::new());
    let certificate = file("cert.pem", &one.certificate);
    let key = file("key.pem", &one.key);
    let (status, said) = check(&certificate, &key);
    assert_eq!(status, 0, "{said}");
    assert!(said.starts_with("configuration is good") && said.contains("can be read by everybody"), "{said}");
    let wrong_key = file("other.pem", &other.key);
    let garbage = file("garbage.pem", "garbage");
    for (certificate, key, reason) in [
        (&certificate, &wrong_key, "cannot be used: "),
        (&certificate, &garbage, "holds no unencrypted private key in PEM"),
        (&garbage, &key, "holds no certificate in PEM"),
        (&key, &key, "holds no certificate in PEM"),
    ] {
        let (status, said) = check(certificate, key);
        assert_eq!(status, 2, "{said}");
        assert!(said.contains(reason), "{said}");
        assert!(!said.contains(one.key.lines().nth(1).unwrap()), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_file_that_does_not_answer_holds_up_neither_requests_nor_the_end() {
    let issued = Issued::new();
    let mut secured = Secured::start(&issued).await;
    // Whoever opens a pipe that nobody writes to waits for ever, as for a file on a network that is gone.
    std::fs::remove_file(&secured.certificate).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&secured.certificate).status().unwrap().success());
    secured.process.signal("HUP");
    wait_for_log(&secured.process, "cannot be read in time").await;
    assert!(secured.shows(&issued).await);
    secured.process.signal("TERM");
    let deadline = Instant::now() + Duration::from_mins(1);
    let status = loop {
        if let Some(status) = secured.process.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "the server does not end: {}", secured.process.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_says_that_a_certificate_is_not_trusted_and_does_not_call_it_a_passing_trouble() {
    let secured = Secured::start(&Issued::new()).await;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hallpass"))
        .args(["token", "list", "--base-url", &secured.process.api])
        .env("HALLPASS_API_TOKEN", "canary-token")
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("is not trusted, and nothing was sent") && !error.contains("canary"), "{error}");
}
