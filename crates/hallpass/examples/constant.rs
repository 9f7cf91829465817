//! What the gate is measured against: the same HTTP library, the same accept loop, and 200 for everybody. `bench/gate` starts it.
//!
//! `constant ADDRESS [BYTES]`: listens there and never ends; its answers have a header of so many bytes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a tool for measuring ends at the first surprise"
)]

use std::convert::Infallible;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const PADDING: HeaderName = HeaderName::from_static("padding");

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).expect("an address");
    let bytes = std::env::args().nth(2).map(|bytes| "x".repeat(bytes.parse().expect("a number of bytes")));
    let header = bytes.map(|bytes| HeaderValue::try_from(bytes).unwrap());
    let listener = TcpListener::bind(&address).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let header = header.clone();
        let answer = service_fn(move |_: Request<Incoming>| {
            let mut answer = Response::new(Empty::<Bytes>::new());
            if let Some(header) = &header {
                answer.headers_mut().insert(PADDING, header.clone());
            }
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}
