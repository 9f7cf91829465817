//! What noting an acceptance for the access log and for last uses adds to a check: `bench/gate` starts it.
//!
//! `noting`: prints nanoseconds for each note, median of 7 runs, as JSON: of ten tokens in turn, and of a thousand.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a tool for measuring ends at the first surprise and prints its figure"
)]

use std::sync::Arc;
use std::time::Instant;

use hallpass::store::access_log::Accesses;
use hallpass_core::app::{App, Audience};
use hallpass_core::id::{AccountId, AppId, ServiceTokenId};
use hallpass_core::secret::{SecretDigest, SecretSlot};
use hallpass_core::service_token::Name;
use hallpass_core::time::Timestamp;
use serde_json::{Map, json};

const RUNS: usize = 7;
const ROUNDS: u32 = 1_000_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    let app = Arc::new(App {
        id: AppId::from_bytes([1; 16]),
        account_id: AccountId::from_bytes([2; 16]),
        zone_id: None,
        name: Name::parse("app").unwrap(),
        aud: Audience::random([1; 32]),
        patterns: Vec::new(),
        session_seconds: 86_400,
        credential_header: None,
        service_auth_401: false,
        revoked_before: None,
        policies: Vec::new(),
        body: Map::new(),
        created_at: now,
        updated_at: now,
    });
    let accesses = Accesses::default();
    let secret = (SecretSlot::Current, SecretDigest::from_stored([3; 32]));
    let noting = |tokens: u128| {
        // Spread like random ids, so that they are in all parts of what is noted.
        let tokens: Vec<_> = (0..tokens)
            .map(|n| {
                ServiceTokenId::from_bytes(
                    n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes(),
                )
            })
            .collect();
        let mut runs: Vec<_> = (0..RUNS)
            .map(|_| {
                let began = Instant::now();
                for token in tokens.iter().cycle().take(ROUNDS as usize) {
                    accesses.accepted(&app, *token, secret, now);
                }
                began.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
            })
            .collect();
        runs.sort_by(f64::total_cmp);
        runs.get(RUNS / 2).copied()
    };
    println!("{}", json!({ "10": noting(10), "1000": noting(1_000) }));
}
