//! Lists come in pages.

use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::envelope;
use crate::error::Error;
use crate::transport::Call;

/// Which page of a list. What is not said, the server decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paging {
    /// The page, from 1.
    pub page: Option<u64>,
    /// How many elements it may hold; Hallpass gives at most 1000.
    pub per_page: Option<u64>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What it holds.
    pub items: Vec<T>,
    /// Where it stands, as far as the server says.
    pub result_info: PagePosition,
}

/// Where a page stands in its list. Hallpass says all of it; others leave parts out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PagePosition {
    /// The page, from 1.
    #[serde(deserialize_with = "envelope::number")]
    pub page: Option<u64>,
    /// How many elements a page holds at most.
    #[serde(deserialize_with = "envelope::number")]
    pub per_page: Option<u64>,
    /// How many it holds.
    #[serde(deserialize_with = "envelope::number")]
    pub count: Option<u64>,
    /// How many there are on all pages.
    #[serde(deserialize_with = "envelope::number")]
    pub total_count: Option<u64>,
    /// How many pages there are.
    #[serde(deserialize_with = "envelope::number")]
    pub total_pages: Option<u64>,
}

impl PagePosition {
    /// Whether this page, the last of `seen` elements, says plainly that no other follows.
    fn is_last(&self, page: u64, seen: u64) -> bool {
        self.page == Some(page)
            && self.total_pages.is_some_and(|pages| (1..=page).contains(&pages))
            && self.total_count.is_some_and(|count| (1..=seen).contains(&count))
    }
}

/// A list, as a client asks for it.
#[derive(Debug, Clone)]
pub(crate) struct List {
    /// The path behind the base URL.
    pub(crate) path: String,
    /// Parameters beside those of the page.
    pub(crate) filters: Vec<(&'static str, String)>,
    /// Which page.
    pub(crate) paging: Paging,
}

impl List {
    fn call(&self) -> Call {
        let mut query = self.filters.clone();
        query.extend(self.paging.page.map(|page| ("page", page.to_string())));
        query.extend(self.paging.per_page.map(|size| ("per_page", size.to_string())));
        Call::get(self.path.clone()).with_query(query)
    }

    /// One page.
    pub(crate) async fn page<T: DeserializeOwned>(self, client: &Client) -> Result<Page<T>, Error> {
        client.page(self.call()).await
    }

    /// All elements, page after page, from the page that was asked for.
    ///
    /// The list ends with the page that says so, or with an empty one. A server that knows no pages sends the same elements again:
    /// that is the end, too.
    pub(crate) fn all<T>(self, client: Client) -> impl Stream<Item = Result<T, Error>> + Send + Unpin + use<T>
    where
        T: DeserializeOwned + Clone + PartialEq + Send + 'static,
    {
        struct Progress<T> {
            page: u64,
            seen: u64,
            first: Option<T>,
        }
        let begin = Progress { page: self.paging.page.unwrap_or(1).max(1), seen: 0, first: None };
        let pages = stream::try_unfold(Some(begin), move |progress: Option<Progress<T>>| {
            let (client, mut list) = (client.clone(), self.clone());
            async move {
                let Some(progress) = progress else {
                    return Ok(None);
                };
                list.paging.page = Some(progress.page);
                let Page { items, result_info } = list.page::<T>(&client).await?;
                let Some(first) = items.first() else {
                    return Ok(None);
                };
                if progress.first.as_ref() == Some(first) {
                    return Ok(None);
                }
                let seen = progress.seen.saturating_add(items.len() as u64);
                let next =
                    Progress { page: progress.page.saturating_add(1), seen, first: Some(first.clone()) };
                let next = (!result_info.is_last(progress.page, seen)).then_some(next);
                Ok(Some((stream::iter(items).map(Ok), next)))
            }
        });
        Box::pin(pages.try_flatten())
    }
}
