//! What was typed into a form whose session had ended: it is kept in the sign-in page itself, and sent again after it.
//! Secrets are not: they would stand in a page.

use crate::form::Form;
use serde::Serialize;

/// What the names of kept fields begin with in the form of the sign-in.
const PREFIX: &str = "kept.";
/// The field that says where they go.
const TO: &str = "kept_to";
/// The most fields that are kept.
const MOST_FIELDS: usize = 200;
/// Fields that hold secrets, or may.
const SECRET: [&str; 5] = ["password", "repo_password", "env", "ca", "host_keys"];

/// A form that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Kept {
    /// The address that it was sent to.
    pub(crate) to: String,
    /// Its fields, each with name and value, without secrets.
    pub(crate) fields: Vec<(String, String)>,
    /// Secrets that were typed and have to be typed again.
    pub(crate) left_out: Vec<String>,
}

#[cfg(test)]
impl Kept {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        let fields = vec![(s.text("includes"), s.text("/srv/media"))];
        Self { to: "/x".to_owned(), fields, left_out: vec![s.text("password")] }
    }
}

impl Kept {
    /// A form as it came.
    pub(crate) fn of(form: &Form, to: &str) -> Self {
        let is_secret = |name: &str| SECRET.contains(&name);
        let all = form.fields().filter(|(name, _)| *name != "csrf").take(MOST_FIELDS);
        let (secret, plain): (Vec<_>, Vec<_>) = all.partition(|(name, _)| is_secret(name));
        Self {
            to: to.to_owned(),
            fields: plain.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            left_out: secret
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, _)| name.to_owned())
                .collect(),
        }
    }

    /// The same out of the form of the sign-in.
    pub(crate) fn back(form: &Form) -> Option<Self> {
        let to = form.text(TO);
        let fields = form
            .fields()
            .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), value.to_owned())))
            .collect();
        (!to.is_empty()).then(|| Self { to, fields, left_out: form.words("kept_left_out") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_survives_the_sign_in_without_its_secrets() {
        let typed = b"csrf=t&name=barn+%26+co&includes=%2Fa%0D%0A%2Fb&password=geheim&env=&on=1&on=2";
        let kept = Kept::of(&Form::parse(typed), "/hosts/01/groups");
        assert_eq!(kept.left_out, ["password"]);
        assert!(!format!("{kept:?}").contains("geheim"));
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.append_pair("name", "ada").append_pair("password", "hers").append_pair(TO, &kept.to);
        text.append_pair("kept_left_out", &kept.left_out.join(" "));
        for (name, value) in &kept.fields {
            text.append_pair(&format!("{PREFIX}{name}"), value);
        }
        assert_eq!(Kept::back(&Form::parse(text.finish().as_bytes())), Some(kept));
        assert_eq!(Kept::back(&Form::parse(b"name=ada")), None);
    }
}
