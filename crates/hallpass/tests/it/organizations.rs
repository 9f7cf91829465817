//! Organizations: what every account has from its beginning, what a replacement forgets, what a merge keeps, and whose an issuer is.

use serde_json::{Value, json};

use crate::harness::{
    ORGANIZATIONS_READ, ORGANIZATIONS_WRITE, SERVICE_TOKENS_WRITE, TestServer, both_engines,
};
use crate::rows;

fn path(server: &TestServer) -> String {
    format!("{}/access/organizations", server.home.account_path())
}

both_engines!(every_account_has_an_organization_from_its_beginning, |server: TestServer| async move {
    let key = server.key(&server.home);
    let found = key.get(&path(&server)).await.result(200);
    let expected = json!({
        "allow_authenticate_via_warp": false,
        "auth_domain": format!("{}.hallpass.internal", server.home.account),
        "auto_redirect_to_identity": false,
        "created_at": "2026-06-01T12:00:00Z",
        "is_ui_read_only": false,
        "name": format!("Account of {}", server.home.email),
        "strict_service_token_auth": true,
        "updated_at": "2026-06-01T12:00:00Z",
    });
    assert_eq!(found, expected);
    let through_zone = format!("{}/access/organizations", server.home.zone_path());
    assert_eq!(key.get(&through_zone).await.result(200), expected);
    let all = server.store.organizations().all().await.unwrap();
    let domains: Vec<_> = all.into_iter().map(|organization| organization.auth_domain).collect();
    let own = |realm: &crate::harness::Realm| format!("{}.hallpass.internal", realm.account);
    assert_eq!(domains, [own(&server.home), own(&server.abroad)]);
});

both_engines!(a_create_of_what_is_there_replaces_it_and_answers_201, |server: TestServer| async move {
    let key = server.key(&server.home);
    server.advance("1h");
    let body = json!({
        "auth_domain": "test.example.com", "name": "te.st", "is_ui_read_only": true, "session_duration": "24h",
        "login_design": {"logo_path": "https://example.com/logo.png"}, "custom_pages": {"forbidden": null},
    });
    let made = key.post(&path(&server), body.clone()).await.result(201);
    assert_eq!(
        (&made["created_at"], &made["updated_at"]),
        (&json!("2026-06-01T12:00:00Z"), &json!("2026-06-01T13:00:00Z"))
    );
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    assert_eq!(key.get(&path(&server)).await.result(200), made);
    // The same again changes nothing, and leaves no trace.
    let before = rows::revision(&server.place).await;
    assert_eq!(key.post(&path(&server), body).await.result(201), made);
    assert_eq!(rows::revision(&server.place).await, before);
});

both_engines!(
    a_replacement_forgets_what_it_does_not_say_but_for_the_rule_on_tokens,
    |server: TestServer| async move {
        let key = server.key(&server.home);
        let rule = json!({"enabled": true, "inactivity_threshold_days": 90, "action": "disable"});
        let body = json!({
            "auth_domain": "test.example.com", "name": "first", "deny_unmatched_requests": true,
            "service_token_inactivity": rule, "strict_service_token_auth": true, "ui_read_only_toggle_reason": "why",
        });
        let made = key.put(&path(&server), body).await.result(200);
        assert_eq!(
            (&made["deny_unmatched_requests"], &made["service_token_inactivity"]),
            (&json!(true), &rule)
        );
        let found = server.store.organizations().all().await.unwrap();
        assert_eq!(found[0].inactivity.unwrap().days, 90);

        let second = key.put(&path(&server), json!({"auth_domain": "test.example.com"})).await.result(200);
        assert_eq!((&second["name"], &second["service_token_inactivity"]), (&json!("first"), &rule));
        assert_eq!(
            (second.get("deny_unmatched_requests"), second.get("ui_read_only_toggle_reason")),
            (None, None)
        );
        let body = json!({"auth_domain": "test.example.com", "service_token_inactivity": null});
        assert_eq!(key.put(&path(&server), body).await.result(200).get("service_token_inactivity"), None);

        // Without an issuer, there would be none.
        let refused = key.put(&path(&server), json!({"name": "only"})).await;
        assert_eq!(
            (refused.status, refused.codes(), refused.pointers()),
            (400, vec![12130], vec!["/auth_domain".to_owned()])
        );
    }
);

both_engines!(a_merge_keeps_what_it_does_not_say, |server: TestServer| async move {
    let key = server.key(&server.home);
    let sent = |body: Value| {
        let (key, path) = (key.clone(), path(&server));
        async move { key.send("PATCH", &path, Some(body.to_string().into_bytes())).await }
    };
    let made =
        sent(json!({"login_design": {"a": 1, "b": 2}, "deny_unmatched_requests": false})).await.result(200);
    assert_eq!(made["login_design"], json!({"a": 1, "b": 2}));
    let made = sent(json!({"login_design": {"a": null}, "name": "other"})).await.result(200);
    assert_eq!((&made["login_design"], &made["name"]), (&json!({"b": 2}), &json!("other")));
    assert_eq!(made["deny_unmatched_requests"], json!(false));
    assert_eq!(made["auth_domain"], json!(format!("{}.hallpass.internal", server.home.account)));
    let audit = rows::audit(&server.place, &server.home.account.to_string()).await;
    assert_eq!(
        audit[audit.len() - 2..],
        [
            r#"organization.update {"deny_unmatched_requests":false,"login_design":{"a":1,"b":2}}"#,
            r#"organization.update {"login_design":{"b":2},"name":"other"}"#,
        ]
    );
});

both_engines!(all_that_is_wrong_with_a_body_is_told, |server: TestServer| async move {
    let key = server.key(&server.home);
    let body = json!({
        "auth_domain": "https://test.example.com", "name": "", "strict_service_token_auth": false,
        "service_token_inactivity": {"enabled": true, "inactivity_threshold_days": 366},
    });
    let refused = key.put(&path(&server), body).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("Hallpass is always strict"), "{}", refused.text);
    assert_eq!(
        refused.pointers(),
        [
            "/auth_domain",
            "/name",
            "/strict_service_token_auth",
            "/service_token_inactivity/action",
            "/service_token_inactivity/inactivity_threshold_days",
        ]
    );
    let before = key.get(&path(&server)).await.result(200);
    let patched =
        key.send("PATCH", &path(&server), Some(br#"{"strict_service_token_auth":false}"#.to_vec())).await;
    assert_eq!((patched.status, patched.pointers()), (400, vec!["/strict_service_token_auth".to_owned()]));
    assert_eq!(key.get(&path(&server)).await.result(200), before);
});

both_engines!(an_issuer_belongs_to_one_account, |server: TestServer| async move {
    let (home, abroad) = (server.key(&server.home), server.key(&server.abroad));
    let theirs = format!("{}/access/organizations", server.abroad.account_path());
    home.put(&path(&server), json!({"auth_domain": "test.example.com"})).await.result(200);
    let reserved = format!("{}.hallpass.internal", server.home.account);
    for domain in ["test.example.com", &reserved, "hallpass.internal", "x.hallpass.internal"] {
        let refused = abroad.put(&theirs, json!({"auth_domain": domain})).await;
        assert_eq!(
            (refused.status, refused.codes(), refused.pointers()),
            (400, vec![12130], vec!["/auth_domain".to_owned()]),
            "{domain}"
        );
    }
    // Given back, it is free.
    home.put(&path(&server), json!({"auth_domain": reserved})).await.result(200);
    abroad.put(&theirs, json!({"auth_domain": "test.example.com"})).await.result(200);
});

both_engines!(
    two_accounts_that_want_one_issuer_at_once_do_not_both_get_it,
    |server: TestServer| async move {
        let ask = |realm: crate::harness::Realm| {
            let key = server.key(&realm);
            let path = format!("{}/access/organizations", realm.account_path());
            async move { key.put(&path, json!({"auth_domain": "test.example.com"})).await.status }
        };
        let (one, two) = tokio::join!(ask(server.home.clone()), ask(server.abroad.clone()));
        let mut statuses = [one, two];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400]);
    }
);

both_engines!(only_who_holds_the_permission_sees_or_changes_it, |server: TestServer| async move {
    let home = server.home.clone();
    let reader = server.account_token(&home, &[ORGANIZATIONS_READ]).await;
    let writer = server.account_token(&home, &[ORGANIZATIONS_WRITE]).await;
    let other = server.account_token(&home, &[SERVICE_TOKENS_WRITE]).await;
    let body = json!({"auth_domain": "test.example.com"});
    assert_eq!(reader.get(&path(&server)).await.status, 200);
    assert_eq!(reader.put(&path(&server), body.clone()).await.status, 403);
    assert_eq!(writer.put(&path(&server), body.clone()).await.status, 200);
    assert_eq!(other.get(&path(&server)).await.status, 403);
    assert_eq!(server.key(&server.abroad).put(&path(&server), body).await.status, 403);
});
