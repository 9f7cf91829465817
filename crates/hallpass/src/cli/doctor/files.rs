//! What lies on disk: the data directory, the server key, the room that is left.

use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::{Finding, beside, shown};
use crate::server_key::{KeyError, ServerKey};

const FILES: &str = "files";
const KEY: &str = "server key";
const SPACE: &str = "disk";
const JOURNAL: &str = "journal";
/// Less than this, and the log of a busy store may no longer fit.
const LITTLE: u64 = 1 << 30;
/// Less than this, and writes are about to fail.
const TOO_LITTLE: u64 = 64 << 20;

/// Who may read the data directory and the files in it.
pub(super) fn modes(directory: &Path) -> Vec<Finding> {
    let Ok(its) = fs::metadata(directory) else {
        // That there is none is said by the check of the database.
        return Vec::new();
    };
    let mut findings = Vec::new();
    if mode(&its) & 0o077 != 0 {
        let what = format!("{} has mode {:04o}: others may look into it", shown(directory), mode(&its));
        findings.push(Finding::warning(FILES, what, format!("chmod 700 {}", shown(directory))));
    }
    for name in ["hallpass.db", "hallpass.db-wal", "hallpass.db-shm", "hallpass.lock"] {
        let path = beside(directory, name);
        let Ok(file) = fs::metadata(&path) else { continue };
        if mode(&file) & 0o077 != 0 {
            let what = format!("{} has mode {:04o}: others may read it", shown(&path), mode(&file));
            findings.push(Finding::problem(FILES, what, format!("chmod 600 {}", shown(&path))));
        }
        if file.uid() != its.uid() {
            let what = format!("{} belongs to another user than its directory", shown(&path));
            let what_to_do =
                format!("run hallpass as one user; chown --reference={} {}", shown(directory), shown(&path));
            findings.push(Finding::problem(FILES, what, what_to_do));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            FILES,
            format!("{} and its files are open to their owner alone", shown(directory)),
        ));
    }
    findings
}

/// Whether there is room for more.
pub(super) fn space(directory: &Path) -> Option<Finding> {
    let room = rustix::fs::statvfs(directory).ok()?;
    Some(judge_space(room.f_bavail.saturating_mul(room.f_frsize)))
}

fn judge_space(free: u64) -> Finding {
    const MEBI: u64 = 1 << 20;
    let what = format!("{} MiB are free where the store is", free / MEBI);
    let what_to_do =
        "make room: without it, every change is refused with 503 (nothing that was acknowledged is lost)";
    match free {
        ..TOO_LITTLE => Finding::problem(SPACE, what, what_to_do),
        TOO_LITTLE..LITTLE => Finding::warning(SPACE, what, what_to_do),
        LITTLE.. => Finding::ok(SPACE, what),
    }
}

/// Whether the file is a database, and keeps a write-ahead log, as the server sets it up.
pub(super) fn journal(directory: &Path) -> Option<Finding> {
    let mut head = [0; 20];
    let path = beside(directory, "hallpass.db");
    if fs::metadata(&path).ok()?.len() == 0 {
        // Made by a start that ended before it had a schema; the check of the schema says so.
        return None;
    }
    let read = File::open(&path).ok()?.read_exact(&mut head);
    let finding = match (read.is_ok() && head.starts_with(b"SQLite format 3\0"), head) {
        (false, _) => {
            Finding::problem(JOURNAL, format!("{} is no database", shown(&path)), "restore it from a backup")
        }
        (true, [.., 2, 2]) => Finding::ok(
            JOURNAL,
            "SQLite keeps a write-ahead log, and the server waits for the disk before each answer (synchronous = FULL)",
        ),
        (true, _) => Finding::note(
            JOURNAL,
            "SQLite does not keep a write-ahead log in this file",
            "nothing, if it is a restored backup: the server switches the log on when it starts",
        ),
    };
    Some(finding)
}

/// Whether there is a server key, for its owner alone; the key, if there is.
pub(super) fn key(path: &Path, findings: &mut Vec<Finding>) -> Option<ServerKey> {
    let key = match ServerKey::read(path) {
        Ok(key) => key,
        Err(error) => {
            let what = match &error {
                KeyError::Missing(_) => format!("there is no server key at {}", shown(path)),
                KeyError::Io(..) | KeyError::Malformed(_) => error.to_string(),
            };
            let what_to_do = "if there is a store already, restore the key that belongs to it: no other one fits, and without it no secret can be checked";
            findings.push(Finding::problem(KEY, what, what_to_do));
            return None;
        }
    };
    match fs::metadata(path) {
        Ok(file) if mode(&file) & 0o077 != 0 => {
            let what =
                format!("{} has mode {:04o}: others may read the server key", shown(path), mode(&file));
            let what_to_do = format!(
                "chmod 600 {}; if somebody may have read it, see The server key in docs/operating.md",
                shown(path)
            );
            findings.push(Finding::problem(KEY, what, what_to_do));
        }
        Ok(_) | Err(_) => {
            findings.push(Finding::ok(KEY, format!("{} holds a key, for its owner alone", shown(path))));
        }
    }
    Some(key)
}

fn mode(file: &Metadata) -> u32 {
    file.permissions().mode() & 0o7777
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn a_full_disk_is_a_problem_before_it_is_full() {
        let severity = |free| judge_space(free).severity;
        assert_eq!(severity(0), Severity::Problem);
        assert_eq!(severity(TOO_LITTLE - 1), Severity::Problem);
        assert_eq!(severity(TOO_LITTLE), Severity::Warning);
        assert_eq!(severity(LITTLE), Severity::Ok);
    }
}
