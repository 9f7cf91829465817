//! The verbs on a terminal: they ask, they wait for the answer, and they show colours unless somebody wishes otherwise.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::verbs::Desk;

/// Runs the binary on a terminal of its own, types an answer, and gives what it showed there and its exit status.
fn on_terminal(desk: &Desk, arguments: &[&str], variables: &[(&str, &str)], typed: &str) -> (i32, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let (input, output) = (theirs.try_clone().unwrap(), theirs.try_clone().unwrap());
    let mut child = desk
        .command(arguments)
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(theirs))
        .spawn()
        .unwrap();
    let mut terminal = File::from(ours);
    terminal.write_all(typed.as_bytes()).unwrap();
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    // Where nobody holds the other end any more, reading fails.
    while let Ok(length @ 1..) = terminal.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..length]);
    }
    let ended = child.wait().unwrap();
    (ended.code().unwrap(), String::from_utf8(shown).unwrap())
}

#[test]
fn a_deletion_waits_for_a_yes() {
    let desk = Desk::with_token();
    desk.json(&["token", "create", "deploy"]);
    for answer in ["n\n", "\n", "later\n"] {
        let (status, shown) = on_terminal(&desk, &["token", "delete", "deploy"], &[], answer);
        assert_eq!(status, 1, "{shown}");
        assert!(shown.contains("[y/N]") && shown.contains("nothing was changed"), "{shown}");
        desk.json(&["token", "get", "deploy"]);
    }
    let (status, shown) = on_terminal(&desk, &["token", "delete", "deploy"], &[], "y\n");
    assert!(status == 0 && shown.contains("[y/N]") && shown.contains("Deleted"), "{status}: {shown}");
    desk.refused(&["token", "get", "deploy"], 6);
}

#[test]
fn colours_are_shown_on_a_terminal_alone_and_can_be_refused() {
    let desk = Desk::with_token();
    let (status, shown) = on_terminal(&desk, &["token", "list"], &[], "");
    // The example's token expires within the hour.
    assert!(status == 0 && shown.contains("\u{1b}[33min"), "{shown:?}");
    let (status, shown) = on_terminal(&desk, &["token", "list"], &[("NO_COLOR", "1")], "");
    assert!(status == 0 && shown.contains("CI/CD token") && !shown.contains('\u{1b}'), "{shown:?}");
    // Without a terminal, `Desk::out` looks.
    desk.out(&["token", "list"]);
}
