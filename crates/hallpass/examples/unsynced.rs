//! The negative control of the durability tests, which must never be used for anything else: a server that answers before its
//! writes are on disk, so that those tests can show that they would notice.
//!
//! `unsynced --data DIR --listen ADDR --ready-file FILE`, on a store that `hallpass bootstrap` has made.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use hallpass::api::rate_limit::RateLimits;
use hallpass::api::{self, Api, BASE};
use hallpass::reference::References;
use hallpass::serve;
use hallpass::server_key::ServerKey;
use hallpass::store::{self, Durability, Location, Purpose, Store};
use hallpass::world::World;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = PathBuf::from(argument("--data")?);
    let world = World::machine();
    let key = ServerKey::read(&store::key_file(&directory))?;
    let location = Location::Directory(directory);
    let store = Store::open(&location, &key, Purpose::Service, Durability::NoneForTests, &world).await?;
    let api = Api {
        store,
        world,
        purpose: Purpose::Service,
        limits: Arc::new(RateLimits::new(None)),
        service_token_quota: None.into(),
        trusted_peers: Arc::<[_]>::from([]).into(),
        requests: api::Requests::default(),
        references: Arc::new(References::new(&key)),
    };
    let listener = TcpListener::bind(argument("--listen")?).await?;
    let url = serve::base_url(&serve::Transport::Plain, listener.local_addr()?);
    let serving = tokio::spawn(serve::serve(listener, api::router(api), std::future::pending::<()>()));
    let ready = serde_json::json!({"api": url, "base_url": format!("{url}{BASE}")});
    let file = PathBuf::from(argument("--ready-file")?);
    let draft = file.with_extension("new");
    std::fs::write(&draft, ready.to_string())?;
    std::fs::rename(&draft, &file)?;
    Ok(serving.await?)
}

/// The value behind an argument.
fn argument(name: &str) -> anyhow::Result<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().with_context(|| format!("{name} is missing"))
}
