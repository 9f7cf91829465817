//! The only door to randomness, and only for pauses: clients that failed together must not come back together.

/// A number from 0 to 255; 0 where the operating system gives none.
#[expect(clippy::disallowed_methods, reason = "a pause before a retry is drawn here, and nowhere else")]
pub(crate) fn draw() -> u8 {
    let mut byte = [0];
    // Without entropy there is still a pause.
    let _ = getrandom::fill(&mut byte);
    let [byte] = byte;
    byte
}
