//! A server on a script: one step for each request, in order, each on a connection of its own.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Reply {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// Reads the request, and closes the connection.
    HangUp,
    /// Closes the connection in the middle of a good reply.
    CutShort,
    /// Says nothing.
    Silence,
    /// Sends a body until nobody reads it any more.
    Endless,
}

impl Step {
    pub(crate) fn raw(status: u16, content_type: &str, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self::Reply { status, headers, body: body.to_owned() }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::raw(status, "application/json", &body.to_string())
    }

    /// With this header, in place of what it was.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Reply { headers, .. } = &mut self {
            headers.retain(|(known, _)| known != name);
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }
}

pub(crate) struct Stub {
    pub(crate) base_url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Stub {
    pub(crate) async fn start(steps: impl IntoIterator<Item = Step>) -> Self {
        let (listener, stub) = Self::bind().await;
        let (requests, steps) = (stub.requests.clone(), steps.into_iter().collect::<Vec<_>>());
        tokio::spawn(async move {
            for step in steps {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let request = read(&mut stream).await;
                requests.lock().unwrap().push(request);
                answer(stream.into_inner(), step).await;
            }
            // Whoever asks for more is refused, which the client tells as an error.
        });
        stub
    }

    /// An address at which nobody listens.
    pub(crate) async fn absent() -> Self {
        Self::bind().await.1
    }

    async fn bind() -> (TcpListener, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/client/v4", listener.local_addr().unwrap());
        (listener, Self { base_url, requests: Arc::default() })
    }

    /// What has arrived so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Request {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first: Vec<_> = lines[0].split(' ').collect();
    let headers = lines[1..].iter().map(|line| line.split_once(": ").unwrap());
    let headers: Vec<_> = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    let body = String::from_utf8(body).unwrap();
    Request { method: first[0].to_owned(), target: first[1].to_owned(), headers, body }
}

async fn answer(mut stream: TcpStream, step: Step) {
    match step {
        Step::Reply { status, headers, body } => {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let headers = headers.concat();
            let length =
                if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
            let reply = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n{length}{headers}\r\n{body}");
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
        Step::HangUp => {}
        Step::CutShort => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"success\":true,")
                .await
                .unwrap();
        }
        Step::Silence => {
            // Until the client goes away.
            let _ = stream.read(&mut [0]).await;
        }
        Step::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.unwrap();
            while stream.write_all(&[b' '; 4_096]).await.is_ok() {}
        }
    }
}
