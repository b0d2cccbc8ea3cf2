use core::{fmt, marker::PhantomData};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A list inside a message that borrows from its buffer: on the wire the byte length, then the elements one after
/// another.
///
/// Every element is checked when the list is decoded, so reading it can't fail.
pub struct Items<'a, T> {
    bytes: &'a [u8],
    element: PhantomData<fn() -> T>,
}

/// The buffer was too small for the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemsFull;

impl fmt::Display for ItemsFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the list is longer than its buffer")
    }
}

impl core::error::Error for ItemsFull {}

impl<'a, T> Items<'a, T> {
    /// A list without elements.
    pub const EMPTY: Self = Self { bytes: &[], element: PhantomData };

    /// Writes `items` into `buffer` and returns the list that borrows from it.
    pub fn write<S: Serialize>(
        items: impl IntoIterator<Item = S>,
        buffer: &'a mut [u8],
    ) -> Result<Self, ItemsFull> {
        let mut used = 0;
        for item in items {
            used += postcard::to_slice(&item, &mut buffer[used..]).map_err(|_| ItemsFull)?.len();
        }
        Ok(Self { bytes: &buffer[..used], element: PhantomData })
    }

    /// Whether there is no element.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl<'a, T: Deserialize<'a>> Items<'a, T> {
    /// The elements in their order; each is decoded when it is reached.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (item, behind) = postcard::take_from_bytes(rest).ok()?;
            rest = behind;
            Some(item)
        })
    }

    /// How many elements there are; walks the list.
    #[must_use]
    pub fn count(&self) -> usize {
        self.iter().count()
    }
}

impl<T> Clone for Items<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Items<'_, T> {}

impl<T> PartialEq for Items<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for Items<'_, T> {}

impl<T> Default for Items<'_, T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a, T: Deserialize<'a> + fmt::Debug> fmt::Debug for Items<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// On the wire its bytes; in a format for people its elements.
impl<'a, T: Deserialize<'a> + Serialize> Serialize for Items<'a, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_seq(self.iter())
        } else {
            serializer.serialize_bytes(self.bytes)
        }
    }
}

impl<'de: 'a, 'a, T: Deserialize<'a>> Deserialize<'de> for Items<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: &'a [u8] = <&'de [u8]>::deserialize(deserializer)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (_, behind) =
                postcard::take_from_bytes::<T>(rest).map_err(|_| D::Error::custom("malformed list"))?;
            // An element of no bytes would never end.
            if behind.len() == rest.len() {
                return Err(D::Error::custom("malformed list"));
            }
            rest = behind;
        }
        Ok(Self { bytes, element: PhantomData })
    }
}
