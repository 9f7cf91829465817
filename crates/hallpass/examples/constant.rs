//! What the gate is measured against: the same HTTP library, the same accept loop, and 200 for everybody. `bench/gate` starts it.
//!
//! `constant ADDRESS`: listens there and never ends.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a tool for measuring ends at the first surprise"
)]

use std::convert::Infallible;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).expect("an address");
    let listener = TcpListener::bind(&address).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let answer = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}
