//! What the database says of itself: its schema, its settings, the key and the clock that it was used with, and whether what
//! belongs together agrees.

use hallpass_core::time::Timestamp;

use super::{Finding, count};
use crate::store::diagnosis::{Counts, Look, Schema};
use crate::store::error::StoreError;

const DATABASE: &str = "database";
const SCHEMA: &str = "schema";
const DURABILITY: &str = "durability";
const KEY: &str = "server key";
const CLOCK: &str = "clock";
const RECORDS: &str = "records";
/// Clocks of several machines may differ so much, in microseconds.
const TOLERANCE: i64 = 60_000_000;

/// Whether the tables are those that this binary knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readable {
    Yes,
    No,
}

/// Checks all of it. `fingerprint` is that of the key that was given, if there is one.
pub(super) async fn examine(
    look: &Look,
    fingerprint: Option<&str>,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> Readable {
    match look.damage().await {
        Ok(None) => findings.push(Finding::ok(DATABASE, "the database can be read")),
        Ok(Some(_)) => findings.push(Finding::problem(
            DATABASE,
            "the database file is damaged",
            "stop the server, keep a copy of the directory, and restore a backup; then look for what damaged it: the disk, or something else that wrote to the file",
        )),
        Err(error) => findings.push(failed(&error)),
    }
    match look.settings().await {
        Ok(settings) => {
            findings.extend(settings.iter().filter_map(|(name, value)| judge_setting(name, value)));
        }
        Err(error) => findings.push(failed(&error)),
    }
    let schema = match look.schema().await {
        Ok(schema) => schema,
        Err(error) => {
            findings.push(failed(&error));
            return Readable::No;
        }
    };
    findings.push(judge_schema(schema));
    if schema != Schema::Current {
        return Readable::No;
    }
    match meta(look, fingerprint).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(failed(&error)),
    }
    match look.newest().await {
        Ok(newest) => findings.push(judge_clock(newest, now)),
        Err(error) => findings.push(failed(&error)),
    }
    match look.counts().await {
        Ok(counts) => findings.extend(judge_counts(counts)),
        Err(error) => findings.push(failed(&error)),
    }
    Readable::Yes
}

/// What cannot be read.
pub(super) fn failed(error: &StoreError) -> Finding {
    let text = error.to_string();
    // SQLite's words for a file whose pages make no sense.
    let what = if text.contains("malformed") || text.contains("not a database") {
        format!("the store's file is damaged: {text}")
    } else {
        format!("the store cannot be read: {text}")
    };
    Finding::problem(DATABASE, what, "if the database runs and can be reached, restore a backup")
}

fn judge_schema(schema: Schema) -> Finding {
    match schema {
        Schema::Current => Finding::ok(SCHEMA, "the schema is the one that this version knows"),
        Schema::None => Finding::problem(
            SCHEMA,
            "the database has no tables of Hallpass's",
            "check that it is the right one; if it is new: hallpass bootstrap",
        ),
        Schema::Older(steps) => Finding::warning(
            SCHEMA,
            format!("the schema is older than this version: {} to go", count(steps, "step")),
            "make a backup; the next start of the server brings it up to date, and there is no way back",
        ),
        Schema::Newer => Finding::problem(
            SCHEMA,
            "the schema is newer than this version: a newer Hallpass has brought it up to date",
            "run that newer version, or restore a backup from before",
        ),
        Schema::Damaged => Finding::problem(
            SCHEMA,
            "a step of the schema was not finished, or is another one than this version's",
            "restore a backup, or run the version that made this store",
        ),
    }
}

fn judge_setting(name: &str, value: &str) -> Option<Finding> {
    let what = format!("PostgreSQL runs with {name} = {value}");
    match (name, value) {
        ("fsync" | "full_page_writes", "on") => Some(Finding::ok(DURABILITY, what)),
        ("fsync" | "full_page_writes", _) => Some(Finding::problem(
            DURABILITY,
            format!("{what}: a crash of its machine can lose what was acknowledged, or damage the database"),
            format!("set {name} = on in postgresql.conf, and reload"),
        )),
        ("synchronous_commit", "off") => Some(Finding::note(
            DURABILITY,
            what,
            "nothing: the server switches it on for its own connections",
        )),
        ("synchronous_commit", _) => Some(Finding::ok(DURABILITY, what)),
        _ => None,
    }
}

/// What the store is for, whether it has been bootstrapped, and whether the key fits.
async fn meta(look: &Look, fingerprint: Option<&str>) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    if look.meta("purpose").await?.as_deref() == Some("emulator") {
        findings.push(Finding::problem(
            DATABASE,
            "this store was made by `hallpass dev`: its credentials are published",
            "do not serve it; make another one with: hallpass bootstrap",
        ));
    }
    if look.meta("founded").await?.is_none() {
        findings.push(Finding::warning(
            DATABASE,
            "the store is empty: it has no account yet",
            "make the first one with: hallpass bootstrap",
        ));
    }
    match (fingerprint, look.meta("server_key").await?) {
        (Some(given), Some(fits)) if given != fits => findings.push(Finding::problem(
            KEY,
            "the server key does not fit this store: it was made with another one",
            "give the key that belongs to it, from your copy; no secret can be checked with this one",
        )),
        (Some(_), Some(_)) => findings.push(Finding::ok(KEY, "the server key fits the store")),
        (_, None) | (None, _) => {}
    }
    Ok(findings)
}

fn judge_clock(newest: Option<Timestamp>, now: Timestamp) -> Finding {
    match newest {
        Some(newest) if newest.as_micros() - now.as_micros() > TOLERANCE => Finding::problem(
            CLOCK,
            format!(
                "the store has seen {newest}, and this machine's clock says {now}: it was set back, or is wrong"
            ),
            "set the clock, by NTP if possible: until then, tokens live longer than they should",
        ),
        _ => Finding::ok(CLOCK, format!("the clock says {now}, and the store has seen nothing later")),
    }
}

fn judge_counts(counts: Counts) -> Vec<Finding> {
    let Counts { revision, audit, highest_audit, highest_change, unaudited, without_digest, stray_digests } =
        counts;
    let mut findings = Vec::new();
    if [audit, highest_audit, highest_change] != [revision; 3] || unaudited != 0 {
        findings.push(Finding::problem(
            RECORDS,
            format!(
                "revision, audit and changes do not agree: revision {revision}, {audit} audit rows up to {highest_audit}, changes up to {highest_change}"
            ),
            "somebody wrote to the database or deleted from it past Hallpass, or it was restored in part: restore a whole backup, and see who else can write to it",
        ));
    }
    if without_digest != 0 {
        findings.push(Finding::problem(
            RECORDS,
            format!("{without_digest} tokens or users have no digest of a secret: nobody can use them"),
            "rotate or roll these tokens, or restore a whole backup",
        ));
    }
    if stray_digests != 0 {
        findings.push(Finding::problem(
            RECORDS,
            format!("{stray_digests} digests belong to no token and no user"),
            "somebody deleted rows past Hallpass: restore a whole backup, and see who else can write to the database",
        ));
    }
    if findings.is_empty() {
        let what = format!("revision {revision}: each change has its audit row, each token its digest");
        findings.push(Finding::ok(RECORDS, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn a_database_that_does_not_sync_is_a_problem() {
        let severity = |name, value| judge_setting(name, value).unwrap().severity;
        assert_eq!(severity("fsync", "off"), Severity::Problem);
        assert_eq!(severity("full_page_writes", "off"), Severity::Problem);
        assert_eq!(severity("synchronous_commit", "off"), Severity::Note);
        for (name, value) in
            [("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "remote_apply")]
        {
            assert_eq!(severity(name, value), Severity::Ok);
        }
    }

    #[test]
    fn a_minute_ahead_is_what_clocks_differ_by() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let severity =
            |newest: Option<&str>| judge_clock(newest.map(at), at("2027-01-01T00:00:00Z")).severity;
        assert_eq!(severity(None), Severity::Ok);
        assert_eq!(severity(Some("2027-01-01T00:01:00Z")), Severity::Ok);
        assert_eq!(severity(Some("2027-01-01T00:01:00.000001Z")), Severity::Problem);
    }
}
