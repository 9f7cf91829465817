//! The management API: the route table, the envelope around every reply, and what handlers share.

mod access_log;
mod accounts;
mod api_tokens;
mod apps;
mod audit;
mod auth;
mod error;
mod explanations;
pub(crate) mod extract;
mod groups;
pub(crate) mod health;
mod keys;
mod measures;
mod notes;
mod openapi;
mod organizations;
mod policies;
pub mod published;
pub mod rate_limit;
mod service_tokens;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use futures_util::FutureExt as _;
use hallpass_core::wire::envelope::{Envelope, ResultInfo};
use ipnet::IpNet;
use serde::Serialize;

use crate::live::Live;
use crate::reference::References;
use crate::store::{Page, Paging, Purpose, Store};
use crate::world::World;
pub use auth::Peer;
pub use error::ApiError;
use error::{Cause, MayBeRepeated, json};
use extract::Waiting;
pub use measures::Requests;
use notes::Notes;
use openapi::{ApiTokens, Apps, Organizations, ServiceTokens};
pub use openapi::{Operation, description};
use rate_limit::{RateLimits, Usage};

/// Where the original's routes begin.
pub const BASE: &str = "/client/v4";

/// What the handlers need.
#[derive(Debug, Clone)]
pub struct Api {
    /// The store.
    pub store: Store,
    /// Clock and entropy.
    pub world: World,
    /// What the store is for.
    pub purpose: Purpose,
    /// Rate limits.
    pub limits: Arc<RateLimits>,
    /// The most service tokens that an account may have; any number, if absent.
    pub service_token_quota: Live<Option<u32>>,
    /// Peers that may speak for a client.
    pub trusted_peers: Live<Arc<[IpNet]>>,
    /// Opens the references of refusals.
    pub references: Arc<References>,
    /// What is counted.
    pub requests: Requests,
}

/// One line of the route table.
#[derive(Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with names for the identifiers in it.
    pub path: String,
    /// What it does, as the description says it.
    operation: Operation,
    handler: MethodRouter<Api>,
}

/// The route table.
pub fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    let mut add = |method: Method, path: &str, operation: Operation, handler: MethodRouter<Api>| {
        routes.push(Route { method, path: path.to_owned(), operation, handler });
    };

    add(Method::GET, "/healthz", openapi::healthz(), get(health::healthz));
    add(Method::GET, "/readyz", openapi::readyz(), get(health::readyz));
    add(Method::GET, &format!("{BASE}/openapi.json"), openapi::itself(), get(openapi::serve));

    for (owner, of) in
        [("accounts/{account_id}", ServiceTokens::OfAccount), ("zones/{zone_id}", ServiceTokens::OfZone)]
    {
        let tokens = &format!("{BASE}/{owner}/access/service_tokens");
        let token = &format!("{tokens}/{{service_token_id}}");
        add(Method::GET, tokens, of.list(), get(service_tokens::list));
        add(Method::POST, tokens, of.create(), post(service_tokens::create));
        add(Method::GET, token, of.get(), get(service_tokens::get));
        add(Method::PUT, token, of.update(), put(service_tokens::update));
        add(Method::DELETE, token, of.delete(), delete(service_tokens::delete));
        add(Method::POST, &format!("{token}/refresh"), of.refresh(), post(service_tokens::refresh));
        add(Method::POST, &format!("{token}/rotate"), of.rotate(), post(service_tokens::rotate));
        add(Method::GET, &format!("{token}/last_uses"), of.last_uses(), get(service_tokens::last_uses));
    }

    for (owner, of) in [("accounts/{account_id}", Apps::OfAccount), ("zones/{zone_id}", Apps::OfZone)] {
        let apps = &format!("{BASE}/{owner}/access/apps");
        let app = &format!("{apps}/{{app_id}}");
        add(Method::GET, apps, of.list(), get(apps::list));
        add(Method::POST, apps, of.create(), post(apps::create));
        add(Method::GET, app, of.get(), get(apps::get));
        add(Method::PUT, app, of.update(), put(apps::update));
        add(Method::DELETE, app, of.delete(), delete(apps::delete));
        add(Method::POST, &format!("{app}/revoke_tokens"), of.revoke_tokens(), post(apps::revoke_tokens));
        let all = &format!("{app}/policies");
        let policy = &format!("{all}/{{policy_id}}");
        add(Method::GET, all, of.list_policies(), get(policies::list_of_app));
        add(Method::POST, all, of.create_policy(), post(policies::create));
        add(Method::GET, policy, of.get_policy(), get(policies::get_of_app));
        add(Method::PUT, policy, of.update_policy(), put(policies::update));
        add(Method::DELETE, policy, of.delete_policy(), delete(policies::delete));
        let groups = &format!("{BASE}/{owner}/access/groups");
        let group = &format!("{groups}/{{group_id}}");
        add(Method::GET, groups, of.list_groups(), get(groups::list));
        add(Method::POST, groups, of.create_group(), post(groups::create));
        add(Method::GET, group, of.get_group(), get(groups::get));
        add(Method::PUT, group, of.update_group(), put(groups::update));
        add(Method::DELETE, group, of.delete_group(), delete(groups::delete));
    }

    let reusable = &format!("{BASE}/accounts/{{account_id}}/access/policies");
    let policy = &format!("{reusable}/{{policy_id}}");
    add(Method::GET, reusable, openapi::list_policies(), get(policies::list));
    add(Method::POST, reusable, openapi::create_policy(), post(policies::create));
    add(Method::GET, policy, openapi::get_policy(), get(policies::get));
    add(Method::PUT, policy, openapi::update_policy(), put(policies::update));
    add(Method::DELETE, policy, openapi::delete_policy(), delete(policies::delete));
    let convert =
        format!("{BASE}/accounts/{{account_id}}/access/apps/{{app_id}}/policies/{{policy_id}}/make_reusable");
    add(Method::PUT, &convert, openapi::make_reusable(), put(policies::make_reusable));
    for (owner, of) in
        [("accounts/{account_id}", Organizations::OfAccount), ("zones/{zone_id}", Organizations::OfZone)]
    {
        let path = &format!("{BASE}/{owner}/access/organizations");
        add(Method::GET, path, of.get(), get(organizations::get));
        add(Method::POST, path, of.create(), post(organizations::create));
        add(Method::PUT, path, of.replace(), put(organizations::replace));
        add(Method::PATCH, path, of.merge(), patch(organizations::merge));
    }
    let inactive = format!("{BASE}/accounts/{{account_id}}/access/organizations/inactive_service_tokens");
    add(Method::GET, &inactive, openapi::list_inactive(), get(organizations::inactive));
    let keys = &format!("{BASE}/accounts/{{account_id}}/access/keys");
    add(Method::GET, keys, openapi::get_keys(), get(keys::get));
    add(Method::PUT, keys, openapi::update_keys(), put(keys::update));
    add(Method::POST, &format!("{keys}/rotate"), openapi::rotate_keys(), post(keys::rotate));

    for (owner, of) in [("accounts/{account_id}", ApiTokens::OfAccount), ("user", ApiTokens::OfUser)] {
        let tokens = &format!("{BASE}/{owner}/tokens");
        let token = &format!("{tokens}/{{token_id}}");
        add(Method::GET, tokens, of.list(), get(api_tokens::list));
        add(Method::POST, tokens, of.create(), post(api_tokens::create));
        add(Method::GET, &format!("{tokens}/verify"), of.verify(), get(api_tokens::verify));
        let groups = format!("{tokens}/permission_groups");
        add(Method::GET, &groups, of.permission_groups(), get(api_tokens::permission_groups));
        add(Method::GET, token, of.get(), get(api_tokens::get));
        add(Method::PUT, token, of.update(), put(api_tokens::update));
        add(Method::DELETE, token, of.delete(), delete(api_tokens::delete));
        add(Method::PUT, &format!("{token}/value"), of.roll(), put(api_tokens::roll));
    }

    let (account, zone) = (&format!("{BASE}/accounts/{{account_id}}"), &format!("{BASE}/zones/{{zone_id}}"));
    add(Method::GET, &format!("{BASE}/accounts"), openapi::list_accounts(), get(accounts::list_accounts));
    add(Method::GET, account, openapi::get_account(), get(accounts::get_account));
    add(Method::GET, &format!("{account}/logs/audit"), openapi::audit_log(), get(audit::list));
    let accesses = format!("{account}/access/logs/access_requests");
    add(Method::GET, &accesses, openapi::access_log(), get(access_log::list));
    let explanations = format!("{account}/access/explanations");
    add(Method::GET, &explanations, openapi::explain(), get(explanations::get));
    add(Method::GET, &format!("{BASE}/zones"), openapi::list_zones(), get(accounts::list_zones));
    add(Method::GET, zone, openapi::get_zone(), get(accounts::get_zone));
    let memberships = format!("{BASE}/memberships");
    add(Method::GET, &memberships, openapi::list_memberships(), get(accounts::list_memberships));
    add(Method::GET, &format!("{BASE}/user"), openapi::get_user(), get(accounts::get_user));
    routes
}

/// The routes as a service.
pub fn router(api: Api) -> Router {
    let mut router = Router::new();
    for route in routes() {
        router = router.route(&route.path, route.handler);
    }
    in_envelope(router.with_state(api.clone()), Outermost { world: api.world, requests: api.requests })
}

/// What the outermost layer needs.
#[derive(Debug, Clone)]
pub(crate) struct Outermost {
    pub(crate) world: World,
    pub(crate) requests: Requests,
}

/// Wraps routes, and what no route answers, in the envelope.
pub(crate) fn in_envelope(router: Router, outermost: Outermost) -> Router {
    router
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .fallback(
            |request: Request| async move { ApiError::NoRoute(extract::shown_path(request.uri().path())) },
        )
        .layer(middleware::from_fn_with_state(outermost, envelope))
}

/// The outermost layer: request id, panics, headers, one line of log.
pub(crate) async fn envelope(
    State(outermost): State<Outermost>,
    mut request: Request,
    next: Next,
) -> Response {
    let Outermost { world, requests } = outermost;
    let began = world.monotonic();
    let notes = Notes::new(world.request_id());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    request.extensions_mut().insert(notes.clone());
    let waiting = Waiting::new(std::mem::take(request.body_mut()));
    request.extensions_mut().insert(waiting.clone());
    let mut response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => ApiError::Internal("a handler panicked".to_owned()).into_response(),
    };
    waiting.drain().await;
    let may_be_repeated = response.extensions().get::<MayBeRepeated>().is_some();
    let costly = route.as_deref().is_some_and(|route| must_not_be_repeated(&method, route));
    if response.status().is_server_error() && costly && !may_be_repeated {
        response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    let route = route.as_deref().unwrap_or("-");
    set_headers(response.headers_mut(), &notes);
    if method == Method::CONNECT {
        // Whatever follows was meant for somebody else.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(cause) = response.extensions().get::<Cause>() {
        if let Cause::Store(error) = cause {
            requests.count_store_error(error);
        }
        tracing::error!(request.id = %notes.request_id, %cause, "a request failed, and the fault is ours");
    }
    let took = world.monotonic().saturating_sub(began);
    requests.count(&method, route, response.status(), took);
    tracing::info!(
        request.id = %notes.request_id,
        method = %method,
        route,
        status = response.status().as_u16(),
        caller = notes.caller(),
        duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "request"
    );
    response
}

/// Tells the SDKs whether to send a request again.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Whether sending this again could cost a live secret, or make a second object (compatibility, D15). An update of a service token
/// can only rotate if its body says so; its handler marks the replies to those that do not.
pub(crate) fn must_not_be_repeated(method: &Method, route: &str) -> bool {
    match *method {
        Method::POST => {
            !["/refresh", "/revoke_tokens", "/access/organizations"].iter().any(|end| route.ends_with(end))
        }
        Method::PUT => route.ends_with("/value") || route.ends_with("/{service_token_id}"),
        _ => false,
    }
}

fn set_headers(headers: &mut HeaderMap, notes: &Notes) {
    if let Ok(id) = HeaderValue::from_str(&notes.request_id.to_string()) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    // The description of the API says otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Some(Usage { limit, remaining, reset_seconds, .. }) = notes.usage() {
        let state = format!("\"default\";r={remaining};t={reset_seconds}");
        let policy = format!("\"default\";q={limit};w={}", rate_limit::window_seconds());
        for (name, value) in [("ratelimit", state), ("ratelimit-policy", policy)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

pub(crate) fn ok<T: Serialize>(result: T) -> Response {
    json(StatusCode::OK.as_u16(), &Envelope::of(result))
}

fn created<T: Serialize>(result: T) -> Response {
    json(StatusCode::CREATED.as_u16(), &Envelope::of(result))
}

fn accepted<T: Serialize>(result: T) -> Response {
    json(StatusCode::ACCEPTED.as_u16(), &Envelope::of(result))
}

fn page<T, S: Serialize>(page: Page<T>, paging: Paging, show: impl Fn(T) -> S) -> Response {
    let shown: Vec<S> = page.items.into_iter().map(show).collect();
    let info = ResultInfo::new(paging.page, paging.per_page, shown.len() as u64, page.total);
    json(StatusCode::OK.as_u16(), &Envelope { result_info: Some(info), ..Envelope::of(shown) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    async fn panics() {
        panic!("canary");
    }

    #[tokio::test]
    async fn a_panic_is_answered_in_the_envelope_and_says_nothing() {
        let outermost = Outermost { world: World::machine(), requests: Requests::default() };
        let router = in_envelope(Router::new().route("/x/{service_token_id}", put(panics)), outermost);
        let request = Request::put("/x/1").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["x-should-retry"], "false");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(response.headers().contains_key("x-request-id"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let expected = r#"{"success":false,"errors":[{"code":10001,"message":"Internal error","documentation_url":"docs/errors.md#10001"}],"messages":[],"result":null}"#;
        assert_eq!(body, expected);
    }

    #[test]
    fn what_could_cost_a_secret_or_make_a_second_object_is_not_repeated() {
        let not_repeated: Vec<_> = routes()
            .into_iter()
            .filter(|route| must_not_be_repeated(&route.method, &route.path))
            .map(|route| format!("{} {}", route.method, route.path.trim_start_matches(BASE)))
            .collect();
        assert_eq!(
            not_repeated,
            [
                "POST /accounts/{account_id}/access/service_tokens",
                "PUT /accounts/{account_id}/access/service_tokens/{service_token_id}",
                "POST /accounts/{account_id}/access/service_tokens/{service_token_id}/rotate",
                "POST /zones/{zone_id}/access/service_tokens",
                "PUT /zones/{zone_id}/access/service_tokens/{service_token_id}",
                "POST /zones/{zone_id}/access/service_tokens/{service_token_id}/rotate",
                "POST /accounts/{account_id}/access/apps",
                "POST /accounts/{account_id}/access/apps/{app_id}/policies",
                "POST /accounts/{account_id}/access/groups",
                "POST /zones/{zone_id}/access/apps",
                "POST /zones/{zone_id}/access/apps/{app_id}/policies",
                "POST /zones/{zone_id}/access/groups",
                "POST /accounts/{account_id}/access/policies",
                "POST /accounts/{account_id}/access/keys/rotate",
                "POST /accounts/{account_id}/tokens",
                "PUT /accounts/{account_id}/tokens/{token_id}/value",
                "POST /user/tokens",
                "PUT /user/tokens/{token_id}/value",
            ]
        );
    }
}
