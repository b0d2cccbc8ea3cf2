//! The query of a request: what stands behind the `?`, read with words for what is wrong.

use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use fleet::Page;
use std::convert::Infallible;
use std::str::FromStr;

/// The query of a request.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(raw: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(raw.unwrap_or_default().as_bytes());
        Self(pairs.map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    }

    /// All parameters, in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A parameter; `None` when absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(key, value)| key == name && !value.is_empty())
            .map(|(_, v)| v.clone())
            .collect()
    }

    /// A parameter of certain words: another one is the caller's error, who is told what it may be.
    pub(crate) fn word<T>(
        &self,
        name: &'static str,
        may_be: &str,
        from_word: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        from_word(text)
            .map(Some)
            .ok_or_else(|| Problem::invalid(name, format!("The value of {name} is {may_be}.")))
    }

    /// The first parameter that is none of these.
    pub(crate) fn unknown(&self, known: &[&str]) -> Option<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !known.contains(name))
    }

    /// `limit` and `cursor`.
    pub(crate) fn page(&self) -> Result<Page, Problem> {
        let limit = match self.get("limit") {
            None => Page::default().limit,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=500).contains(limit))
                .ok_or_else(|| Problem::invalid("limit", "The limit is a number from 1 to 500."))?,
        };
        Ok(Page { limit, cursor: self.get("cursor").map(str::to_owned) })
    }

    /// `limit` and `cursor` of a list whose cursors are of type `T`.
    pub(crate) fn page_of<T: FromStr>(&self) -> Result<Page, Problem> {
        let page = self.page()?;
        match page.cursor.as_deref().map(str::parse::<T>) {
            Some(Err(_)) => {
                Err(Problem::invalid("cursor", "This is no cursor: take `next` of the previous page."))
            }
            _ => Ok(page),
        }
    }
}

/// `one of: a, b`.
pub(crate) fn one_of(words: impl IntoIterator<Item = &'static str>) -> String {
    format!("one of: {}", words.into_iter().collect::<Vec<_>>().join(", "))
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::parse(parts.uri.query()))
    }
}
