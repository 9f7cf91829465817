//! Whether rules are true of a request, in three values: true, false, and *unknown*.
//!
//! A rule is unknown where it names a group that is missing, that contains itself, that lies more than 16 groups deep, or
//! behind more rules than are looked at. Unknown is carried to the top, as in Kleene's logic, and only what is *true* there
//! fits. So an unknown rule never includes and never fulfils a requirement, and an `exclude` that cannot be evaluated
//! excludes, through any number of groups. Counting unknown as false at once would not do: a group whose own rules lean on a
//! missing one would be false, and an `exclude` of that group would let in whom it was made to keep out.
//!
//! A rule that needs a human, a device or somebody else's service is plainly false of a machine, in `exclude` too
//! (compatibility, D20): *all but that country* does not exclude, because nobody here knows the country.

use std::cell::Cell;
use std::net::IpAddr;

use crate::decision::Facts;
use crate::id::{GroupId, ServiceTokenId};
use crate::rule::{Rule, Rules};

/// How many groups may lie inside each other.
pub const DEEPEST: usize = 16;
/// How many rules are looked at for one policy, groups included: twice as many as fit into a request that makes a policy.
/// Groups that name each other many times over would else cost the gate its time.
pub const MOST_RULES: u32 = 32_768;

/// What is known about a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is true of the request.
    True,
    /// It is not.
    False,
    /// It cannot be told. Nothing that depends on it lets anybody in.
    Unknown,
}

/// Why a group's rules cannot be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// There is no such group.
    Missing,
    /// The group contains itself.
    Cycle,
    /// It lies too deep.
    TooDeep,
    /// There are too many rules.
    TooMany,
}

impl Outcome {
    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, Self::True) => Self::True,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
        }
    }
}

impl From<bool> for Outcome {
    fn from(fact: bool) -> Self {
        if fact { Self::True } else { Self::False }
    }
}

/// The groups that are being looked into, innermost first.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    group: GroupId,
    depth: usize,
    above: Option<&'p Self>,
}

/// One request, and what its rules are asked of.
pub(crate) struct Evaluation<'e, F> {
    facts: &'e F,
    client: IpAddr,
    token: Option<ServiceTokenId>,
    rules_left: Cell<u32>,
}

impl<'e, F: Facts> Evaluation<'e, F> {
    /// For a request from `client` whose holder is known to have `token`, or for one without a token.
    pub(crate) fn new(facts: &'e F, client: IpAddr, token: Option<ServiceTokenId>) -> Self {
        Self { facts, client, token, rules_left: Cell::new(MOST_RULES) }
    }

    /// Whether a policy's rules are true.
    pub(crate) fn policy(&self, rules: &Rules) -> Outcome {
        self.rules_left.set(MOST_RULES);
        self.rules(rules, None)
    }

    /// Lets the rules of one policy be asked one by one from here on. What is inside of groups is asked again for each group
    /// around it, so that takes more.
    pub(crate) fn one_by_one(&self) {
        self.rules_left.set(MOST_RULES.saturating_mul(8));
    }

    /// Whether one rule is true that was found at the end of `path`.
    pub(crate) fn single(&self, rule: &Rule, path: Option<&Path<'_>>) -> Outcome {
        self.rule(rule, path)
    }

    /// The rules of a group named at the end of `path`, and the path to them.
    pub(crate) fn open<'p>(
        &self,
        group: GroupId,
        above: Option<&'p Path<'p>>,
    ) -> Result<(&'e Rules, Path<'p>), Obstacle> {
        let depth = above.map_or(0, |path| path.depth) + 1;
        let mut walk = above;
        while let Some(path) = walk {
            if path.group == group {
                return Err(Obstacle::Cycle);
            }
            walk = path.above;
        }
        if depth > DEEPEST {
            return Err(Obstacle::TooDeep);
        }
        let rules = self.facts.group(group).ok_or(Obstacle::Missing)?;
        Ok((rules, Path { group, depth, above }))
    }

    fn rules(&self, rules: &Rules, path: Option<&Path<'_>>) -> Outcome {
        let included = self.any(&rules.include, path);
        if included == Outcome::False {
            return Outcome::False;
        }
        let excluded = self.any(&rules.exclude, path);
        if excluded == Outcome::True {
            return Outcome::False;
        }
        included.and(excluded.not()).and(self.all(&rules.require, path))
    }

    fn any(&self, rules: &[Rule], path: Option<&Path<'_>>) -> Outcome {
        let mut outcome = Outcome::False;
        for rule in rules {
            match self.rule(rule, path) {
                Outcome::True => return Outcome::True,
                Outcome::False => {}
                Outcome::Unknown => outcome = Outcome::Unknown,
            }
        }
        outcome
    }

    fn all(&self, rules: &[Rule], path: Option<&Path<'_>>) -> Outcome {
        let mut outcome = Outcome::True;
        for rule in rules {
            match self.rule(rule, path) {
                Outcome::True => {}
                Outcome::False => return Outcome::False,
                Outcome::Unknown => outcome = Outcome::Unknown,
            }
        }
        outcome
    }

    fn rule(&self, rule: &Rule, path: Option<&Path<'_>>) -> Outcome {
        let Some(left) = self.rules_left.get().checked_sub(1) else { return Outcome::Unknown };
        self.rules_left.set(left);
        match rule {
            Rule::ServiceToken(id) => Outcome::from(self.token == Some(*id)),
            Rule::AnyValidServiceToken => Outcome::from(self.token.is_some()),
            Rule::Ip(network) => Outcome::from(network.contains(self.client)),
            Rule::Everyone => Outcome::True,
            Rule::NoMachine => Outcome::False,
            Rule::Group(group) => match self.open(*group, path) {
                Ok((rules, path)) => self.rules(rules, Some(&path)),
                Err(_) => Outcome::Unknown,
            },
        }
    }
}
