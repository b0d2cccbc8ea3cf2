//! What a download is called in a browser, and the folder in an archive.

use fleet::record::DownloadForm;

/// The longest name, in bytes: of Linux, less an end.
const LONGEST: usize = 200;

/// The header `Content-Disposition`: never shown in the page, and called after what was asked for. `path` is as people
/// write it.
pub(super) fn disposition(snapshot: &str, path: &str, form: DownloadForm) -> String {
    let name = match path.rsplit('/').next() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => of_snapshot(snapshot),
    };
    let mut name = name.chars().map(harmless).collect::<String>();
    name.truncate(name.floor_char_boundary(LONGEST));
    if form.is_archive() {
        name.push('.');
        name.push_str(form.as_str());
    }
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut coded = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => coded.push(char::from(byte)),
            _ => coded.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{coded}")
}

/// The folder that all of an archive lies in: the one that was asked for, byte by byte.
pub(super) fn top(snapshot: &str, folder: &[u8]) -> Vec<u8> {
    match folder.rsplit(|&byte| byte == b'/').next() {
        Some(name) if !matches!(name, b"" | b"." | b"..") => name.to_owned(),
        _ => of_snapshot(snapshot).into_bytes(),
    }
}

/// What stands for the root.
fn of_snapshot(snapshot: &str) -> String {
    format!("snapshot-{}", snapshot.get(..8).unwrap_or(snapshot))
}

/// What no system takes in a name, or what would not be seen, is a line instead.
fn harmless(c: char) -> char {
    let is_hidden = crate::visible::is_hidden(c, crate::visible::Breaks::Shown);
    if is_hidden || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|') { '_' } else { c }
}

const fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_lies_in_the_folder_that_was_asked_for_and_never_above() {
        for (folder, wanted) in [
            (b"/srv/docs".as_slice(), b"docs".as_slice()),
            (b"/srv/in\xffvalid\n", b"in\xffvalid\n"),
            (b"/srv/-rf", b"-rf"),
            (b"/", b"snapshot-0badcafe"),
            (b"", b"snapshot-0badcafe"),
            (b"/srv/..", b"snapshot-0badcafe"),
            (b"/srv/.", b"snapshot-0badcafe"),
        ] {
            assert_eq!(top("0badcafe77", folder), wanted);
        }
    }

    #[test]
    fn a_download_is_called_after_what_it_is_and_no_name_breaks_the_header() {
        for (path, form, plain, coded) in [
            ("/srv/a b.txt", DownloadForm::Raw, "a b.txt", "a%20b.txt"),
            ("/srv/zoë", DownloadForm::TarGz, "zo_.tar.gz", "zo%C3%AB.tar.gz"),
            ("/srv/-rf", DownloadForm::Zip, "-rf.zip", "-rf.zip"),
            ("/srv/q\"uo'te\r\nX: y", DownloadForm::Raw, "q_uo_te__X_ y", "q_uo%27te__X_%20y"),
            ("/srv/odd\\xff", DownloadForm::Raw, "odd_xff", "odd_xff"),
            ("/srv/a\u{202e}gpj", DownloadForm::Raw, "a_gpj", "a_gpj"),
            ("/", DownloadForm::Zip, "snapshot-0badcafe.zip", "snapshot-0badcafe.zip"),
        ] {
            let wanted = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{coded}");
            assert_eq!(disposition("0badcafe77", path, form), wanted, "{path}");
        }
        let long = disposition("0", &format!("/{}", "é".repeat(200)), DownloadForm::Zip);
        assert!(long.len() < 1_000 && long.ends_with(".zip"), "{long}");
    }
}
