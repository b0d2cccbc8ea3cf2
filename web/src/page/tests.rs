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
    template: &'static str,
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
        restores: acts,
        admin: acts,
        locked: None,
        version: "0.1.0".to_owned(),
        hosts_connected: "41 hosts".to_owned(),
        is_well: true,
        troubles: Vec::new(),
        pending: Some("4".to_owned()),
        incidents: Some("2".to_owned()),
        seq: ::fleet::ChangeSeq(7),
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
            all.push(Rendered { template: V::TEMPLATE, page, parts });
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

/// Elements that go on with the line.
const INLINE: [&str; 11] =
    ["a ", "b>", "code", "i>", "option", "path ", "small>", "span", "svg ", "time ", "use "];

/// A page in lines: white space counts as a browser counts it, each element but the inline ones begins a line, and the
/// versions of assets are masked.
fn lines(page: &str) -> Vec<String> {
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = String::new();
    let mut rest = page.as_str();
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let is_inline = from.starts_with("</") || INLINE.iter().any(|name| from[1..].starts_with(name));
        text.push_str(if is_inline { "<" } else { "\n<" });
        rest = &from[1..];
    }
    text.push_str(rest);
    for version in
        text.match_indices("/static/").map(|(at, _)| text[at + 8..at + 20].to_owned()).collect::<Vec<_>>()
    {
        text = text.replace(&version, "VERSION");
    }
    text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// The frame that all pages of a kind share, and what is in it.
fn frame_and_content(page: &str) -> (String, String) {
    let (before, from) = page.split_once("<main").unwrap();
    let (content, after) = from.split_once("</main>").unwrap();
    let title_at = before.find("<title>").unwrap();
    let (title, dialogs) = (&before[title_at..before.find("</title>").unwrap()], after.find("<dialog"));
    let (foot, dialogs) = after.split_at(dialogs.unwrap_or(after.len()));
    (
        format!("{}{}<main>…</main>{foot}", &before[..title_at], &before[title_at + title.len()..]),
        format!("{title}</title>\n<main{content}</main>\n{dialogs}"),
    )
}

/// What one text has and the other has not, line by line.
fn only_in(one: &[String], other: &[String], sign: char) -> Vec<String> {
    one.iter().filter(|line| !other.contains(line)).map(|line| format!("{sign} {line}")).collect()
}

/// Each page with its samples, for one who may act; for one who may only look, what differs.
#[test]
fn each_page_reads_as_it_did() {
    let templates = Templates::load(TEMPLATES_USED);
    for render in RENDERED {
        let rendered = render(&templates, &Sample::Example);
        let name = rendered[0].template.trim_end_matches(".html").replace('/', "-");
        let mut text = String::new();
        for (number, both) in rendered.chunks(2).enumerate() {
            let [acts, looks] = [&both[0], &both[1]].map(|one| {
                let is_page = one.page.contains("<main");
                lines(&if is_page { frame_and_content(&one.page).1 } else { one.page.clone() })
            });
            let differs = [only_in(&acts, &looks, '-'), only_in(&looks, &acts, '+')].concat();
            let (number, acts, differs) = (number + 1, acts.join("\n"), differs.join("\n"));
            text.push_str(&format!("### {number}\n{acts}\n### {number}, for a viewer\n{differs}\n"));
        }
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn the_frame_of_pages_reads_as_it_did() {
    let templates = Templates::load(TEMPLATES_USED);
    for (name, page) in [
        ("frame", &render::<fleet::FleetView>(&templates, &Sample::Example)[0]),
        ("frame-signed-out", &render::<sign_in::LoginView>(&templates, &Sample::Example)[0]),
    ] {
        insta::assert_snapshot!(name, lines(&frame_and_content(&page.page).0).join("\n"));
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
