//! `hallpass openapi`: the description of the API, without a server.

use super::{Failure, output};
use crate::api;

pub(super) fn run() -> Result<(), Failure> {
    output::print(api::description())
}
