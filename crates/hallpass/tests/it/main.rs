//! The integration tests: one binary, a file per subject. Both databases, always: what needs PostgreSQL is ignored by a plain
//! `cargo test`, and run by `./test`, which brings one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test ends at the first surprise"
)]

mod access_log;
mod accounts;
mod api_tokens;
mod apps;
mod audit;
mod canary;
mod client;
mod command_line;
mod concurrency;
mod configuration;
mod crash;
mod description;
mod docs;
mod doctor;
mod door;
mod durability;
mod emulator;
mod endpoints;
mod envelope;
mod explanations;
mod first_contact;
mod gate;
mod gate_advisories;
mod gate_apart;
mod gate_canary;
mod gate_closed;
mod gate_log;
mod harness;
mod import;
mod inactivity;
mod inspect;
mod lists;
mod local;
mod operator;
mod organizations;
mod policies;
mod postgres_tls;
mod raw;
mod relay;
mod requests;
mod revoked;
mod rows;
mod secrets;
mod service_tokens;
mod serving;
mod signing_keys;
mod silent;
mod tls;
mod trespass;
mod unavailable;
mod uses;
mod validator;
mod verbs;
mod verbs_access;
mod verbs_gate;
mod verbs_terminal;
mod verbs_text;
