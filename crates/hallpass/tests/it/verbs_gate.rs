//! The verbs for what the gate guards: they open a door that the emulator's gate then opens, and say why one stays shut.

use reqwest::header::HeaderMap;
use serde_json::json;

use crate::verbs::Desk;

const CLIENT_ID: &str = "88bf3b6d86161464f6509f7219099e57.access.example.com";
const SECRET: &str = "bdd31cbc4dec990953e39163fbbb194c93313ca9f0a6e420346af9d326b1d2a5";
const CREDENTIAL: [(&str, &str); 2] =
    [("cf-access-client-id", CLIENT_ID), ("cf-access-client-secret", SECRET)];
const TOKEN: &str = "CI/CD token";

/// Asks the emulator's gate, as nginx would.
async fn asked(desk: &Desk, host: &str, path: &str, credential: &[(&str, &str)]) -> (u16, HeaderMap) {
    let gate = desk.process.gate.as_ref().unwrap();
    let mut request =
        reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{gate}/auth/nginx"));
    let about = [("x-original-host", host), ("x-original-uri", path), ("x-real-ip", "192.0.2.1")];
    for (name, value) in about.iter().chain(credential) {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.headers().clone())
}

#[tokio::test]
async fn protect_opens_a_host_to_a_token_and_to_nobody_else() {
    let desk = Desk::with_key();
    let host = "grafana.example.com";
    assert_eq!(asked(&desk, host, "/", &CREDENTIAL).await.0, 403, "nothing is protected yet");
    let done = desk.json(&["protect", "Grafana.Example.com", "--token", TOKEN, "--duration", "30m"]);
    assert_eq!(done["made"], json!(["app", "policy"]));
    assert_eq!((&done["app"]["domain"], &done["app"]["name"]), (&json!(host), &json!(host)));
    assert_eq!(done["app"]["session_duration"], "30m");
    assert_eq!(done["policies"][0]["decision"], "non_identity");
    assert_eq!(asked(&desk, host, "/", &CREDENTIAL).await.0, 200);
    assert_eq!(asked(&desk, host, "/", &[]).await.0, 403);
    let wrong = [CREDENTIAL[0], ("cf-access-client-secret", &"0".repeat(64))];
    assert_eq!(asked(&desk, host, "/", &wrong).await.0, 401);

    // Again: nothing is made. With another token: a policy for that one.
    let again = desk.json(&["protect", host, "--token", TOKEN]);
    assert_eq!((&again["made"], &again["app"]["id"]), (&json!([]), &done["app"]["id"]));
    let made = desk.json(&["token", "create", "backup"]);
    let both = desk.json(&["protect", host, "--token", TOKEN, "--token", "backup"]);
    assert_eq!((&both["made"], &both["app"]["id"]), (&json!(["policy"]), &done["app"]["id"]));
    assert_eq!(both["policies"].as_array().unwrap().len(), 2);
    assert_eq!(both["policies"][1]["include"], json!([{"service_token": {"token_id": made["id"]}}]));
    let ran = desk.run(&["protect", host, "--token", TOKEN, "--name", "Other"]);
    assert!(
        ran.status == 0 && ran.error.starts_with("warning: the application was there already"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn what_the_verbs_say_is_what_the_gate_does() {
    let desk = Desk::with_key();
    let host = "wiki.example.com";
    let rule = format!("service_token={TOKEN}");
    desk.out(&["policy", "create", "machines", "--include", &rule]);
    desk.out(&["app", "create", "wiki", "--domain", host, "--policy", "machines"]);
    assert_eq!(asked(&desk, host, "/", &CREDENTIAL).await.0, 200);
    for (arguments, status) in [
        (&["policy", "update", "machines", "--require", "ip=10.0.0.0/8"][..], 403),
        (&["policy", "update", "machines", "--require", "none"], 200),
        (&["app", "update", "wiki", "--remove-policy", "machines"], 403),
        (&["app", "update", "wiki", "--add-policy", "machines"], 200),
        (&["app", "update", "wiki", "--domain", "wiki.example.org"], 403),
        (&["app", "update", "wiki", "--domain", host], 200),
        (&["app", "delete", "wiki", "--yes"], 403),
    ] {
        desk.out(arguments);
        assert_eq!(asked(&desk, host, "/", &CREDENTIAL).await.0, status, "{arguments:?}");
    }
}

#[test]
fn what_protect_prints_is_the_tested_configuration_with_remarks_before_it() {
    let desk = Desk::with_key();
    for (proxy, file, holds) in [
        ("nginx", "nginx.conf", "is protected now"),
        ("caddy", "Caddyfile", "was protected already:"),
        ("envoy", "envoy.yaml", "was protected already:"),
        ("traefik", "traefik/hallpass.yml", "was protected already:"),
    ] {
        let out = desk.out(&["protect", "reports.example.com/api", "--token", TOKEN, "--proxy", proxy]);
        let tested = format!("{}/../../deploy/{file}", env!("CARGO_MANIFEST_DIR"));
        let tested = std::fs::read_to_string(tested).unwrap();
        let remarks = out.strip_suffix(&tested).unwrap_or_else(|| panic!("{proxy}: {out}"));
        assert!(remarks.contains(holds) && remarks.contains("The rest of the host is refused"), "{remarks}");
        assert!(remarks.contains(&format!("CF-Access-Client-Id: {CLIENT_ID}")), "{remarks}");
        assert!(remarks.contains("'http://127.0.0.1:8080/api'"), "{remarks}");
        let ours = remarks.lines().take_while(|line| *line != "#");
        assert!(ours.clone().count() >= 5 && ours.into_iter().all(|line| line.starts_with('#')), "{remarks}");
    }
}

#[test]
fn what_cannot_be_protected_is_refused_and_nothing_is_made() {
    let desk = Desk::with_key();
    desk.refused(&["protect", "https://grafana.example.com", "--token", TOKEN], 2);
    desk.refused(&["protect", "grafana.example.com:3000", "--token", TOKEN], 2);
    desk.refused(&["protect", "grafana.example.com"], 2);
    desk.refused(&["protect", "grafana.example.com", "--token", "nobody"], 6);
    desk.refused(&["protect", "grafana.example.com", "--token", TOKEN, "--duration", "1d"], 2);
    assert_eq!(
        desk.json(&["protect", "grafana.example.com", "--token", TOKEN])["made"],
        json!(["app", "policy"])
    );
}

#[test]
fn the_access_log_wants_a_time_and_a_token_that_there_are() {
    let desk = Desk::with_key();
    assert_eq!(desk.json(&["access-log", "--refused"]), json!([]));
    desk.refused(&["access-log", "--since", "0s"], 2);
    desk.refused(&["access-log", "--since", "yesterday"], 2);
    desk.refused(&["access-log", "--token", "nobody"], 6);
}

#[tokio::test]
async fn a_reference_tells_its_owner_the_true_reason_and_nobody_else() {
    let desk = Desk::with_key();
    let host = "grafana.example.com";
    let reference = |headers: &HeaderMap| headers["hallpass-ref"].to_str().unwrap().to_owned();
    // Nothing is protected: that concerns nobody, and every account may know.
    let (_, headers) = asked(&desk, host, "/", &CREDENTIAL).await;
    assert_eq!(desk.json(&["explain", &reference(&headers)])["reason"], "no_app");
    let app = desk.json(&["protect", host, "--token", TOKEN])["app"]["id"].clone();
    let wrong = [CREDENTIAL[0], ("cf-access-client-secret", &"0".repeat(64))];
    let (status, headers) = asked(&desk, host, "/", &wrong).await;
    let told = desk.json(&["explain", &reference(&headers)]);
    assert_eq!((status, &told["reason"], &told["app"]["id"]), (401, &json!("wrong_secret"), &app));
    desk.out(&["token", "disable", TOKEN]);
    let (status, headers) = asked(&desk, host, "/", &CREDENTIAL).await;
    let reference = reference(&headers);
    let told = desk.json(&["explain", &reference]);
    assert_eq!((status, &told["reason"], &told["token"]["name"]), (401, &json!("disabled"), &json!(TOKEN)));
    let text = desk.out(&["explain", &reference]);
    assert!(text.contains("disabled") && text.contains("just now") && text.contains(TOKEN), "{text}");
    let error = desk.refused(&["explain", &reference.replace(&reference[..2], "xx")], 6);
    assert!(error.contains("stands for nothing of this account"), "{error}");
    let other = Desk::with_key();
    other.refused(&["explain", &reference], 6);
    // The example's API token may not read applications.
    let desk = desk.setting(&[
        ("HALLPASS_EMAIL", ""),
        ("HALLPASS_API_KEY", ""),
        ("HALLPASS_API_TOKEN", "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY"),
    ]);
    desk.refused(&["explain", &reference], 7);
}

#[tokio::test]
async fn what_would_happen_is_what_happens() {
    let desk = Desk::with_key();
    let host = "grafana.example.com";
    desk.out(&["protect", "grafana.example.com/api", "--token", TOKEN]);
    let explained = |arguments: &[&str]| desk.json(&[&["explain", "--host", host], arguments].concat());
    let unknown = "0123456789abcdef0123456789abcdef.access";
    for (path, client_id, verdict, reason) in [
        ("/api/x", Some(CLIENT_ID), "allow", None),
        ("/api/x", None, "deny", Some("no_credential")),
        ("/api/x", Some(unknown), "deny", Some("unknown")),
        ("/", Some(CLIENT_ID), "deny", Some("no_app")),
    ] {
        let mut arguments = vec!["--path", path];
        arguments.extend(client_id.into_iter().flat_map(|id| ["--client-id", id]));
        let told = explained(&arguments);
        assert_eq!(
            (told["verdict"].as_str(), told["reason"].as_str()),
            (Some(verdict), reason),
            "{path} {client_id:?}: {told:#}"
        );
        let credential = client_id.map(|id| [("cf-access-client-id", id), CREDENTIAL[1]]);
        let (status, _) = asked(&desk, host, path, credential.as_ref().map_or(&[], |pair| pair)).await;
        assert_eq!(told["status"], status, "{path} {client_id:?}");
    }
    let text = desk.out(&["explain", "--host", host, "--path", "/api", "--client-id", CLIENT_ID]);
    assert!(text.starts_with("verdict") && text.contains("include service_token"), "{text}");
    for arguments in [
        &["explain"][..],
        &["explain", "ref", "--host", host],
        &["explain", "--host", host, "--client-id", "x"],
        &["explain", "--host", host, "--path", "/%zz"],
    ] {
        assert_eq!(desk.run(arguments).status, 2, "{arguments:?}");
    }
}
