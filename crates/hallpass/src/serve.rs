//! Listening: accept connections, over TLS or not, hand requests to the router, and drain on shutdown, so that no reply to a write is
//! lost.

mod head_timer;

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

use crate::api::Peer;
use crate::tls::Tls;
use head_timer::HeadTimer;

/// How long the head of a request may take to arrive, and how long an idle connection stays open.
const HEAD_TIME: Duration = Duration::from_mins(1);
/// How long running requests may take once the server was told to stop: less than the ten seconds after which supervisors kill.
const DRAIN_TIME: Duration = Duration::from_secs(7);
/// The most connections at a time, and the most that one may send before its request is understood: together, what strangers
/// can make the server hold.
const MOST_CONNECTIONS: usize = 4_096;
const MOST_HEAD_BYTES: usize = 64 * 1024;
/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be accepted, for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What requests travel over.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Plain TCP.
    Plain,
    /// TLS.
    Tls(Tls),
}

/// Serves plain HTTP until `stop` is done, then lets running requests finish.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    serve_over(Transport::Plain, listener, router, stop).await;
}

/// Serves a router until `stop` is done, then lets running requests finish.
pub async fn serve_over(
    transport: Transport,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let service = move |peer: SocketAddr| {
        let router = router.clone();
        service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request)
        })
    };
    serve_with(transport, listener, service, stop).await;
}

/// Serves until `stop` is done, then lets running requests finish. `service` makes what answers the requests of a connection, from
/// its peer's address.
pub(crate) async fn serve_with<S, B>(
    transport: Transport,
    listener: TcpListener,
    service: impl Fn(SocketAddr) -> S,
    stop: impl Future<Output = ()>,
) where
    S: HttpService<Incoming, ResBody = B, Future: Send> + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: hyper::body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.header_read_timeout(HEAD_TIME).max_buf_size(MOST_HEAD_BYTES);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let (accepting, stopped) = watch::channel(());
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let _ = stream.set_nodelay(true);
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(%peer, "too many connections, this one is closed");
            continue;
        };
        let mut http = http.clone();
        http.timer(HeadTimer::new(HEAD_TIME));
        let connection = Connection { http, service: service(peer), watcher: graceful.watcher(), peer };
        let transport = transport.clone();
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let _place = place;
            match transport {
                Transport::Plain => connection.serve(stream).await,
                Transport::Tls(tls) => {
                    let handshake = tokio::time::timeout(HANDSHAKE_TIME, tls.acceptor().accept(stream));
                    tokio::select! {
                        shaken = handshake => match shaken {
                            Ok(Ok(stream)) => connection.serve(stream).await,
                            Ok(Err(error)) => tracing::debug!(%error, %peer, "TLS handshake failed"),
                            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                        },
                        // No request can have come yet, and the drain does not wait for one.
                        _ = stopped.changed() => {}
                    }
                }
            }
        });
    }
    drop(listener);
    drop(accepting);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(DRAIN_TIME) => tracing::warn!("some requests were still running and were cut off"),
    }
}

/// An accepted connection.
struct Connection<S> {
    http: http1::Builder,
    service: S,
    watcher: Watcher,
    peer: SocketAddr,
}

impl<S, B> Connection<S>
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: hyper::body::Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let Self { http, service, watcher, peer } = self;
        // A client that hangs up, or speaks no HTTP, is nothing to report.
        if let Err(error) = watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await {
            tracing::debug!(%error, %peer, "connection ended");
        }
    }
}

/// The address of a listener as clients write it: one that listens everywhere is reached on loopback.
pub fn base_url(transport: &Transport, address: SocketAddr) -> String {
    let scheme = match transport {
        Transport::Plain => "http",
        Transport::Tls(_) => "https",
    };
    let ip = match address.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => "127.0.0.1".to_owned(),
        ip if ip.is_unspecified() => "[::1]".to_owned(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        std::net::IpAddr::V4(ip) => ip.to_string(),
    };
    format!("{scheme}://{ip}:{}", address.port())
}
