//! Who calls, what they hold, and [`Grant`]: the proof that an operation was allowed.
//!
//! The store asks for a `Grant` wherever an account's data is touched, and only this file can make one, so that a handler
//! which forgets to ask for permission does not compile.

use std::net::IpAddr;
use std::sync::Arc;

use crate::api_token::{Effect, Policy};
use crate::id::{AccountId, ApiTokenId, RequestId, UserId, ZoneId};
use crate::permission::{Permission, PermissionGroup};
use crate::resource::{Resource, Which};

/// Somebody whose credential was verified, for the length of one request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub actor: Actor,
    /// What the credential may do.
    pub powers: Powers,
    /// The request.
    pub origin: Origin,
}

/// Who did something. It is what an audit row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A user, with e-mail address and global key.
    User {
        /// The user.
        id: UserId,
    },
    /// A user's API token.
    UserToken {
        /// The token.
        id: ApiTokenId,
        /// The user who owns it. The token may be gone when somebody asks who acted.
        user: UserId,
    },
    /// An account's API token.
    AccountToken {
        /// The token.
        id: ApiTokenId,
    },
    /// Hallpass itself, for a named reason.
    System(SystemReason),
}

impl Actor {
    /// What kind of actor it is, as logs and audit rows write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::UserToken { .. } => "user_token",
            Self::AccountToken { .. } => "account_token",
            Self::System(_) => "system",
        }
    }

    /// Which one it is.
    pub fn id(&self) -> String {
        match self {
            Self::User { id } => id.to_string(),
            Self::UserToken { id, .. } | Self::AccountToken { id } => id.to_string(),
            Self::System(SystemReason::Bootstrap) => "bootstrap".to_owned(),
            Self::System(SystemReason::Seed) => "seed".to_owned(),
            Self::System(SystemReason::Import) => "import".to_owned(),
            Self::System(SystemReason::CommandLine) => "command_line".to_owned(),
            Self::System(SystemReason::KeyRotation) => "key_rotation".to_owned(),
            Self::System(SystemReason::Inactivity) => "inactivity".to_owned(),
        }
    }

    /// The user who acted, by key or by token.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::User { id } => Some(*id),
            Self::UserToken { user, .. } => Some(*user),
            Self::AccountToken { .. } | Self::System(_) => None,
        }
    }
}

/// Why Hallpass itself writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemReason {
    /// The first account of an empty store.
    Bootstrap,
    /// The known state of the emulator.
    Seed,
    /// Service tokens that were issued elsewhere, brought by an operator who can reach the store.
    Import,
    /// An account, a zone or a user, added by an operator who can reach the store.
    CommandLine,
    /// Signing keys are made, exchanged when their time has come, and forgotten.
    KeyRotation,
    /// Service tokens that nobody uses are disabled or deleted, as the organization says.
    Inactivity,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The client's address; `None` if a proxy that may speak for it did not make itself clear.
    pub client: Option<IpAddr>,
    /// The request's identifier.
    pub request_id: RequestId,
}

/// What a credential may do.
#[derive(Debug, Clone)]
pub enum Powers {
    /// Everything that its user may: the global key.
    Everything {
        /// The user.
        user: UserId,
        /// The accounts of which the user is a member.
        accounts: Arc<[AccountId]>,
    },
    /// What its policies say, within what its owner may.
    Policies {
        /// The policies.
        policies: Arc<[Policy]>,
        /// The user who owns it, if a user does.
        user: Option<UserId>,
        /// The accounts beyond which the owner has no say.
        accounts: Arc<[AccountId]>,
    },
}

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of an account's objects.
    Account(AccountId),
    /// The objects of one zone, in the account that owns it.
    Zone {
        /// The zone.
        zone: ZoneId,
        /// Its owner.
        account: AccountId,
    },
    /// What belongs to a user.
    User(UserId),
}

impl Scope {
    /// The account, unless it is a user's.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Account(account) | Self::Zone { account, .. } => Some(*account),
            Self::User(_) => None,
        }
    }

    /// The zone, if it is one's.
    pub fn zone(&self) -> Option<ZoneId> {
        match self {
            Self::Zone { zone, .. } => Some(*zone),
            Self::Account(_) | Self::User(_) => None,
        }
    }

    /// What must be covered. Most permissions are on an account or on a user: with those, a zone's objects are reached by what
    /// covers the whole account.
    fn resource(&self, permission: Permission) -> Resource {
        match self {
            Self::Zone { zone, account } if permission.is_of_zone() => {
                Resource::ZoneOf(Which::One(*account), Which::One(*zone))
            }
            Self::Account(account) | Self::Zone { account, .. } => Resource::Account(Which::One(*account)),
            Self::User(user) => Resource::User(Which::One(*user)),
        }
    }
}

/// The caller may not do this. It says no more, so that nothing can be learned from it (compatibility, D18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Authentication error")]
pub struct Refused;

/// Proof that an operation was allowed: by whom, on what.
///
/// It cannot be made by hand:
///
/// ```compile_fail
/// use hallpass_core::caller::{Grant, Scope};
/// fn forged(actor: hallpass_core::caller::Actor, origin: hallpass_core::caller::Origin, scope: Scope) -> Grant {
///     Grant { actor, origin, scope }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Grant {
    actor: Actor,
    origin: Origin,
    scope: Scope,
}

impl Grant {
    /// For what Hallpass does by itself. Every use is named, audited, and can be found by searching for this function.
    pub fn system(reason: SystemReason, scope: Scope, request_id: RequestId) -> Self {
        Self { actor: Actor::System(reason), origin: Origin { client: None, request_id }, scope }
    }

    /// Who was allowed.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Where the request came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What it is about.
    pub fn scope(&self) -> Scope {
        self.scope
    }
}

impl Caller {
    /// Asks for permission to do something.
    pub fn grant(&self, permission: Permission, scope: Scope) -> Result<Grant, Refused> {
        if self.holds(permission, &scope) {
            Ok(Grant { actor: self.actor.clone(), origin: self.origin, scope })
        } else {
            Err(Refused)
        }
    }

    /// Asks for permission to do something for which each of several permissions is enough.
    pub fn grant_any(&self, permissions: &[Permission], scope: Scope) -> Result<Grant, Refused> {
        let granted = permissions.iter().map(|permission| self.grant(*permission, scope));
        granted.into_iter().find(Result::is_ok).unwrap_or(Err(Refused))
    }

    /// The user whose objects `/user` shows: keys and user-owned tokens have one.
    pub fn user(&self) -> Option<UserId> {
        match &self.powers {
            Powers::Everything { user, .. } => Some(*user),
            Powers::Policies { user, .. } => *user,
        }
    }

    /// Whether anything that the caller holds lies in this account.
    pub fn reaches_account(&self, account: AccountId) -> bool {
        self.reaches(account, |resource| match resource {
            Resource::Account(which) | Resource::ZoneOf(which, _) => which.includes(&account),
            Resource::Zone(_) | Resource::User(_) | Resource::Foreign => false,
        })
    }

    /// Whether anything that the caller holds concerns this zone of that account.
    pub fn reaches_zone(&self, zone: ZoneId, account: AccountId) -> bool {
        self.reaches(account, |resource| match resource {
            Resource::Account(which) => which.includes(&account),
            Resource::Zone(which) => which.includes(&zone),
            Resource::ZoneOf(owner, which) => owner.includes(&account) && which.includes(&zone),
            Resource::User(_) | Resource::Foreign => false,
        })
    }

    fn reaches(&self, account: AccountId, concerns: impl Fn(&Resource) -> bool) -> bool {
        match &self.powers {
            Powers::Everything { accounts, .. } => accounts.contains(&account),
            Powers::Policies { policies, accounts, .. } => {
                accounts.contains(&account)
                    && policies
                        .iter()
                        .any(|policy| policy.effect == Effect::Allow && policy.reach.iter().any(&concerns))
            }
        }
    }

    fn holds(&self, permission: Permission, scope: &Scope) -> bool {
        match &self.powers {
            Powers::Everything { user, accounts } => owner_may(Some(*user), accounts, scope),
            Powers::Policies { policies, user, accounts } => {
                owner_may(*user, accounts, scope)
                    && policies_allow(policies, permission, &scope.resource(permission))
            }
        }
    }

    /// Whether the caller holds everything that these policies would give to another credential. What somebody was denied
    /// anywhere near, they cannot hand on; groups that open nothing in Hallpass are anybody's to give.
    pub fn may_hand_on(&self, handed: &[Policy]) -> Result<(), Refused> {
        let allowed = handed.iter().filter(|policy| policy.effect == Effect::Allow);
        for policy in allowed {
            let permissions = policy.groups.iter().filter_map(|group| PermissionGroup::find(group.id)?.opens);
            for permission in permissions {
                for resource in &policy.reach {
                    if !self.holds_over(permission, resource) {
                        return Err(Refused);
                    }
                }
            }
        }
        Ok(())
    }

    fn holds_over(&self, permission: Permission, resource: &Resource) -> bool {
        match &self.powers {
            Powers::Everything { user, accounts } => owner_reaches(Some(*user), accounts, resource),
            Powers::Policies { policies, user, accounts } => {
                owner_reaches(*user, accounts, resource) && policies_allow(policies, permission, resource)
            }
        }
    }
}

/// Whether a resource that is named by itself lies within what an owner has a say in. Wildcards and zones do: what they open
/// ends at the owner's accounts whenever it is used.
fn owner_reaches(user: Option<UserId>, accounts: &[AccountId], resource: &Resource) -> bool {
    match resource {
        Resource::Account(Which::One(account)) | Resource::ZoneOf(Which::One(account), _) => {
            accounts.contains(account)
        }
        Resource::User(which) => user.is_some_and(|user| *which == Which::One(user)),
        Resource::Account(Which::Any)
        | Resource::ZoneOf(Which::Any, _)
        | Resource::Zone(_)
        | Resource::Foreign => true,
    }
}

/// Whether the owner of a credential has a say there at all.
fn owner_may(user: Option<UserId>, accounts: &[AccountId], scope: &Scope) -> bool {
    match scope {
        Scope::Account(account) | Scope::Zone { account, .. } => accounts.contains(account),
        Scope::User(id) => user == Some(*id),
    }
}

/// One allow policy must cover the resource with a group that is enough; no deny policy may touch it with a group that is
/// needed (deny wins).
fn policies_allow(policies: &[Policy], permission: Permission, resource: &Resource) -> bool {
    let denied = |group: Permission| {
        policies.iter().any(|policy| {
            policy.effect == Effect::Deny
                && policy.opens(group)
                && policy.reach.iter().any(|denied| denied.meets(resource))
        })
    };
    let allowed = |group: Permission| {
        policies.iter().any(|policy| {
            policy.effect == Effect::Allow
                && policy.opens(group)
                && policy.reach.iter().any(|allowed| allowed.covers(resource))
        })
    };
    !permission.includes().any(denied)
        && permission.included_in().any(|group| allowed(group) && !denied(group))
}

#[cfg(test)]
#[path = "caller_tests.rs"]
mod tests;
