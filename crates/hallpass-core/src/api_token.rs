//! API tokens: who owns one, what its policies say, when and from where it may be used.

use std::net::IpAddr;
use std::sync::Arc;

use crate::id::{AccountId, ApiTokenId, PermissionGroupId, TokenPolicyId, UserId};
use crate::network::WrittenNetwork;
use crate::permission::{Permission, PermissionGroup};
use crate::resource::Resource;
use crate::service_token::Name;
use crate::time::Timestamp;

/// An API token, without its secret.
#[derive(Debug, Clone)]
pub struct ApiToken {
    /// Its identifier.
    pub id: ApiTokenId,
    /// To whom it belongs.
    pub owner: Owner,
    /// What people call it.
    pub name: Name,
    /// Whether its owner wants it to be used.
    pub status: Status,
    /// What it may do.
    pub policies: Arc<[Policy]>,
    /// From where it may be used.
    pub condition: Option<Condition>,
    /// From when on it may be used.
    pub not_before: Option<WrittenTime>,
    /// From when on it may no longer be used.
    pub expires_on: Option<WrittenTime>,
    /// When it was made.
    pub issued_on: Timestamp,
    /// When it last changed.
    pub modified_on: Timestamp,
}

/// To whom an API token belongs. It can never do more than its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A user.
    User(UserId),
    /// An account.
    Account(AccountId),
}

/// Whether the owner wants a token to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Yes.
    Active,
    /// No.
    Disabled,
}

/// Whether a token can be used, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStanding {
    /// It can.
    Active,
    /// Its owner disabled it.
    Disabled,
    /// Its time is over, or has not begun.
    Expired,
}

/// A point in time with the text that it was sent as, which is what the sender gets back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenTime {
    /// The point.
    pub at: Timestamp,
    /// The text.
    pub text: String,
}

/// One policy of a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its identifier.
    pub id: TokenPolicyId,
    /// Whether it gives or takes.
    pub effect: Effect,
    /// What it gives or takes.
    pub groups: Vec<GroupReference>,
    /// On what: understood.
    pub reach: Vec<Resource>,
    /// On what: as it was sent.
    pub resources: serde_json::Map<String, serde_json::Value>,
}

/// Whether a policy gives or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It gives.
    Allow,
    /// It takes, whatever else gives.
    Deny,
}

/// A permission group in a policy, with what the sender noted on it.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupReference {
    /// The group.
    pub id: PermissionGroupId,
    /// The sender's notes, kept and sent back.
    pub meta: Option<serde_json::Value>,
}

impl Policy {
    /// Whether one of its groups stands for this permission.
    pub fn opens(&self, permission: Permission) -> bool {
        self.groups
            .iter()
            .any(|group| PermissionGroup::find(group.id).is_some_and(|group| group.opens == Some(permission)))
    }
}

impl ApiToken {
    /// Whether it can be used now.
    pub fn standing(&self, now: Timestamp) -> TokenStanding {
        let not_yet = self.not_before.as_ref().is_some_and(|start| now < start.at);
        match self.status {
            Status::Disabled => TokenStanding::Disabled,
            Status::Active if self.is_over(now) || not_yet => TokenStanding::Expired,
            Status::Active => TokenStanding::Active,
        }
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_on.as_ref().is_some_and(|end| now >= end.at)
    }

    /// Whether it may be used from there. An unknown address satisfies no condition.
    pub fn may_be_used_from(&self, client: Option<IpAddr>) -> bool {
        self.condition.as_ref().is_none_or(|condition| client.is_some_and(|client| condition.admits(client)))
    }
}

/// From which addresses a token may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The key under which it was sent, and is sent back.
    pub spelling: ConditionKey,
    /// Only from these, if given.
    pub within: Option<Vec<WrittenNetwork>>,
    /// Never from these, if given.
    pub not_within: Option<Vec<WrittenNetwork>>,
}

/// The key of the IP condition: older and newer clients differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionKey {
    /// `request_ip`
    RequestIp,
    /// `request.ip`
    RequestDotIp,
}

impl Condition {
    /// Whether a client at this address satisfies it.
    pub fn admits(&self, client: IpAddr) -> bool {
        let lists = |networks: &[WrittenNetwork]| networks.iter().any(|listed| listed.contains(client));
        self.within.as_deref().is_none_or(lists) && !self.not_within.as_deref().is_some_and(lists)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it stands for a list that was sent")]
    fn networks(texts: &[&str]) -> Option<Vec<WrittenNetwork>> {
        Some(texts.iter().map(|text| WrittenNetwork::parse(text).unwrap()).collect())
    }

    fn condition(within: Option<Vec<WrittenNetwork>>, not_within: Option<Vec<WrittenNetwork>>) -> Condition {
        Condition { spelling: ConditionKey::RequestIp, within, not_within }
    }

    #[test]
    fn an_address_must_be_within_and_not_without() {
        let condition =
            condition(networks(&["123.123.123.0/24", "2001:db8::/32"]), networks(&["123.123.123.100/28"]));
        for (address, admitted) in [
            ("123.123.123.1", true),
            ("::ffff:123.123.123.1", true),
            ("123.123.123.97", false),
            ("123.123.124.1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(condition.admits(address.parse().unwrap()), admitted, "{address}");
        }
    }

    #[test]
    fn host_bits_and_single_addresses_are_kept_as_sent() {
        for text in ["123.123.123.100/24", "10.0.0.1", "::1", "2001:db8::5/64", "0.0.0.0/0"] {
            assert_eq!(WrittenNetwork::parse(text).unwrap().as_str(), text);
        }
        for text in
            ["", "10.0.0", "10.0.0.0/33", "example.com", "10.0.0.1/", " 10.0.0.1", "10.0.0.1-10.0.0.9"]
        {
            assert_eq!(WrittenNetwork::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_empty_list_admits_nobody_and_an_absent_one_everybody() {
        let client = "10.0.0.1".parse().unwrap();
        assert!(!condition(networks(&[]), None).admits(client));
        assert!(condition(None, networks(&[])).admits(client));
        assert!(condition(None, None).admits(client));
    }

    #[test]
    fn an_ipv4_network_written_as_ipv6_covers_ipv4_clients() {
        let condition = condition(networks(&["::ffff:10.0.0.0/104"]), None);
        assert!(condition.admits("10.9.9.9".parse().unwrap()));
        assert!(!condition.admits("11.0.0.1".parse().unwrap()));
    }
}
