//! See `rules` in the included file.

#![no_main]

#[path = "../../crates/hallpass-core/tests/fuzz/targets.rs"]
#[expect(dead_code, reason = "the file has a function for each target")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::rules(data));
