//! Service tokens that nobody uses, as JSON: what an organization says is to be done with them, and what it would come to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::body::{Fields, InvalidField};
use crate::id::ServiceTokenId;
use crate::organization::{Inactivity, InactivityAction, Organization};
use crate::time::Timestamp;

/// The field of an organization that says what happens to them.
pub(super) const INACTIVITY: &str = "service_token_inactivity";
/// After how many days a service token counts as unused: a field in it, and the parameter of a dry run.
pub const THRESHOLD: &str = "inactivity_threshold_days";
/// The fewest and the most days after which a service token counts as unused.
const THRESHOLD_DAYS: std::ops::RangeInclusive<u32> = 30..=365;

/// A service token that nobody uses, and what is going to be done with it. No policy and no group refers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InactiveServiceToken {
    /// Which.
    pub id: ServiceTokenId,
    /// What people call it.
    pub name: String,
    /// When it was last used or changed, in whole seconds.
    pub inactive_since: Timestamp,
    /// How many whole days ago that was.
    pub inactive_days: u32,
    /// `disable` or `delete`.
    pub action: String,
}

impl InactiveServiceToken {
    /// Shows one. `since` is when it was last used or changed.
    pub fn show(
        id: ServiceTokenId,
        name: String,
        since: Timestamp,
        action: InactivityAction,
        now: Timestamp,
    ) -> Self {
        let days = now.as_micros().saturating_sub(since.as_micros()) / 86_400_000_000;
        let action = match action {
            InactivityAction::Disable => "disable",
            InactivityAction::Delete => "delete",
        };
        Self {
            id,
            name,
            inactive_since: since.floor_second(),
            inactive_days: u32::try_from(days).unwrap_or(0),
            action: action.to_owned(),
        }
    }
}

/// What would be done with unused service tokens after so many days, or else after the organization's own, whether or not it is
/// enabled; `None` where nobody says how many. An organization that names no action would disable them: that can be undone.
pub fn foreseen(organization: &Organization, days: Option<u32>) -> Option<Inactivity> {
    let nothing = Map::new();
    let rule = organization.body.get(INACTIVITY).and_then(Value::as_object).unwrap_or(&nothing);
    let mut fields = Fields::of_object(rule, String::new());
    let own = fields.whole_number(THRESHOLD, THRESHOLD_DAYS);
    let action = read_action(&mut fields).unwrap_or(InactivityAction::Disable);
    days.or(own).map(|days| Inactivity { days, action })
}

/// Reads the days of a dry run, by the rule for an organization's own.
pub fn read_threshold(text: &str) -> Result<u32, Vec<InvalidField>> {
    let value = serde_json::from_str::<Number>(text).map_or_else(|_| Value::from(text), Value::Number);
    let object = Map::from_iter([(THRESHOLD.to_owned(), value)]);
    let mut fields = Fields::of_object(&object, String::new());
    let days = fields.whole_number(THRESHOLD, THRESHOLD_DAYS);
    fields.finish(days)
}

fn read_action(fields: &mut Fields<'_>) -> Option<InactivityAction> {
    fields.parsed("action", |text| match text {
        "disable" => Ok(InactivityAction::Disable),
        "delete" => Ok(InactivityAction::Delete),
        _ => Err("action must be disable or delete"),
    })
}

/// What happens to unused service tokens; `None` where it is not enabled, or something is wrong.
pub(super) fn read_inactivity(fields: &mut Fields<'_>) -> Option<Inactivity> {
    let enabled = fields.boolean("enabled");
    if fields.value("enabled").is_none() {
        fields.refuse("enabled", "enabled is a required field");
    }
    let on = enabled == Some(true);
    for needed in [THRESHOLD, "action"] {
        if on && fields.value(needed).is_none() {
            fields.refuse(needed, format_args!("{needed} is required where enabled is true"));
        }
    }
    let days = fields.whole_number(THRESHOLD, THRESHOLD_DAYS);
    let action = read_action(fields);
    days.zip(action).filter(|_| on).map(|(days, action)| Inactivity { days, action })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AccountId;
    use crate::wire::organizations::Change;
    use serde_json::json;

    #[test]
    fn what_would_happen_to_unused_tokens_is_known_before_it_is_enabled() {
        let foreseen = |rule: Value, days: Option<u32>| {
            let fresh = Organization::new(AccountId::from_bytes([7; 16]), "Example", Timestamp::FOREVER);
            let change = Change::Merge(json!({ INACTIVITY: rule }));
            let found = foreseen(&change.apply(&fresh, Timestamp::FOREVER).unwrap(), days);
            found.map(|found| (found.days, found.action))
        };
        let (disable, delete) = (InactivityAction::Disable, InactivityAction::Delete);
        for enabled in [true, false] {
            let rule = json!({"enabled": enabled, "inactivity_threshold_days": 90, "action": "delete"});
            assert_eq!(foreseen(rule.clone(), None), Some((90, delete)));
            assert_eq!(foreseen(rule, Some(30)), Some((30, delete)));
        }
        for silent in [json!(null), json!({"enabled": false}), json!({"enabled": false, "action": null})] {
            assert_eq!(foreseen(silent.clone(), None), None);
            assert_eq!(foreseen(silent, Some(30)), Some((30, disable)));
        }
    }

    #[test]
    fn the_days_of_a_dry_run_are_read_as_those_of_a_body() {
        for (text, days) in [("30", 30), ("365", 365), ("90.0", 90)] {
            assert_eq!(read_threshold(text), Ok(days));
        }
        let told = |text: &str| read_threshold(text).unwrap_err().remove(0);
        let in_body = |days: Value| {
            let body = json!({"enabled": false, "inactivity_threshold_days": days});
            let mut fields = Fields::of_object(body.as_object().unwrap(), String::new());
            read_inactivity(&mut fields);
            fields.finish(None::<()>).unwrap_err().remove(0)
        };
        for days in [json!(0), json!(29), json!(366), json!(-30), json!(30.5), json!(5_000_000_000_u64)] {
            assert_eq!(told(&days.to_string()), in_body(days));
        }
        for text in ["x", "30 days", "+30", "1e400", "null", "\"30\"", ""] {
            assert_eq!(told(text), in_body(json!(text)));
        }
    }
}
