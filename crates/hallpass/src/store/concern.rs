//! Whom a change concerns, by the kind of what was changed. It is said here alone.

use super::{accounts, api_tokens, apps, groups, organizations, policies, service_tokens, signing_keys};

/// Whom a change concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concern {
    /// Those who look up who may call.
    Callers,
    /// Those who look up service tokens: the gate.
    Tokens,
    /// Those who hold what guards the doors, as a whole: the gate.
    Guards,
    /// Nobody knows: another node may be of a later version.
    Everybody,
}

impl Concern {
    /// Whom a change of an object of this kind concerns.
    pub(super) fn of(kind: &str) -> Self {
        match kind {
            service_tokens::KIND => Self::Tokens,
            apps::KIND | policies::KIND | groups::KIND | organizations::KIND | signing_keys::KIND => {
                Self::Guards
            }
            api_tokens::KIND
            | accounts::KIND
            | accounts::ZONE_KIND
            | accounts::USER_KIND
            | accounts::MEMBERSHIP_KIND => Self::Callers,
            _ => Self::Everybody,
        }
    }

    /// Whether the directory of callers has to look at it.
    pub(super) fn is_of_callers(self) -> bool {
        matches!(self, Self::Callers | Self::Everybody)
    }

    /// Whether a verdict of the gate may turn on it.
    pub(super) fn is_of_the_gate(self) -> bool {
        self != Self::Callers
    }

    /// Whether the gate has to read applications, groups, organizations and keys again.
    pub(super) fn is_of_guards(self) -> bool {
        matches!(self, Self::Guards | Self::Everybody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_knows_concerns_everybody() {
        let told = |kind| {
            let concern = Concern::of(kind);
            (concern.is_of_callers(), concern.is_of_the_gate(), concern.is_of_guards())
        };
        assert_eq!(told("api_token"), (true, false, false));
        assert_eq!(told("account"), (true, false, false));
        assert_eq!(told("service_token"), (false, true, false));
        for kind in ["app", "policy", "group", "organization", "signing_key"] {
            assert_eq!(told(kind), (false, true, true), "{kind}");
        }
        assert_eq!(told("unheard_of"), (true, true, true));
    }
}
