//! `hallpass serve --check-config`: what can be found out without opening the store or a listener.

use std::fs;
use std::path::Path;

use super::settings::existing_key;
use crate::config::{Config, Problem, Problems};
use crate::server_key::ServerKey;
use crate::tls::{Files, Pair};

/// The certificate's files, where TLS is wanted.
pub(super) fn certificate_files(config: &Config) -> Option<Files> {
    let (certificate, key) = config.tls.certificate.clone().zip(config.tls.key.clone())?;
    Some(Files { certificate, key })
}

/// Looks at the files that a configuration names: they are there, can be read, and hold what they should.
pub(super) fn check_files(config: &Config) -> Problems {
    let mut problems = Problems::default();
    let mut note = |result: Result<(), String>| {
        if let Err(text) = result {
            problems.add(Problem::new(text));
        }
    };
    note(check_key(config));
    if config.store.database.is_none() {
        note(check_data(&config.store.data));
    }
    if let Some(files) = certificate_files(config) {
        note(Pair::read(&files).map(|_| ()).map_err(|error| error.to_string()));
    }
    if let Some(file) = &config.api.ready_file {
        note(check_parent(file));
    }
    problems
}

/// Looks at the certificate and its key, where TLS is wanted.
pub(super) fn check_certificate(config: &Config) -> Result<(), Problems> {
    let mut problems = Problems::default();
    if let Some(Err(error)) = certificate_files(config).map(|files| Pair::read(&files)) {
        problems.add(Problem::new(error.to_string()));
    }
    problems.or(Some(()))
}

fn check_key(config: &Config) -> Result<(), String> {
    match (&config.store.database, &config.store.server_key_file) {
        (Some(_), Some(file)) => ServerKey::read(file).map(|_| ()).map_err(|error| error.to_string()),
        // That one is missing was said already.
        (Some(_), None) => Ok(()),
        (None, _) => {
            let key = existing_key(&config.store);
            key.map(|_| ()).map_err(|error| error.to_string())
        }
    }
}

fn check_data(data: &Path) -> Result<(), String> {
    match fs::read_dir(data) {
        // It will be made.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("cannot use the data directory {}: {error}", data.display())),
        Ok(_) => Ok(()),
    }
}

fn check_parent(file: &Path) -> Result<(), String> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    match parent {
        Some(parent) if !parent.is_dir() => {
            Err(format!("cannot write {}: {} is no directory", file.display(), parent.display()))
        }
        _ => Ok(()),
    }
}
