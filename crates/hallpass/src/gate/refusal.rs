//! Refusals, which tell a stranger nothing: those of one status differ in the value of one header of fixed length alone, the
//! reference (`reference.rs`).

use hallpass_core::decision::Reason;

/// What is said to whoever is refused: by status, and nothing more.
pub(super) fn body(status: u16) -> &'static str {
    match status {
        400 => {
            "This request could mean several things, and is refused. Whoever runs the gate finds which rule it breaks in its log, at the level debug.\n"
        }
        401 => {
            "This credential does not open this door. Its owner can ask why: hallpass explain, with the value of Hallpass-Ref.\n"
        }
        403 => {
            "This door is closed. Whoever runs it can ask why: hallpass explain, with the value of Hallpass-Ref.\n"
        }
        _ => "It cannot be decided now whether this door is open, so it is closed. Try again soon.\n",
    }
}

/// Why the gate is not ready, for whoever watches it.
pub(super) fn unready(reason: Reason) -> &'static str {
    match reason {
        Reason::Clock => "this machine's clock is more than 5 seconds behind the newest time in the store\n",
        Reason::NoKey => "there are applications, and no signing key that can be used\n",
        _ => "the gate has not heard from the store for too long, or not of its last change\n",
    }
}
