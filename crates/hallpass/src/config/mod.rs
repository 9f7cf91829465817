//! The configuration: one file, environment variables and flags, under one precedence, checked as a whole before anything starts.
//!
//! A flag counts before a variable, a variable before the file, the file before the default. `settings.rs` has the table of all
//! settings; `ConfigFile` is what was written, [`Config`] what was checked.

mod file;
pub mod read;
mod settings;

use std::fmt;
use std::path::{Path, PathBuf};

use file::ConfigFile;
pub use read::{DatabaseUrl, Listen, RateLimit};
pub use settings::{
    ApiSettings, Change, Config, Form, GateSettings, LogSettings, OperatorSettings, SETTINGS, Setting,
    StoreSettings, TlsSettings,
};

/// Where the configuration comes from. It is kept, so that the file can be read again.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file; none is looked for unless it is named.
    pub file: Option<PathBuf>,
    /// What flags and variables say, at most one value for each setting.
    pub given: Vec<Value>,
}

/// A setting's value as it was written, and where.
#[derive(Clone)]
pub struct Value {
    /// The setting.
    pub setting: &'static Setting,
    /// As it would be written for the flag: one text, or those of a list.
    pub texts: Vec<String>,
    /// Where it was written.
    pub place: Place,
}

/// Where a value was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the command line.
    Flag,
    /// In the environment.
    Variable,
    /// In the file; both count from 1.
    File {
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// Nowhere.
    Default,
}

/// One value for each setting: what counts, before it is checked.
#[derive(Clone)]
pub struct Values {
    file: Option<PathBuf>,
    values: Vec<Value>,
}

/// Something that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    position: Option<(usize, usize)>,
    text: String,
}

/// All that is wrong with the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Sources {
    /// Reads everything, and checks every value and the rules between them.
    pub fn config(&self) -> Result<(Config, Values), Problems> {
        let mut problems = Problems::default();
        let values = self.values(&mut problems);
        let config = Config::read(&values, &mut problems);
        values.hold_store_rules(&mut problems);
        values.hold_tls_rule(&mut problems);
        if let Some(config) = &config {
            hold_listening_rule(config, &mut problems);
        }
        problems.or(config.map(|config| (config, values)))
    }

    /// Reads everything, and checks what the store needs.
    pub fn store(&self) -> Result<StoreSettings, Problems> {
        let mut problems = Problems::default();
        let values = self.values(&mut problems);
        let store = StoreSettings::read(&values, &mut problems);
        values.hold_store_rules(&mut problems);
        problems.or(store)
    }

    fn values(&self, problems: &mut Problems) -> Values {
        let file = self.file.as_deref().map(|path| ConfigFile::read(path, problems));
        let written = file.map(|file| file.values).unwrap_or_default();
        let value = |setting: &'static Setting| {
            let is_it = |value: &&Value| value.setting.key == setting.key;
            let found = self.given.iter().find(is_it).or_else(|| written.iter().find(is_it));
            found.cloned().unwrap_or_else(|| Value::default_of(setting))
        };
        Values { file: self.file.clone(), values: SETTINGS.iter().map(value).collect() }
    }
}

impl Value {
    /// The name by which it was given.
    fn name(&self) -> String {
        match self.place {
            Place::Flag => format!("--{}", self.setting.flag),
            Place::Variable => self.setting.variable.to_owned(),
            Place::File { .. } | Place::Default => self.setting.key.to_owned(),
        }
    }

    fn default_of(setting: &'static Setting) -> Self {
        let texts = [setting.default].into_iter().filter(|text| !text.is_empty());
        Self { setting, texts: texts.map(str::to_owned).collect(), place: Place::Default }
    }
}

impl Values {
    /// The settings whose values differ, among those that count only when the server is started.
    pub fn needing_restart(&self, new: &Self) -> Vec<&'static str> {
        let pairs = self.values.iter().zip(&new.values);
        let changed = pairs.filter(|(old, new)| old.texts != new.texts);
        let fixed = changed.filter(|(old, _)| old.setting.change == Change::AtStart);
        fixed.map(|(old, _)| old.setting.key).collect()
    }

    /// Reads a value; what is wrong with it goes to the problems.
    fn read<T>(
        &self,
        key: &str,
        read: impl Fn(&[String]) -> Result<T, String>,
        problems: &mut Problems,
    ) -> Option<T> {
        let value = self.find(key)?;
        match read(&value.texts) {
            Ok(value) => Some(value),
            Err(rule) => {
                problems.add(self.problem(value, &rule));
                None
            }
        }
    }

    fn find(&self, key: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.setting.key == key)
    }

    fn given(&self, key: &str) -> Option<&Value> {
        self.find(key).filter(|value| value.place != Place::Default)
    }

    /// A problem with a value, under the name by which it was given.
    fn problem(&self, value: &Value, rule: &str) -> Problem {
        let text = format!("{} {rule}", value.name());
        match (value.place, &self.file) {
            (Place::File { line, column }, Some(file)) => Problem::in_file(file, line, column, &text),
            _ => Problem::new(text),
        }
    }

    fn hold_store_rules(&self, problems: &mut Problems) {
        let Some(database) = self.given("store.database") else { return };
        if let Some(data) = self.given("store.data") {
            let other = data.name();
            let rule = format!("excludes {other}: the store is either embedded or in PostgreSQL");
            problems.add(self.problem(database, &rule));
        }
        if self.given("store.server_key_file").is_none() {
            problems.add(self.problem(database, "needs a server key file: name it by store.server_key_file"));
        }
    }

    fn hold_tls_rule(&self, problems: &mut Problems) {
        match (self.given("tls.certificate"), self.given("tls.key")) {
            (Some(certificate), None) => {
                problems.add(self.problem(certificate, "needs its key: name it by tls.key"));
            }
            (None, Some(key)) => {
                problems.add(self.problem(key, "needs its certificate: name it by tls.certificate"));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// Credentials do not cross a network in the clear unless somebody has said that they may.
fn hold_listening_rule(config: &Config, problems: &mut Problems) {
    let address = config.api.listen;
    if !address.ip().is_loopback() && config.tls.certificate.is_none() && !config.api.insecure_http {
        problems.add(Problem::new(format!(
            "listening on {address} would send credentials over the network in the clear; name a certificate and its key \
             (--tls-certificate, --tls-key), put a TLS proxy in front of a loopback address, or say --insecure-http"
        )));
    }
}

impl Problem {
    /// A problem that is in no file.
    pub fn new(text: String) -> Self {
        Self { position: None, text }
    }

    fn in_file(path: &Path, line: usize, column: usize, message: &str) -> Self {
        let text = format!("{}:{line}:{column}: {message}", path.display());
        Self { position: Some((line, column)), text }
    }
}

impl Problems {
    /// Adds one. Of several at one place of the file, the first says enough.
    pub fn add(&mut self, problem: Problem) {
        let is_known =
            problem.position.is_some() && self.0.iter().any(|known| known.position == problem.position);
        if !is_known {
            self.0.push(problem);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was found good, if nothing was found bad.
    pub fn or<T>(mut self, good: Option<T>) -> Result<T, Self> {
        // By line; what is in no file comes last, in the order of the settings.
        self.0.sort_by_key(|problem| (problem.position.is_none(), problem.position));
        match good {
            Some(good) if self.is_empty() => Ok(good),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [problem] => f.write_str(&problem.text),
            problems => {
                write!(f, "{} things are wrong with the configuration:", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {}", problem.text))
            }
        }
    }
}
