//! The decision: whether a request may pass. [`decide`] is the only maker of a [`Permit`], and everything that could be
//! doubted in it comes out as a refusal.
//!
//! Strict mode, always (compatibility, D22): Bypass and Service Auth policies are asked by precedence, and the first that fits
//! decides. Allow and deny policies are about people; whom no earlier policy let in, none of them does.

use std::hint::black_box;
use std::net::IpAddr;

pub use crate::explanation::{Explanation, explain};
pub use crate::reason::Reason;

use crate::app::App;
use crate::client_id::ClientId;
use crate::credential::Presented;
use crate::evaluation::{Evaluation, Outcome};
use crate::id::{AccountId, GroupId, PolicyId, ServiceTokenId};
use crate::policy::{AttachedPolicy, PolicyDecision};
use crate::request::CanonicalRequest;
use crate::rule::Rules;
use crate::secret::{DigestKey, SecretDigest, SecretKind, SecretSlot};
use crate::service_token::Standing;
use crate::time::Timestamp;

/// A service token as the gate knows it.
#[derive(Debug, Clone)]
pub struct KnownServiceToken {
    /// Its identifier.
    pub id: ServiceTokenId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// What people call it.
    pub name: Box<str>,
    /// Whether it may be used at all.
    pub enabled: bool,
    /// When it expires; `None` is never. At that microsecond it no longer counts.
    pub expires_at: Option<Timestamp>,
    /// The digest of its current secret.
    pub current: SecretDigest,
    /// The digest of its previous secret, which counts while now is before that time.
    pub previous: Option<(SecretDigest, Timestamp)>,
}

impl KnownServiceToken {
    /// Whether it can be used now. Disabled comes first: it says what its owner wanted.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match self.expires_at {
            _ if !self.enabled => Standing::Disabled,
            Some(expiry) if now >= expiry => Standing::Expired,
            _ => Standing::Live,
        }
    }
}

/// What a decision has to look up.
pub trait Facts {
    /// The service token with exactly this client ID, whichever account owns it.
    fn service_token(&self, client_id: &ClientId) -> Option<KnownServiceToken>;

    /// The rules of a group.
    fn group(&self, id: GroupId) -> Option<&Rules>;
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Decision {
    /// It passes, with an assertion for this token.
    Allow(Permit),
    /// It passes unchecked, with no assertion (compatibility, D24).
    Bypass,
    /// It is refused.
    Deny(Denied),
}

/// The proof that a service token may pass. Nothing but [`decide`] makes one.
///
/// ```compile_fail,E0451
/// use hallpass_core::decision::{KnownServiceToken, Permit};
/// fn by_hand(token: KnownServiceToken, client_id: hallpass_core::client_id::ClientId) -> Permit {
///     let policy_id = hallpass_core::id::PolicyId::from_bytes([0; 16]);
///     let secret = hallpass_core::secret::SecretSlot::Current;
///     Permit { token, secret, client_id, policy_id }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Permit {
    token: KnownServiceToken,
    secret: SecretSlot,
    client_id: ClientId,
    policy_id: PolicyId,
}

impl Permit {
    /// The token.
    pub fn token_id(&self) -> ServiceTokenId {
        self.token.id
    }

    /// The public half of its credential.
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Which of its secrets was presented.
    pub fn secret(&self) -> SecretSlot {
        self.secret
    }

    /// The digest of that secret, which says which it was also when the token has another one by then.
    pub fn digest(&self) -> SecretDigest {
        match (self.secret, self.token.previous) {
            (SecretSlot::Previous, Some((digest, _))) => digest,
            _ => self.token.current,
        }
    }

    /// What people call it.
    pub fn token_name(&self) -> &str {
        &self.token.name
    }

    /// The policy that let it in.
    pub fn policy_id(&self) -> PolicyId {
        self.policy_id
    }

    /// The account that owns token and application.
    pub fn account_id(&self) -> AccountId {
        self.token.account_id
    }
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// The token whose client ID was presented, if the application's account has it. It is for logs, not for the client.
    pub token: Option<ServiceTokenId>,
}

/// Decides on a request for an application. The key is that of the digests.
///
/// A credential is checked before any policy is asked, and whatever is wrong with it, the same work is done: an unknown client
/// ID costs a digest and two comparisons too, and a wrong secret never learns that the token is disabled.
pub fn decide(
    app: &App,
    presented: &Presented,
    request: &CanonicalRequest,
    facts: &impl Facts,
    key: &DigestKey,
    now: Timestamp,
) -> Decision {
    let verified = verify(app, presented, facts, key, now);
    let token = verified.as_ref().ok().map(|(token, _)| token.id);
    match first_that_fits(app, token, request.client(), facts) {
        Some(Fit { decision: Passing::Bypass, .. }) => Decision::Bypass,
        fit => match (verified, presented, fit) {
            (Ok((token, secret)), Presented::Credential(credential), Some(fit)) => Decision::Allow(Permit {
                token,
                secret,
                client_id: credential.client_id.clone(),
                policy_id: fit.policy_id,
            }),
            (Ok((token, _)), ..) => {
                Decision::Deny(Denied { reason: Reason::NotAllowed, token: Some(token.id) })
            }
            (Err(denied), ..) => Decision::Deny(denied),
        },
    }
}

/// The two ways to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// By a Bypass policy.
    Bypass,
    /// By a Service Auth policy.
    ServiceAuth,
}

/// The policy that decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fit {
    /// How it lets pass.
    pub(crate) decision: Passing,
    /// Which it is.
    pub(crate) policy_id: PolicyId,
}

/// The first policy by which a request passes whose credential was found to be that of `token`, or that has no valid one.
pub(crate) fn first_that_fits(
    app: &App,
    token: Option<ServiceTokenId>,
    client: IpAddr,
    facts: &impl Facts,
) -> Option<Fit> {
    // A bypass asks nobody who they are: rules about tokens are false in it.
    let anybody = Evaluation::new(facts, client, None);
    let holder = Evaluation::new(facts, client, token);
    let asked = |attached: &AttachedPolicy| {
        let policy = &attached.policy;
        let (decision, outcome) = match policy.decision {
            PolicyDecision::Bypass => (Passing::Bypass, anybody.policy(&policy.rules)),
            // Without a valid token nobody passes here, whatever its rules say.
            PolicyDecision::NonIdentity if token.is_some() => {
                (Passing::ServiceAuth, holder.policy(&policy.rules))
            }
            PolicyDecision::NonIdentity | PolicyDecision::Allow | PolicyDecision::Deny => return None,
        };
        (outcome == Outcome::True).then_some(Fit { decision, policy_id: policy.id })
    };
    // They are held in order nearly always, and then nothing has to be sorted in the way of a request.
    if app.policies.is_sorted_by_key(|attached| attached.precedence) {
        app.policies.iter().find_map(asked)
    } else {
        by_precedence(app).into_iter().find_map(asked)
    }
}

/// An application's policies, lowest number first, in whatever order they are held.
pub(crate) fn by_precedence(app: &App) -> Vec<&AttachedPolicy> {
    let mut policies: Vec<_> = app.policies.iter().collect();
    policies.sort_by_key(|attached| attached.precedence);
    policies
}

/// What stands in for a client ID that nobody has; no secret has this digest.
const NOBODY: SecretDigest = SecretDigest::from_stored([0; 32]);
const NOBODYS_ID: [u8; 16] = [0; 16];

/// The token whose secret was presented, if it can be used for this application.
fn verify(
    app: &App,
    presented: &Presented,
    facts: &impl Facts,
    key: &DigestKey,
    now: Timestamp,
) -> Result<(KnownServiceToken, SecretSlot), Denied> {
    let anonymous = |reason| Denied { reason, token: None };
    let credential = match presented {
        Presented::Nothing => return Err(anonymous(Reason::NoCredential)),
        Presented::Malformed(_) => return Err(anonymous(Reason::Malformed)),
        Presented::Credential(credential) => credential,
    };
    // Another account's token is unknown here: nobody learns by this application that it exists.
    let known = facts.service_token(&credential.client_id).filter(|token| token.account_id == app.account_id);
    let (id, current, previous) =
        known.as_ref().map_or((ServiceTokenId::from_bytes(NOBODYS_ID), NOBODY, None), |token| {
            (token.id, token.current, token.previous)
        });
    // A compiler that saw nobody's id and digest come this far, and what becomes of them, would leave out what is done with them.
    let (id, current, previous) = black_box((id, current, previous));
    let (previous, until) = previous.unwrap_or((NOBODY, now));
    let digest = SecretDigest::new(key, SecretKind::ServiceToken, &id.to_string(), &credential.secret);
    let digest = black_box(digest);
    let (is_current, is_previous) = black_box((digest == current, digest == previous));
    let right = is_current || (is_previous && now < until);
    let slot = if is_current { SecretSlot::Current } else { SecretSlot::Previous };
    let Some(token) = known else { return Err(anonymous(Reason::Unknown)) };
    let denied = |reason| Denied { reason, token: Some(token.id) };
    match token.standing(now) {
        _ if !right => Err(denied(Reason::WrongSecret)),
        Standing::Disabled => Err(denied(Reason::Disabled)),
        Standing::Expired => Err(denied(Reason::Expired)),
        Standing::Live => Ok((token, slot)),
    }
}
