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
