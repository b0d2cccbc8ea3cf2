//! The templates: embedded, loaded whole at the start, strict about what they are given.

use crate::app::Shell;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
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
