//! The address on which the server listens: whether it is free, and if not, who answers.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::Finding;

const CHECK: &str = "address";
/// How long whoever listens there has to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than the reply that is looked for.
const MOST: u64 = 64 << 10;

/// Who is behind the address.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Hallpass, which is ready.
    Ready,
    /// Hallpass, which is not: its store cannot be read or written.
    NotReady,
    /// Something that speaks HTTP.
    Other,
    /// Something that does not.
    Silent,
}

/// What the server speaks there, by its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Http,
    Tls,
}

pub(super) async fn examine(address: SocketAddr, speaks: Speaks) -> Finding {
    let looking = tokio::task::spawn_blocking(move || look(address, speaks));
    match tokio::time::timeout(3 * PATIENCE, looking).await {
        Ok(looked) => looked.unwrap_or_else(|_| {
            Finding::note(CHECK, format!("{address} could not be looked at"), "try again")
        }),
        // Whoever is there sends a little now and then, and never ends.
        Err(_) => answered(address, &Answer::Silent),
    }
}

fn look(address: SocketAddr, speaks: Speaks) -> Finding {
    match TcpStream::connect_timeout(&reachable(address), PATIENCE) {
        Ok(_) if speaks == Speaks::Tls => Finding::note(
            CHECK,
            format!("something answers on {address}, where the server speaks TLS"),
            format!("ask whether it is the server, and ready: curl https://NAME:{}/readyz", address.port()),
        ),
        Ok(stream) => answered(address, &ask(stream).unwrap_or(Answer::Silent)),
        Err(_) => match TcpListener::bind(address) {
            Ok(_) => Finding::ok(CHECK, format!("{address} is free: no server runs there")),
            Err(error) => Finding::problem(
                CHECK,
                format!("no server runs on {address}, and none can listen there: {error}"),
                "give an address of this machine with --listen, and a port above 1023 unless the server may use lower ones",
            ),
        },
    }
}

fn answered(address: SocketAddr, answer: &Answer) -> Finding {
    match answer {
        Answer::Ready => Finding::ok(CHECK, format!("a Hallpass server answers on {address}, and is ready")),
        Answer::NotReady => Finding::problem(
            CHECK,
            format!(
                "a Hallpass server answers on {address}, and is not ready: it cannot read or write its store"
            ),
            "look into its log; the checks of the database above may say why",
        ),
        Answer::Other => Finding::problem(
            CHECK,
            format!("another program answers on {address}: the server cannot listen there"),
            "end that program, or give another address with --listen",
        ),
        Answer::Silent => Finding::warning(
            CHECK,
            format!("{address} is taken by a program that does not answer plain HTTP"),
            "if that is the server, with TLS, ask its /readyz with: curl; else give another address with --listen",
        ),
    }
}

/// Where to connect to reach a listener on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn ask(mut stream: TcpStream) -> io::Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    // Whoever sends a whole reply and keeps the connection has still answered.
    let read = stream.take(MOST).read_to_end(&mut reply);
    if reply.is_empty() {
        read?;
    }
    Ok(understand(&String::from_utf8_lossy(&reply)))
}

/// Hallpass is known by its envelope.
fn understand(reply: &str) -> Answer {
    let Some(status) = reply.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)) else {
        return Answer::Silent;
    };
    let body = reply.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str::<Value>(body).ok());
    let body = body.unwrap_or_default();
    let ready = body.pointer("/result/status").and_then(Value::as_str) == Some("ready");
    let enveloped = body.get("success").is_some_and(Value::is_boolean) && body.get("errors").is_some();
    match status {
        "200" if enveloped && ready => Answer::Ready,
        "503" if enveloped => Answer::NotReady,
        _ => Answer::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hallpass_is_told_from_others_by_its_envelope() {
        let ready = r#"{"result":{"status":"ready"},"success":true,"errors":[],"messages":[]}"#;
        let not_ready = r#"{"result":null,"success":false,"errors":[{"code":10001}],"messages":[]}"#;
        for (reply, answer) in [
            (format!("HTTP/1.1 200 OK\r\na: b\r\n\r\n{ready}"), Answer::Ready),
            (format!("HTTP/1.1 503 Service Unavailable\r\n\r\n{not_ready}"), Answer::NotReady),
            ("HTTP/1.1 200 OK\r\n\r\n<html>".to_owned(), Answer::Other),
            ("HTTP/1.0 503 No\r\n\r\n".to_owned(), Answer::Other),
            ("HTTP/1.1 200 OK\r\n\r\n{}".to_owned(), Answer::Other),
            ("SSH-2.0-x".to_owned(), Answer::Silent),
            (String::new(), Answer::Silent),
        ] {
            assert_eq!(understand(&reply), answer, "{reply}");
        }
    }
}
