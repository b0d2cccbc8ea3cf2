//! Every view rendered strictly, with its samples: plain ones, and ones full of what people and peers may send.

use super::*;
use crate::sample::{Sample, Samples};
use crate::shell::Shell;
use crate::template::Templates;
use ::fleet::record::{ForgetFigures, JobFigures, JobState};
use schema::Class;

const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'; DROP TABLE hosts; --",
    "\u{202e}gnp.exe\u{202c} مرحبا",
    "🦀👩‍👩‍👧‍👦 ünïcödé",
    "{{ v.secret }}{% raw %}",
];

/// The samples of a view as they are rendered.
pub(super) type Render = fn(&Templates, &Sample) -> Vec<Rendered>;

/// A sample, rendered.
pub(super) struct Rendered {
    /// The page, or a fragment that is a view of its own.
    page: String,
    /// Its fragments.
    parts: Vec<String>,
}

fn shell(nav: &'static str, acts: bool) -> Shell {
    Shell {
        nav,
        theme: Some("dark".to_owned()),
        theme_choice: "dark".to_owned(),
        csrf: "token".to_owned(),
        user: Some("mira".to_owned()),
        operator: acts,
        admin: acts,
        version: "0.1.0".to_owned(),
        hosts_connected: "41 hosts".to_owned(),
        is_well: true,
        troubles: Vec::new(),
        pending: Some("4".to_owned()),
        seq: 7,
    }
}

/// Renders the samples of a view, each with its parts, for one who may act and for one who may only look.
pub(super) fn render<V: View + Samples>(templates: &Templates, sample: &Sample) -> Vec<Rendered> {
    let samples = V::samples(sample);
    assert!(!samples.is_empty(), "{} has samples", V::TEMPLATE);
    let mut all = Vec::new();
    for view in &samples {
        for acts in [true, false] {
            let shell = shell(V::NAV, acts);
            let draw = |name: &str| {
                templates.render(name, &shell, view).unwrap_or_else(|error| panic!("{name}: {error:#}"))
            };
            let page = draw(V::TEMPLATE);
            let is_fragment = V::TEMPLATE.starts_with("part/");
            let is_whole = page.contains("</html>") && page.contains("<title>");
            assert_eq!(is_whole, !is_fragment, "{}", V::TEMPLATE);
            let parts: Vec<String> = V::PARTS.iter().map(|part| draw(&format!("part/{part}.html"))).collect();
            assert!(parts.iter().all(|part| !part.contains("<html")), "{}", V::TEMPLATE);
            all.push(Rendered { page, parts });
        }
    }
    all
}

/// All samples of every view, one after the other.
fn render_all(templates: &Templates, sample: &Sample) -> String {
    let rendered = RENDERED.iter().flat_map(|render| render(templates, sample));
    rendered.flat_map(|one| one.parts.into_iter().chain([one.page])).collect()
}

#[test]
fn every_view_renders_strictly_and_escapes_what_it_shows() {
    let templates = Templates::load(TEMPLATES_USED);
    let plain = render_all(&templates, &Sample::Example);
    let tags = plain.matches('<').count();
    for text in HOSTILE.map(str::to_owned).into_iter().chain(["x".repeat(4_096), String::new()]) {
        let pages = render_all(&templates, &Sample::Everywhere(text.clone()));
        assert!(!pages.contains("<script>alert") && !pages.contains("<img"), "{text}");
        if !text.is_empty() {
            assert_eq!(pages.matches('<').count(), tags, "{text} makes no element and loses none");
        }
        assert!(!pages.contains("style="), "the policy forbids it");
    }
}

#[test]
fn a_forget_shows_what_became_of_each_group() {
    let group = |group: &str, removed, class| ForgetFigures {
        group: group.to_owned(),
        kept: 7,
        removed,
        class,
        spared: 2,
    };
    let mut job = job_view::sample_job(&Sample::Example, JobState::Failed);
    job.figures = JobFigures::Forget(vec![
        group("etc", 1, None),
        group("home", 0, Some(Class::AppendOnly)),
        group("mail", 0, Some(Class::NotTried)),
    ]);
    let shown: Vec<_> = job_view::figures(&job)
        .into_iter()
        .map(|it| format!("{}: {}, {}", it.name, it.value, it.note))
        .collect();
    assert_eq!(
        shown,
        [
            "etc: 1 removed, 7 kept, 2 of them by safeguard: newer ones lack data",
            "home: Failed, append only",
            "mail: Not tried, an earlier failure would have stopped it too",
        ]
    );
}
