//! A database that falls silent: its connections stay open, and nothing comes back. A network that swallows packets does that, and
//! tells nobody. The server gives up in bounded time, says so, and is well again once the database answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass::store::{Durability, Location};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::harness::{Engine, Options, Place, TestServer, text};

/// Passes bytes on between clients and the database, until it is told to swallow them.
struct Wire {
    address: SocketAddr,
    cut: Arc<watch::Sender<bool>>,
}

impl Wire {
    async fn to(database: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(watch::Sender::new(false));
        let told = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&database).await.unwrap();
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::spawn(pass_on(near_read, far_write, told.subscribe()));
                tokio::spawn(pass_on(far_read, near_write, told.subscribe()));
            }
        });
        Self { address, cut }
    }
}

/// A connection that was silent once stays silent: what it swallowed is gone.
async fn pass_on(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    cut: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 65_536];
    let mut swallowed = false;
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        swallowed |= *cut.borrow();
        if !swallowed && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, see ./test"]
async fn a_silent_database_is_given_up_on_and_taken_up_again() {
    let mut place = Place::new(Engine::Postgres).await;
    let Location::Postgres(url) = place.location.clone() else { unreachable!() };
    let (user, rest) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let (host, database) = rest.split_once('/').unwrap();
    let wire = Wire::to(host.to_owned()).await;
    place.location =
        Location::Postgres(format!("postgres://{user}@{}/{database}?sslmode=disable", wire.address));
    let server = TestServer::start_at(place, Engine::Postgres, Options::default(), Durability::Full).await;
    let home = server.home.clone();
    let key = server.key(&home);
    let made = server.make_service_token(&home, json!({"name": "n"})).await;
    let one = format!("{}/{}", home.tokens_path(), text(&made["id"]));

    wire.cut.send_replace(true);
    // Both at once, each within the client's own limit of a minute.
    let refresh = format!("{one}/refresh");
    let (written, read) = tokio::join!(key.post(&refresh, json!({})), key.get(&one));
    assert_eq!((written.status, read.status), (503, 503), "{} {}", written.text, read.text);

    wire.cut.send_replace(false);
    // Those connections that went silent are not waited for again.
    let deadline = Instant::now() + Duration::from_mins(1);
    while key.get(&one).await.status != 200 || key.post(&refresh, json!({})).await.status != 200 {
        assert!(Instant::now() < deadline, "the server did not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(key.get(&one).await.result(200)["name"], "n");
}
