//! Whether restic reads a keep rule.

use crate::record::Retention;
use crate::refused::Refused;

pub(crate) fn check_retention(keep: &Retention) -> Result<(), Refused> {
    if !keep.within.is_empty()
        && keep.within.bytes().all(|b| !(b'1'..=b'9').contains(&b))
        && is_duration(&keep.within)
    {
        let why = "this keeps nothing: give a length of time such as 1y5m7d2h, or leave it empty";
        return Err(Refused::invalid("keep.within", why));
    }
    if is_duration(&keep.within) {
        return Ok(());
    }
    Err(Refused::invalid("keep.within", "give a length of time such as 1y5m7d2h, or leave it empty"))
}

/// restic's durations: numbers, each with one of y, m, d, h.
pub(super) fn is_duration(text: &str) -> bool {
    let mut digits = 0;
    for letter in text.bytes() {
        match letter {
            b'0'..=b'9' if digits < 5 => digits += 1,
            b'y' | b'm' | b'd' | b'h' if digits > 0 => digits = 0,
            _ => return false,
        }
    }
    digits == 0
}
