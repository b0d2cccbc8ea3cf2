//! From when until when a certificate is good. Reads just that much of X.509; whatever it does not understand is `None`.

use schema::Timestamp;

const SEQUENCE: u8 = 0x30;
const EXPLICIT_VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when until when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// The validity of a DER certificate.
pub(super) fn of(certificate: &[u8]) -> Option<Validity> {
    let mut certificate = Der(certificate).next_if(SEQUENCE)?;
    let mut body = certificate.next_if(SEQUENCE)?;
    if body.0.first() == Some(&EXPLICIT_VERSION) {
        body.next()?;
    }
    let (_serial, _algorithm, _issuer) = (body.next()?, body.next()?, body.next()?);
    let mut validity = body.next_if(SEQUENCE)?;
    let mut time = || validity.next().and_then(|(tag, time)| instant(tag, time));
    Some(Validity { not_before: time()?, not_after: time()? })
}

fn instant(tag: u8, time: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let field = |i: usize| rest.get(2 * i..2 * i + 2)?.parse::<i8>().ok();
    let civil =
        jiff::civil::DateTime::new(year, field(0)?, field(1)?, field(2)?, field(3)?, field(4)?, 0).ok()?;
    let at = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
    // What lies before 1970 has begun.
    Some(Timestamp(u64::try_from(at.as_millisecond()).unwrap_or(0)))
}

/// DER elements, one behind the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Tag and content of the next.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk::<2>()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if bytes.len() > 4 {
                return None;
            }
            length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next, if it has this tag.
    fn next_if(&mut self, tag: u8) -> Option<Self> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| Self(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn made_until(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_after = date_time_ymd(year, 2, 3);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_dates_are_read() {
        // Until 2049 years have two digits.
        let not_after = |year| of(&made_until(year)).map(|validity| validity.not_after.0);
        assert_eq!(not_after(2031), Some(1_927_843_200_000));
        assert_eq!(not_after(2051), Some(2_558_995_200_000));
        assert_eq!(of(&made_until(2031)).map(|validity| validity.not_before.0), Some(157_766_400_000));
    }

    #[test]
    fn cut_or_altered_bytes_are_no_date_and_no_panic() {
        let certificate = made_until(2031);
        for end in 0..certificate.len() {
            let _ = of(&certificate[..end]);
            let mut altered = certificate.clone();
            altered[end] ^= 0xff;
            let _ = of(&altered);
        }
        assert_eq!(of(&[]), None);
    }
}
