//! The operation that explains, which is Hallpass' own, and its schemas.

use hallpass_core::permission::Permission;
use hallpass_core::wire::codes::Code;
use serde_json::{Map, Value, json};

use super::parameters::text;
use super::schemas::{closed, refer, time};
use super::{Access, Operation, Reply};
use crate::api::published;

const APP_ID: &str = "f1a0bd7c-6f3b-4e0b-9b38-5f1a1f5c3b11";
const POLICY_ID: &str = "4c0f2d6a-8a55-4f0c-8f5e-0d8f3c1b2a22";
const AUD: &str = "737646a56ab1df6ec9bddc7e5ca84eaf3b0768850f3ffb5d74f1534911fe3893";

pub(in crate::api) fn explain() -> Operation {
    Operation {
        description: "Either why a request was refused, by the reference of its refusal, or what would happen to a request, by its \
                      host. Nobody needs to tell a secret for it. A reference is opened only for the account whose application or \
                      service token it concerns; one that concerns neither, because no application was found yet, for every account.",
        access: Access::Holder(Permission::APPS_READ),
        query: vec![
            text("reference", "The header Hallpass-Ref of a refusal."),
            text("host", "The host that would be asked; needed where there is no reference."),
            text("path", "The path; / unless it is said."),
            text(
                "client_id",
                "The client ID that would be presented, with the right secret; none unless it is said.",
            ),
            text("ip", "The client's address; 0.0.0.0 unless it is said."),
        ],
        codes: &[Code::NotFound],
        ..Operation::new(
            "access-explanations-get",
            "Access explanations",
            "Explain a decision",
            Reply::One("Explanation"),
        )
    }
}

/// The schemas of this file, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let text = || json!({"type": "string"});
    let app = json!({"aud": AUD, "id": APP_ID, "name": "Reports"});
    let token = json!({"id": published::SERVICE_TOKEN_ID, "name": "CI/CD token"});
    let refusal = json!({
        "app": app, "because": "The secret is right, but the service token is disabled. Enable it.", "reason": "disabled",
        "refused_at": "2026-06-01T12:00:00Z", "token": token,
    });
    let rule = json!({
        "because": "The request presents another token.", "kind": "service_token", "names": published::SERVICE_TOKEN_ID,
        "outcome": "false", "part": "include",
    });
    let policy = json!({
        "because": "None of the rules of its include is true, and one has to be.", "decision": "non_identity", "id": POLICY_ID,
        "name": "CI", "outcome": "does_not_fit", "precedence": 1, "rules": [rule],
    });
    let request = json!({
        "app": app, "because": "The request presented no service token.", "client": "192.0.2.1", "host": "reports.example.com",
        "path": "/", "policies": [policy], "reason": "no_credential", "status": 403, "verdict": "deny",
    });
    let named = [
        (
            "Explanation",
            json!({"anyOf": [refer("RefusalExplanation"), refer("RequestExplanation")], "examples": [refusal]}),
        ),
        (
            "RefusalExplanation",
            closed(
                json!({
                    "app": refer("ExplainedApp"), "because": text(), "reason": text(), "refused_at": time(),
                    "token": refer("ExplainedToken"),
                }),
                &["app", "token"],
                refusal,
            ),
        ),
        (
            "RequestExplanation",
            closed(
                json!({
                    "app": refer("ExplainedApp"), "because": text(), "client": text(), "host": text(), "path": text(),
                    "policies": {"type": "array", "items": refer("ExplainedPolicy")}, "reason": text(),
                    "status": {"type": "integer"}, "token": refer("ExplainedToken"),
                    "verdict": {"enum": ["allow", "bypass", "deny"]},
                }),
                &["app", "reason", "token"],
                request,
            ),
        ),
        ("ExplainedApp", closed(json!({"aud": text(), "id": refer("AppId"), "name": text()}), &[], app)),
        ("ExplainedToken", closed(json!({"id": refer("ServiceTokenId"), "name": text()}), &[], token)),
        (
            "ExplainedPolicy",
            closed(
                json!({
                    "because": text(), "decision": {"enum": ["allow", "deny", "non_identity", "bypass"]}, "id": refer("PolicyId"),
                    "name": text(), "outcome": {"enum": ["decides", "does_not_fit", "not_reached", "not_for_machines"]},
                    "precedence": {"type": "integer"}, "rules": {"type": "array", "items": refer("ExplainedRule")},
                }),
                &[],
                policy,
            ),
        ),
        (
            "ExplainedRule",
            closed(
                json!({
                    "because": text(), "inside": {"type": "array", "items": refer("ExplainedRule")}, "kind": text(), "names": text(),
                    "outcome": {"enum": ["true", "false", "unknown"]}, "part": {"enum": ["include", "exclude", "require"]},
                }),
                &["inside", "names"],
                rule,
            ),
        ),
    ];
    named.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
