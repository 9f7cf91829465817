//! `hallpass openapi`: the description of the API, without a server.

use anyhow::Context as _;

use super::{Failure, output};
use crate::api;

pub(super) fn run() -> Result<(), Failure> {
    output::say(api::description()).context("cannot write to standard output")?;
    Ok(())
}
