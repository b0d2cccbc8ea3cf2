//! Rows as bytes: one format byte, then postcard.

use serde::{Serialize, de::DeserializeOwned};

/// What stands in a table. A row that an older program wrote is read by its format byte; the newest form is written.
pub(crate) trait StoredRow: Sized {
    /// The format that is written.
    const VERSION: u8;
    fn encode(&self) -> Vec<u8>;
    /// `None`: not a row of this format.
    fn decode(version: u8, body: &[u8]) -> Option<Self>;

    fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        let (version, body) = bytes.split_first().ok_or("it is empty")?;
        if *version > Self::VERSION {
            return Err("a newer program wrote it");
        }
        Self::decode(*version, body).ok_or("it is damaged")
    }
}

pub(crate) fn to_postcard<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    // Records are plain data: lengths known, no maps of unknown size. Encoding into a growing vector can't fail.
    postcard::to_extend(value, vec![version]).unwrap_or_default()
}

pub(crate) fn from_postcard<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(body).ok()?;
    rest.is_empty().then_some(value)
}

/// Rows that have had one form so far. A second form gets a `Row` of its own that still reads format 1.
macro_rules! first_form {
    ($($row:ty),* $(,)?) => {$(
        impl $crate::store::StoredRow for $row {
            const VERSION: u8 = 1;
            fn encode(&self) -> Vec<u8> {
                $crate::store::to_postcard(Self::VERSION, self)
            }
            fn decode(version: u8, body: &[u8]) -> Option<Self> {
                match version {
                    1 => $crate::store::from_postcard(body),
                    _ => None,
                }
            }
        }
    )*};
}
pub(crate) use first_form;

/// Rows of an index: the key says all.
impl StoredRow for () {
    const VERSION: u8 = 1;
    fn encode(&self) -> Vec<u8> {
        vec![Self::VERSION]
    }
    fn decode(_: u8, body: &[u8]) -> Option<Self> {
        body.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Second {
        a: u32,
        b: u32,
    }

    impl StoredRow for Second {
        const VERSION: u8 = 2;
        fn encode(&self) -> Vec<u8> {
            to_postcard(2, &(self.a, self.b))
        }
        fn decode(version: u8, body: &[u8]) -> Option<Self> {
            match version {
                1 => from_postcard(body).map(|a| Self { a, b: 7 }),
                2 => from_postcard(body).map(|(a, b)| Self { a, b }),
                _ => None,
            }
        }
    }

    #[test]
    fn an_older_form_is_read_and_the_newest_is_written() {
        assert_eq!(Second::from_bytes(&to_postcard(1, &5u32)), Ok(Second { a: 5, b: 7 }));
        assert_eq!(Second { a: 1, b: 2 }.encode()[0], 2);
    }

    #[test]
    fn a_newer_form_leftovers_and_nothing_are_errors() {
        assert!(Second::from_bytes(&[3, 0]).is_err());
        assert!(Second::from_bytes(&[2, 1, 2, 3]).is_err());
        assert!(Second::from_bytes(&[]).is_err());
    }
}
