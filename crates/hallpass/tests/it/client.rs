//! The client crate against the server: every operation, and every kind of refusal.

use futures_util::TryStreamExt as _;
use hallpass_client::id::{ApiTokenId, PermissionGroupId, ServiceTokenId};
use hallpass_client::{
    ApiTokenPolicy, ApiTokenStatus, ApiTokens, AppDefinition, Client, CreateApiToken, CreateServiceToken,
    Credentials, Direction, Error, ErrorKind, ListApiTokens, ListAuditLogs, ListPermissionGroups,
    ListServiceTokens, Paging, Patch, ReplaceOrganization, RotateServiceToken, ServiceTokens, UpdateApiToken,
    UpdateServiceToken,
};
use serde_json::{Value, json};

use crate::harness::{
    DNS_READ, Engine, Options, SERVICE_TOKENS_READ, SERVICE_TOKENS_WRITE, START, TestServer, both_engines,
};

/// The client of the home account's user.
fn user(server: &TestServer) -> Client {
    client(server, Credentials::key(&server.home.email, &server.home.key))
}

/// The client of whoever holds these.
fn client(server: &TestServer, credentials: Credentials) -> Client {
    Client::builder(&server.base_url()).credentials(credentials).max_retries(0).build().unwrap()
}

fn group(id: &str) -> PermissionGroupId {
    id.parse().unwrap()
}

/// The kind, the status and the first code of an error.
fn told<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorKind, u16, u32) {
    let error = result.unwrap_err();
    (error.kind(), error.status().unwrap(), error.errors()[0].code)
}

/// A service token from its creation to its end.
async fn service_token_lives(server: &TestServer, tokens: &ServiceTokens) {
    let spec = CreateServiceToken { duration: Some("48h".to_owned()), ..CreateServiceToken::named("deploy") };
    let made = tokens.create(&spec).await.unwrap();
    let secret = made.client_secret.clone().unwrap();
    assert_eq!(
        (made.name.as_str(), made.duration.as_str(), made.client_secret_version),
        ("deploy", "48h", 1)
    );
    assert_eq!(made.expires_at, "2026-06-03T12:00:01Z".parse().unwrap());

    let found = tokens.get(made.id).await.unwrap();
    assert_eq!((found.client_id.clone(), found.client_secret.clone()), (made.client_id, None));

    let change =
        UpdateServiceToken { name: Some("renamed".to_owned()), enabled: Some(false), ..Default::default() };
    let changed = tokens.update(made.id, &change).await.unwrap();
    assert_eq!(
        (changed.name.as_str(), changed.enabled, changed.duration.as_str()),
        ("renamed", false, "48h")
    );
    let rotating = UpdateServiceToken {
        enabled: Some(true),
        client_secret_version: Some(2),
        previous_client_secret_expires_at: Patch::Set("2026-06-02T00:00:00Z".parse().unwrap()),
        ..Default::default()
    };
    let rotated = tokens.update(made.id, &rotating).await.unwrap();
    let second = rotated.client_secret.unwrap();
    assert_ne!(second, secret);
    assert_eq!(rotated.previous_client_secret_expires_at, Some("2026-06-02T00:00:00Z".parse().unwrap()));
    let kept = UpdateServiceToken { previous_client_secret_expires_at: Patch::Clear, ..Default::default() };
    let kept = tokens.update(made.id, &kept).await.unwrap();
    assert_eq!(
        kept.previous_client_secret_expires_at, rotated.previous_client_secret_expires_at,
        "it is live"
    );

    let until = "2026-06-05T00:00:00Z".parse().unwrap();
    let grace = RotateServiceToken { previous_client_secret_expires_at: Some(until) };
    let rotated = tokens.rotate(made.id, &grace).await.unwrap();
    assert_eq!((rotated.client_secret_version, rotated.previous_client_secret_expires_at), (3, Some(until)));
    assert_ne!(rotated.client_secret.unwrap(), second);
    let rotated = tokens.rotate(made.id, &RotateServiceToken::default()).await.unwrap();
    assert_eq!(rotated.client_secret_version, 4);

    server.advance("24h");
    let refreshed = tokens.refresh(made.id).await.unwrap();
    assert_eq!(refreshed.expires_at, "2026-06-04T12:00:01Z".parse().unwrap());
    assert_eq!((refreshed.client_secret, refreshed.client_secret_version), (None, 4));
    server.advance("-24h");
    let uses = tokens.last_uses(made.id, Paging::default()).await.unwrap();
    assert_eq!((uses.items.len(), uses.result_info.total_count), (0, Some(0)));
    let uses = tokens.all_last_uses(made.id, Paging::default());
    assert_eq!(uses.try_collect::<Vec<_>>().await.unwrap(), []);

    let list = ListServiceTokens { name: Some("renamed".to_owned()), ..Default::default() };
    let page = tokens.list(&list).await.unwrap();
    assert_eq!((page.items.len(), page.result_info.total_count), (1, Some(1)));
    let deleted = tokens.delete(made.id).await.unwrap();
    assert_eq!((deleted.id, deleted.name.as_str()), (made.id, "renamed"));
    assert_eq!(told(tokens.get(made.id).await), (ErrorKind::NotFound, 404, 12135));
    assert_eq!(tokens.list(&list).await.unwrap().items, []);
}

both_engines!(
    service_tokens_of_accounts_and_zones_live_through_the_client,
    |server: TestServer| async move {
        let client = user(&server);
        service_token_lives(&server, &client.account(server.home.account).service_tokens()).await;
        service_token_lives(&server, &client.zone(server.home.zone).service_tokens()).await;
    }
);

/// An API token from its creation to its end; `holder` says where the token itself is to be asked about.
async fn api_token_lives(
    server: &TestServer,
    tokens: &ApiTokens,
    holder: fn(&Client, &TestServer) -> ApiTokens,
) {
    let groups = [group(SERVICE_TOKENS_READ), group(SERVICE_TOKENS_WRITE)];
    let spec = CreateApiToken {
        name: "ci".to_owned(),
        policies: vec![ApiTokenPolicy::allow_on_account(server.home.account, &groups)],
        expires_on: Some("2027-01-01T00:00:00Z".to_owned()),
        ..Default::default()
    };
    let made = tokens.create(&spec).await.unwrap();
    assert_eq!((made.status.as_str(), made.expires_on.as_deref()), ("active", Some("2027-01-01T00:00:00Z")));
    let secret = made.value.unwrap();

    let bearer = client(server, Credentials::api_token(secret.as_str()));
    let verified = holder(&bearer, server).verify().await.unwrap();
    assert_eq!((verified.id, verified.status.as_str()), (made.id, "active"));
    bearer
        .account(server.home.account)
        .service_tokens()
        .create(&CreateServiceToken::named("n"))
        .await
        .unwrap();

    let found = tokens.get(made.id).await.unwrap();
    assert_eq!((found.value.clone(), found.policies.len()), (None, 1));
    let mut update = UpdateApiToken::try_from(&found).unwrap();
    let same = tokens.update(made.id, &update).await.unwrap();
    assert_eq!(
        (&same.policies, &same.expires_on, &same.name),
        (&found.policies, &found.expires_on, &found.name)
    );
    update.policies.push(ApiTokenPolicy::allow_on_zone(server.home.zone, &[group(DNS_READ)]));
    update.status = Some(ApiTokenStatus::Disabled);
    let changed = tokens.update(made.id, &update).await.unwrap();
    assert_eq!((changed.status.as_str(), changed.policies.len()), ("disabled", 2));
    assert_eq!(told(holder(&bearer, server).verify().await), (ErrorKind::Unauthenticated, 401, 1000));
    let refused =
        bearer.account(server.home.account).service_tokens().get(ServiceTokenId::random([1; 16])).await;
    assert_eq!(told(refused), (ErrorKind::Unauthenticated, 403, 9109));

    update.status = Some(ApiTokenStatus::Active);
    tokens.update(made.id, &update).await.unwrap();
    let rolled = tokens.roll(made.id).await.unwrap();
    assert_ne!(rolled, secret);
    assert_eq!(told(holder(&bearer, server).verify().await), (ErrorKind::Unauthenticated, 401, 1000));
    let bearer = client(server, Credentials::api_token(rolled.as_str()));
    holder(&bearer, server).verify().await.unwrap();

    let oldest = ListApiTokens {
        direction: Some(Direction::Ascending),
        include_expired: Some(true),
        ..Default::default()
    };
    assert_eq!(tokens.list(&oldest).await.unwrap().items.len(), 1);
    let all: Vec<_> = tokens.all(&ListApiTokens::default()).try_collect().await.unwrap();
    assert_eq!(all.iter().map(|token| token.id).collect::<Vec<_>>(), [made.id]);
    tokens.delete(made.id).await.unwrap();
    assert_eq!(told(tokens.get(made.id).await), (ErrorKind::NotFound, 404, 1003));
}

both_engines!(api_tokens_of_accounts_and_users_live_through_the_client, |server: TestServer| async move {
    let user = user(&server);
    let of_account = |client: &Client, server: &TestServer| client.account(server.home.account).api_tokens();
    api_token_lives(&server, &of_account(&user, &server), of_account).await;
    let of_user = |client: &Client, _: &TestServer| client.user().api_tokens();
    api_token_lives(&server, &of_user(&user, &server), of_user).await;
});

both_engines!(the_client_finds_what_its_caller_sees, |server: TestServer| async move {
    let client = user(&server);
    let paging = Paging { page: Some(1), per_page: Some(5) };
    let accounts = client.accounts().list(&paging).await.unwrap();
    assert_eq!((accounts.items.len(), accounts.result_info.per_page), (1, Some(5)));
    let all: Vec<_> = client.accounts().all().try_collect().await.unwrap();
    assert_eq!(all, accounts.items);
    assert_eq!(client.accounts().get(server.home.account).await.unwrap(), accounts.items[0]);

    let zones = client.zones().list(&paging).await.unwrap().items;
    assert_eq!(zones[0].account.id, server.home.account);
    assert_eq!(client.zones().all().try_collect::<Vec<_>>().await.unwrap(), zones);
    assert_eq!(client.zones().get(server.home.zone).await.unwrap(), zones[0]);

    let me = client.user().get().await.unwrap();
    assert_eq!((me.id, &me.email), (server.home.user, &server.home.email));
    let memberships = client.memberships().list(&paging).await.unwrap().items;
    assert_eq!(memberships[0].account, accounts.items[0]);
    assert_eq!(client.memberships().all().try_collect::<Vec<_>>().await.unwrap(), memberships);

    let groups = client.account(server.home.account).permission_groups();
    let wanted =
        ListPermissionGroups { name: Some("Access: Service Tokens Write".to_owned()), ..Default::default() };
    let found = groups.list(&wanted).await.unwrap().items;
    assert_eq!(found[0].id, group(SERVICE_TOKENS_WRITE));
    let few = ListPermissionGroups {
        paging: Paging { per_page: Some(3), ..Paging::default() },
        ..Default::default()
    };
    let all: Vec<_> = groups.all(&few).try_collect().await.unwrap();
    let at_once =
        client.user().api_tokens().permission_groups().list(&ListPermissionGroups::default()).await.unwrap();
    assert_eq!(all.len(), at_once.items.len());
});

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_whole_and_in_order() {
    let server = TestServer::start(Engine::Sqlite).await;
    let tokens = user(&server).account(server.home.account).service_tokens();
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(tokens.create(&CreateServiceToken::named(format!("token{n}"))).await.unwrap().id);
        server.advance("1s");
    }
    made.reverse();
    for per_page in [1, 3, 7, 1000] {
        let list = ListServiceTokens {
            search: Some("TOKEN".to_owned()),
            paging: Paging { page: None, per_page: Some(per_page) },
            ..Default::default()
        };
        let all: Vec<_> = tokens.all(&list).map_ok(|token| token.id).try_collect().await.unwrap();
        assert_eq!(all, made, "{per_page} a page");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_says_what_kind_of_refusal_it_was() {
    let server =
        TestServer::start_with(Engine::Sqlite, Options { rate_limit: Some(4), ..Options::default() }).await;
    let stranger = client(&server, Credentials::api_token("cfat_nobody"));
    let refused = stranger.accounts().list(&Paging::default()).await;
    assert_eq!(told(refused), (ErrorKind::Unauthenticated, 403, 9109));

    let user = user(&server);
    let abroad = user.account(server.abroad.account).service_tokens();
    assert_eq!(
        told(abroad.refresh(ServiceTokenId::random([1; 16])).await),
        (ErrorKind::Forbidden, 403, 10000)
    );
    let api_token = ApiTokenId::from_bytes([1; 16]);
    assert_eq!(told(user.user().api_tokens().roll(api_token).await), (ErrorKind::NotFound, 404, 1003));

    let home = user.account(server.home.account).service_tokens();
    let spec = CreateServiceToken { duration: Some("1d".to_owned()), ..Default::default() };
    let error = home.create(&spec).await.unwrap_err();
    let pointers: Vec<_> = error.errors().iter().map(|error| error.source.clone().unwrap().pointer).collect();
    assert_eq!(
        (error.kind(), pointers.as_slice()),
        (ErrorKind::InvalidRequest, ["/name".to_owned(), "/duration".to_owned()].as_slice())
    );
    assert_eq!(error.request_id().unwrap().len(), 32);
    assert!(error.to_string().starts_with("invalid request: /name: "), "{error}");

    home.list(&ListServiceTokens::default()).await.unwrap();
    let error = home.list(&ListServiceTokens::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::RateLimited, Some(429)));
    assert!(error.retry_after().is_some());
}

both_engines!(an_organization_and_its_keys_through_the_client, |server: TestServer| async move {
    let account = user(&server).account(server.home.account);
    let organizations = account.organizations();
    let made = organizations.get().await.unwrap();
    assert!(made.strict_service_token_auth);
    let spec = ReplaceOrganization { auth_domain: "test.example.com".to_owned(), ..Default::default() };
    let created = organizations.create(&spec).await.unwrap();
    assert_eq!((created.auth_domain.as_str(), created.name), ("test.example.com", made.name));
    assert_eq!(told(organizations.inactive_service_tokens(None, Paging::default()).await).1, 400);
    let unused = organizations.inactive_service_tokens(Some(30), Paging::default()).await.unwrap();
    assert!(unused.items.is_empty());
    let unused = organizations.all_inactive_service_tokens(Some(30), Paging::default());
    assert_eq!(unused.try_collect::<Vec<_>>().await.unwrap(), []);
    let fields = [("deny_unmatched_requests".to_owned(), true.into())].into_iter().collect();
    let merged = organizations.merge(&fields).await.unwrap();
    assert_eq!(merged.more.get("deny_unmatched_requests"), Some(&true.into()));
    assert_eq!(organizations.replace(&spec).await.unwrap().more.len(), 0);
    let taken = ReplaceOrganization { auth_domain: "hallpass.internal".to_owned(), ..Default::default() };
    assert_eq!(told(organizations.replace(&taken).await).1, 400);

    let keys = account.keys();
    assert_eq!(keys.get().await.unwrap().last_key_rotation_at, None);
    assert_eq!(keys.set_interval(30).await.unwrap().key_rotation_interval_days, 30);
    let rotated = keys.rotate().await.unwrap();
    assert_eq!((rotated.days_until_next_rotation, rotated.last_key_rotation_at), (30, Some(server.now())));
});

both_engines!(what_an_application_is_to_be_can_be_said_in_fields_of_json, |server: TestServer| async move {
    let account = user(&server).account(server.home.account);
    let fields = |value: Value| value.as_object().unwrap().clone();
    let sent = json!({"type": "self_hosted", "name": "wiki", "domain": "wiki.example", "custom": [1]});
    let app = account.apps().create(&fields(sent)).await.unwrap();
    assert_eq!((app.name.as_str(), app.more.get("custom")), ("wiki", Some(&json!([1]))));
    // What is not among the fields is gone, but for the policies.
    let app = account.apps().update(app.id, &AppDefinition::at("wiki.example")).await.unwrap();
    assert_eq!((app.name.as_str(), app.more.get("custom")), ("wiki.example", None));
    let policies = account.apps().policies(app.id);
    let include = json!([{"everyone": {}}]);
    for name in ["first", "second", "third"] {
        let policy = json!({"name": name, "decision": "bypass", "include": include, "custom": name});
        let made = policies.create(&fields(policy)).await.unwrap();
        assert_eq!(
            (made.include, made.more.get("custom")),
            (include.as_array().cloned(), Some(&json!(name)))
        );
    }
    let one_each = Paging { page: None, per_page: Some(1) };
    let names = policies.all(&one_each).map_ok(|policy| policy.name).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(names, ["first", "second", "third"]);
    let group = json!({"name": "g", "include": include});
    let group = account.groups().create(&fields(group)).await.unwrap();
    assert_eq!(group.include, include.as_array().cloned());
});

both_engines!(the_client_reads_the_audit_log_page_after_page, |server: TestServer| async move {
    let client = user(&server);
    let account = client.account(server.home.account);
    let tokens = account.service_tokens();
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(tokens.create(&CreateServiceToken::named(format!("t{n}"))).await.unwrap().id.to_string());
        server.advance("1s");
    }
    let mut list = ListAuditLogs::between(START.parse().unwrap(), server.now());
    list.filters = vec![("resource_type", "service_token".to_owned())];
    list.direction = Some(Direction::Ascending);
    for limit in [1, 2, 5, 1000] {
        list.limit = Some(limit);
        let all: Vec<_> = account.audit_logs().all(&list).try_collect().await.unwrap();
        let found: Vec<_> = all.iter().map(|entry| entry.resource.id.clone()).collect();
        assert_eq!(found, made, "{limit} a page");
        assert!(all.iter().all(|entry| entry.action.description == "service_token.create"));
    }
    list.limit = Some(2);
    let first = account.audit_logs().list(&list).await.unwrap();
    assert_eq!(first.items.len(), 2);
    list.cursor = first.cursor;
    assert_eq!(account.audit_logs().list(&list).await.unwrap().items[0].resource.id, made[2]);
});
