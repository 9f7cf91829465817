//! The operator's listener: metrics and health on an address of their own.

use hallpass::api::published;
use std::collections::BTreeMap;

use serde_json::json;

use crate::command_line::{both_places, founded, on, serve};
use crate::harness::{Engine, Place, Process, run, text};

/// The id of no token.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

async fn read(url: &str) -> (u16, String, String) {
    let response = reqwest::get(url).await.unwrap();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    (response.status().as_u16(), kind.unwrap_or_default(), response.text().await.unwrap())
}

/// The samples at the operator's listener, by name and labels.
async fn samples(process: &Process) -> BTreeMap<String, String> {
    let (status, kind, body) = read(&format!("{}/metrics", process.operator.as_ref().unwrap())).await;
    assert_eq!((status, kind.as_str()), (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(body.ends_with("# EOF\n"), "{body}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.trim_end_matches(".0").to_owned())
        })
        .collect()
}

both_places!(
    metrics_say_what_was_asked_what_was_written_and_how_the_tokens_stand,
    |place: Place| async move {
        let first = founded(place);
        let process = serve(&first.place, &["--operator", "127.0.0.1:0", "--no-gate"]);
        let token = first.token_actor(&process);
        let live = token.post(&first.tokens_path(), json!({"name": "canary-name", "duration": "48h"})).await;
        let live = live.result(201);
        let disabled = json!({"name": "off", "enabled": false, "duration": "24h"});
        token.post(&first.tokens_path(), disabled).await.result(201);
        token.post(&first.tokens_path(), json!({"name": "ever", "duration": "forever"})).await.result(201);
        let one = format!("{}/{}", first.tokens_path(), text(&live["id"]));
        token.post(&format!("{one}/refresh"), json!({})).await.result(200);
        assert_eq!(token.get(&format!("{}/{NOBODY}", first.tokens_path())).await.status, 404);
        assert_eq!(token.get("/canary-path").await.status, 404);

        let samples = samples(&process).await;
        let route = "/client/v4/accounts/{account_id}/access/service_tokens";
        let requests = |method: &str, route: &str, status: u16| {
            samples
                .get(&format!(
                    "hallpass_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"
                ))
                .map(String::as_str)
        };
        assert_eq!(requests("POST", route, 201), Some("3"), "{samples:?}");
        assert_eq!(requests("POST", &format!("{route}/{{service_token_id}}/refresh"), 200), Some("1"));
        assert_eq!(requests("GET", &format!("{route}/{{service_token_id}}"), 404), Some("1"));
        assert_eq!(requests("GET", "-", 404), Some("1"));
        let buckets = format!("hallpass_request_duration_seconds_count{{method=\"POST\",route=\"{route}\"}}");
        assert_eq!(samples[&buckets], "3");
        for (status, count) in [("active", "2"), ("disabled", "1"), ("expired", "0")] {
            assert_eq!(samples[&format!("hallpass_service_tokens{{status=\"{status}\"}}")], count);
        }
        let expiry: hallpass_core::time::Timestamp = text(&live["expires_at"]).parse().unwrap();
        let soonest: i64 = samples["hallpass_soonest_expiry_timestamp_seconds"].parse().unwrap();
        let disagreement = soonest - expiry.as_micros() / 1_000_000;
        assert!(disagreement.abs() <= 1, "the refreshed token's, not the disabled one's");
        assert_eq!(samples["hallpass_writer_batch_jobs_count"], "4");
        assert_eq!(samples["hallpass_writer_batch_jobs_sum"], "4");
        assert_eq!(samples["hallpass_writer_queue"], "0");
        assert_eq!(samples["hallpass_writer_failed_batches_total"], "0");
        assert!(!samples.keys().any(|name| name.contains("canary") || name.contains(&first.account_id)));
    }
);

both_places!(a_process_that_only_checks_says_when_the_next_token_expires, |place: Place| async move {
    let first = founded(place);
    let process = serve(&first.place, &[]);
    let made = json!({"name": "n", "duration": "48h"});
    let made = first.token_actor(&process).post(&first.tokens_path(), made).await.result(201);
    let expiry: hallpass_core::time::Timestamp = text(&made["expires_at"]).parse().unwrap();
    // The operator's listener of a process without API: the gate follows the store, and the metrics ask it.
    let checking = serve(&first.place, &["--operator", "127.0.0.1:0", "--no-api"]);
    let samples = samples(&checking).await;
    let soonest: i64 = samples["hallpass_soonest_expiry_timestamp_seconds"].parse().unwrap();
    assert!((soonest - expiry.as_micros() / 1_000_000).abs() <= 1);
    assert_eq!(samples["hallpass_gate_directory_tokens"], "1");
    assert_eq!(samples["hallpass_gate_accounts_without_signing_key"], "0");
    assert_eq!(samples["hallpass_log_lines_left_out_total"], "0");
    assert_eq!(samples.keys().filter(|name| name.contains("soonest_expiry")).count(), 1);
});

both_places!(the_operators_listener_has_health_and_nothing_of_the_api, |place: Place| async move {
    let first = founded(place);
    let process = serve(&first.place, &["--operator", "127.0.0.1:0", "--no-gate"]);
    let operator = process.operator.clone().unwrap();
    assert_ne!(operator, process.api);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(read(&format!("{operator}{path}")).await.0, 200);
    }
    assert_eq!(read(&format!("{operator}/client/v4/accounts")).await.0, 404);
    assert_eq!(read(&format!("{}/metrics", process.api)).await.0, 404);
});

#[test]
fn an_address_that_is_taken_is_an_error_that_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (status, _, error) = run(&[
        "dev".to_owned(),
        "--listen".to_owned(),
        "127.0.0.1:0".to_owned(),
        "--operator".to_owned(),
        address.clone(),
    ]);
    assert_eq!(status, 1);
    assert!(error.contains(&address) && error.contains("--operator off"), "{error}");
}

#[tokio::test]
async fn anything_but_an_address_or_off_is_refused() {
    let place = Place::new(Engine::Sqlite).await;
    for wrong in ["on", "8487", "localhost:8487", ""] {
        let (status, _, error) = run(&on(&place, "serve", &["--operator", wrong]));
        assert_eq!(status, 2, "{error}");
        assert!(error.contains("--operator"), "{error}");
    }
}

#[tokio::test]
async fn a_reset_of_the_emulator_is_seen_in_its_metrics() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["dev", "--operator", "127.0.0.1:0", "--no-gate"].map(str::to_owned);
    let process = Process::start(directory.path(), &arguments);
    let status = "hallpass_service_tokens{status=\"active\"}";
    let fresh = samples(&process).await;
    assert_eq!(fresh[status], "1");
    let created = reqwest::Client::new()
        .post(format!("{}/client/v4/accounts/{}/access/service_tokens", process.api, published::ACCOUNT_ID))
        .bearer_auth(published::API_TOKEN)
        .body(r#"{"name":"one more"}"#)
        .send();
    assert_eq!(created.await.unwrap().status(), 201);
    let batches = "hallpass_writer_batch_jobs_count";
    assert_ne!(samples(&process).await[batches], fresh[batches]);
    let reset = reqwest::Client::new().post(format!("{}/dev/reset", process.api));
    let reset = reset.header("content-type", "application/json").body("{}").send().await.unwrap();
    assert_eq!(reset.status(), 200);
    assert_eq!(samples(&process).await[batches], fresh[batches]);
}
