//! The control of `bench/timing`: the gate's HTTP library and the same refusal for everybody, but for one class of client IDs it
//! takes longer, by a time that is known. What finds this leak would find one in the gate; with a leak of nothing, nothing may be
//! found.
//!
//! `leaking ADDRESS FILE CLASS NANOSECONDS`, with the file that `timing` reads: listens there and never ends.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a tool for measuring ends at the first surprise"
)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, class, nanos] = &arguments[..] else { panic!("ADDRESS FILE CLASS NANOSECONDS") };
    let leak = Duration::from_nanos(nanos.parse().unwrap());
    let text = std::fs::read_to_string(file).unwrap();
    // Every client ID is looked up and found, whether or not it leaks.
    let waits = text.lines().map(|line| {
        let [name, client_id, _] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        (client_id.to_owned(), if name == class { leak } else { Duration::ZERO })
    });
    let waits: Arc<HashMap<String, Duration>> = Arc::new(waits.collect());
    let listener = TcpListener::bind(address).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let waits = Arc::clone(&waits);
        let answer = service_fn(move |request: Request<Incoming>| {
            let wait = waits[request.headers()["cf-access-client-id"].to_str().unwrap()];
            let began = Instant::now();
            while began.elapsed() < wait {
                std::hint::spin_loop();
            }
            std::future::ready(Ok::<_, Infallible>(refusal()))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

fn refusal() -> Response<Full<Bytes>> {
    let answer = Response::builder().status(401).header("content-type", "text/plain; charset=utf-8");
    let answer = answer.header("cache-control", "no-store").header("hallpass-ref", "A".repeat(92));
    answer.body(Full::from("This credential does not open this door.\n")).unwrap()
}
