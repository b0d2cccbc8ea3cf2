//! The templates: embedded, loaded whole at the start, strict about what they are given.

use crate::line_breaks;
use crate::shell::Shell;
use crate::visible::{Breaks, is_hidden, show, visible};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, context, escape_formatter};
use serde::Serialize;
use std::fmt::Write;

/// A view that stands in the list of all (`page::views!`), by which its template is looked up at the start and its samples
/// are rendered in tests.
pub(crate) trait ListedView {}

/// What one page shows. A page and its fragments are rendered from the same view.
pub(crate) trait View: Serialize + ListedView {
    /// The page.
    const TEMPLATE: &'static str;
    /// The place in the navigation.
    const NAV: &'static str;
    /// The fragments that can be had alone, by their ids.
    const PARTS: &'static [&'static str];
}

/// Every file in `templates/`: its name and what it holds (made by `build.rs`).
const TEMPLATES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// Escapes what HTML needs escaped, in text and in quoted attributes. (The engine's own way also escapes each slash,
/// which makes pages of addresses long and hard to read.)
fn write_value(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    match (state.auto_escape(), value.as_str()) {
        (AutoEscape::Html, Some(text)) if !value.is_safe() => write_escaped(out, text),
        _ => escape_formatter(out, state, value),
    }
}

/// Escapes, and makes visible what is hidden: no page can forget it, for no text gets onto one any other way.
fn write_escaped(out: &mut Output<'_>, text: &str) -> Result<(), minijinja::Error> {
    Ok(write_html(out, text, |c| is_hidden(c, Breaks::Kept))?)
}

fn write_html(out: &mut impl Write, text: &str, is_hidden: impl Fn(char) -> bool) -> std::fmt::Result {
    let mut plain = 0;
    for (at, special) in text.match_indices(|c| entity(c).is_some() || is_hidden(c)) {
        out.write_str(&text[plain..at])?;
        for c in special.chars() {
            match entity(c) {
                Some(entity) => out.write_str(entity)?,
                None => show(out, c)?,
            }
        }
        plain = at + special.len();
    }
    out.write_str(&text[plain..])
}

/// A text as HTML, for what is made without a template.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    // Writing to a text does not fail.
    let _ = write_html(&mut out, text, |c| is_hidden(c, Breaks::Kept));
    out
}

const fn entity(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&#39;"),
        _ => None,
    }
}

/// The filter for what stands in a field of a form: it comes back when the form is sent, and must then be what it was.
fn typed(value: &Value) -> Value {
    let Some(text) = value.as_str() else { return value.clone() };
    let mut out = String::with_capacity(text.len());
    // A carriage return alone would come back as another end of line; nothing else changes on the way.
    match write_html(&mut out, text, |_| false) {
        Ok(()) => Value::from_safe_string(out),
        Err(_) => value.clone(),
    }
}

/// The loaded templates.
pub(crate) struct Templates(Environment<'static>);

impl Templates {
    /// Loads all; `used` are those of the views.
    ///
    /// # Panics
    ///
    /// When a template has a syntax error: the program must not start with half its pages.
    #[expect(
        clippy::expect_used,
        clippy::panic,
        reason = "a broken template is a broken program; tests load it"
    )]
    pub(crate) fn load(used: &[&str]) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .expect("the delimiters are the usual ones"),
        );
        environment.set_formatter(write_value);
        environment.add_filter("typed", |value: Value| typed(&value));
        // A name is one line, whatever is in it.
        environment.add_filter("line", |text: &str| visible(text, Breaks::Shown).into_owned());
        environment.add_filter("marked", |text: &str| line_breaks::marked(text));
        environment.add_filter("field", |text: &str, name: &str| line_breaks::written(name, text));
        environment.add_function("asset", |name: &str| {
            crate::asset::address(name).ok_or_else(|| {
                minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, format!("no asset {name}"))
            })
        });
        for (name, source) in TEMPLATES {
            environment.add_template(name, source).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
        for name in used {
            environment.get_template(name).expect("each view has its template");
        }
        Self(environment)
    }

    /// Renders one template.
    pub(crate) fn render<V: Serialize>(
        &self,
        name: &str,
        shell: &Shell,
        view: &V,
    ) -> Result<String, minijinja::Error> {
        let context = context! { shell => Serde(shell), v => Serde(view) };
        self.0.get_template(name)?.render(context)
    }
}
