//! What a policy of an API token is about: the keys and values of its `resources`.

use serde_json::{Map, Value};

use crate::id::{AccountId, UserId, ZoneId};

const ACCOUNT: &str = "com.cloudflare.api.account.";
const ZONE: &str = "com.cloudflare.api.account.zone.";
const USER: &str = "com.cloudflare.api.user.";
/// Objects of the original that Hallpass has nothing behind; they can be named and open nothing.
const EDGE: &str = "com.cloudflare.edge.";

/// One resource that a policy covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// An account, with all that is in it.
    Account(Which<AccountId>),
    /// A zone.
    Zone(Which<ZoneId>),
    /// A zone, if this account owns it.
    ZoneOf(Which<AccountId>, Which<ZoneId>),
    /// A user.
    User(Which<UserId>),
    /// Something that Hallpass has nothing behind.
    Foreign,
}

/// One object of a kind, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<T> {
    /// All of them, later ones too: `*`.
    Any,
    /// This one.
    One(T),
}

impl<T: PartialEq> Which<T> {
    /// Whether this one is meant.
    pub fn includes(&self, id: &T) -> bool {
        match self {
            Self::Any => true,
            Self::One(one) => one == id,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Any => matches!(self, Self::Any),
            Self::One(id) => self.includes(id),
        }
    }

    fn meets(&self, other: &Self) -> bool {
        match other {
            Self::Any => true,
            Self::One(id) => self.includes(id),
        }
    }
}

/// Why a `resources` object cannot be understood: the offending key, and the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidResource {
    /// The keys from the object down to the culprit.
    pub path: Vec<String>,
    /// The rule that was broken.
    pub rule: &'static str,
}

impl Resource {
    /// Reads a `resources` object: keys are resources, values `"*"` or, for an account, one object that names zones in it.
    pub fn parse_all(object: &Map<String, Value>) -> Result<Vec<Self>, InvalidResource> {
        let mut resources = Vec::with_capacity(object.len());
        for (key, value) in object {
            let refuse = |rule| InvalidResource { path: vec![key.clone()], rule };
            let resource = parse_key(key).ok_or_else(|| refuse(KEY_RULE))?;
            match (resource, value) {
                (resource, Value::String(star)) if star == "*" => resources.push(resource),
                (Self::Account(account), Value::Object(zones)) if !zones.is_empty() => {
                    for (zone_key, zone_value) in zones {
                        let refuse =
                            |rule| InvalidResource { path: vec![key.clone(), zone_key.clone()], rule };
                        match (parse_key(zone_key), zone_value.as_str()) {
                            (Some(Self::Zone(zone)), Some("*")) => {
                                resources.push(Self::ZoneOf(account, zone));
                            }
                            (Some(Self::Zone(_)), _) => return Err(refuse("must be \"*\"")),
                            _ => {
                                return Err(refuse(
                                    "must be a zone: com.cloudflare.api.account.zone.<zone id or *>",
                                ));
                            }
                        }
                    }
                }
                _ => {
                    return Err(refuse("must be \"*\" or, for an account, an object that names zones"));
                }
            }
        }
        Ok(resources)
    }

    /// Whether everything in `other` is in this one. Zones are only compared by what the texts say: without the list of zones,
    /// an account's wildcard cannot be told to cover a zone that is named by itself.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Foreign) => true,
            (Self::Account(mine), Self::Account(theirs) | Self::ZoneOf(theirs, _)) => mine.covers(theirs),
            (Self::Account(Which::Any), Self::Zone(_)) => true,
            (Self::Zone(mine), Self::Zone(theirs) | Self::ZoneOf(_, theirs)) => mine.covers(theirs),
            (Self::ZoneOf(mine, my_zone), Self::ZoneOf(theirs, their_zone)) => {
                mine.covers(theirs) && my_zone.covers(their_zone)
            }
            (Self::ZoneOf(Which::Any, mine), Self::Zone(theirs)) => mine.covers(theirs),
            (Self::User(mine), Self::User(theirs)) => mine.covers(theirs),
            _ => false,
        }
    }

    /// Whether both could have something in common; yes, where the texts leave it open.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Account(mine) | Self::ZoneOf(mine, _), Self::Account(theirs)) => mine.meets(theirs),
            (Self::Account(mine), Self::ZoneOf(theirs, _)) => mine.meets(theirs),
            (Self::ZoneOf(mine, my_zone), Self::ZoneOf(theirs, their_zone)) => {
                mine.meets(theirs) && my_zone.meets(their_zone)
            }
            (Self::Account(_), Self::Zone(_)) | (Self::Zone(_), Self::Account(_)) => true,
            (Self::Zone(mine) | Self::ZoneOf(_, mine), Self::Zone(theirs)) => mine.meets(theirs),
            (Self::Zone(mine), Self::ZoneOf(_, theirs)) => mine.meets(theirs),
            (Self::User(mine), Self::User(theirs)) => mine.meets(theirs),
            _ => false,
        }
    }
}

const KEY_RULE: &str = "must be com.cloudflare.api.account.<id or *>, com.cloudflare.api.account.zone.<id or *> or com.cloudflare.api.user.<id or *>";

fn parse_key(key: &str) -> Option<Resource> {
    // The zone's prefix begins with the account's, so it is tried first.
    if let Some(id) = key.strip_prefix(ZONE) {
        which(id).map(Resource::Zone)
    } else if let Some(id) = key.strip_prefix(ACCOUNT) {
        which(id).map(Resource::Account)
    } else if let Some(id) = key.strip_prefix(USER) {
        which(id).map(Resource::User)
    } else {
        key.strip_prefix(EDGE).filter(|rest| !rest.is_empty()).map(|_| Resource::Foreign)
    }
}

fn which<T: std::str::FromStr>(id: &str) -> Option<Which<T>> {
    if id == "*" { Some(Which::Any) } else { id.parse().ok().map(Which::One) }
}

/// The key that names one account.
pub fn account_key(id: AccountId) -> String {
    format!("{ACCOUNT}{id}")
}

/// The key that names one user.
pub fn user_key(id: UserId) -> String {
    format!("{USER}{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(json: &str) -> Result<Vec<Resource>, Vec<String>> {
        let object: Map<String, Value> = serde_json::from_str(json).unwrap();
        Resource::parse_all(&object).map_err(|error| error.path)
    }

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn account(id: &str) -> Which<AccountId> {
        which(id).unwrap()
    }

    fn zone(id: &str) -> Which<ZoneId> {
        which(id).unwrap()
    }

    #[test]
    fn the_documented_forms_are_understood() {
        assert_eq!(
            one(&format!(r#"{{"com.cloudflare.api.account.{A}":"*"}}"#)),
            Ok(vec![Resource::Account(account(A))])
        );
        assert_eq!(one(r#"{"com.cloudflare.api.account.*":"*"}"#), Ok(vec![Resource::Account(Which::Any)]));
        assert_eq!(one(r#"{"com.cloudflare.api.account.zone.*":"*"}"#), Ok(vec![Resource::Zone(Which::Any)]));
        assert_eq!(
            one(&format!(r#"{{"com.cloudflare.api.account.zone.{A}":"*"}}"#)),
            Ok(vec![Resource::Zone(zone(A))])
        );
        assert_eq!(
            one(&format!(
                r#"{{"com.cloudflare.api.account.{A}":{{"com.cloudflare.api.account.zone.*":"*"}}}}"#
            )),
            Ok(vec![Resource::ZoneOf(account(A), Which::Any)])
        );
        assert_eq!(one(r#"{"com.cloudflare.edge.r2.bucket.x":"*"}"#), Ok(vec![Resource::Foreign]));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let refused = |json: &str, path: &[&str]| {
            assert_eq!(one(json), Err(path.iter().map(ToString::to_string).collect()), "{json}");
        };
        refused(r#"{"com.cloudflare.api.account.":"*"}"#, &["com.cloudflare.api.account."]);
        refused(r#"{"com.cloudflare.api.account.XYZ":"*"}"#, &["com.cloudflare.api.account.XYZ"]);
        refused(r#"{"com.cloudflare.api.account.*":"read"}"#, &["com.cloudflare.api.account.*"]);
        refused(r#"{"com.cloudflare.api.account.*":{}}"#, &["com.cloudflare.api.account.*"]);
        refused(
            r#"{"com.cloudflare.api.user.*":{"com.cloudflare.api.account.zone.*":"*"}}"#,
            &["com.cloudflare.api.user.*"],
        );
        refused(
            r#"{"com.cloudflare.api.account.*":{"com.cloudflare.api.account.*":"*"}}"#,
            &["com.cloudflare.api.account.*", "com.cloudflare.api.account.*"],
        );
        refused(r#"{"*":"*"}"#, &["*"]);
    }

    #[test]
    fn covering_is_never_assumed_and_meeting_always_is() {
        let all = Resource::Account(Which::Any);
        let a = Resource::Account(account(A));
        let b = Resource::Account(account(B));
        let zone = Resource::Zone(zone(A));
        let nested = Resource::ZoneOf(account(A), Which::Any);
        let user = Resource::User(Which::Any);
        for (mine, theirs, covers, meets) in [
            (all, a, true, true),
            (a, all, false, true),
            (a, a, true, true),
            (a, b, false, false),
            (a, nested, true, true),
            (b, nested, false, false),
            (nested, a, false, true),
            (a, zone, false, true),
            (all, zone, true, true),
            (zone, a, false, true),
            (user, all, false, false),
            (all, user, false, false),
            (a, Resource::Foreign, true, false),
        ] {
            assert_eq!((mine.covers(&theirs), mine.meets(&theirs)), (covers, meets), "{mine:?} {theirs:?}");
        }
    }
}
