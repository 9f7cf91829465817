//! A relay between a server and its database, which can fall silent as a network does that swallows packets, or be cut as by a
//! database that is stopped.

use std::net::SocketAddr;

use hallpass::store::{Durability, Location};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::harness::{Engine, Options, Place, TestServer};

/// How it is with the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// It passes on what it gets.
    Open,
    /// Connections stay open, and nothing comes back.
    Silent,
    /// Connections end, and no new one lasts.
    Down,
}

/// The relay.
pub(crate) struct Relay {
    address: SocketAddr,
    line: watch::Sender<Line>,
}

impl Relay {
    async fn to(database: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (line, told) = watch::channel(Line::Open);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *told.borrow() == Line::Down {
                    continue;
                }
                let far = TcpStream::connect(&database).await.unwrap();
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::spawn(pass_on(near_read, far_write, told.clone()));
                tokio::spawn(pass_on(far_read, near_write, told.clone()));
            }
        });
        Self { address, line }
    }

    /// A server on PostgreSQL with a relay before it.
    pub(crate) async fn server() -> (TestServer, Self) {
        let mut place = Place::new(Engine::Postgres).await;
        let Location::Postgres(url) = place.location.clone() else { unreachable!() };
        let (user, rest) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
        let (host, database) = rest.split_once('/').unwrap();
        let relay = Self::to(host.to_owned()).await;
        let url = format!("postgres://{user}@{}/{database}?sslmode=disable", relay.address);
        place.location = Location::Postgres(url);
        let server =
            TestServer::start_at(place, Engine::Postgres, Options::default(), Durability::Full).await;
        (server, relay)
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

/// A connection that was silent once stays silent: what it swallowed is gone.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>) {
    let mut buffer = vec![0; 65_536];
    let mut swallowed = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = line.wait_for(|line| *line == Line::Down) => return,
        };
        let Ok(read @ 1..) = read else { return };
        swallowed |= *line.borrow() == Line::Silent;
        if !swallowed && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
