//! The query of a request: what stands behind the `?`, read with words for what is wrong.

use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use fleet::Page;
use percent_encoding::percent_decode_str;
use schema::OsText;
use std::convert::Infallible;
use std::str::FromStr;

/// What is written in percent signs, as text: of a path that is no UTF-8 each odd byte stands in it as people write it, so
/// that it is not taken for another path.
fn text(encoded: &str) -> String {
    let plus = encoded.replace('+', " ");
    match String::from_utf8(percent_decode_str(&plus).collect()) {
        Ok(text) => text,
        Err(error) => OsText::new(error.as_bytes()).to_string(),
    }
}

/// The query of a request.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(raw: Option<&str>) -> Self {
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (text(name), text(value))
        };
        Self(pairs.map(pair).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_percent_signs_is_text_and_odd_bytes_stand_in_it_as_people_write_them() {
        let query = Query::parse(Some("a=b+c%20d&path=/odd/u%ffx&empty=&=x&path=%C3%A9%zz%2&b&&c=%5cxff=1"));
        let fields: Vec<_> = query.fields().collect();
        assert_eq!(
            fields,
            [
                ("a", "b c d"),
                ("path", "/odd/u\\xffx"),
                ("empty", ""),
                ("", "x"),
                ("path", "\u{e9}%zz%2"),
                ("b", ""),
                ("c", "\\xff=1"),
            ]
        );
        assert_eq!(query.get("empty"), None);
        // Not that of another file, whose name has the sign for what can't be read.
        assert_ne!(query.get("path"), Query::parse(Some("path=/odd/u%EF%BF%BDx")).get("path"));
    }
}
