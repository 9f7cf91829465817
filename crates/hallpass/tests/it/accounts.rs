//! Accounts, zones, memberships and the user, as clients ask for them to find ids: each caller sees what its grants reach, and
//! nothing says whether more exists. On a world of three accounts, planted as a seed.

use std::sync::Arc;

use hallpass::api::rate_limit::RateLimits;
use hallpass::api::{self, Api};
use hallpass::reference::References;
use hallpass::seed::Seed;
use hallpass::serve;
use hallpass::server_key::ServerKey;
use hallpass::store::{Durability, Purpose, Store};
use hallpass::world::World;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Actor, DNS_READ, Engine, Place, Reply, START, allow, text};

/// Accounts a, b and c; zones 1 and 2 in a, 3 in b, 4 in c; user u is a member of a and b, user v of c.
struct Country {
    base_url: String,
    _place: Place,
}

fn id(letter: &str) -> String {
    letter.repeat(32)
}

fn account(letter: &str) -> String {
    format!("com.cloudflare.api.account.{}", id(letter))
}

fn zone(letter: &str) -> String {
    format!("com.cloudflare.api.account.zone.{}", id(letter))
}

impl Country {
    async fn found(engine: Engine) -> Self {
        let place = Place::new(engine).await;
        let world = World::standing(START.parse().unwrap());
        let key = ServerKey::random(&world);
        let store =
            Store::open(&place.location, &key, Purpose::Service, Durability::Full, &world).await.unwrap();
        let seed = Seed::parse(&seed().to_string()).unwrap();
        seed.plant(&store, &world).await.unwrap();
        let api = Api {
            store,
            world,
            purpose: Purpose::Service,
            limits: Arc::new(RateLimits::new(None)),
            trusted_peers: Arc::<[_]>::from([]).into(),
            service_token_quota: None.into(),
            references: Arc::new(References::new(&key)),
            requests: api::Requests::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/client/v4", listener.local_addr().unwrap());
        tokio::spawn(serve::serve(listener, api::router(api), std::future::pending()));
        Self { base_url, _place: place }
    }

    fn key(&self, user: &str) -> Actor {
        let email = format!("{user}@example.com");
        let key = format!("key-of-{user}");
        Actor::new(self.base_url.clone(), &[("x-auth-email", &email), ("x-auth-key", &key)])
    }

    /// The bearer of a token from the seed.
    fn token(&self, name: &str) -> Actor {
        let value = format!("Bearer token-{name}");
        Actor::new(self.base_url.clone(), &[("authorization", &value)])
    }
}

/// What each token of the seed is called, whose it is, and what it names.
fn tokens() -> Vec<(&'static str, Value, Value)> {
    let u = json!({"user_id": id("e")});
    let of_a = json!({"account_id": id("a")});
    let anywhere = json!({"com.cloudflare.api.account.*": "*"});
    vec![
        ("anywhere", u.clone(), anywhere.clone()),
        ("only-a", u.clone(), json!({account("a"): "*"})),
        ("zone-1", u.clone(), json!({zone("1"): "*"})),
        ("zone-2-of-a", u.clone(), json!({account("a"): {zone("2"): "*"}})),
        ("zone-3-of-a", u.clone(), json!({account("a"): {zone("3"): "*"}})),
        ("all-zones", u.clone(), json!({"com.cloudflare.api.account.zone.*": "*"})),
        ("not-mine", u.clone(), json!({account("c"): "*", zone("4"): "*"})),
        ("myself", u, json!({format!("com.cloudflare.api.user.{}", id("e")): "*"})),
        ("account", of_a.clone(), anywhere),
        ("account-zone-1", of_a.clone(), json!({account("a"): {zone("1"): "*"}})),
        ("account-foreign", of_a, json!({"com.cloudflare.edge.r2.bucket.b": "*"})),
    ]
}

fn seed() -> Value {
    let named = |letter: &str, name: &str| json!({"id": id(letter), "name": name});
    let zone = |digit: &str, owner: &str, name: &str| json!({"id": id(digit), "account_id": id(owner), "name": name});
    let user = |letter: &str, name: &str, accounts: &[&str]| {
        let accounts: Vec<_> = accounts.iter().map(|account| id(account)).collect();
        json!({"id": id(letter), "email": format!("{name}@example.com"), "api_key": format!("key-of-{name}"), "accounts": accounts})
    };
    let mut api_tokens = Vec::new();
    for (n, (name, owner, resources)) in tokens().into_iter().enumerate() {
        let mut token = json!({
            "id": format!("{n:032x}"), "name": name, "value": format!("token-{name}"),
            "policies": [allow(&[DNS_READ], resources)],
        });
        token.as_object_mut().unwrap().extend(owner.as_object().unwrap().clone());
        api_tokens.push(token);
    }
    let denied = json!({
        "id": id("d"), "user_id": id("e"), "name": "denied", "value": "token-denied",
        "policies": [{"effect": "deny", "permission_groups": [{"id": DNS_READ}], "resources": {account("a"): "*"}}],
    });
    api_tokens.push(denied);
    json!({
        "accounts": [named("a", "Alpha"), named("b", "Beta"), named("c", "Gamma")],
        "zones": [zone("1", "a", "one.example"), zone("2", "a", "two.example"), zone("3", "b", "three.example"), zone("4", "c", "four.example")],
        "users": [user("e", "u", &["a", "b"]), user("f", "v", &["c"])],
        "api_tokens": api_tokens,
    })
}

macro_rules! on_both {
    ($name:ident, $body:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                ($body)(Country::found(Engine::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL: ./test brings one and runs this"]
            async fn postgres() {
                ($body)(Country::found(Engine::Postgres).await).await;
            }
        }
    };
}

/// The first characters of the ids in a list.
fn initials(reply: Reply) -> String {
    let list = reply.result(200);
    let ids = list.as_array().unwrap().iter();
    ids.map(|element| text(&element["id"]).remove(0)).collect()
}

on_both!(accounts_zones_and_the_user_have_the_documented_fields, |country: Country| async move {
    let key = country.key("u");
    let alpha =
        json!({"created_on": "2026-06-01T12:00:00Z", "id": id("a"), "name": "Alpha", "type": "standard"});
    assert_eq!(key.get(&format!("/accounts/{}", id("a"))).await.result(200), alpha);
    assert_eq!(key.get("/accounts").await.result(200)[0], alpha);
    let one = json!({
        "account": {"id": id("a"), "name": "Alpha"}, "created_on": "2026-06-01T12:00:00Z", "id": id("1"),
        "modified_on": "2026-06-01T12:00:00Z", "name": "one.example", "name_servers": [], "paused": false,
        "status": "active", "type": "full",
    });
    assert_eq!(key.get(&format!("/zones/{}", id("1"))).await.result(200), one);
    assert_eq!(key.get("/zones").await.result(200)[0], one);
    let user = json!({
        "created_on": "2026-06-01T12:00:00Z", "email": "u@example.com", "id": id("e"),
        "modified_on": "2026-06-01T12:00:00Z",
    });
    assert_eq!(key.get("/user").await.result(200), user);
    assert_eq!(country.token("myself").get("/user").await.result(200), user);
    let memberships = key.get("/memberships").await.result(200);
    for membership in memberships.as_array().unwrap() {
        assert_eq!(membership.as_object().unwrap().len(), 3);
        assert_eq!((text(&membership["id"]).len(), &membership["status"]), (32, &json!("accepted")));
        let shown = key.get(&format!("/accounts/{}", text(&membership["account"]["id"]))).await;
        assert_eq!(shown.result(200), membership["account"]);
    }
    // An e-mail address counts in any case.
    let loud = Actor::new(
        country.base_url.clone(),
        &[("x-auth-email", "U@Example.COM"), ("x-auth-key", "key-of-u")],
    );
    assert_eq!(loud.get("/user").await.result(200), user);
});

on_both!(each_caller_sees_what_its_grants_reach, |country: Country| async move {
    for (who, actor, accounts, zones, memberships) in [
        ("u", country.key("u"), "ab", "123", Some("ab")),
        ("v", country.key("v"), "c", "4", Some("c")),
        ("anywhere", country.token("anywhere"), "ab", "123", Some("ab")),
        ("only-a", country.token("only-a"), "a", "12", Some("a")),
        ("zone-1", country.token("zone-1"), "", "1", Some("")),
        ("zone-2-of-a", country.token("zone-2-of-a"), "a", "2", Some("a")),
        ("zone-3-of-a", country.token("zone-3-of-a"), "a", "", Some("a")),
        ("all-zones", country.token("all-zones"), "", "123", Some("")),
        ("not-mine", country.token("not-mine"), "", "", Some("")),
        ("myself", country.token("myself"), "", "", Some("")),
        ("denied", country.token("denied"), "", "", Some("")),
        ("account", country.token("account"), "a", "12", None),
        ("account-zone-1", country.token("account-zone-1"), "a", "1", None),
        ("account-foreign", country.token("account-foreign"), "", "", None),
    ] {
        assert_eq!(initials(actor.get("/accounts").await), accounts, "{who}");
        assert_eq!(initials(actor.get("/zones").await), zones, "{who}");
        let reply = actor.get("/memberships").await;
        if let Some(expected) = memberships {
            let list = reply.result(200);
            let ids = list.as_array().unwrap().iter();
            let mut found: Vec<_> = ids.map(|element| text(&element["account"]["id"]).remove(0)).collect();
            found.sort_unstable();
            assert_eq!(found.iter().collect::<String>(), expected, "{who}");
            assert_eq!(actor.get("/user").await.status, 200, "{who}");
        } else {
            assert_eq!(reply.refusal(), (403, 10000), "{who}");
            assert_eq!(actor.get("/user").await.refusal(), (403, 10000), "{who}");
        }
        // What is not reached is refused in the same words as what is not there.
        for (kind, letters, reached) in [("accounts", "abc", accounts), ("zones", "1234", zones)] {
            let never = actor.get(&format!("/{kind}/{}", id("9"))).await;
            assert_eq!(never.refusal(), (403, 10000));
            for letter in letters.chars() {
                let reply = actor.get(&format!("/{kind}/{}", id(&letter.to_string()))).await;
                if reached.contains(letter) {
                    assert_eq!(reply.status, 200, "{who} {kind} {letter}");
                } else {
                    assert_eq!((reply.status, &reply.text), (403, &never.text), "{who} {kind} {letter}");
                }
            }
        }
    }
});

on_both!(lists_are_filtered_exactly_and_paged_like_all_others, |country: Country| async move {
    let key = country.key("u");
    for (path, found) in [
        ("/accounts?name=Alpha", "a"),
        ("/accounts?name=alpha", ""),
        ("/accounts?name=Alph", ""),
        ("/accounts?name=Gamma", ""),
        ("/accounts?name=", "ab"),
        ("/accounts?unknown=x", "ab"),
        ("/zones?name=one.example", "1"),
        ("/zones?name=example", ""),
        ("/zones?name=four.example", ""),
        ("/zones?status=active", "123"),
        ("/zones?status=pending", ""),
        (&format!("/zones?account.id={}", id("a")), "12"),
        (&format!("/zones?account.id={}", id("c")), ""),
        ("/zones?account.name=Beta", "3"),
        ("/zones?account.name=Gamma", ""),
        (&format!("/zones?account.id={}&name=two.example&status=active", id("a")), "2"),
        ("/memberships?account.name=Gamma", ""),
        ("/memberships?status=pending", ""),
    ] {
        assert_eq!(initials(key.get(path).await), found, "{path}");
    }
    let beta = key.get("/memberships?account.name=Beta&status=accepted").await.result(200);
    assert_eq!((beta.as_array().unwrap().len(), &beta[0]["account"]["name"]), (1, &json!("Beta")));
    for (path, total) in [("/accounts", 2), ("/zones", 3), ("/memberships", 2)] {
        let mut found = Vec::new();
        for page in 1..=total + 1 {
            let reply = key.get(&format!("{path}?per_page=1&page={page}")).await;
            let list = reply.body["result"].as_array().unwrap().clone();
            let info = json!({"page": page, "per_page": 1, "count": list.len(), "total_count": total, "total_pages": total});
            assert_eq!(reply.body["result_info"], info, "{path}");
            assert_eq!(list.is_empty(), page > total, "{path}");
            found.extend(list);
        }
        for query in ["", "page=1", "page=0", "per_page=0", "per_page=5000", "page=0&per_page=0"] {
            let reply = key.get(&format!("{path}?{query}")).await;
            assert_eq!(reply.body["result_info"]["per_page"], 1000, "{path}?{query}");
            assert_eq!(reply.result(200), json!(found), "{path}?{query}");
        }
    }
});
