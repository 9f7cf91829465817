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

mod accounts;
mod api_tokens;
mod audit;
mod canary;
mod command_line;
mod concurrency;
mod crash;
mod description;
mod docs;
mod durability;
mod emulator;
mod endpoints;
mod envelope;
mod harness;
mod inspect;
mod lists;
mod policies;
mod raw;
mod requests;
mod revoked;
mod rows;
mod secrets;
mod service_tokens;
mod serving;
mod trespass;
mod unavailable;
