//! Where a list ends.

use futures_util::TryStreamExt as _;
use hallpass_client::{ErrorKind, ListServiceTokens};
use serde_json::{Value, json};

use crate::stub::{Step, Stub};
use crate::{failed, refused, token, tokens};

fn page(names: &[&str], info: &Value) -> Step {
    let items: Vec<_> = names.iter().map(|name| token(name)).collect();
    Step::json(200, &json!({"success": true, "errors": [], "result": items, "result_info": info}))
}

/// What comes out of a list of these pages, and which pages were asked for.
async fn listed(steps: Vec<Step>) -> (Vec<String>, Vec<String>) {
    let stub = Stub::start(steps).await;
    let list = ListServiceTokens { name: Some("a&b".to_owned()), ..Default::default() };
    let all: Vec<_> = tokens(&stub).all(&list).try_collect().await.unwrap();
    let asked = stub
        .requests()
        .into_iter()
        .map(|request| request.target.split_once("name=a%26b&").unwrap().1.to_owned());
    (all.into_iter().map(|token| token.name).collect(), asked.collect())
}

#[tokio::test]
async fn a_list_ends_where_the_server_says_so() {
    let info =
        |page: u64| json!({"page": page, "per_page": 2, "count": 2, "total_count": 3, "total_pages": 2});
    let (names, asked) =
        listed(vec![page(&["a", "b"], &info(1)), page(&["c"], &info(2)), page(&["d"], &info(3))]).await;
    assert_eq!((names.join(""), asked), ("abc".to_owned(), vec!["page=1".to_owned(), "page=2".to_owned()]));
}

#[tokio::test]
async fn a_list_without_totals_ends_with_an_empty_page() {
    let (names, asked) =
        listed(vec![page(&["a"], &json!({})), page(&["b"], &json!(null)), page(&[], &json!({}))]).await;
    assert_eq!((names.join(""), asked.len()), ("ab".to_owned(), 3));
}

#[tokio::test]
async fn a_list_that_claims_more_than_it_has_ends() {
    let info = |page: u64| json!({"page": page, "per_page": 1, "total_count": 5000, "total_pages": 5000});
    let (names, asked) =
        listed(vec![page(&["a"], &info(1)), page(&[], &info(2)), page(&["b"], &info(3))]).await;
    assert_eq!((names.join(""), asked.len()), ("a".to_owned(), 2));

    // A server that knows no pages sends the first one for ever.
    let (names, asked) = listed(vec![page(&["a", "b"], &info(1)); 50]).await;
    assert_eq!((names.join(""), asked.len()), ("ab".to_owned(), 2));
}

#[tokio::test]
async fn totals_that_are_too_low_hide_nothing() {
    let info = |page: u64| json!({"page": page, "total_count": 1, "total_pages": 9});
    let (names, _) = listed(vec![page(&["a"], &info(1)), page(&["b"], &info(2)), page(&[], &info(3))]).await;
    assert_eq!(names.join(""), "ab");
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_list_is_told() {
    let stub = Stub::start([page(&["a"], &json!({})), refused(403)]).await;
    let mut all = tokens(&stub).all(&ListServiceTokens::default());
    assert_eq!(all.try_next().await.unwrap().unwrap().name, "a");
    assert_eq!(failed(all.try_next().await).kind(), ErrorKind::Forbidden);
    assert!(all.try_next().await.unwrap().is_none(), "and then the list is over");
}
