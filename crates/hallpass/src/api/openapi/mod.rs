//! The description of the API in OpenAPI 3.1, made of the route table: each route brings its operation.
//!
//! Nothing else is described, and no route can do without. The tests hold every reply that they receive to it.

mod accounts;
mod api_tokens;
mod app_schemas;
mod apps;
mod explanations;
mod kinds;
mod organizations;
mod parameters;
mod schemas;
mod service_tokens;
mod token_schemas;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hallpass_core::permission::PermissionGroup;
use hallpass_core::wire::codes::{self, Code};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{Route, routes};
pub(super) use accounts::{
    access_log, audit_log, get_account, get_user, get_zone, healthz, itself, list_accounts, list_memberships,
    list_zones, readyz,
};
pub(super) use api_tokens::ApiTokens;
pub(super) use apps::{
    Apps, create_policy, delete_policy, get_policy, list_policies, make_reusable, update_policy,
};
pub(super) use explanations::explain;
use kinds::{Access, Body, Reply};
pub(super) use organizations::{Organizations, get_keys, list_inactive, rotate_keys, update_keys};
pub(super) use service_tokens::ServiceTokens;

/// What a route does, for those who call it.
#[derive(Debug)]
pub struct Operation {
    /// As the original calls it, where it has the same.
    id: String,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    access: Access,
    query: Vec<Value>,
    body: Body,
    status: u16,
    reply: Reply,
    /// What can be done next with what a success shows: operations whose path has one name more, for its `id`.
    links: Vec<(&'static str, String)>,
    /// Refusals beyond those that follow from access, path, query and body.
    codes: &'static [Code],
}

impl Operation {
    /// A GET without a query, to begin with.
    fn new(id: impl Into<String>, tag: &'static str, summary: &'static str, reply: Reply) -> Self {
        Self {
            id: id.into(),
            tag,
            summary,
            description: "",
            access: Access::Credential,
            query: Vec::new(),
            body: Body::None,
            status: 200,
            reply,
            links: Vec::new(),
            codes: &[],
        }
    }

    fn describe(&self, path: &str) -> Value {
        let mut parameters = path_parameters(path);
        let has_ids = !parameters.is_empty();
        parameters.extend(self.query.iter().cloned());
        let mut responses = Map::new();
        let mut success = self.success();
        if !self.links.is_empty() {
            set(&mut success, "links", self.describe_links(path));
        }
        responses.insert(self.status.to_string(), success);
        if matches!(self.reply, Reply::Description) {
            responses.insert(
                "304".to_owned(),
                json!({"description": "It is still the same.", "headers": headers()}),
            );
        }
        for (status, codes) in self.refusals(has_ids) {
            responses.insert(status.to_string(), refusal(status, &codes));
        }
        let mut described = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "parameters": parameters,
            "responses": responses,
            "security": match self.access {
                Access::Anybody => json!([]),
                Access::Token => json!([{"api_token": []}]),
                Access::Credential | Access::Holder(_) | Access::HolderOfEither(..) => json!([{"api_token": []}, {"api_email": [], "api_key": []}]),
            },
        });
        let mut description = self.description.to_owned();
        let permissions = match self.access {
            Access::Holder(permission) => vec![permission],
            Access::HolderOfEither(one, other) => vec![one, other],
            Access::Anybody | Access::Credential | Access::Token => Vec::new(),
        };
        if !permissions.is_empty() {
            let groups: Vec<_> = permissions.into_iter().flat_map(PermissionGroup::enough_for).collect();
            let names: Vec<_> = groups.iter().map(|group| format!("*{}*", group.name)).collect();
            let _ = write!(description, " Needs {}.", names.join(" or "));
            let ids = groups.iter().map(|group| json!({"id": group.id, "name": group.name}));
            set(&mut described, "x-required-permissions", ids.collect());
        }
        set(&mut described, "description", json!(description.trim()));
        let (schema, required) = match self.body {
            Body::None => return described,
            Body::Required(schema) => (schema, true),
            Body::Optional(schema) => (schema, false),
        };
        let content = json!({"application/json": {"schema": reference(schema)}});
        set(&mut described, "requestBody", json!({"required": required, "content": content}));
        described
    }

    /// Each with the names of this path, and the one for what was made.
    fn describe_links(&self, path: &str) -> Value {
        let own = path_parameters(path);
        let names = own.iter().filter_map(|parameter| parameter["name"].as_str());
        let mut parameters: Map<_, _> =
            names.map(|name| (name.to_owned(), json!(format!("$request.path.{name}")))).collect();
        let id = match path.rsplit('/').next() {
            Some("service_tokens") => "service_token_id",
            Some("apps") => "app_id",
            Some("policies") => "policy_id",
            Some("groups") => "group_id",
            _ => "token_id",
        };
        parameters.insert(id.to_owned(), json!("$response.body#/result/id"));
        let link = |id: &String| json!({"operationId": id, "parameters": parameters});
        self.links.iter().map(|(name, id)| ((*name).to_owned(), link(id))).collect()
    }

    fn success(&self) -> Value {
        let (own, description) = match self.reply {
            Reply::Description => {
                let content = json!({"application/json": {"schema": {"type": "object", "required": ["openapi", "paths"]}}});
                return json!({"description": "This document, outside of the envelope.", "headers": headers(), "content": content});
            }
            Reply::One(schema) => {
                (json!({"result": reference(schema), "messages": {"maxItems": 0}}), "Done.")
            }
            Reply::Remarked(schema) => {
                (json!({"result": reference(schema), "messages": {"minItems": 1}}), "It can be used.")
            }
            Reply::Page(schema) => {
                let list = json!({"type": "array", "items": reference(schema)});
                (
                    json!({"result": list, "messages": {"maxItems": 0}, "result_info": reference("ResultInfo")}),
                    "A page.",
                )
            }
            Reply::Cursor(schema) => {
                let list = json!({"type": "array", "items": reference(schema)});
                (
                    json!({"result": list, "messages": {"maxItems": 0}, "result_info": reference("CursorInfo")}),
                    "A page.",
                )
            }
        };
        let required: Vec<_> = own.as_object().into_iter().flat_map(Map::keys).cloned().collect();
        let schema = json!({
            "allOf": [reference("Success"), {"type": "object", "required": required, "properties": own}],
            "unevaluatedProperties": false,
        });
        let content = json!({"application/json": {"schema": schema, "example": self.example()}});
        json!({"description": description, "headers": headers(), "content": content})
    }

    /// The envelope around the example of the schema.
    fn example(&self) -> Value {
        let mut envelope = json!({"success": true, "errors": [], "messages": []});
        let result = match self.reply {
            Reply::One(schema) => example_of(schema),
            Reply::Remarked(schema) => {
                let remark = json!({"code": codes::TOKEN_IS_ACTIVE, "message": "This API Token is valid and active", "type": null});
                set(&mut envelope, "messages", json!([remark]));
                example_of(schema)
            }
            Reply::Page(schema) => {
                set(&mut envelope, "result_info", example_of("ResultInfo"));
                json!([example_of(schema)])
            }
            Reply::Cursor(schema) => {
                set(&mut envelope, "result_info", example_of("CursorInfo"));
                json!([example_of(schema)])
            }
            Reply::Description => Value::Null,
        };
        set(&mut envelope, "result", result);
        envelope
    }

    /// The codes of every refusal, by status.
    fn refusals(&self, has_ids: bool) -> BTreeMap<u16, Vec<Code>> {
        let mut all = vec![Code::Internal];
        let verified =
            [Code::NoCredentials, Code::InvalidHeaders, Code::RateLimited, Code::InvalidAccessToken];
        match self.access {
            Access::Anybody => {}
            Access::Token => {
                all.extend(verified.into_iter().chain([Code::InvalidApiToken, Code::Unavailable]));
            }
            Access::Credential | Access::Holder(_) | Access::HolderOfEither(..) => {
                all.extend(verified.into_iter().chain([
                    Code::UnknownKey,
                    Code::NotAllowed,
                    Code::Unavailable,
                ]));
            }
        }
        if has_ids {
            all.push(Code::MalformedPathId);
        }
        if !self.query.is_empty() {
            all.push(Code::InvalidRequest);
        }
        if !matches!(self.body, Body::None) {
            all.extend([Code::InvalidRequest, Code::BodyTooLarge]);
        }
        all.extend(self.codes);
        let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
        for code in all {
            let listed = by_status.entry(code.status()).or_default();
            if !listed.contains(&code) {
                listed.push(code);
            }
        }
        by_status
    }
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// The first example of a schema.
fn example_of(schema: &str) -> Value {
    SCHEMAS.get(schema).and_then(|schema| schema.pointer("/examples/0")).cloned().unwrap_or_default()
}

static SCHEMAS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let mut all = schemas::all();
    all.extend(token_schemas::all());
    all.extend(app_schemas::all());
    all.extend(organizations::schemas());
    all.extend(explanations::schemas());
    all
});

/// The headers of every reply. How the limit stands is said once a credential was verified.
fn headers() -> Value {
    let names = ["X-Request-Id", "Cache-Control", "Ratelimit", "Ratelimit-Policy"];
    names
        .iter()
        .map(|name| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")})))
        .collect()
}

/// A refusal with one of these codes.
fn refusal(status: u16, codes: &[Code]) -> Value {
    let numbers: Vec<_> = codes.iter().map(|code| code.number()).collect();
    let lines: Vec<_> = codes.iter().map(|code| format!("- {}: {}", code.number(), meaning(*code))).collect();
    let narrowed = json!({"properties": {"errors": {"items": {"properties": {"code": {"enum": numbers}}}}}});
    let mut headers = headers();
    if status == Code::RateLimited.status() {
        set(&mut headers, "Retry-After", json!({"$ref": "#/components/headers/Retry-After"}));
    }
    let schema = json!({"allOf": [reference("Failure"), narrowed]});
    json!({"description": lines.join("\n"), "headers": headers, "content": {"application/json": {"schema": schema}}})
}

/// In half a sentence; `docs/errors.md` says it whole.
fn meaning(code: Code) -> &'static str {
    match code {
        Code::RateLimited => "too many requests; `Retry-After` says how long to wait",
        Code::InvalidApiToken => "this is no API token that can be used here",
        Code::InvalidHeaders => "a header with credentials is malformed",
        Code::NoRoute => "there is no such route",
        Code::MalformedPathId => "an identifier in the path is malformed",
        Code::UnknownKey => "e-mail and key do not belong together",
        Code::NoCredentials => "no credentials, or half of a pair",
        Code::InvalidAccessToken => "the API token cannot be used, or not from this address",
        Code::NotAllowed => "the credential is good, but may not do this",
        Code::Internal => "the fault is the server's",
        Code::Unavailable => "the store cannot answer now",
        Code::MethodNotAllowed => "the path exists, but not with this method",
        Code::InvalidRequest => "the request breaks a rule, which the message names and the pointer locates",
        Code::BodyTooLarge => "the body is larger than 1 MiB",
        Code::ServiceTokenNotFound => "there is no such service token here",
        Code::ApiTokenNotFound => "there is no such API token here",
        Code::AppNotFound => "there is no such application here",
        Code::NotFound => "there is no such object here",
        Code::PatternTaken => "another application has this host and path",
        Code::ServiceTokenInUse => "a policy or a group refers to the service token",
    }
}

/// One parameter for each name between braces.
fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| {
            let schema = match name {
                "account_id" => "AccountId",
                "zone_id" => "ZoneId",
                "service_token_id" => "ServiceTokenId",
                "app_id" => "AppId",
                "policy_id" => "PolicyId",
                "group_id" => "GroupId",
                _ => "ApiTokenId",
            };
            json!({"name": name, "in": "path", "required": true, "schema": reference(schema)})
        })
        .collect()
}

/// The description of these routes.
fn describe(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        set(path, &route.method.as_str().to_ascii_lowercase(), route.operation.describe(&route.path));
    }
    let mut document = schemas::frame();
    set(&mut document, "paths", Value::Object(paths));
    if let Some(components) = document.get_mut("components") {
        set(components, "schemas", Value::Object(SCHEMAS.clone()));
    }
    document
}

/// The document as text, and its tag.
struct Description {
    text: String,
    tag: String,
}

static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| {
    let text = describe(&routes()).to_string();
    let digits = Sha256::digest(text.as_bytes()).iter().take(16).fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    Description { text, tag: format!("\"{digits}\"") }
});

/// The description of the API: OpenAPI 3.1, as JSON.
pub fn description() -> &'static str {
    &DESCRIPTION.text
}

/// Serves it to anybody, or says that it is still the same.
pub(super) async fn serve(sent: HeaderMap) -> Response {
    let Description { text, tag } = &*DESCRIPTION;
    let seen = sent.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = seen.flat_map(|value| value.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    let known = tags.any(|seen| seen == tag || seen == "*");
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text.as_str())
            .into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_an_id_of_its_own_and_an_example() {
        let routes = routes();
        let ids: std::collections::BTreeSet<_> = routes.iter().map(|route| &route.operation.id).collect();
        assert_eq!(ids.len(), routes.len());
        for route in routes.iter().filter(|route| !matches!(route.operation.reply, Reply::Description)) {
            let example = route.operation.example();
            assert!(
                !example["result"].is_null()
                    && !example["result"][0].is_null() | !example["result"].is_array(),
                "{}",
                route.path
            );
        }
    }
}
