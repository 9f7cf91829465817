//! Lists come in pages, by number.

/// A page of a list, and how many elements the whole list has.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The elements of this page.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
}

/// Which page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// From 1.
    pub page: u64,
    /// How many elements it holds at most.
    pub per_page: u64,
}

impl Paging {
    pub(super) fn limit(self) -> i64 {
        i64::try_from(self.per_page).unwrap_or(i64::MAX)
    }

    pub(super) fn offset(self) -> i64 {
        i64::try_from((self.page.saturating_sub(1)).saturating_mul(self.per_page)).unwrap_or(i64::MAX)
    }
}

impl<T> Page<T> {
    pub(super) fn empty() -> Self {
        Self { items: Vec::new(), total: 0 }
    }

    /// A page out of a whole list.
    pub fn of(all: Vec<T>, paging: Paging) -> Self {
        let total = all.len() as u64;
        let skip = usize::try_from(paging.offset()).unwrap_or(usize::MAX);
        let take = usize::try_from(paging.per_page).unwrap_or(usize::MAX);
        Self { items: all.into_iter().skip(skip).take(take).collect(), total }
    }
}
