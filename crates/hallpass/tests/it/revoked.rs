//! What was revoked while a request was still arriving must not act: permission is asked for before the body is read, and again
//! when it is there.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{
    ACCOUNT_TOKENS_WRITE, Actor, SERVICE_TOKENS_WRITE, TestServer, allow, both_engines, text,
};

/// A request whose head and half of whose body have arrived.
struct Half {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Half {
    async fn send(server: &TestServer, actor: &Actor, path: &str, body: &str) -> Self {
        let (_, authorization) = &actor.headers[0];
        let head = format!(
            "POST /client/v4{path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: {}\r\n\
             Connection: close\r\nExpect: 100-continue\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server asks for the body once it wants to read it: then the first look at the permission is over.
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        let (first, rest) = body.as_bytes().split_at(5);
        stream.write_all(first).await.unwrap();
        Self { stream, rest: rest.to_vec() }
    }

    async fn finish(mut self) -> String {
        self.stream.write_all(&self.rest).await.unwrap();
        let mut reply = String::new();
        self.stream.read_to_string(&mut reply).await.unwrap();
        reply
    }
}

both_engines!(
    a_caller_that_is_revoked_while_its_body_arrives_does_nothing,
    |server: TestServer| async move {
        let home = server.home.clone();
        let key = server.key(&home);
        let tokens = format!("{}/tokens", home.account_path());
        let groups = [ACCOUNT_TOKENS_WRITE, SERVICE_TOKENS_WRITE];
        let policies = json!([allow(&[SERVICE_TOKENS_WRITE], home.resources())]);
        for (path, body) in [
            (tokens.clone(), json!({"name": "heir", "policies": policies}).to_string()),
            (home.tokens_path(), json!({"name": "heir"}).to_string()),
        ] {
            for revoke in ["delete", "disable", "narrow"] {
                let (id, value) = server.make_account_token(&home, &groups, json!({})).await;
                let half = Half::send(&server, &server.bearer(&value), &path, &body).await;
                let one = format!("{tokens}/{id}");
                match revoke {
                    "delete" => key.delete(&one).await.result(200),
                    "disable" => {
                        let body = json!({"name": "n", "status": "disabled", "policies": policies});
                        key.put(&one, body).await.result(200)
                    }
                    _ => {
                        let nothing = json!([allow(&["82e64a83756745bbbb1c9c2701bf816b"], home.resources())]);
                        key.put(&one, json!({"name": "n", "policies": nothing})).await.result(200)
                    }
                };
                let reply = half.finish().await;
                assert!(reply.starts_with("HTTP/1.1 403 "), "{revoke} {path}: {reply}");
            }
        }
        for list in [tokens, home.tokens_path()] {
            let listed = key.get(&list).await.result(200);
            assert!(
                listed.as_array().unwrap().iter().all(|token| text(&token["name"]) != "heir"),
                "{listed}"
            );
        }
    }
);

both_engines!(a_large_body_without_credentials_gets_its_refusal, |server: TestServer| async move {
    let body = vec![b' '; 8 << 20];
    for _ in 0..5 {
        let reply = server.nobody().send("POST", &server.home.tokens_path(), Some(body.clone())).await;
        assert_eq!(reply.refusal(), (400, 9106));
    }
});
