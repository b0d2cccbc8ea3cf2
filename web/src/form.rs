//! What a browser or an API client sends: plain forms and JSON bodies, read with words for what is wrong.

use crate::line_breaks;
use crate::problem::Problem;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use fleet::record::Secret;
use serde::de::DeserializeOwned;
use zeroize::Zeroize;

/// A plain form. It may hold secrets, so it does not print and is wiped when dropped.
#[derive(Clone, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The form in these bytes.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let fields = form_urlencoded::parse(body).map(|(name, value)| {
            let value = line_breaks::read(&name, value);
            (name.into_owned(), value)
        });
        Self(fields.collect())
    }

    /// All fields, in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A field as typed; empty when it is not there.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// A field without the white space around it.
    pub(crate) fn text(&self, name: &str) -> String {
        self.raw(name).trim().to_owned()
    }

    /// All values of a field: boxes of one name that are ticked.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// Whether the field (a box that was ticked, a button that was pressed) is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// A secret; `None` when left empty.
    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        Some(self.raw(name)).filter(|text| !text.is_empty()).map(Secret::new)
    }

    /// The lines of a text area, without empty ones.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        self.raw(name).lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Words apart by commas or white space.
    pub(crate) fn words(&self, name: &str) -> Vec<String> {
        self.raw(name)
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// A whole number; empty = 0.
    pub(crate) fn number(&self, name: &'static str) -> Result<u16, Problem> {
        match self.raw(name).trim() {
            "" => Ok(0),
            text => text.parse().map_err(|_| {
                Problem::invalid(name, format!("A whole number from 0 to {} is needed.", u16::MAX))
            }),
        }
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        for (_, value) in &mut self.0 {
            value.zeroize();
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, Problem> {
        let form = crate::headers::is_form(request.headers());
        let body = body(request).await?;
        if !form && !body.is_empty() {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "invalid_input",
                "A form is needed here: application/x-www-form-urlencoded.",
            ));
        }
        Ok(Self::parse(&body))
    }
}

/// A JSON body. Unknown fields are refused where its type says so.
pub(crate) struct Input<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let json = kind.is_some_and(|kind| {
            kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        });
        let body = body(request).await?;
        if !json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "invalid_input",
                "JSON is needed here: Content-Type application/json.",
            ));
        }
        read_json(&body).map(Self)
    }
}

/// A JSON body that may be left out.
pub(crate) struct MaybeInput<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for MaybeInput<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Input::from_request(request, state).await.map(|Input(body)| Self(body))
    }
}

fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| not_understood(error.inner(), &error.path().to_string()))?;
    json.end().map_err(|error| not_understood(&error, ""))?;
    Ok(read)
}

/// Names the field. The parser's own words may quote a value, and a value may be a secret: only its kind is told.
fn not_understood(error: &serde_json::Error, path: &str) -> Problem {
    use serde_json::error::Category;
    if matches!(error.classify(), Category::Syntax | Category::Eof | Category::Io) {
        let place = format!("This is no JSON (line {}, column {}).", error.line(), error.column());
        return Problem::new(StatusCode::BAD_REQUEST, "invalid_input", place);
    }
    let text = error.to_string();
    let quoted = text.split('`').nth(1).unwrap_or_default().to_owned();
    if text.starts_with("unknown field") {
        Problem::invalid(&quoted, format!("There is no field {quoted} here."))
    } else if text.starts_with("missing field") {
        Problem::invalid(&quoted, format!("The field {quoted} is missing."))
    } else if matches!(path, "" | ".") {
        let place = "The body has the wrong type; see /api/openapi.json.";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_input", place)
    } else if let Some(wanted) = wanted(&text) {
        Problem::invalid(path, format!("The value of {path} is no {wanted}."))
    } else {
        Problem::invalid(path, format!("The value of {path} has the wrong type; see /api/openapi.json."))
    }
}

/// What the parser had expected, where that is a plain type. It stands behind the value, which so can't forge it.
fn wanted(error: &str) -> Option<String> {
    let (_, expected) = error.rsplit_once(", expected ")?;
    let expected = expected.split(" at line ").next().unwrap_or_default();
    let numbers = |most: u64| Some(format!("whole number from 0 to {most}"));
    match expected {
        "u8" => numbers(u8::MAX.into()),
        "u16" => numbers(u16::MAX.into()),
        "u32" => numbers(u32::MAX.into()),
        "u64" | "usize" => numbers(u64::MAX),
        "a boolean" => Some("true or false".to_owned()),
        "a string" => Some("string".to_owned()),
        "a sequence" => Some("list".to_owned()),
        _ => None,
    }
}

async fn body(request: Request<Body>) -> Result<axum::body::Bytes, Problem> {
    // The guard has read and bounded it already.
    to_bytes(request.into_body(), crate::body::MAX_BODY_BYTES)
        .await
        .map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_input", "The request is too long."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_people_type_them() {
        let form = Form::parse(b"name=+barn+&labels=a%2C+b%0Ac&paths=%2Fetc%0D%0A%0D%0A+%2Fsrv+&on=&n=x&n=2");
        assert_eq!(form.text("name"), "barn");
        assert_eq!(form.words("labels"), ["a", "b", "c"]);
        assert_eq!(form.lines("paths"), ["/etc", "/srv"]);
        assert!(form.has("on") && !form.has("off"));
        assert_eq!(form.number("n").unwrap_err().field.as_deref(), Some("n"));
        assert_eq!(form.number("empty").unwrap(), 0);
        assert!(form.secret("on").is_none());
    }

    #[test]
    fn a_wrong_value_is_not_quoted() {
        #[derive(Debug, serde::Deserialize)]
        struct Body {
            #[allow(dead_code, reason = "only its type matters")]
            password: u8,
        }
        let wrong = read_json::<Body>(br#"{"password": "hunter2"}"#).err().unwrap();
        assert!(!wrong.message.contains("hunter2"), "{}", wrong.message);
        assert_eq!(wrong.field.as_deref(), Some("password"));
    }

    #[test]
    fn a_value_of_another_type_is_told_which_it_should_have() {
        #[derive(Debug, Default, serde::Deserialize)]
        #[allow(dead_code, reason = "only its types matter")]
        #[serde(default)]
        struct Body {
            hours: u16,
            is_on: bool,
            label: String,
            causes: Vec<String>,
            most: Option<u8>,
        }
        for (body, field, wanted) in [
            (r#"{"hours": 70000}"#, "hours", "whole number from 0 to 65535"),
            (r#"{"hours": -1}"#, "hours", "whole number from 0 to 65535"),
            (r#"{"hours": 1.5}"#, "hours", "whole number from 0 to 65535"),
            (r#"{"hours": "x, expected a boolean"}"#, "hours", "whole number from 0 to 65535"),
            (r#"{"hours": null}"#, "hours", "whole number from 0 to 65535"),
            (r#"{"most": 256}"#, "most", "whole number from 0 to 255"),
            (r#"{"is_on": 1}"#, "is_on", "true or false"),
            (r#"{"label": 7}"#, "label", "string"),
            (r#"{"causes": "offline"}"#, "causes", "list"),
            (r#"{"causes": ["offline", 7]}"#, "causes[1]", "string"),
        ] {
            let wrong = read_json::<Body>(body.as_bytes()).err().unwrap();
            let told = (wrong.field.as_deref(), wrong.message.as_str());
            assert_eq!(
                told,
                (Some(field), format!("The value of {field} is no {wanted}.").as_str()),
                "{body}"
            );
        }
    }
}
