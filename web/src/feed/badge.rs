//! A badge: a small SVG of two fields, without scripts, styles and anything that is loaded from elsewhere. It brings its own
//! ground, so that it is read on a light page and on a dark one.

use super::numbers::Verdict;
use crate::format::cut;
use crate::template::escaped;
use crate::visible::{Breaks, visible};
use std::fmt::Write as _;

/// So many characters of a field are shown.
const MOST_CHARS: usize = 48;
/// How wide a character is taken to be, and the space beside a text, in tenths of a pixel.
const CHAR_WIDTH: usize = 64;
const PADDING: usize = 60;

/// Grounds on which white text has a contrast of 4.5 at least.
const fn ground(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Protected => "#2a7a3b",
        Verdict::Partly => "#8f5b00",
        Verdict::Unprotected => "#b3261e",
        Verdict::Unknown => "#63666a",
    }
}

const LEFT: &str = "#3d4045";

fn shown(text: &str) -> String {
    escaped(&visible(&cut(text, MOST_CHARS), Breaks::Shown))
}

fn pixels(tenths: usize) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Two fields: what it is of, and how that stands.
pub(super) fn draw(title: &str, words: &str, verdict: Verdict) -> String {
    let text_width = |text: &str| text.chars().count().min(MOST_CHARS) * CHAR_WIDTH;
    let (title_width, words_width) = (text_width(title), text_width(words));
    let (left, right) = (title_width + 2 * PADDING, words_width + 2 * PADDING);
    let (title, words) = (shown(title), shown(words));
    let width = pixels(left + right);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"20\" viewBox=\"0 0 {width} 20\" role=\"img\" \
         aria-label=\"{title}: {words}\"><title>{title}: {words}</title>"
    );
    for (x, wide, fill) in [(0, left, LEFT), (left, right, ground(verdict))] {
        let _ = write!(
            svg,
            "<rect x=\"{}\" width=\"{}\" height=\"20\" fill=\"{fill}\"/>",
            pixels(x),
            pixels(wide)
        );
    }
    let font = "font-family=\"Verdana,DejaVu Sans,Geneva,sans-serif\" font-size=\"11\" fill=\"#ffffff\"";
    for (x, wide, text) in [(PADDING, title_width, &title), (left + PADDING, words_width, &words)] {
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"14\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\" {font}>{text}</text>",
            pixels(x),
            pixels(wide)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text_and_is_cut() {
        let svg = draw("</text><script>alert(1)</script>\"'&", &"long ".repeat(50), Verdict::Partly);
        assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;"), "{svg}");
        assert_eq!(svg.matches("<text").count(), 2);
        assert!(svg.len() < 2_000, "{}", svg.len());
        assert!(!draw("a\u{202e}b", "c", Verdict::Unknown).contains('\u{202e}'));
    }

    #[test]
    fn each_ground_is_dark_enough_for_white_text_and_unknown_is_grey() {
        let luminance = |colour: &str| {
            let part = |at: usize| {
                let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
        };
        let all = [Verdict::Protected, Verdict::Partly, Verdict::Unprotected, Verdict::Unknown];
        for colour in all.map(ground).into_iter().chain([LEFT]) {
            assert!(1.05 / (luminance(colour) + 0.05) >= 4.5, "{colour}");
        }
        let parts = |colour: &str| [1, 3, 5].map(|at| u8::from_str_radix(&colour[at..at + 2], 16).unwrap());
        let [red, green, blue] = parts(ground(Verdict::Unknown));
        assert!(red.abs_diff(green) < 8 && green.abs_diff(blue) < 8, "grey");
        let green_is_most = all.map(|verdict| {
            let [red, green, blue] = parts(ground(verdict));
            green > red && green > blue
        });
        assert_eq!(green_is_most[..3], [true, false, false]);
    }
}
