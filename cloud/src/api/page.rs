//! Pages of lists.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;

use super::Query;
use crate::error::ApiError;

/// Which part of a list is wanted: `?page=2&pageSize=20`.
///
/// With neither parameter the page filters by itself and gets the newest 1,000. A `pageSize` above 200
/// means 200, which the answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// How many.
    pub size: u32,
    /// Whether the request asked for a page at all.
    pub asked: bool,
}

/// The window when no page is asked for.
const WINDOW: u32 = 1000;
/// The page when only its number is given.
const DEFAULT: u32 = 50;
/// The largest page.
const MOST: u32 = 200;

impl Page {
    /// The page that these parameters mean.
    pub fn new(page: Option<u32>, page_size: Option<u32>) -> Page {
        let asked = page.is_some() || page_size.is_some();
        Page {
            number: page.unwrap_or(1).max(1),
            size: match page_size {
                Some(size) => size.clamp(1, MOST),
                None if asked => DEFAULT,
                None => WINDOW,
            },
            asked,
        }
    }

    /// SQL's limit.
    pub fn limit(&self) -> i64 {
        i64::from(self.size)
    }

    /// SQL's offset.
    pub fn offset(&self) -> i64 {
        i64::from(self.number - 1) * i64::from(self.size)
    }

    /// How many pages `total` rows fill.
    pub fn total_pages(&self, total: i64) -> i64 {
        (total + self.limit() - 1) / self.limit()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    page: Option<u32>,
    page_size: Option<u32>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Page, ApiError> {
        let Query(wanted) = Query::<Parameters>::from_request_parts(parts, state).await?;
        Ok(Page::new(wanted.page, wanted.page_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_parameters_mean_the_newest_thousand() {
        let page = Page::new(None, None);
        assert_eq!((page.limit(), page.offset(), page.asked), (1000, 0, false));
    }

    #[test]
    fn a_page_is_at_most_two_hundred() {
        let page = Page::new(Some(3), Some(1_000_000_000));
        assert_eq!((page.limit(), page.offset()), (200, 400));
        assert_eq!(Page::new(Some(0), Some(0)).limit(), 1);
        assert_eq!(Page::new(Some(1), Some(20)).total_pages(41), 3);
    }
}
