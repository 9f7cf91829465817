//! The description of the API is true: every route is in it, its examples fit its schemas, and so does every reply that any
//! test here receives, because the harness brings each of them to [`check`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};

use hallpass::api::{description, routes};
use hallpass_core::permission::PermissionGroup;
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use crate::endpoints::{Asks, TABLE};
use crate::harness::{Engine, Process, TestServer, run};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(description()).unwrap());

/// By their schemas: most refusals have the same one, and making a validator takes a while.
type Validators = BTreeMap<String, Arc<Validator>>;

/// A validator for a schema of the document.
fn validator(schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = DOCUMENT["components"].clone();
    let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
    options.build(&schema).unwrap_or_else(|error| panic!("{error}"))
}

/// The path in the document that a request's path belongs to; one with fewer names in it comes first.
fn described(path: &str) -> Option<&'static str> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let given: Vec<_> = path.split('/').collect();
    // A name stands for something, at least at the end.
    let ends = !path.ends_with('/');
    let fits = |pattern: &&str| {
        let parts: Vec<_> = pattern.split('/').collect();
        parts.len() == given.len()
            && ends
            && parts.iter().zip(&given).all(|(part, given)| part.starts_with('{') || part == given)
    };
    paths.keys().map(String::as_str).filter(fits).min_by_key(|pattern| pattern.matches('{').count())
}

/// Why a reply is not what the document says, if it is not. The path is the request's, without the query.
fn objection(method: &str, path: &str, status: u16, body: &Value) -> Option<String> {
    static KNOWN: LazyLock<Mutex<Validators>> = LazyLock::new(Mutex::default);
    let Some(pattern) = described(path) else {
        return (status != 404).then(|| "no such path is described, and it is not a 404".to_owned());
    };
    let operation = &DOCUMENT["paths"][pattern][method.to_ascii_lowercase()];
    if operation.is_null() {
        return (status != 405).then(|| "no such method is described, and it is not a 405".to_owned());
    }
    let reply = &operation["responses"][status.to_string()];
    if reply.is_null() {
        return Some(format!("the status {status} is not described"));
    }
    let schema = &reply["content"]["application/json"]["schema"];
    let key = schema.to_string();
    let known = KNOWN.lock().unwrap().get(&key).cloned();
    let fitting = known.unwrap_or_else(|| {
        let made = Arc::new(validator(schema));
        KNOWN.lock().unwrap().insert(key, Arc::clone(&made));
        made
    });
    let errors: Vec<_> =
        fitting.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    (!errors.is_empty()).then(|| errors.join("; "))
}

/// Fails the test where a reply is not what the description says. `target` is path and query. The emulator's own switches are no
/// part of the API, and its forced faults may come instead of any reply.
pub(crate) fn check(method: &str, target: &str, status: u16, body: &Value) {
    let path = target.split('?').next().unwrap();
    let forced = described(path).is_none() && (status == 429 || status == 500);
    if path.starts_with("/dev/") || forced {
        return;
    }
    if let Some(objection) = objection(method, path, status, body) {
        panic!(
            "{method} {path} answered {status}, and the description knows no such reply: {objection}\n{body}"
        );
    }
}

#[test]
fn a_reply_that_is_not_described_is_noticed() {
    let path = "/client/v4/accounts/023e105f4ecef8ad9ca31a8372d0c353/access/service_tokens/f174e90a-fafe-4643-bbbc-4a0ed4fc8415";
    let example =
        DOCUMENT["paths"]["/client/v4/accounts/{account_id}/access/service_tokens/{service_token_id}"]["get"]
            ["responses"]["200"]["content"]["application/json"]["example"]
            .clone();
    assert_eq!(objection("GET", path, 200, &example), None);
    let spoilt = |pointer: &str, value: Value| {
        let mut reply = example.clone();
        match pointer.rsplit_once('/').unwrap() {
            (parent, key) if value.is_null() => {
                drop(reply.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key));
            }
            (parent, key) => reply.pointer_mut(parent).unwrap()[key] = value,
        }
        objection("GET", path, 200, &reply)
    };
    assert!(spoilt("/result/client_secret", json!("s")).is_some());
    assert!(spoilt("/result/created_at", json!("yesterday")).is_some());
    assert!(spoilt("/result/enabled", Value::Null).is_some());
    assert!(spoilt("/result/id", json!("F174")).is_some());
    assert!(spoilt("/messages", Value::Null).is_some());
    assert!(spoilt("/messages", json!([{"code": 1, "message": "m", "type": null}])).is_some());
    assert!(spoilt("/result_info", json!({})).is_some());
    assert!(objection("GET", path, 201, &example).is_some());
    assert!(objection("PATCH", path, 200, &example).is_some());
    assert!(objection("GET", "/client/v4/nowhere", 200, &example).is_some());
    let refused = |code: u32| json!({"success": false, "errors": [{"code": code, "message": "m"}], "messages": [], "result": null});
    assert_eq!(objection("GET", path, 404, &refused(12135)), None);
    assert!(objection("GET", path, 404, &refused(1003)).is_some());
}

#[test]
fn the_description_has_every_route_and_nothing_else() {
    let routed: BTreeSet<_> =
        routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let mut described = BTreeSet::new();
    for (path, operations) in DOCUMENT["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    assert_eq!(described, routed);
}

#[test]
fn the_description_names_the_permissions_that_the_routes_ask_for() {
    for row in TABLE {
        let operation = &DOCUMENT["paths"][row.path][row.method.to_lowercase()];
        let named = operation["x-required-permissions"].as_array().cloned().unwrap_or_default();
        let ids: BTreeSet<_> = named.iter().map(|group| group["id"].as_str().unwrap()).collect();
        let asked = match row.asks {
            Asks::Groups(groups) => groups.iter().copied().collect(),
            _ => BTreeSet::new(),
        };
        assert_eq!(ids, asked, "{} {}", row.method, row.path);
        for group in named {
            let known = PermissionGroup::find(group["id"].as_str().unwrap().parse().unwrap()).unwrap();
            assert_eq!(group["name"], known.name);
        }
        let open = operation["security"] == json!([]);
        assert_eq!(open, row.asks == Asks::Nothing, "{} {}", row.method, row.path);
        assert!(operation["responses"][row.status.to_string()].is_object(), "{} {}", row.method, row.path);
    }
}

#[test]
fn every_example_fits_its_schema() {
    let mut checked = 0;
    let mut fits = |schema: &Value, example: &Value, whose: &str| {
        let errors: Vec<_> = validator(schema).iter_errors(example).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{whose}: {errors:?}\n{example}");
        checked += 1;
    };
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        for example in schema["examples"].as_array().into_iter().flatten() {
            fits(schema, example, name);
        }
    }
    for (path, operations) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for (status, reply) in operation["responses"].as_object().unwrap() {
                let content = &reply["content"]["application/json"];
                if !content["example"].is_null() {
                    fits(&content["schema"], &content["example"], &format!("{method} {path} {status}"));
                }
            }
        }
    }
    assert!(checked > 70, "{checked}");
}

/// Every `$ref` below a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str() {
                    Some(target) if key == "$ref" => drop(found.insert(target.to_owned())),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    for target in &found {
        assert!(DOCUMENT.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target} leads nowhere");
    }
    for part in ["schemas", "headers"] {
        for name in DOCUMENT["components"][part].as_object().unwrap().keys() {
            assert!(
                found.contains(&format!("#/components/{part}/{name}")),
                "nothing refers to {part}/{name}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_served_to_anybody_and_only_once_to_whoever_remembers_it() {
    let server = TestServer::start(Engine::Sqlite).await;
    let url = format!("{}/openapi.json", server.base_url());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let first = client.get(&url).send().await.unwrap();
    assert_eq!(first.status(), 200);
    assert_eq!(first.headers()["content-type"], "application/json");
    assert_eq!(first.headers()["cache-control"], "no-cache");
    assert!(first.headers().contains_key("x-request-id"));
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(first.text().await.unwrap(), description());
    for seen in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = client.get(&url).header("if-none-match", &seen).send().await.unwrap();
        assert_eq!(
            (again.status().as_u16(), again.headers()["etag"].to_str().unwrap()),
            (304, tag.as_str()),
            "{seen}"
        );
        assert_eq!(again.text().await.unwrap(), "");
    }
    let other = client.get(&url).header("if-none-match", "\"other\"").send().await.unwrap();
    assert_eq!(other.status(), 200);
    let head = client.head(&url).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.headers()["etag"].to_str().unwrap()), (200, tag.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emulator_serves_what_the_command_prints() {
    let (status, printed, errors) = run(&["openapi".to_owned()]);
    assert_eq!((status, errors.as_str()), (0, ""));
    assert_eq!(printed.trim_end(), description());
    let directory = tempfile::tempdir().unwrap();
    let emulator = Process::start(directory.path(), &["dev".to_owned()]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let served = client.get(format!("{}/openapi.json", emulator.base_url)).send().await.unwrap();
    assert_eq!(served.text().await.unwrap(), description());
    assert!(!printed.contains("/dev/"));
    for known in ["023e105f4ecef8ad9ca31a8372d0c353", "f174e90a-fafe-4643-bbbc-4a0ed4fc8415", "CI/CD token"] {
        assert!(printed.contains(known), "{known}");
    }
}
