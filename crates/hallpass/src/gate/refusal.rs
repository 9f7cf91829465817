//! Refusals, which tell a stranger nothing: those of one status differ in the value of one header of fixed length alone, the
//! reference (`reference.rs`).

/// What is said to whoever is refused: by status, and nothing more.
pub(super) fn body(status: u16) -> &'static str {
    match status {
        400 => {
            "This request could mean several things, and is refused. Hallpass-Ref says which rule it breaks.\n"
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
