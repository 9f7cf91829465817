//! Whether a request may pass: a table written by hand, a matrix of a token's states to the microsecond, a second evaluator,
//! and what is explained about it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod assertions;
mod explained;
mod naive;
mod states;
mod table;
mod world;
