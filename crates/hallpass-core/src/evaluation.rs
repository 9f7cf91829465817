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
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::decision::Facts;
use crate::id::{GroupId, ServiceTokenId};
use crate::policy::PolicyDecision;
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

impl<'p> Path<'p> {
    /// The path to the rules of a group that is named at the end of `above`.
    fn down_to(group: GroupId, above: Option<&'p Self>) -> Result<Self, Obstacle> {
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
        Ok(Self { group, depth, above })
    }
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
        let path = Path::down_to(group, above)?;
        let rules = self.facts.group(group).ok_or(Obstacle::Missing)?;
        Ok((rules, path))
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

/// Whether a policy is there to let machines pass, and its rules can be true of none of them, whatever it presents and
/// wherever it comes from (compatibility, D20). Rules are looked at one by one, so two that are never true together are not
/// noticed. Nor is anything said of rules that are too many to be looked at.
pub fn fits_no_machine(decision: PolicyDecision, rules: &Rules, groups: &BTreeMap<GroupId, &Rules>) -> bool {
    let with_token = match decision {
        PolicyDecision::NonIdentity => true,
        // It asks nobody who they are.
        PolicyDecision::Bypass => false,
        // They are about people (compatibility, D22).
        PolicyDecision::Allow | PolicyDecision::Deny => return false,
    };
    let mut prospects = Prospects { with_token, groups, rules_left: MOST_RULES };
    !prospects.of_rules(rules, None).may_be_true
}

/// What requests can make of a rule. Neither is what is unknown for every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prospect {
    may_be_true: bool,
    may_be_false: bool,
}

impl Prospect {
    const ALWAYS: Self = Self { may_be_true: true, may_be_false: false };
    const NEVER: Self = Self { may_be_true: false, may_be_false: true };
    const EITHER: Self = Self { may_be_true: true, may_be_false: true };
    const UNKNOWN: Self = Self { may_be_true: false, may_be_false: false };

    fn not(self) -> Self {
        Self { may_be_true: self.may_be_false, may_be_false: self.may_be_true }
    }

    fn and(self, other: Self) -> Self {
        Self {
            may_be_true: self.may_be_true && other.may_be_true,
            may_be_false: self.may_be_false || other.may_be_false,
        }
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

/// Rules as they are before anybody asks.
struct Prospects<'r> {
    /// Whether whoever asks has a service token, or none that counts.
    with_token: bool,
    groups: &'r BTreeMap<GroupId, &'r Rules>,
    rules_left: u32,
}

impl Prospects<'_> {
    fn of_rules(&mut self, rules: &Rules, path: Option<&Path<'_>>) -> Prospect {
        let mut included = Prospect::NEVER;
        for rule in &rules.include {
            included = included.or(self.of_rule(rule, path));
        }
        let mut fitting = included;
        for rule in &rules.exclude {
            fitting = fitting.and(self.of_rule(rule, path).not());
        }
        for rule in &rules.require {
            fitting = fitting.and(self.of_rule(rule, path));
        }
        fitting
    }

    fn of_rule(&mut self, rule: &Rule, path: Option<&Path<'_>>) -> Prospect {
        let Some(left) = self.rules_left.checked_sub(1) else { return Prospect::EITHER };
        self.rules_left = left;
        match rule {
            Rule::ServiceToken(_) if self.with_token => Prospect::EITHER,
            Rule::AnyValidServiceToken if self.with_token => Prospect::ALWAYS,
            Rule::ServiceToken(_) | Rule::AnyValidServiceToken | Rule::NoMachine => Prospect::NEVER,
            Rule::Ip(_) => Prospect::EITHER,
            Rule::Everyone => Prospect::ALWAYS,
            Rule::Group(group) => match (Path::down_to(*group, path), self.groups.get(group).copied()) {
                (Ok(path), Some(rules)) => self.of_rules(rules, Some(&path)),
                (Err(_), _) | (Ok(_), None) => Prospect::UNKNOWN,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::WrittenNetwork;

    fn id(letter: u8) -> GroupId {
        GroupId::from_bytes([letter; 16])
    }

    /// `include / exclude / require`, a letter for each rule; a small letter is a group.
    fn rules(text: &str) -> Rules {
        let rule = |letter: u8| match letter {
            b'T' => Rule::ServiceToken(ServiceTokenId::from_bytes([7; 16])),
            b'A' => Rule::AnyValidServiceToken,
            b'I' => Rule::Ip(WrittenNetwork::parse("203.0.113.0/24").unwrap()),
            b'E' => Rule::Everyone,
            b'N' => Rule::NoMachine,
            group => Rule::Group(id(group)),
        };
        let parts: Vec<Vec<Rule>> =
            text.split('/').map(|part| part.trim().bytes().map(rule).collect()).collect();
        let [include, exclude, require] = parts.try_into().unwrap();
        Rules { include, exclude, require }
    }

    #[test]
    fn a_policy_that_no_machine_satisfies_is_told_from_others() {
        // There is no group g.
        let groups = [
            (b'a', "A / / "),
            (b'i', "I / / "),
            (b'e', "E / / "),
            (b'n', "N / / "),
            (b'c', "c / / "),
            (b'u', "g / / "),
            (b'w', "E / n / "),
        ];
        let groups = groups.map(|(letter, text)| (id(letter), rules(text)));
        let groups = groups.iter().map(|(id, rules)| (*id, rules)).collect();
        // The rules, and whether they can be true in Service Auth and in Bypass.
        for (text, service_auth, bypass) in [
            (" / / ", false, false),
            ("N / / ", false, false),
            ("N T / / ", true, false),
            ("N I / / ", true, true),
            ("E / / N", false, false),
            ("E / N / ", true, true),
            ("E / E / ", false, false),
            ("E / A / ", false, true),
            ("E / T / ", true, true),
            ("E / I / I", true, true),
            ("A / / I", true, false),
            ("T / / E", true, false),
            ("E / / A", true, false),
            ("a / / ", true, false),
            ("n / / ", false, false),
            ("n I / / ", true, true),
            ("E / / n", false, false),
            ("E / n / ", true, true),
            ("E / e / ", false, false),
            ("E / a / ", false, true),
            ("E / i / ", true, true),
            ("w / / ", true, true),
            ("E / / a", true, false),
            ("g / / ", false, false),
            ("g E / / ", true, true),
            ("E / g / ", false, false),
            ("E / / g", false, false),
            ("c / / ", false, false),
            ("E / c / ", false, false),
            ("u / / ", false, false),
            ("E / u / ", false, false),
        ] {
            let text = text.replace(' ', "");
            let fits = |decision| !fits_no_machine(decision, &rules(&text), &groups);
            assert_eq!(fits(PolicyDecision::NonIdentity), service_auth, "Service Auth, {text}");
            assert_eq!(fits(PolicyDecision::Bypass), bypass, "Bypass, {text}");
            assert!(fits(PolicyDecision::Allow) && fits(PolicyDecision::Deny), "{text}");
        }
    }

    #[test]
    fn what_lies_too_deep_fits_nobody_and_of_too_many_rules_nothing_is_said() {
        /// Groups of which each names the next so often; the last one has these rules.
        fn chain(links: u8, times: usize, last: &str) -> Vec<(GroupId, Rules)> {
            let next =
                |link: u8| Rules { include: vec![Rule::Group(id(link + 1)); times], ..Rules::default() };
            let inner = (1..links).map(|link| (id(link), next(link)));
            inner.chain([(id(links), rules(last))]).collect()
        }
        let unfit = |chain: &[(GroupId, Rules)]| {
            let groups = chain.iter().map(|(id, rules)| (*id, rules)).collect();
            let first = Rules { include: vec![Rule::Group(id(1))], ..Rules::default() };
            fits_no_machine(PolicyDecision::NonIdentity, &first, &groups)
        };
        assert!(!unfit(&chain(16, 1, "E//")));
        assert!(unfit(&chain(17, 1, "E//")));
        assert!(unfit(&chain(4, 8, "N//")));
        assert!(!unfit(&chain(7, 8, "N//")), "8 to the power of 6 rules");
    }
}
