//! What a page says, without how it is drawn.

/// Elements that stand within a line.
const INLINE: [&str; 9] = ["a", "b", "button", "code", "i", "small", "span", "svg", "time"];

/// The words of a fragment or of a page's main part, a line for each block; ids, which are drawn by lot, are masked.
pub(crate) fn words(page: &str) -> String {
    let main = page.find("<main").map_or(page, |at| &page[at..]);
    let main = main.split("</main>").next().unwrap();
    let mut text = String::new();
    for piece in main.split('<').skip(1) {
        let (tag, words) = piece.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        text.push_str(if INLINE.contains(&name) { " " } else { "\n" });
        text.push_str(&words.replace('\n', " "));
    }
    let line = |line: &str| line.split_whitespace().map(masked).collect::<Vec<_>>().join(" ");
    text.lines().map(line).filter(|line| !line.is_empty()).map(|line| line + "\n").collect()
}

fn masked(word: &str) -> &str {
    let is_id = word.len() == 26 && word.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    if is_id { "ID" } else { word }
}
