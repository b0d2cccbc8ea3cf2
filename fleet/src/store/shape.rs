//! The shape of what is stored, told by how it is read: each field of a row on a line of its own, in order, with its name
//! and type; each variant of an enum with its place.

use super::{StoredRow, TableKey};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
    value::U32Deserializer,
};
use std::collections::BTreeMap;
use std::fmt;

/// A text that each reader of texts takes, among them the one of audited actions.
const TEXT: &str = "host.created";
/// An array that is longer is of elements of one type.
const LONGEST_TUPLE: usize = 4;

/// What a table stores.
pub(super) fn of_table<K: TableKey, V: StoredRow + DeserializeOwned>() -> Vec<String> {
    let mut lines = vec![format!("key {}", without_paths(std::any::type_name::<K>()))];
    lines.push(format!("version {}", V::VERSION));
    lines.extend(of::<V>());
    lines
}

fn without_paths(name: &str) -> String {
    name.split_inclusive(|c: char| "(), <>[];".contains(c))
        .map(|part| part.rsplit("::").next().unwrap_or(part))
        .collect()
}

fn of<T: DeserializeOwned>() -> Vec<String> {
    let mut told = TracedShapes::default();
    loop {
        T::deserialize(TracedPlace { path: String::new(), told: &mut told }).unwrap();
        if told.enums.values().all(Variants::are_all_told) {
            return told.lines;
        }
    }
}

/// What was told so far. Each reading tells one variant of each enum that it meets.
#[derive(Default)]
struct TracedShapes {
    lines: Vec<String>,
    enums: BTreeMap<String, Variants>,
}

struct Variants {
    told: usize,
    of: usize,
}

impl Variants {
    fn are_all_told(&self) -> bool {
        self.told == self.of
    }
}

impl TracedShapes {
    fn tell(&mut self, path: &str, what: &str) {
        let line = format!("{path} {what}").trim().to_owned();
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    /// The first variant that was not told to its end.
    fn variant(&mut self, path: &str, names: &[&str]) -> usize {
        let told = self.enums.entry(path.to_owned()).or_insert(Variants { told: 0, of: names.len() }).told;
        let is_open = |at: &usize| {
            let below = format!("{path}/{at}:");
            *at == told
                || self.enums.iter().any(|(other, all)| other.starts_with(&below) && !all.are_all_told())
        };
        let chosen = (0..names.len()).find(is_open).unwrap_or(0);
        if chosen == told {
            self.enums.insert(path.to_owned(), Variants { told: told + 1, of: names.len() });
        }
        chosen
    }
}

#[derive(Debug)]
struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl de::Error for Unreadable {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

/// Something that is read, and where it stands.
struct TracedPlace<'t> {
    path: String,
    told: &'t mut TracedShapes,
}

impl TracedPlace<'_> {
    fn at(&mut self, part: &str) -> TracedPlace<'_> {
        TracedPlace { path: format!("{}{part}", self.path), told: self.told }
    }

    fn tell(&mut self, what: &str) {
        self.told.tell(&self.path, what);
    }
}

macro_rules! plain {
    ($($read:ident $visit:ident $what:literal $value:expr;)*) => {$(
        fn $read<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Unreadable> {
            self.tell($what);
            visitor.$visit($value)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for TracedPlace<'_> {
    type Error = Unreadable;

    plain! {
        deserialize_bool visit_bool "bool" true;
        deserialize_u8 visit_u8 "u8" 1;
        deserialize_u16 visit_u16 "u16" 1;
        deserialize_u32 visit_u32 "u32" 1;
        deserialize_u64 visit_u64 "u64" 1;
        deserialize_u128 visit_u128 "u128" 1;
        deserialize_i8 visit_i8 "i8" 1;
        deserialize_i16 visit_i16 "i16" 1;
        deserialize_i32 visit_i32 "i32" 1;
        deserialize_i64 visit_i64 "i64" 1;
        deserialize_i128 visit_i128 "i128" 1;
        deserialize_f32 visit_f32 "f32" 1.0;
        deserialize_f64 visit_f64 "f64" 1.0;
        deserialize_char visit_char "char" 'a';
        deserialize_str visit_borrowed_str "text" TEXT;
        deserialize_string visit_borrowed_str "text" TEXT;
        deserialize_bytes visit_borrowed_bytes "bytes" b"";
        deserialize_byte_buf visit_borrowed_bytes "bytes" b"";
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Unreadable> {
        self.tell("nothing");
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_some(self.at("?"))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        let parts = vec!["[]".to_owned()];
        visitor.visit_seq(Parts { of: self, parts: parts.into_iter() })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Unreadable> {
        let part = |at| if len > LONGEST_TUPLE { format!("[{len}]") } else { format!(".{at}") };
        let parts: Vec<String> = (0..len).map(part).collect();
        visitor.visit_seq(Parts { of: self, parts: parts.into_iter() })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_map(Parts { of: self, parts: vec!["{}".to_owned()].into_iter() })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let parts: Vec<String> = fields.iter().map(|field| format!(".{field}")).collect();
        visitor.visit_seq(Parts { of: self, parts: parts.into_iter() })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let at = self.told.variant(&self.path, variants);
        visitor.visit_enum(Variant { of: self, at, name: variants[at] })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unreadable> {
        Err(Unreadable("what is stored does not say what it is".to_owned()))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of something, in order.
struct Parts<'t> {
    of: TracedPlace<'t>,
    parts: std::vec::IntoIter<String>,
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Unreadable;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unreadable> {
        let Some(part) = self.parts.next() else { return Ok(None) };
        seed.deserialize(self.of.at(&part)).map(Some)
    }
}

impl<'de> MapAccess<'de> for Parts<'_> {
    type Error = Unreadable;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unreadable> {
        let Some(part) = self.parts.next() else { return Ok(None) };
        seed.deserialize(self.of.at(&format!("{part}key"))).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unreadable> {
        seed.deserialize(self.of.at("{}value"))
    }
}

struct Variant<'t> {
    of: TracedPlace<'t>,
    at: usize,
    name: &'static str,
}

impl<'t, 'de> EnumAccess<'de> for Variant<'t> {
    type Error = Unreadable;
    type Variant = TracedPlace<'t>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, TracedPlace<'t>), Unreadable> {
        let read = seed.deserialize(U32Deserializer::<Unreadable>::new(self.at as u32))?;
        let TracedPlace { path, told } = self.of;
        Ok((read, TracedPlace { path: format!("{path}/{}:{}", self.at, self.name), told }))
    }
}

impl<'de> VariantAccess<'de> for TracedPlace<'_> {
    type Error = Unreadable;

    fn unit_variant(mut self) -> Result<(), Unreadable> {
        self.tell("");
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Unreadable> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Unreadable> {
        de::Deserializer::deserialize_tuple(self, len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        de::Deserializer::deserialize_struct(self, "", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is told")]
    struct Row {
        count: u32,
        names: Vec<Option<String>>,
        state: State,
        id: [u8; 16],
        pairs: BTreeMap<String, (u8, bool)>,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is told")]
    enum State {
        Idle,
        Busy { since: u64, with: With },
        Gone(u8),
    }

    #[derive(Deserialize)]
    enum With {
        One,
        Two,
    }

    #[test]
    fn each_field_and_each_variant_is_told_once_and_in_order() {
        let told = of::<Row>();
        assert_eq!(told[..2], [".count u32", ".names[]? text"]);
        let state: Vec<&str> =
            told.iter().map(String::as_str).filter(|line| line.starts_with(".state")).collect();
        assert_eq!(
            state,
            [
                ".state/0:Idle",
                ".state/1:Busy.since u64",
                ".state/1:Busy.with/0:One",
                ".state/1:Busy.with/1:Two",
                ".state/2:Gone u8",
            ]
        );
        assert!(told.contains(&".id[16] u8".to_owned()) && told.contains(&".pairs{}value.1 bool".to_owned()));
    }

    #[test]
    fn paths_of_types_are_left_out() {
        assert_eq!(
            without_paths("(schema::id::HostId, u64, alloc::string::String)"),
            "(HostId, u64, String)"
        );
    }
}
