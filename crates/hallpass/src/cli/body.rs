//! JSON that people hand over as a file or on standard input, and the bodies of calls, made of flags or of what is there.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Exit, Failure};

/// A body, field by field.
pub(super) type Body = Map<String, Value>;

/// What only a server says of an object, whatever it is. It is not sent back.
const SERVER_MADE: [&str; 4] = ["id", "uid", "created_at", "updated_at"];

/// The flag of verbs whose other flags do not reach every field. Those conflict with it.
#[derive(Debug, Args)]
pub(super) struct BodyFlag {
    /// File, or - for standard input, with the whole body as JSON, in the form of the API, for all that the other flags cannot say
    #[arg(long, value_name = "FILE|-")]
    body: Option<PathBuf>,
}

impl BodyFlag {
    /// The body that was handed over, if there is one.
    pub(super) fn read(&self) -> Result<Option<Body>, Failure> {
        self.body.as_deref().map(|file| read("the body", file)).transpose()
    }
}

/// Reads JSON from a file, or, if that is called `-`, from standard input. `what` says to people what it is.
pub(super) fn read<T: DeserializeOwned>(what: &str, file: &Path) -> Result<T, Failure> {
    let is_stdin = file == Path::new("-");
    let place = if is_stdin { "standard input".to_owned() } else { file.display().to_string() };
    let refused =
        |error: &dyn Display| Failure::new(Exit::Usage, format!("cannot read {what} from {place}: {error}"));
    let text = if is_stdin { io::read_to_string(io::stdin()) } else { std::fs::read_to_string(file) };
    let text = text.map_err(|error| refused(&error))?;
    serde_json::from_str(&text).map_err(|error| refused(&error))
}

/// What is there, as the body of an update that would change nothing: a place to begin, since an update replaces. `more` are fields
/// that the server makes for objects of this kind beside those that it makes for all.
pub(super) fn of<T: Serialize>(object: &T, more: &[&str]) -> Result<Body, Failure> {
    let shown = serde_json::to_value(object).context("cannot write JSON")?;
    let mut body = if let Value::Object(fields) = shown { fields } else { Body::new() };
    body.retain(|field, _| !SERVER_MADE.iter().chain(more).any(|made| made == field));
    Ok(body)
}

/// Sets a field of a body, where something is said about it.
pub(super) fn set(body: &mut Body, field: &str, said: Option<impl Into<Value>>) {
    if let Some(value) = said {
        body.insert(field.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_nothing_is_said_about_stays() {
        let shown = json!({"id": "x", "uid": "x", "updated_at": "t", "name": "old", "reusable": false, "custom": [1]});
        let mut body = of(&shown, &["reusable"]).unwrap();
        set(&mut body, "name", None::<String>);
        assert_eq!(Value::Object(body.clone()), json!({"name": "old", "custom": [1]}));
        set(&mut body, "name", Some("new"));
        assert_eq!(Value::Object(body), json!({"name": "new", "custom": [1]}));
    }

    #[test]
    fn what_is_no_json_object_is_told_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("body.json");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            BodyFlag { body: Some(file.clone()) }.read()
        };
        assert_eq!(read("{\"a\": 1.0}").unwrap().unwrap().get("a"), Some(&json!(1.0)));
        for wrong in ["", "[]", "{\"a\": 1", "5"] {
            let failure = read(wrong).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{wrong}");
            let begin = format!("cannot read the body from {}: ", file.display());
            assert!(failure.to_string().starts_with(&begin), "{failure}");
        }
        assert!(BodyFlag { body: Some(directory.path().join("missing")) }.read().is_err());
        assert!(BodyFlag { body: None }.read().unwrap().is_none());
    }
}
