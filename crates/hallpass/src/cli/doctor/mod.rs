//! `hallpass doctor`: what is wrong, and what to do about it. It changes nothing.

mod address;
mod database;
mod files;
mod gate;
mod tokens;

use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::check::check_certificate;
use super::output::{json, print};
use super::settings::{SettingArgs, describe_store};
use super::{Exit, Failure};
use crate::config::Sources;
use crate::server_key::ServerKey;
use crate::store::diagnosis::{Look, LookError};
use crate::store::{Location, key_file};
use crate::world::World;
use address::Speaks;

const CONFIGURATION: &str = "configuration";
/// How long the database may take, which reads a large file as a whole.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    settings: SettingArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work, or cannot be relied on.
    Problem,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    severity: Severity,
    check: &'static str,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    what_to_do: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, check, what: what.into(), what_to_do: None }
    }

    fn note(check: &'static str, what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self { severity: Severity::Note, check, what: what.into(), what_to_do: Some(what_to_do.into()) }
    }

    fn warning(check: &'static str, what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::note(check, what, what_to_do) }
    }

    fn problem(check: &'static str, what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self { severity: Severity::Problem, ..Self::note(check, what, what_to_do) }
    }
}

/// How many findings there are of each severity.
#[derive(Debug, Clone, Copy, Serialize)]
struct Summary {
    ok: usize,
    notes: usize,
    warnings: usize,
    problems: usize,
}

#[derive(Serialize)]
struct Report {
    findings: Vec<Finding>,
    summary: Summary,
}

pub(super) async fn run(args: Doctor) -> Result<(), Failure> {
    let world = World::machine();
    let report = Report::of(examine(&args, &world).await);
    print(&if args.json { json(&report)? } else { report.describe() })?;
    match report.summary.problems {
        0 => Ok(()),
        problems => Err(Failure::new(Exit::Failed, format!("found {}", count(problems, "problem")))),
    }
}

async fn examine(args: &Doctor, world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sources = &args.settings.0;
    let config = match sources.config() {
        Ok((config, _)) => config,
        // Without a configuration there is no telling where the store is.
        Err(problems) => return vec![misconfigured(&problems)],
    };
    findings.push(match check_certificate(&config) {
        Ok(()) => Finding::ok(CONFIGURATION, "the settings are as they should be"),
        Err(problems) => misconfigured(&problems),
    });
    let (location, key) = match (&config.store.database, &config.store.server_key_file) {
        (Some(url), key) => (Location::Postgres(url.as_str().to_owned()), key.clone().unwrap_or_default()),
        (None, key) => {
            let directory = config.store.data.clone();
            (Location::Directory(directory.clone()), key.clone().unwrap_or_else(|| key_file(&directory)))
        }
    };
    // The files come first: looking at a file by hand drops the locks that SQLite holds on it in this process.
    if let Location::Directory(directory) = &location {
        findings.extend(files::modes(directory));
        findings.extend(files::space(directory));
        findings.extend(files::journal(directory));
    }
    // Where there is no store yet, there need be no key.
    let wanted = match &location {
        Location::Postgres(_) => true,
        Location::Directory(directory) => key.exists() || crate::store::exists(directory),
    };
    let server_key = if wanted { files::key(&key, &mut findings) } else { None };
    let fingerprint = server_key.as_ref().map(ServerKey::fingerprint);
    let looking = async {
        let mut found = Vec::new();
        match Look::open(&location).await {
            Ok(look) => {
                let schema = database::examine(&look, fingerprint.as_deref(), world.now(), &mut found).await;
                if schema == database::Readable::Yes {
                    tokens::examine(&look, world.now(), &mut found).await;
                    gate::examine(&look, server_key.as_ref(), &mut found).await;
                }
                look.close().await;
            }
            Err(error) => found.push(unreachable(&error, &location, sources)),
        }
        found
    };
    findings.extend(tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| {
        let what = format!("the store does not answer within {} seconds", PATIENCE.as_secs());
        vec![Finding::problem("database", what, "check the database and the network between; then ask again")]
    }));
    let tls = config.tls.certificate.is_some();
    findings.push(address::examine(config.api.listen, if tls { Speaks::Tls } else { Speaks::Http }).await);
    findings
}

fn misconfigured(problems: &dyn Display) -> Finding {
    let what_to_do = "set it right, and check it with: hallpass serve --check-config; docs/configuration.md lists all settings";
    Finding::problem(CONFIGURATION, problems.to_string(), what_to_do)
}

fn unreachable(error: &LookError, location: &Location, sources: &Sources) -> Finding {
    const CHECK: &str = "database";
    let what_to_do = match (error, location) {
        (LookError::Absent, _) => {
            let what = match location {
                Location::Directory(data) => format!("there is no store in {}", data.display()),
                Location::Postgres(_) => "there is no store in this database".to_owned(),
            };
            let bootstrap = format!(
                "check --data; a new store is made by: hallpass bootstrap {}",
                describe_store(sources)
            );
            return Finding::problem(CHECK, what, bootstrap);
        }
        (LookError::LogWithoutIndex, _) => {
            let what_to_do = "start the server once, which makes the index, and ask again; to copy a store, see Backup in docs/operating.md";
            return Finding::warning(
                CHECK,
                format!("{error}: it cannot be read without writing"),
                what_to_do,
            );
        }
        (_, Location::Directory(_)) => {
            "run this as the user who runs the server; if the file is damaged, restore a backup"
        }
        (_, Location::Postgres(_)) => {
            "check that the database runs, and that the URL's host, port, user, password and database are right"
        }
    };
    Finding::problem(CHECK, format!("the store cannot be read: {error}"), what_to_do)
}

impl Report {
    fn of(mut findings: Vec<Finding>) -> Self {
        // What spoils several checks is said once.
        findings.dedup();
        let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let summary = Summary {
            ok: of(Severity::Ok),
            notes: of(Severity::Note),
            warnings: of(Severity::Warning),
            problems: of(Severity::Problem),
        };
        Self { findings, summary }
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        // Writing to a text cannot fail.
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Ok => "ok",
                Severity::Note => "note",
                Severity::Warning => "WARNING",
                Severity::Problem => "PROBLEM",
            };
            let _ = writeln!(text, "{severity:<9}{:<15}{}", finding.check, finding.what);
            if let Some(what_to_do) = &finding.what_to_do {
                let _ = writeln!(text, "{:<24}-> {what_to_do}", "");
            }
        }
        let Summary { ok, notes, warnings, problems } = self.summary;
        let (notes, warnings, problems) =
            (count(notes, "note"), count(warnings, "warning"), count(problems, "problem"));
        text + &format!("\n{problems}, {warnings}, {notes}, {ok} ok")
    }
}

/// `1 note`, `2 notes`.
fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A path for a message.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A file of the embedded store, by its ending.
fn beside(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}
