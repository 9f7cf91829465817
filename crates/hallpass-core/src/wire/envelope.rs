//! The v4 envelope around every reply.

use serde::{Deserialize, Serialize};

/// What every reply is wrapped in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<T, Info = ResultInfo> {
    /// Whether the request was carried out.
    pub success: bool,
    /// What went wrong; empty on success.
    pub errors: Vec<ErrorObject>,
    /// Remarks. Only `verify` makes one: clients type this list as one of plain texts elsewhere.
    pub messages: Vec<Message>,
    /// What was asked for; `null` on failure.
    pub result: Option<T>,
    /// Where a page stands in its list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_info: Option<Info>,
}

impl<T> Envelope<T> {
    /// A success.
    pub fn of(result: T) -> Self {
        Self {
            success: true,
            errors: Vec::new(),
            messages: Vec::new(),
            result: Some(result),
            result_info: None,
        }
    }

    /// A failure.
    pub fn failure(errors: Vec<ErrorObject>) -> Self {
        Self { success: false, errors, messages: Vec::new(), result: None, result_info: None }
    }
}

/// One thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorObject {
    /// Its number, see `docs/errors.md`.
    pub code: u32,
    /// What it is, for people.
    pub message: String,
    /// Where it is explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
    /// Which part of the request it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What it comes from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub error_chain: Vec<ChainedError>,
}

/// Which part of a request an error is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// A JSON pointer into the body, or `/name` of a query parameter.
    pub pointer: String,
}

/// What an error comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainedError {
    /// Its number.
    pub code: u32,
    /// What it is.
    pub message: String,
}

/// A remark on a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its number.
    pub code: u32,
    /// What it says.
    pub message: String,
    /// Always `null`, as in the original.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// Where a page stands in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultInfo {
    /// The page, from 1.
    pub page: u64,
    /// How many elements a page holds at most.
    pub per_page: u64,
    /// How many it holds.
    pub count: u64,
    /// How many there are on all pages.
    pub total_count: u64,
    /// How many pages there are.
    pub total_pages: u64,
}

impl ResultInfo {
    /// For a page of `count` elements out of `total_count`.
    pub fn new(page: u64, per_page: u64, count: u64, total_count: u64) -> Self {
        Self { page, per_page, count, total_count, total_pages: total_count.div_ceil(per_page.max(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_has_real_empty_lists_and_failure_a_null_result() {
        assert_eq!(
            serde_json::to_string(&Envelope::of(1)).unwrap(),
            r#"{"success":true,"errors":[],"messages":[],"result":1}"#
        );
        let error = ErrorObject {
            code: 12135,
            message: "m".into(),
            documentation_url: None,
            source: None,
            error_chain: vec![],
        };
        assert_eq!(
            serde_json::to_string(&Envelope::<()>::failure(vec![error])).unwrap(),
            r#"{"success":false,"errors":[{"code":12135,"message":"m"}],"messages":[],"result":null}"#
        );
    }

    #[test]
    fn pages_are_counted_up() {
        for (total, pages) in [(0, 0), (1, 1), (25, 1), (26, 2)] {
            assert_eq!(ResultInfo::new(1, 25, 0, total).total_pages, pages);
        }
    }
}
