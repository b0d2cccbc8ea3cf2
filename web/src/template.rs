//! The templates: embedded, loaded whole at the start, strict about what they are given.

use crate::app::Shell;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, context, escape_formatter};
use serde::Serialize;

/// What one page shows. A page and its fragments are rendered from the same view.
pub(crate) trait View: Serialize {
    /// The page.
    const TEMPLATE: &'static str;
    /// The place in the navigation.
    const NAV: &'static str;
    /// The fragments that can be had alone, by their ids.
    const PARTS: &'static [&'static str];
}

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        /// Every template, by name.
        pub(crate) const TEMPLATES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../templates/", $name)))),*];
    };
}

include!("template_list.rs");

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

fn write_escaped(out: &mut Output<'_>, text: &str) -> Result<(), minijinja::Error> {
    let mut plain = 0;
    for (at, special) in text.match_indices(['&', '<', '>', '"', '\'']) {
        out.write_str(&text[plain..at])?;
        out.write_str(match special {
            "&" => "&amp;",
            "<" => "&lt;",
            ">" => "&gt;",
            "\"" => "&quot;",
            _ => "&#39;",
        })?;
        plain = at + special.len();
    }
    Ok(out.write_str(&text[plain..])?)
}

/// The loaded templates.
pub(crate) struct Templates(Environment<'static>);

impl Templates {
    /// Loads all.
    ///
    /// # Panics
    ///
    /// When a template has a syntax error: the program must not start with half its pages.
    #[expect(
        clippy::expect_used,
        clippy::panic,
        reason = "a broken template is a broken program; tests load it"
    )]
    pub(crate) fn load() -> Self {
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
        environment.add_function("asset", |name: &str| {
            crate::asset::address(name).ok_or_else(|| {
                minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, format!("no asset {name}"))
            })
        });
        for (name, source) in TEMPLATES {
            environment.add_template(name, source).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
        for name in crate::page::TEMPLATES_USED {
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
