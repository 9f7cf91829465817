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

mod harness;
