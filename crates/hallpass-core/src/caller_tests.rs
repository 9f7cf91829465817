//! Who may do what: a table of facts about grants, and about handing on what one holds.

use super::*;
use crate::wire::api_tokens::read_policies;
use serde_json::{Value, json};

const SERVICE_READ: &str = "91f7ce32fa614d73b7e1fc8f0e78582b";
const SERVICE_WRITE: &str = "a1c0fec57cf94af79479a6d827fa518c";
const TOKENS_WRITE: &str = "5bc3f8b21c554832afc660159ab75fa4";
const USER_TOKENS_WRITE: &str = "686d18d5ac6c441c867cbf6771e58a0a";
const DNS_WRITE: &str = "4755a26eedb94da69e1066d98aa820be";
const APPS_WRITE: &str = "1e13c5124ca64b72b1969a67e8829049";

fn account(n: u8) -> AccountId {
    AccountId::from_bytes([n; 16])
}

fn user() -> UserId {
    UserId::from_bytes([9; 16])
}

fn on(n: u8) -> Value {
    json!({crate::resource::account_key(account(n)): "*"})
}

fn everywhere() -> Value {
    json!({"com.cloudflare.api.account.*": "*"})
}

fn policy(effect: &str, groups: &[&str], resources: &Value) -> Value {
    let groups: Vec<_> = groups.iter().map(|id| json!({"id": id})).collect();
    json!({"effect": effect, "permission_groups": groups, "resources": resources})
}

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn allow(groups: &[&str], resources: Value) -> Value {
    policy("allow", groups, &resources)
}

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn deny(groups: &[&str], resources: Value) -> Value {
    policy("deny", groups, &resources)
}

fn policies(list: &[Value]) -> Vec<Policy> {
    let mut next = 0;
    let mut id = || {
        next += 1;
        crate::id::TokenPolicyId::from_bytes([next; 16])
    };
    read_policies(list, "/policies", &mut id).unwrap()
}

fn origin() -> Origin {
    Origin { client: None, request_id: RequestId::from_bytes([5; 16]) }
}

/// An API token of account 1.
fn account_token(list: &[Value]) -> Caller {
    let powers =
        Powers::Policies { policies: policies(list).into(), user: None, accounts: [account(1)].into() };
    let actor = Actor::AccountToken { id: ApiTokenId::from_bytes([7; 16]) };
    Caller { actor, powers, origin: origin() }
}

/// An API token of a user who is a member of accounts 1 and 2.
fn user_token(list: &[Value]) -> Caller {
    let powers = Powers::Policies {
        policies: policies(list).into(),
        user: Some(user()),
        accounts: [account(1), account(2)].into(),
    };
    let actor = Actor::UserToken { id: ApiTokenId::from_bytes([7; 16]), user: user() };
    Caller { actor, powers, origin: origin() }
}

/// The key of that user.
fn key() -> Caller {
    let powers = Powers::Everything { user: user(), accounts: [account(1), account(2)].into() };
    Caller { actor: Actor::User { id: user() }, powers, origin: origin() }
}

fn may(caller: &Caller, permission: Permission, n: u8) -> bool {
    caller.grant(permission, Scope::Account(account(n))).is_ok()
}

const READ: Permission = Permission::SERVICE_TOKENS_READ;
const WRITE: Permission = Permission::SERVICE_TOKENS_WRITE;

#[test]
fn a_grant_says_who_and_on_what() {
    let grant = key().grant(WRITE, Scope::Account(account(1))).unwrap();
    assert_eq!((grant.actor(), grant.scope()), (&Actor::User { id: user() }, Scope::Account(account(1))));
    assert_eq!(grant.origin(), origin());
}

#[test]
fn writing_includes_reading_and_reading_does_not_include_writing() {
    let writer = account_token(&[allow(&[SERVICE_WRITE], on(1))]);
    assert!(may(&writer, WRITE, 1) && may(&writer, READ, 1));
    let reader = account_token(&[allow(&[SERVICE_READ], on(1))]);
    assert!(!may(&reader, WRITE, 1) && may(&reader, READ, 1));
}

#[test]
fn a_group_opens_nothing_but_its_own_area() {
    let caller = account_token(&[allow(&[TOKENS_WRITE, DNS_WRITE, APPS_WRITE], on(1))]);
    assert!(!may(&caller, READ, 1) && !may(&caller, WRITE, 1));
    assert!(may(&caller, Permission::ACCOUNT_API_TOKENS_WRITE, 1));
}

#[test]
fn no_policy_reaches_beyond_the_owner() {
    let wide = account_token(&[allow(&[SERVICE_WRITE], everywhere())]);
    assert!(may(&wide, WRITE, 1) && !may(&wide, WRITE, 2));
    let wide = user_token(&[allow(&[SERVICE_WRITE], everywhere())]);
    assert!(may(&wide, WRITE, 1) && may(&wide, WRITE, 2) && !may(&wide, WRITE, 3));
    assert!(may(&key(), WRITE, 2) && !may(&key(), WRITE, 3));
}

#[test]
fn deny_wins_wherever_it_stands() {
    let order = [
        [allow(&[SERVICE_WRITE], everywhere()), deny(&[SERVICE_WRITE], on(2))],
        [deny(&[SERVICE_WRITE], on(2)), allow(&[SERVICE_WRITE], everywhere())],
    ];
    for list in order {
        let caller = user_token(&list);
        assert!(may(&caller, WRITE, 1) && !may(&caller, WRITE, 2) && !may(&caller, READ, 2));
    }
}

#[test]
fn denied_writing_leaves_reading_that_was_allowed_by_itself() {
    let caller =
        account_token(&[allow(&[SERVICE_WRITE, SERVICE_READ], on(1)), deny(&[SERVICE_WRITE], on(1))]);
    assert!(!may(&caller, WRITE, 1) && may(&caller, READ, 1));
}

#[test]
fn denied_reading_takes_writing_with_it() {
    let caller = account_token(&[allow(&[SERVICE_WRITE], on(1)), deny(&[SERVICE_READ], everywhere())]);
    assert!(!may(&caller, WRITE, 1) && !may(&caller, READ, 1));
}

#[test]
fn a_zone_is_reached_by_what_covers_its_account_and_by_nothing_less() {
    let zone = ZoneId::from_bytes([4; 16]);
    let scope = Scope::Zone { zone, account: account(1) };
    assert!(account_token(&[allow(&[SERVICE_WRITE], on(1))]).grant(WRITE, scope).is_ok());
    let by_zone = json!({format!("com.cloudflare.api.account.zone.{zone}"): "*"});
    assert!(account_token(&[allow(&[SERVICE_WRITE], by_zone)]).grant(WRITE, scope).is_err());
}

#[test]
fn a_deny_on_some_zones_denies_what_is_granted_for_the_whole_account() {
    let zones = json!({crate::resource::account_key(account(1)): {"com.cloudflare.api.account.zone.*": "*"}});
    let caller = account_token(&[allow(&[SERVICE_WRITE], on(1)), deny(&[SERVICE_WRITE], zones)]);
    assert!(!may(&caller, WRITE, 1));
}

#[test]
fn users_hold_their_own_tokens_and_nobody_elses() {
    let other = UserId::from_bytes([8; 16]);
    let mine = json!({crate::resource::user_key(user()): "*"});
    let permission = Permission::USER_API_TOKENS_WRITE;
    for caller in [key(), user_token(&[allow(&[USER_TOKENS_WRITE], mine.clone())])] {
        assert!(caller.grant(permission, Scope::User(user())).is_ok());
        assert!(caller.grant(permission, Scope::User(other)).is_err());
    }
    assert!(
        account_token(&[allow(&[USER_TOKENS_WRITE], mine)]).grant(permission, Scope::User(user())).is_err()
    );
}

#[test]
fn nobody_hands_on_more_than_they_hold() {
    let holder = account_token(&[allow(&[SERVICE_WRITE, TOKENS_WRITE], on(1))]);
    for (handed, allowed) in [
        (allow(&[SERVICE_WRITE], on(1)), true),
        (allow(&[SERVICE_READ], on(1)), true),
        (allow(&[DNS_WRITE], everywhere()), true),
        (deny(&[APPS_WRITE], everywhere()), true),
        (allow(&[SERVICE_READ], on(2)), false),
        (allow(&[SERVICE_READ], everywhere()), false),
        (allow(&[APPS_WRITE], on(1)), false),
        (allow(&[DNS_WRITE, APPS_WRITE], on(1)), false),
    ] {
        assert_eq!(holder.may_hand_on(&policies(std::slice::from_ref(&handed))).is_ok(), allowed, "{handed}");
    }
}

#[test]
fn what_is_denied_nearby_cannot_be_handed_on() {
    let holder = user_token(&[allow(&[SERVICE_WRITE], everywhere()), deny(&[SERVICE_WRITE], on(2))]);
    assert!(holder.may_hand_on(&policies(&[allow(&[SERVICE_WRITE], on(1))])).is_ok());
    assert!(holder.may_hand_on(&policies(&[allow(&[SERVICE_WRITE], on(2))])).is_err());
    assert!(holder.may_hand_on(&policies(&[allow(&[SERVICE_WRITE], everywhere())])).is_err());
}

#[test]
fn a_key_hands_on_all_of_its_user_and_nothing_of_another() {
    let other = json!({crate::resource::user_key(UserId::from_bytes([8; 16])): "*"});
    assert!(key().may_hand_on(&policies(&[allow(&[SERVICE_WRITE, APPS_WRITE], everywhere())])).is_ok());
    assert!(key().may_hand_on(&policies(&[allow(&[USER_TOKENS_WRITE], other)])).is_err());
}

#[test]
fn what_a_caller_reaches_follows_from_what_allows() {
    let zone = ZoneId::from_bytes([4; 16]);
    let by_zone = json!({format!("com.cloudflare.api.account.zone.{zone}"): "*"});
    let caller = user_token(&[allow(&[DNS_WRITE], by_zone), deny(&[SERVICE_READ], on(2))]);
    assert!(!caller.reaches_account(account(1)) && !caller.reaches_account(account(2)));
    assert!(caller.reaches_zone(zone, account(1)) && !caller.reaches_zone(zone, account(3)));
    let caller = account_token(&[allow(&[SERVICE_READ], on(1))]);
    assert!(caller.reaches_account(account(1)) && caller.reaches_zone(zone, account(1)));
    assert!(!caller.reaches_account(account(2)));
}
