//! restic's plain text: what it says where it does not speak JSON, and sizes as it writes them.

use super::{findings::Holder, summary::PruneDone};

/// A progress line, `[1:02] 83.33%  5 / 6 packs processed`: thousandths and what it counts.
pub(crate) fn progress(line: &str) -> Option<(u16, String)> {
    let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
    if time.is_empty() || !time.bytes().all(|b| b.is_ascii_digit() || b == b':') {
        return None;
    }
    let (share, what) = match rest.split_once('%') {
        Some((share, what)) => (share.trim().parse::<f64>().ok()?, what.trim()),
        // `[0:00]          0 snapshots`: no total.
        None => (0.0, rest.trim()),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    let permille = (share.clamp(0.0, 100.0) * 10.0) as u16;
    what.as_bytes().first()?.is_ascii_digit().then(|| (permille, what.to_owned()))
}

/// Takes what one of prune's lines says.
pub(crate) fn prune_line(line: &str, done: &mut PruneDone) {
    if let Some((_, what)) = progress(line)
        && let Some(count) = what.strip_suffix(" packs repacked").and_then(|count| count.split(' ').next())
    {
        done.repacked_packs = count.parse().unwrap_or(done.repacked_packs);
    }
    let Some((word, rest)) = line.split_once(':') else { return };
    let Some(bytes) = rest.split_once(" / ").and_then(|(_, size)| size_bytes(size)) else { return };
    match word.trim() {
        "to repack" => done.repacked_bytes = bytes,
        "total prune" => done.freed_bytes = bytes,
        "remaining" => done.remaining_bytes = bytes,
        _ => {}
    }
}

/// `14.638 MiB` in bytes, as near as it says.
pub(crate) fn size_bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let factor = match unit.trim() {
        "B" => 1_u64,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "restic rounds to three digits; a float saturates"
    )]
    Some((number * factor as f64).round() as u64)
}

/// Bytes in the unit that suits them.
pub(crate) fn size_text(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 1023.95 && unit + 1 < units.len() {
        (size, unit) = (size / 1024.0, unit + 1);
    }
    format!("{size:.1} {}", units[unit])
}

/// `successfully removed 2 locks`; before 0.17 without the number.
pub(crate) fn unlocked(line: &str) -> Option<u32> {
    line.strip_prefix("successfully removed ")?.split_whitespace().next()?.parse().ok()
}

/// `repository is already locked exclusively by PID 31655 on nas-01 by root (UID 0, GID 0)`.
pub(crate) fn holder(line: &str) -> Option<Holder> {
    let (_, rest) = line.split_once("already locked")?;
    let (_, rest) = rest.split_once("by PID ")?;
    let (pid, rest) = rest.split_once(" on ")?;
    let (hostname, _) = rest.split_once(" by ")?;
    Some(Holder { pid: pid.parse().ok()?, hostname: hostname.to_owned() })
}

/// A line on standard error by which check, in plain text, tells of an error in the repository.
pub(crate) fn is_check_error(line: &str) -> bool {
    let pack = line.starts_with("pack ")
        && (line.contains("does not exist")
            || line.contains("unexpected file size")
            || (line.contains("contains") && line.contains("errors:")));
    pack || line.starts_with("error: ")
        || line.starts_with("error for tree ")
        || line.starts_with("Pack ID does not match")
        || line.starts_with("Blob ID does not match")
}

/// A line of one of Go's stack traces, which restic appends to some errors.
pub(crate) fn is_stack_trace(line: &str) -> bool {
    line.starts_with('\t')
        || (!line.contains(' ')
            && ["github.com/", "golang.org/", "main.", "runtime.", "os/", "net/", "internal/"]
                .iter()
                .any(|package| line.starts_with(package)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines_are_told_from_text() {
        assert_eq!(
            progress("[0:00] 83.33%  5 / 6 packs processed"),
            Some((833, "5 / 6 packs processed".into()))
        );
        assert_eq!(progress("[1:02:03] 100.00%  9 / 9 snapshots"), Some((1000, "9 / 9 snapshots".into())));
        assert_eq!(progress("[0:00]          0 snapshots"), Some((0, "0 snapshots".into())));
        for text in ["loading indexes...", "[x] 5%", "[0:00] done", "[0:00]", "[]", "[1:00] NaN%  5 / 6 x"] {
            let found = progress(text);
            assert!(found.is_none_or(|(permille, _)| permille == 0), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_all_units() {
        assert_eq!(size_bytes("0 B"), Some(0));
        assert_eq!(size_bytes("10.468 KiB"), Some(10_719));
        assert_eq!(size_bytes("14.638 MiB"), Some(15_349_055));
        assert_eq!(size_bytes("1.000 TiB"), Some(1 << 40));
        for junk in ["", "5", "x MiB", "-1 B", "inf B", "5 parsecs"] {
            assert_eq!(size_bytes(junk), None, "{junk}");
        }
    }

    #[test]
    fn the_holder_of_a_lock_is_read_from_the_refusal() {
        let line = "unable to create lock in backend: repository is already locked exclusively by PID 31655 on nas-01 by root (UID 0, GID 0)";
        assert_eq!(holder(line), Some(Holder { pid: 31_655, hostname: "nas-01".into() }));
        assert_eq!(holder("repository is already locked by PID x on y by z"), None);
    }
}
