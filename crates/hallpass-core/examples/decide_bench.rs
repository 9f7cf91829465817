//! What a decision costs in process, against a bare digest and one comparison, both in the same run.
//!
//! `cargo run --release -p hallpass-core --example decide_bench`: prints nanoseconds for each, medians of 7 interleaved runs,
//! and how many times the bare digest that is.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a tool for measuring ends at the first surprise and prints its figure"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use hallpass_core::app::{App, Audience};
use hallpass_core::client_id::ClientId;
use hallpass_core::credential::Presented;
use hallpass_core::decision::{Decision, Facts, KnownServiceToken, Reason, decide};
use hallpass_core::id::{AccountId, AppId, GroupId, PolicyId, ServiceTokenId};
use hallpass_core::policy::{AttachedPolicy, Policy, PolicyDecision};
use hallpass_core::request::CanonicalRequest;
use hallpass_core::rule::{Rule, Rules};
use hallpass_core::secret::{ClientSecret, DigestKey, SecretDigest, SecretKind};
use hallpass_core::service_token::Name;
use hallpass_core::time::Timestamp;
use serde_json::Map;

const RUNS: usize = 7;
const ROUNDS: u32 = 100_000;
const SECRET: &str = "cfast_EqN8f9vx3sKOSY4mwCMCbZYb02L4OvfAkacLAqTZ63a435a7";

struct Directory(HashMap<String, KnownServiceToken>);

impl Facts for Directory {
    fn service_token(&self, client_id: &ClientId) -> Option<KnownServiceToken> {
        self.0.get(client_id.as_str()).cloned()
    }

    fn group(&self, _: GroupId) -> Option<&Rules> {
        None
    }
}

/// An application whose last policy is the one that lets the token in.
fn app(policies: u8, account_id: AccountId, token: ServiceTokenId, at: Timestamp) -> App {
    let attached = (1..=policies).map(|place| {
        let wanted = if place == policies { token } else { ServiceTokenId::from_bytes([place; 16]) };
        let policy = Policy {
            id: PolicyId::from_bytes([place; 16]),
            account_id,
            zone_id: None,
            app_id: None,
            name: Name::parse("policy").unwrap(),
            decision: PolicyDecision::NonIdentity,
            rules: Rules { include: vec![Rule::ServiceToken(wanted)], ..Rules::default() },
            body: Map::new(),
            created_at: at,
            updated_at: at,
        };
        AttachedPolicy { precedence: u32::from(place), policy: Arc::new(policy) }
    });
    App {
        id: AppId::from_bytes([1; 16]),
        account_id,
        zone_id: None,
        name: Name::parse("app").unwrap(),
        aud: Audience::random([1; 32]),
        patterns: Vec::new(),
        session_seconds: 86_400,
        credential_header: None,
        service_auth_401: false,
        revoked_before: None,
        policies: attached.collect(),
        body: Map::new(),
        created_at: at,
        updated_at: at,
    }
}

fn presented(client_id: &ClientId, secret: &str) -> Presented {
    let pair = [
        ("cf-access-client-id", client_id.as_str().as_bytes()),
        ("cf-access-client-secret", secret.as_bytes()),
    ];
    Presented::read(pair.into_iter(), None)
}

/// Nanoseconds for one call.
fn time(mut once: impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..ROUNDS {
        once();
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

fn main() {
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    let key = DigestKey::new(&[7; 32]);
    let (account_id, id) = (AccountId::from_bytes([2; 16]), ServiceTokenId::from_bytes([200; 16]));
    let client_id = ClientId::random([3; 16]);
    let secret = ClientSecret::presented(SECRET);
    let id_text = id.to_string();
    let current = SecretDigest::new(&key, SecretKind::ServiceToken, &id_text, &secret);
    let token = KnownServiceToken {
        id,
        account_id,
        name: "ci".into(),
        enabled: true,
        expires_at: None,
        current,
        previous: None,
    };
    let facts = Directory(HashMap::from([(client_id.as_str().to_owned(), token)]));
    let request =
        CanonicalRequest::new(b"app.example.com", b"/", "203.0.113.7".parse::<IpAddr>().unwrap()).unwrap();
    let apps = [app(1, account_id, id, now), app(64, account_id, id, now)];
    let sent = [
        ("accepted", presented(&client_id, SECRET), None),
        ("wrong secret", presented(&client_id, &SECRET.replace('E', "F")), Some(Reason::WrongSecret)),
        ("unknown", presented(&ClientId::random([4; 16]), SECRET), Some(Reason::Unknown)),
    ];
    for (app, (_, presented, expected)) in
        apps.iter().flat_map(|app| sent.iter().map(move |sent| (app, sent)))
    {
        let got = match decide(app, presented, &request, &facts, &key, now) {
            Decision::Deny(denied) => Some(denied.reason),
            Decision::Allow(_) | Decision::Bypass => None,
        };
        assert_eq!(got, *expected);
    }

    let baseline = "bare digest and comparison".to_owned();
    let mut series = vec![(baseline, Vec::new())];
    for app in &apps {
        for (name, ..) in &sent {
            series.push((format!("decide, {} policies, {name}", app.policies.len()), Vec::new()));
        }
    }
    // The first round warms up and is not counted.
    for run in 0..=RUNS {
        let mut measured = vec![time(|| {
            let digest =
                SecretDigest::new(&key, SecretKind::ServiceToken, black_box(&id_text), black_box(&secret));
            black_box(digest == current);
        })];
        for app in &apps {
            for (_, presented, _) in &sent {
                measured.push(time(|| {
                    black_box(decide(app, black_box(presented), &request, &facts, &key, now));
                }));
            }
        }
        if run > 0 {
            for ((_, all), one) in series.iter_mut().zip(measured) {
                all.push(one);
            }
        }
    }
    let mut base = None;
    for (name, mut all) in series {
        all.sort_by(f64::total_cmp);
        let (median, least, most) = (all.get(RUNS / 2).unwrap(), all.first().unwrap(), all.last().unwrap());
        let base = *base.get_or_insert(*median);
        println!("{name:<40} {median:>7.0} ns  ({least:.0} to {most:.0})  {:>5.2} x", median / base);
    }
}
