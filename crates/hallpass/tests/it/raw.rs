//! Requests that no client library would send, written byte by byte, and their replies. Every reply is held to the envelope.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::harness::Actor;

/// What came back.
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
    /// Method and target of the request, where it was one that can be understood.
    asked: Option<(String, String)>,
}

/// Sends a request on a connection of its own. A length is announced where there is a body and no header says otherwise.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> RawReply {
    let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
    let names = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    if !names("host") {
        write!(head, "host: {address}\r\n").unwrap();
    }
    if !body.is_empty() && !names("transfer-encoding") {
        write!(head, "content-length: {}\r\n", body.len()).unwrap();
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head += "\r\n";
    let reply = send_bytes(address, &[head.as_bytes(), body].concat());
    RawReply { asked: Some((method.to_owned(), target.to_owned())), ..reply }
}

/// The same in the name of an actor.
pub(crate) fn send_as(
    actor: &Actor,
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> RawReply {
    let own = actor.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all: Vec<_> = own.chain(headers.iter().copied()).collect();
    send(address, method, target, &all, body)
}

/// Sends bytes as they are, and reads until the server hangs up.
pub(crate) fn send_bytes(address: SocketAddr, request: &[u8]) -> RawReply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    // A server that has answered already may not read the rest.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    read(&bytes)
}

/// Reads a reply that is complete.
pub(crate) fn read(bytes: &[u8]) -> RawReply {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    RawReply { status, head: head.to_ascii_lowercase(), text: body.to_owned(), asked: None }
}

/// A body in chunks of 64 KiB.
pub(crate) fn chunked(body: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for chunk in body.chunks(1 << 16) {
        all.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        all.extend(chunk);
        all.extend(b"\r\n");
    }
    all.extend(b"0\r\n\r\n");
    all
}

impl RawReply {
    /// A header of the reply.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// The envelope.
    pub(crate) fn body(&self) -> Value {
        let body: Value = serde_json::from_str(&self.text)
            .unwrap_or_else(|_| panic!("no JSON: {} {:?}", self.status, self.text));
        assert_eq!(body["success"].as_bool(), Some(self.status < 300), "{}", self.text);
        assert_eq!(body["errors"].as_array().unwrap().is_empty(), self.status < 300, "{}", self.text);
        assert!(self.status < 300 || body["result"].is_null(), "a failure has a result: {}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("x-request-id").map(str::len), Some(32));
        assert!(is_compact(&self.text), "{}", self.text);
        if let Some((method, target)) = &self.asked {
            crate::description::check(method, target, self.status, &body);
        }
        body
    }

    /// Status and codes of a refusal.
    pub(crate) fn refusal(&self) -> (u16, Vec<u64>) {
        let body = self.body();
        let errors = body["errors"].as_array().unwrap().iter();
        (self.status, errors.map(|error| error["code"].as_u64().unwrap()).collect())
    }
}

/// Whether a JSON text has no white space outside its strings.
pub(crate) fn is_compact(text: &str) -> bool {
    let (mut inside, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            c if !inside && c.is_whitespace() => return false,
            _ => {}
        }
    }
    true
}

#[test]
fn compact_is_told_from_loose() {
    assert!(is_compact(r#"{"a b":["\" ",1]}"#));
    assert!(!is_compact(r#"{"a": 1}"#) && !is_compact("{}\n"));
}
