//! What a service token is: the rules of Hallpass, without I/O, clock or entropy.
//!
//! | Module | What lives there |
//! |---|---|
//! | [`id`] | one type for each kind of identifier |
//! | [`time`] | [`Timestamp`](time::Timestamp): microseconds, RFC 3339 |
//! | [`validity`] | Go's duration grammar, `forever`, expiry arithmetic |
//! | [`secret`] | secrets, one way: mint, digest, compare |
//! | [`client_id`] | the public half of a credential |
//! | [`service_token`] | the token, and every change that can happen to it |
//! | [`request`] | the one spelling of a request's host, path and address |
//! | [`credential`] | what a request presents |
//! | [`app`] | applications: what is protected, by host and path |
//! | [`rule`] | what a policy or a group asks of a request |
//! | [`policy`] | policies of applications, and groups of rules |
//! | [`organization`] | what holds for all applications of an account |
//! | [`decision`] | whether a request may pass, and [`Permit`](decision::Permit), the proof |
//! | [`evaluation`] | rules in three values: true, false, unknown |
//! | [`reason`] | why a request was refused, and what to do |
//! | [`explanation`] | what would happen to a request, rule by rule |
//! | [`claims`] | what an assertion says |
//! | [`key_rotation`] | when signing keys are exchanged |
//! | [`network`] | networks as people write them |
//! | [`permission`] | permissions, and the permission groups with their fixed ids |
//! | [`resource`] | what an API token's policy is about |
//! | [`api_token`] | API tokens, their policies and conditions |
//! | [`caller`] | who calls, what they hold, and [`Grant`](caller::Grant), the proof |
//! | [`wire`] | the only types that are JSON; client and server share them |
//!
//! Time and entropy are arguments everywhere in this crate, so that every rule can be tested to the microsecond.

#![warn(missing_docs)]

pub mod api_token;
pub mod app;
pub mod caller;
pub mod claims;
pub mod client_id;
pub mod credential;
pub mod decision;
pub mod evaluation;
pub mod explanation;
pub mod id;
pub mod key_rotation;
pub mod network;
pub mod organization;
pub mod permission;
pub mod policy;
pub mod reason;
pub mod request;
pub mod resource;
pub mod rule;
pub mod secret;
pub mod service_token;
pub mod time;
pub mod validity;
pub mod wire;
