//! A small world: three tokens, two accounts, two addresses, and a shorthand for policies and groups.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use hallpass_core::app::{App, Audience};
use hallpass_core::client_id::ClientId;
use hallpass_core::credential::Presented;
use hallpass_core::decision::{Decision, Facts, KnownServiceToken, Reason, decide};
use hallpass_core::id::{AccountId, AppId, GroupId, PolicyId, ServiceTokenId};
use hallpass_core::network::WrittenNetwork;
use hallpass_core::policy::{AttachedPolicy, Policy, PolicyDecision};
use hallpass_core::request::CanonicalRequest;
use hallpass_core::rule::{Rule, Rules};
use hallpass_core::secret::{ClientSecret, DigestKey, SecretDigest, SecretKind};
use hallpass_core::service_token::Name;
use hallpass_core::time::Timestamp;
use serde_json::Map;

pub(crate) const INSIDE: &str = "203.0.113.7";
pub(crate) const OUTSIDE: &str = "198.51.100.9";

/// The tokens have one letter each, and so have their client IDs and secrets.
pub(crate) fn token_id(letter: u8) -> ServiceTokenId {
    ServiceTokenId::from_bytes([letter; 16])
}

pub(crate) fn client_id(letter: u8) -> ClientId {
    ClientId::random([letter; 16])
}

pub(crate) fn account(letter: u8) -> AccountId {
    AccountId::from_bytes([letter; 16])
}

pub(crate) fn group_id(name: &str) -> GroupId {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    GroupId::from_bytes(bytes)
}

pub(crate) fn key() -> DigestKey {
    DigestKey::new(&[7; 32])
}

pub(crate) fn digest(letter: u8, secret: &str) -> SecretDigest {
    let secret = ClientSecret::presented(secret);
    SecretDigest::new(&key(), SecretKind::ServiceToken, &token_id(letter).to_string(), &secret)
}

pub(crate) fn now() -> Timestamp {
    "2026-11-22T12:00:00.000001Z".parse().unwrap()
}

pub(crate) fn later(micros: i64) -> Timestamp {
    now().checked_add_micros(micros).unwrap()
}

/// A live token of the application's account; its secret is `secret-of-` and its letter.
pub(crate) fn token(letter: u8) -> KnownServiceToken {
    KnownServiceToken {
        id: token_id(letter),
        account_id: account(b'x'),
        name: format!("token {}", char::from(letter)).into_boxed_str(),
        enabled: true,
        expires_at: None,
        current: digest(letter, &secret_of(letter)),
        previous: None,
    }
}

pub(crate) fn secret_of(letter: u8) -> String {
    format!("secret-of-{}", char::from(letter))
}

/// What the decision looks up.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) tokens: Vec<(ClientId, KnownServiceToken)>,
    pub(crate) groups: HashMap<GroupId, Rules>,
}

impl Facts for World {
    fn service_token(&self, client_id: &ClientId) -> Option<KnownServiceToken> {
        self.tokens.iter().find(|(known, _)| known == client_id).map(|(_, token)| token.clone())
    }

    fn group(&self, id: GroupId) -> Option<&Rules> {
        self.groups.get(&id)
    }
}

impl World {
    /// With the tokens A and B of the application's account, and F of another.
    pub(crate) fn new() -> Self {
        let mut world = Self::default();
        for letter in [b'A', b'B'] {
            world.tokens.push((client_id(letter), token(letter)));
        }
        let foreign = KnownServiceToken { account_id: account(b'y'), ..token(b'F') };
        world.tokens.push((client_id(b'F'), foreign));
        world
    }

    pub(crate) fn change(&mut self, letter: u8, change: impl FnOnce(&mut KnownServiceToken)) {
        let wanted = client_id(letter);
        change(&mut self.tokens.iter_mut().find(|(known, _)| *known == wanted).unwrap().1);
    }

    pub(crate) fn token(&self, letter: u8) -> KnownServiceToken {
        self.service_token(&client_id(letter)).unwrap()
    }

    pub(crate) fn decide(&self, app: &App, presented: &Presented, from: &str, at: Timestamp) -> Decision {
        decide(app, presented, &request(from), self, &key(), at)
    }
}

pub(crate) fn request(from: &str) -> CanonicalRequest {
    CanonicalRequest::new(b"app.example.com", b"/", from.parse::<IpAddr>().unwrap()).unwrap()
}

/// The header pair as a client sends it.
pub(crate) fn presents(letter: u8, secret: &str) -> Presented {
    let id = client_id(letter);
    let headers =
        [("cf-access-client-id", id.as_str().as_bytes()), ("cf-access-client-secret", secret.as_bytes())];
    let presented = Presented::read(headers.into_iter(), None);
    assert!(matches!(presented, Presented::Credential(_)));
    presented
}

/// Half of a pair.
pub(crate) fn malformed() -> Presented {
    let id = client_id(b'A');
    let presented = Presented::read([("cf-access-client-id", id.as_str().as_bytes())].into_iter(), None);
    assert!(matches!(presented, Presented::Malformed(_)));
    presented
}

/// An application with policies in shorthand; see the head of `tests/data/decisions.txt`.
pub(crate) fn app(policies: &str) -> App {
    let made_at = now();
    App {
        id: AppId::from_bytes([9; 16]),
        account_id: account(b'x'),
        zone_id: None,
        name: Name::parse("Grafana").unwrap(),
        aud: Audience::random([0xab; 32]),
        patterns: Vec::new(),
        session_seconds: 86_400,
        credential_header: None,
        service_auth_401: false,
        revoked_before: None,
        policies: policies_of(policies),
        body: Map::new(),
        created_at: made_at,
        updated_at: made_at,
    }
}

fn policies_of(text: &str) -> Vec<AttachedPolicy> {
    if text.trim() == "none" {
        return Vec::new();
    }
    let written: Vec<_> = text.split_inclusive(']').map(str::trim).filter(|one| !one.is_empty()).collect();
    let policies = written.iter().zip(1..).map(|(one, place)| {
        let (head, rules) = one.split_once('[').unwrap();
        let (precedence, decision) = head
            .split_once(':')
            .map_or((place, head), |(number, decision)| (number.parse().unwrap(), decision));
        let decision = match decision {
            "sa" => PolicyDecision::NonIdentity,
            "by" => PolicyDecision::Bypass,
            "al" => PolicyDecision::Allow,
            "de" => PolicyDecision::Deny,
            other => panic!("{other} is no decision"),
        };
        attached(precedence, decision, rules_of(rules.strip_suffix(']').unwrap()))
    });
    policies.collect()
}

pub(crate) fn policy_id(precedence: u32) -> PolicyId {
    PolicyId::from_bytes(u128::from(precedence).to_be_bytes())
}

pub(crate) fn attached(precedence: u32, decision: PolicyDecision, rules: Rules) -> AttachedPolicy {
    let policy = Policy {
        id: policy_id(precedence),
        account_id: account(b'x'),
        zone_id: None,
        app_id: None,
        name: Name::parse(&format!("policy {precedence}")).unwrap(),
        decision,
        rules,
        body: Map::new(),
        created_at: now(),
        updated_at: now(),
    };
    AttachedPolicy { precedence, policy: Arc::new(policy) }
}

/// `include / exclude / require`.
pub(crate) fn rules_of(text: &str) -> Rules {
    let parts: Vec<Vec<Rule>> =
        text.split('/').map(|part| part.split_whitespace().map(rule_of).collect()).collect();
    let [include, exclude, require] = parts.try_into().unwrap();
    Rules { include, exclude, require }
}

fn rule_of(text: &str) -> Rule {
    let network = |text| Rule::Ip(WrittenNetwork::parse(text).unwrap());
    match text {
        "A" | "B" | "F" => Rule::ServiceToken(token_id(text.as_bytes()[0])),
        "any" => Rule::AnyValidServiceToken,
        // A slash would end the part, so that networks have names here.
        "ip" => network("203.0.113.0/24"),
        "ip6" => network("2001:db8::/32"),
        "all" => Rule::Everyone,
        "no" => Rule::NoMachine,
        other => Rule::Group(group_id(other.strip_prefix("g:").unwrap())),
    }
}

/// The verdict as the table writes it.
pub(crate) fn shown(decision: &Decision) -> String {
    match decision {
        Decision::Allow(permit) => {
            let number = (0..100).find(|number| policy_id(*number) == permit.policy_id()).unwrap();
            format!("+{number}")
        }
        Decision::Bypass => "~".to_owned(),
        Decision::Deny(denied) => letter_of(denied.reason).to_owned(),
    }
}

pub(crate) fn letter_of(reason: Reason) -> &'static str {
    match reason {
        Reason::NoCredential => "0",
        Reason::Malformed => "M",
        Reason::Unknown => "U",
        Reason::WrongSecret => "W",
        Reason::Disabled => "D",
        Reason::Expired => "E",
        Reason::NotAllowed => "N",
        other => panic!("no decision says {other}"),
    }
}
