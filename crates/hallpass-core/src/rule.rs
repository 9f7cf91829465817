//! Rules: what a policy, or a group, asks of a request.

use crate::id::{GroupId, ServiceTokenId};
use crate::network::WrittenNetwork;

/// One thing that is true of a request, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// It presents this service token.
    ServiceToken(ServiceTokenId),
    /// It presents any service token of the application's account.
    AnyValidServiceToken,
    /// It comes from there.
    Ip(WrittenNetwork),
    /// Always.
    Everyone,
    /// The group's own rules say so.
    Group(GroupId),
    /// It needs a human, a device or somebody else's service: never true of a machine (compatibility, D20).
    NoMachine,
}

/// Rules as policies and groups hold them: one of `include`, all of `require`, none of `exclude`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// At least one must be true.
    pub include: Vec<Rule>,
    /// None may be true; it wins over the others.
    pub exclude: Vec<Rule>,
    /// All must be true.
    pub require: Vec<Rule>,
}

impl Rules {
    /// All of them, whatever their part.
    pub fn all(&self) -> impl Iterator<Item = &Rule> {
        self.include.iter().chain(&self.exclude).chain(&self.require)
    }

    /// The service tokens that they name.
    pub fn service_tokens(&self) -> impl Iterator<Item = ServiceTokenId> {
        self.all().filter_map(|rule| if let Rule::ServiceToken(id) = rule { Some(*id) } else { None })
    }

    /// The groups that they name.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.all().filter_map(|rule| if let Rule::Group(id) = rule { Some(*id) } else { None })
    }
}
