//! Reading the envelope as it is really sent: by Hallpass, by the original, and by what stands in front of them.
//!
//! `hallpass_core::wire::envelope` says how an envelope should look. This module asks for less: whatever can be missing may be
//! missing, and a number may be a text.

use hallpass_core::wire::audit::Cursors;
use hallpass_core::wire::envelope::{ChainedError, ErrorObject, Source};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::paging::PagePosition;

/// Everything in an envelope but its result.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Around {
    /// Whether it says of itself that it succeeded.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) success: Option<bool>,
    #[serde(default)]
    errors: Value,
    #[serde(default, deserialize_with = "lenient")]
    result_info: Option<Info>,
}

/// Where a page or a part stands in its list.
#[derive(Debug, Default, Deserialize)]
struct Info {
    #[serde(flatten)]
    position: PagePosition,
    #[serde(default, deserialize_with = "lenient")]
    cursors: Option<Cursors>,
}

impl Around {
    /// Reads it; `None` where the body is no JSON object.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// What went wrong.
    pub(crate) fn errors(&self) -> Vec<ErrorObject> {
        match &self.errors {
            Value::Array(list) => list.iter().filter_map(read_error).collect(),
            one => read_error(one).into_iter().collect(),
        }
    }

    /// Where a page stands in its list.
    pub(crate) fn page_position(&self) -> PagePosition {
        self.result_info.as_ref().map(|info| info.position).unwrap_or_default()
    }

    /// From where the list goes on; nothing on its last part.
    pub(crate) fn cursor(&self) -> Option<String> {
        let after = self.result_info.as_ref()?.cursors.as_ref()?.after.clone();
        after.filter(|cursor| !cursor.is_empty())
    }
}

/// Reads the result of a success. The error is the path to what does not fit; never what stands there, which may be a secret.
pub(crate) fn read_result<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    #[derive(Deserialize)]
    #[serde(bound = "T: DeserializeOwned")]
    struct Inside<T> {
        result: T,
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, Inside<T>>(&mut reader) {
        Ok(inside) => Ok(inside.result),
        // What is missing at the top is the result.
        Err(error) if error.path().iter().next().is_none() => Err("result".to_owned()),
        Err(error) => Err(error.path().to_string()),
    }
}

fn read_error(error: &Value) -> Option<ErrorObject> {
    let (code, message) = match error {
        Value::Object(_) => read_pair(error),
        Value::String(message) => (0, message.clone()),
        _ => return None,
    };
    let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
    let pointer = error.pointer("/source/pointer").and_then(Value::as_str);
    let chain = error.get("error_chain").and_then(Value::as_array).into_iter().flatten();
    let chain = chain.map(read_pair).map(|(code, message)| ChainedError { code, message });
    Some(ErrorObject {
        code,
        message,
        documentation_url: text("documentation_url"),
        source: pointer.map(|pointer| Source { pointer: pointer.to_owned() }),
        error_chain: chain.collect(),
    })
}

/// Number and message, as far as they are there.
fn read_pair(error: &Value) -> (u32, String) {
    let code = error.get("code").and_then(read_number).and_then(|code| u32::try_from(code).ok());
    let message = error.get("message").and_then(Value::as_str);
    (code.unwrap_or(0), message.unwrap_or_default().to_owned())
}

/// A whole number, also one written as `2.0` or as a text.
fn read_number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => {
            number.as_u64().or_else(|| number.to_string().strip_suffix(".0")?.parse().ok())
        }
        _ => None,
    }
}

/// What fits, or nothing.
fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Read<T> {
        Fits(T),
        Other(IgnoredAny),
    }
    Ok(match Read::deserialize(deserializer)? {
        Read::Fits(value) => Some(value),
        Read::Other(IgnoredAny) => None,
    })
}

/// A whole number, however it is written, or nothing.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(read_number(&Value::deserialize(deserializer)?))
}
