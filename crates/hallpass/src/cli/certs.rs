//! `hallpass certs`: the published keys of an account as a file, for services that check assertions and cannot fetch the key set.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hallpass_core::id::AccountId;

use super::{Exit, Failure, StoreArgs, output};
use crate::store::Location;
use crate::store::diagnosis::{Look, Schema};

/// Write the public keys that check assertions to a file, as the gate publishes them; changes nothing in the store
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hallpass certs --data /var/lib/hallpass --output /etc/service/certs.json"
)]
pub(super) struct Certs {
    #[command(flatten)]
    store: StoreArgs,
    /// The account, by id; may be left out where one account has keys
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// File that gets the key set, whole or not at all; standard output if not given
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(args: Certs) -> Result<(), Failure> {
    let settings = args.store.settings()?;
    let location = match &settings.database {
        Some(url) => Location::Postgres(url.as_str().to_owned()),
        None => Location::Directory(settings.data.clone()),
    };
    let failed = |why: String| Failure::new(Exit::Failed, format!("cannot read the store: {why}"));
    let look = Look::open(&location).await.map_err(|error| failed(error.to_string()))?;
    let schema = look.schema().await.map_err(|error| failed(error.to_string()))?;
    if matches!(schema, Schema::None | Schema::Older(_) | Schema::Damaged) {
        return Err(failed(
            "its schema is not the one of this version; `hallpass doctor` says more".to_owned(),
        ));
    }
    let mut sets = look.published_keys().await.map_err(|error| failed(error.to_string()))?;
    look.close().await;
    sets.retain(|(account, _)| args.account.is_none_or(|wanted| wanted == *account));
    let text = match sets.as_slice() {
        [(_, text)] => text,
        [] => {
            return Err(Failure::new(
                Exit::Failed,
                "there are no signing keys yet: rotating them makes the first",
            ));
        }
        several => {
            let ids: Vec<_> = several.iter().map(|(account, _)| account.to_string()).collect();
            let message =
                format!("several accounts have keys: name one with --account; there are: {}", ids.join(", "));
            return Err(Failure::new(Exit::Usage, message));
        }
    };
    match &args.output {
        None => output::print(text),
        Some(file) => Ok(write(file, text).with_context(|| format!("cannot write {}", file.display()))?),
    }
}

/// Whoever reads the file meanwhile sees the old one or the new one. It is no secret.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut draft = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory.unwrap_or_else(|| Path::new(".")))?;
    writeln!(draft, "{text}")?;
    draft.as_file().sync_all()?;
    draft.persist(file)?;
    Ok(())
}
