//! A database that falls silent: its connections stay open, and nothing comes back. A network that swallows packets does that, and
//! tells nobody. The server gives up in bounded time, says so, and is well again once the database answers.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::text;
use crate::relay::{Line, Relay};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, see ./test"]
async fn a_silent_database_is_given_up_on_and_taken_up_again() {
    let (server, relay) = Relay::server().await;
    let home = server.home.clone();
    let key = server.key(&home);
    let made = server.make_service_token(&home, json!({"name": "n"})).await;
    let one = format!("{}/{}", home.tokens_path(), text(&made["id"]));

    relay.set(Line::Silent);
    // Both at once, each within the client's own limit of a minute.
    let refresh = format!("{one}/refresh");
    let (written, read) = tokio::join!(key.post(&refresh, json!({})), key.get(&one));
    assert_eq!((written.status, read.status), (503, 503), "{} {}", written.text, read.text);

    relay.set(Line::Open);
    // Those connections that went silent are not waited for again.
    let deadline = Instant::now() + Duration::from_mins(1);
    while key.get(&one).await.status != 200 || key.post(&refresh, json!({})).await.status != 200 {
        assert!(Instant::now() < deadline, "the server did not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(key.get(&one).await.result(200)["name"], "n");
}
