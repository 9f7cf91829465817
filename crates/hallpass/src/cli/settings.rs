//! The table of settings as flags and variables, and what the command line makes of the configuration.

use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::{Exit, Failure};
use crate::config::{Form, Place, Problems, SETTINGS, Setting, Sources, StoreSettings, Value};
use crate::server_key::{KeyError, ServerKey};
use crate::store::{self, Durability, Location, Purpose, Store};
use crate::world::World;

/// The flag that names the file.
const CONFIG: &str = "config";

/// Where the store is: what a command takes that needs nothing but the store.
#[derive(Clone)]
pub(super) struct StoreArgs(Sources);

/// All settings: what the server takes.
#[derive(Clone)]
pub(super) struct SettingArgs(pub(super) Sources);

/// `--log` is understood by every command, and defined with them.
fn is_local(setting: &Setting) -> bool {
    setting.section != "log"
}

fn is_of_store(setting: &Setting) -> bool {
    setting.section == "store"
}

fn define(command: Command, wanted: fn(&Setting) -> bool) -> Command {
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .env("HALLPASS_CONFIG")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Configuration file (TOML); flags and variables count before it");
    let wanted = SETTINGS.iter().filter(|setting| wanted(setting) && is_local(setting));
    command.arg(config).args(wanted.map(flag))
}

fn flag(setting: &'static Setting) -> Arg {
    let mut flag = Arg::new(setting.key)
        .long(setting.flag)
        .env(setting.variable)
        .value_name(setting.value_name)
        .hide_env_values(setting.form == Form::Secret)
        .help(setting.meaning);
    if !setting.default.is_empty() {
        flag = flag.default_value(setting.default);
    }
    match setting.form {
        Form::Text | Form::Secret | Form::Number | Form::NumberOrText => flag,
        Form::Switch => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Form::List => flag.action(ArgAction::Append).value_delimiter(','),
    }
}

/// What flags and variables say. Defaults come later, behind the file.
fn sources(matches: &ArgMatches, wanted: fn(&Setting) -> bool) -> Sources {
    let mut given = Vec::new();
    for setting in SETTINGS.iter().filter(|setting| wanted(setting)) {
        let id = if is_local(setting) { setting.key } else { setting.flag };
        let place = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => Place::Flag,
            Some(ValueSource::EnvVariable) => Place::Variable,
            _ => continue,
        };
        let texts: Vec<_> = matches.get_many::<String>(id).unwrap_or_default().cloned().collect();
        // An empty variable counts as not set, as in `${NAME:-}` of a compose file.
        if place == Place::Variable && texts.iter().all(String::is_empty) {
            continue;
        }
        given.push(Value { setting, texts, place });
    }
    Sources { file: matches.get_one::<PathBuf>(CONFIG).cloned(), given }
}

macro_rules! defined_by_the_table {
    ($type:ident, $wanted:expr) => {
        impl Args for $type {
            fn augment_args(command: Command) -> Command {
                define(command, $wanted)
            }

            fn augment_args_for_update(command: Command) -> Command {
                define(command, $wanted)
            }
        }

        impl FromArgMatches for $type {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(sources(matches, $wanted)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0 = sources(matches, $wanted);
                Ok(())
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    };
}

defined_by_the_table!(StoreArgs, is_of_store);
defined_by_the_table!(SettingArgs, |_| true);

impl StoreArgs {
    /// Opens the store, and makes it if need be.
    pub(super) async fn open(&self, world: &World) -> Result<Store, Failure> {
        open_store(&self.settings()?, world).await
    }

    /// Where the store is, checked.
    pub(super) fn settings(&self) -> Result<StoreSettings, Failure> {
        Ok(self.0.store()?)
    }

    /// The arguments with which another command reaches the same store.
    pub(super) fn describe(&self) -> String {
        describe_store(&self.0)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::new(Exit::Usage, problems.to_string())
    }
}

pub(super) async fn open_store(settings: &StoreSettings, world: &World) -> Result<Store, Failure> {
    let (location, key) = match &settings.database {
        Some(url) => {
            let file = settings.server_key_file.as_deref().unwrap_or_else(|| Path::new("server.key"));
            (Location::Postgres(url.as_str().to_owned()), ServerKey::read(file)?)
        }
        None => (Location::Directory(settings.data.clone()), embedded_key(settings, world)?),
    };
    Ok(Store::open(&location, &key, Purpose::Service, Durability::Full, world).await?)
}

/// The key of a store that is open.
pub(super) fn server_key(settings: &StoreSettings) -> Result<ServerKey, Failure> {
    let beside = || store::key_file(&settings.data);
    Ok(ServerKey::read(&settings.server_key_file.clone().unwrap_or_else(beside))?)
}

/// The key beside the embedded store, or the one that was named. It is made where there is no store yet, and never after: a new key
/// would not fit.
fn embedded_key(settings: &StoreSettings, world: &World) -> Result<ServerKey, Failure> {
    if let Some(key) = existing_key(settings)? {
        return Ok(key);
    }
    store::make_directory(&settings.data)?;
    Ok(ServerKey::create(&store::key_file(&settings.data), world)?)
}

/// The key of an embedded store; `None` where it is still to be made.
pub(super) fn existing_key(settings: &StoreSettings) -> Result<Option<ServerKey>, Failure> {
    if let Some(file) = &settings.server_key_file {
        return Ok(Some(ServerKey::read(file)?));
    }
    let file = store::key_file(&settings.data);
    // Looked at before the key: another process may be making both, the key first.
    let has_store = store::exists(&settings.data);
    match ServerKey::read(&file) {
        Err(KeyError::Missing(_)) if has_store => Err(Failure::new(
            Exit::DoesNotFit,
            format!(
                "{} is gone, and the store in {} cannot be used without it: restore it from a backup",
                file.display(),
                settings.data.display()
            ),
        )),
        Err(KeyError::Missing(_)) => Ok(None),
        result => Ok(Some(result?)),
    }
}

/// The arguments by which a command reaches the store that these sources name. No URL is shown: it may hold a password.
pub(super) fn describe_store(sources: &Sources) -> String {
    let mut words = Vec::new();
    if let Some(file) = &sources.file {
        words.push(format!("--config {}", file.display()));
    }
    for Value { setting, texts, .. } in sources.given.iter().filter(|value| is_of_store(value.setting)) {
        let shown =
            if setting.form == Form::Secret { "…" } else { texts.first().map_or("", String::as_str) };
        words.push(format!("--{} {shown}", setting.flag));
    }
    if words.is_empty() {
        let data = Setting::find("store.data").map_or("", |setting| setting.default);
        words.push(format!("--data {data}"));
    }
    words.join(" ")
}
