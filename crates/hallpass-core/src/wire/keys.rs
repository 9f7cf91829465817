//! How an account's signing keys are rotated, as JSON. The keys themselves are no part of the management API.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{Fields, InvalidField};
use crate::key_rotation::{INTERVAL_DAYS, KeyRotation};
use crate::time::Timestamp;

/// How the keys of an account are rotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The days until the next rotation.
    pub days_until_next_rotation: u32,
    /// The days from one rotation to the next.
    pub key_rotation_interval_days: u32,
    /// When they were rotated last, or made; absent while there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_key_rotation_at: Option<Timestamp>,
}

impl Keys {
    /// Shows how they are rotated.
    pub fn show(rotation: &KeyRotation, now: Timestamp) -> Self {
        Self {
            days_until_next_rotation: rotation.days_until_next(now),
            key_rotation_interval_days: rotation.interval_days,
            last_key_rotation_at: rotation.last,
        }
    }
}

/// Reads the body of an update: the days from one rotation to the next.
pub fn read_update(body: &Value) -> Result<u32, Vec<InvalidField>> {
    const DAYS: &str = "key_rotation_interval_days";
    let mut fields = Fields::of_body(body)?;
    if fields.value(DAYS).is_none() {
        fields.refuse(DAYS, "key_rotation_interval_days is a required field");
    }
    let days = fields.whole_number(DAYS, INTERVAL_DAYS);
    fields.finish(days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_interval_is_21_to_365_days() {
        for days in [json!(21), json!(30.0), json!(365)] {
            assert!(read_update(&json!({"key_rotation_interval_days": days})).is_ok());
        }
        for days in [json!(20), json!(366), json!(0), json!(-1), json!("30"), json!(30.5), json!(null)] {
            let errors = read_update(&json!({"key_rotation_interval_days": days})).unwrap_err();
            assert_eq!(errors.len(), 1, "{days}");
            assert_eq!(errors[0].pointer, "/key_rotation_interval_days");
        }
        assert!(read_update(&Value::Null).is_err());
    }
}
