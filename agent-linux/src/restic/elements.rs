//! Takes a long JSON document apart while it comes, so that a listing of any length needs little memory, and an object
//! of any length can be read.
//!
//! restic prints all snapshots as one array in one line, and forget a group with two such arrays inside; a snapshot
//! that was taken of thousands of paths, or with thousands of excludes, is itself megabytes long. The scanner hands out
//! each object at a wanted depth, with the key of the array that it stands in. Of an object it keeps the members that
//! are asked for; of a list in one, as many items as there is room for, and how many there is none for.

/// The most of one member of an object that is kept, in bytes of JSON.
const MAX_MEMBER_BYTES: usize = 32 * 1024;
const MAX_KEY_BYTES: usize = 64;
/// What stands in place of a value that is too long and no list.
const CUT_VALUE: &[u8] = b"\"[\xe2\x80\xa6]\"";

/// An object at the wanted depth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// The last key at the depth above; empty when there is none.
    pub(crate) key: &'a str,
    /// The object with the members that are kept.
    pub(crate) json: &'a [u8],
    /// How many items of each kept member's list there was no room for, in the order in which members were asked for.
    pub(crate) left_out: &'a [u32],
}

/// Scans a document for the objects at one depth.
#[derive(Debug)]
pub(crate) struct Elements {
    depth: u32,
    wanted: u32,
    in_string: bool,
    escaped: bool,
    /// The last string one level above the wanted depth's array, and whether it is still being read.
    key: Vec<u8>,
    in_key: bool,
    element: Option<Sieve>,
    members: &'static [&'static str],
    /// The room of the last element, for the next one.
    room: Vec<u8>,
    /// Whether the document has begun, and with an array.
    begun: Option<bool>,
}

impl Elements {
    /// Looks for objects that are `wanted` brackets deep, themselves included: 2 for `[{…}]`. Of each it keeps these
    /// members.
    pub(crate) fn new(wanted: u32, members: &'static [&'static str]) -> Self {
        Self {
            depth: 0,
            wanted,
            in_string: false,
            escaped: false,
            key: Vec::new(),
            in_key: false,
            element: None,
            members,
            room: Vec::new(),
            begun: None,
        }
    }

    /// Whether what came so far is an array.
    pub(crate) fn is_array(&self) -> bool {
        self.begun == Some(true)
    }

    /// Whether the array was closed again.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_array() && self.depth == 0 && !self.in_string
    }

    /// Whether nothing is open: the next byte begins another document.
    pub(crate) fn is_between(&self) -> bool {
        self.depth == 0 && !self.in_string
    }

    /// Whether the next byte is in no string.
    pub(crate) fn is_outside_strings(&self) -> bool {
        !self.in_string
    }

    /// Takes the next piece and calls `on_element` for each object that ends in it.
    pub(crate) fn push(&mut self, bytes: &[u8], mut on_element: impl FnMut(Element<'_>)) {
        for &byte in bytes {
            if self.begun.is_none() && !byte.is_ascii_whitespace() {
                self.begun = Some(byte == b'[');
            }
            if self.in_string {
                if self.in_key && self.key.len() < MAX_KEY_BYTES && (byte != b'"' || self.escaped) {
                    self.key.push(byte);
                }
                let ends = byte == b'"' && !self.escaped;
                self.escaped = byte == b'\\' && !self.escaped;
                if ends {
                    (self.in_string, self.in_key) = (false, false);
                }
                if let Some(element) = &mut self.element {
                    element.in_string(byte, ends);
                }
                continue;
            }
            match byte {
                b'"' => {
                    self.in_string = true;
                    // Keys of the object around the wanted array.
                    if self.depth + 2 == self.wanted {
                        self.in_key = true;
                        self.key.clear();
                    }
                }
                b'{' | b'[' => {
                    self.depth = self.depth.saturating_add(1);
                    if byte == b'{' && self.depth == self.wanted && self.element.is_none() {
                        self.element = Some(Sieve::new(self.members, core::mem::take(&mut self.room)));
                        continue;
                    }
                }
                b'}' | b']' => {
                    if self.depth == self.wanted
                        && let Some(mut element) = self.element.take()
                    {
                        element.finish();
                        let key = core::str::from_utf8(&self.key).unwrap_or_default();
                        on_element(Element { key, json: &element.kept, left_out: &element.left_out });
                        self.room = element.kept;
                    }
                    self.depth = self.depth.saturating_sub(1);
                }
                _ => {}
            }
            if let Some(element) = &mut self.element {
                element.outside_strings(byte, self.depth.saturating_sub(self.wanted));
            }
        }
    }
}

/// Keeps what is wanted of one object: always a whole JSON object itself.
#[derive(Debug)]
struct Sieve {
    members: &'static [&'static str],
    kept: Vec<u8>,
    left_out: Vec<u32>,
    name: Vec<u8>,
    at: At,
    /// Where the member of now begins in `kept`, its value, and its list's item.
    member_at: usize,
    value_at: usize,
    item_at: usize,
    is_list: bool,
    /// No room for the value, or for the item, of now.
    too_long: bool,
    /// Something of the item of now has come.
    has_item: bool,
}

/// Where in an object the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before a value: a name, or the colon behind it.
    Name,
    /// In the value of the member with this number.
    Kept(usize),
    /// In a value that nobody wants.
    Other,
}

impl Sieve {
    fn new(members: &'static [&'static str], mut room: Vec<u8>) -> Self {
        room.clear();
        room.push(b'{');
        Self {
            members,
            kept: room,
            left_out: vec![0; members.len()],
            name: Vec::new(),
            at: At::Name,
            member_at: 0,
            value_at: 0,
            item_at: 0,
            is_list: false,
            too_long: false,
            has_item: false,
        }
    }

    fn in_string(&mut self, byte: u8, ends: bool) {
        match self.at {
            At::Name if !ends && self.name.len() < MAX_KEY_BYTES => self.name.push(byte),
            At::Kept(_) => self.keep(byte),
            At::Name | At::Other => {}
        }
    }

    /// A byte outside of strings (their first quote counts as such), with how deep in the object's values it stands.
    fn outside_strings(&mut self, byte: u8, depth: u32) {
        match (self.at, byte) {
            (At::Name, b'"') => self.name.clear(),
            (At::Name, b':') if depth == 0 => self.begin_value(),
            (At::Name, _) => {}
            (At::Other | At::Kept(_), b',') if depth == 0 => self.end_value(),
            (At::Other, _) => {}
            (At::Kept(_), b'[') if depth == 1 && self.kept.len() == self.value_at => {
                self.is_list = true;
                self.kept.push(b'[');
                self.item_at = self.kept.len();
            }
            (At::Kept(_), b',') if depth == 1 && self.is_list => self.end_item(),
            (At::Kept(_), b']') if depth == 0 && self.is_list => {
                self.end_item();
                self.kept.push(b']');
                self.is_list = false;
            }
            (At::Kept(_), byte) if byte.is_ascii_whitespace() => {}
            (At::Kept(_), byte) => self.keep(byte),
        }
    }

    fn begin_value(&mut self) {
        let number = self.members.iter().position(|member| member.as_bytes() == self.name.as_slice());
        let Some(number) = number else {
            self.at = At::Other;
            return;
        };
        self.member_at = self.kept.len();
        if self.kept.len() > 1 {
            self.kept.push(b',');
        }
        self.kept.push(b'"');
        self.kept.extend_from_slice(self.members[number].as_bytes());
        self.kept.extend_from_slice(b"\":");
        self.at = At::Kept(number);
        self.value_at = self.kept.len();
        (self.is_list, self.too_long, self.has_item) = (false, false, false);
    }

    fn keep(&mut self, byte: u8) {
        self.has_item = true;
        // One byte for a comma, one for the bracket at the end.
        if self.kept.len() - self.value_at + 2 > MAX_MEMBER_BYTES {
            self.too_long = true;
        }
        if self.is_list
            && self.has_item
            && self.kept.len() == self.item_at
            && self.item_at > self.value_at + 1
        {
            self.kept.push(b',');
        }
        if !self.too_long {
            self.kept.push(byte);
        }
    }

    /// An item that there is no room for goes whole; a shorter one behind it may still fit.
    fn end_item(&mut self) {
        if self.too_long {
            self.kept.truncate(self.item_at);
            if let At::Kept(number) = self.at {
                self.left_out[number] = self.left_out[number].saturating_add(1);
            }
        }
        self.item_at = self.kept.len();
        (self.too_long, self.has_item) = (false, false);
    }

    fn end_value(&mut self) {
        if let At::Kept(_) = self.at {
            if self.too_long {
                self.kept.truncate(self.value_at);
                self.kept.extend_from_slice(CUT_VALUE);
            } else if self.kept.len() == self.value_at {
                // Nothing stood there: no JSON, and nothing to keep.
                self.kept.truncate(self.member_at);
            }
        }
        self.at = At::Name;
    }

    fn finish(&mut self) {
        self.end_value();
        self.kept.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const MEMBERS: &[&str] = &["id", "tags", "summary"];

    fn scan(text: &[u8], wanted: u32, size: usize) -> (Vec<(String, Value)>, bool) {
        let (mut elements, mut found) = (Elements::new(wanted, MEMBERS), Vec::new());
        for piece in text.chunks(size) {
            elements.push(piece, |element| {
                let value = serde_json::from_slice(element.json).unwrap_or(Value::Null);
                found.push((element.key.to_owned(), value));
            });
        }
        (found, elements.is_whole())
    }

    #[test]
    fn snapshots_are_found_in_a_plain_array() {
        let (found, whole) = scan(br#"[{"id":"a","tags":["}"]},{"id":"b","summary":{"x":[{}]}}]"#, 2, 3);
        assert!(whole);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].1, json!({"id": "a", "tags": ["}"]}));
        assert_eq!(found[1].1, json!({"id": "b", "summary": {"x": [{}]}}));
    }

    #[test]
    fn kept_and_removed_are_told_apart_inside_a_group() {
        let text = br#"[{"tags":null,"host":"keep","paths":["a"],"keep":[{"id":"1"}],"remove":[{"id":"2"},{"id":"3"}],"reasons":[{"snapshot":{"id":"1"}}]}]"#;
        let (found, whole) = scan(text, 4, 7);
        assert!(whole);
        let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["keep", "remove", "remove", "reasons"]);
    }

    #[test]
    fn what_makes_an_object_large_is_left_out_and_counted_and_the_object_stays() {
        let paths: Vec<String> = (0..100_000).map(|number| format!("/srv/{number}/\u{1f4be}\"")).collect();
        let one_long = "y".repeat(MAX_MEMBER_BYTES);
        let text = json!([
            {"tree": "x".repeat(1 << 20), "tags": paths, "excludes": paths, "id": "a"},
            {"tags": ["first", one_long, "last"], "id": one_long, "summary": {"x": paths}},
            {"tags": [[1, [2, {"a": ["b"]}]], null, "c"], "id": "c"},
        ]);
        for text in [text.to_string(), format!("{text:#}")] {
            let (mut elements, mut found) = (Elements::new(2, MEMBERS), Vec::new());
            for piece in text.as_bytes().chunks(16 * 1024) {
                elements.push(piece, |element| {
                    assert!(element.json.len() < 4 * MAX_MEMBER_BYTES);
                    let value: Value = serde_json::from_slice(element.json).unwrap();
                    found.push((value, element.left_out.to_vec()));
                });
            }
            assert!(elements.is_whole());
            let kept = found[0].0["tags"].as_array().unwrap();
            assert!(kept.len() > 1_000, "{}", kept.len());
            assert!(kept.iter().zip(&paths).all(|(kept, path)| kept == path), "they are the first ones");
            assert_eq!(found[0].0["id"], "a");
            assert_eq!(found[0].1, [0, 100_000 - u32::try_from(kept.len()).unwrap(), 0]);
            assert_eq!(found[1].0, json!({"tags": ["first", "last"], "id": "[…]", "summary": "[…]"}));
            assert_eq!(found[1].1, [0, 1, 0]);
            assert_eq!(found[2].0, json!({"tags": [[1, [2, {"a": ["b"]}]], null, "c"], "id": "c"}));
        }
    }

    #[test]
    fn a_cut_document_is_not_whole() {
        assert!(!scan(br#"[{"id":"a"},{"id"#, 2, 5).1);
        assert!(!scan(b"restic said something else", 2, 5).1);
        assert!(!scan(b"", 2, 5).1);
    }

    fn with_members(value: &Value) -> Value {
        let Value::Object(members) = value else { return Value::Null };
        let wanted = members.iter().filter(|(name, _)| MEMBERS.contains(&name.as_str()));
        Value::Object(wanted.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[\\PC\"\\\\{}\\[\\]]{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("id|tags|summary|[a-z\"\\\\{}]{0,5}", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_array_of_objects_comes_apart_into_what_is_wanted_of_them(
            values in proptest::collection::vec(value().prop_filter("object", Value::is_object), 0..5),
            size in 1_usize..40,
        ) {
            let wanted: Vec<Value> = values.iter().map(with_members).collect();
            for text in [json!(values).to_string(), format!("{:#}", json!(values))] {
                let (found, whole) = scan(text.as_bytes(), 2, size);
                prop_assert!(whole);
                prop_assert_eq!(&found.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), &wanted);
            }
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), wanted in 0_u32..5) {
            let mut elements = Elements::new(wanted, MEMBERS);
            elements.push(&bytes, |_| {});
        }
    }
}
