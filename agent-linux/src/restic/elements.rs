//! Takes a long JSON document apart while it comes, so that a listing of any length needs little memory.
//!
//! restic prints all snapshots as one array in one line, and forget a group with two such arrays inside. The
//! scanner hands out each object at a wanted depth, with the key of the array that it stands in.

/// The longest element that is handed out; a longer one is counted but not shown.
const MAX_ELEMENT_BYTES: usize = 256 * 1024;
const MAX_KEY_BYTES: usize = 64;

/// An object at the wanted depth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// The last key at the depth above; empty when there is none.
    pub(crate) key: &'a str,
    /// The object; `None` when it is too long.
    pub(crate) json: Option<&'a [u8]>,
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
    element: Vec<u8>,
    in_element: bool,
    too_long: bool,
    /// Whether the document has begun, and with an array.
    begun: Option<bool>,
}

impl Elements {
    /// Looks for objects that are `wanted` brackets deep, themselves included: 2 for `[{…}]`.
    pub(crate) fn new(wanted: u32) -> Self {
        Self {
            depth: 0,
            wanted,
            in_string: false,
            escaped: false,
            key: Vec::new(),
            in_key: false,
            element: Vec::new(),
            in_element: false,
            too_long: false,
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

    /// Takes the next piece and calls `on_element` for each object that ends in it.
    pub(crate) fn push(&mut self, bytes: &[u8], mut on_element: impl FnMut(Element<'_>)) {
        for &byte in bytes {
            if self.begun.is_none() && !byte.is_ascii_whitespace() {
                self.begun = Some(byte == b'[');
            }
            if self.in_element {
                self.keep(byte);
            }
            if self.in_string {
                if self.in_key && self.key.len() < MAX_KEY_BYTES && (byte != b'"' || self.escaped) {
                    self.key.push(byte);
                }
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => (self.in_string, self.in_key) = (false, false),
                    _ => {}
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
                    if byte == b'{' && self.depth == self.wanted && !self.in_element {
                        (self.in_element, self.too_long) = (true, false);
                        self.element.clear();
                        self.keep(byte);
                    }
                }
                b'}' | b']' => {
                    if self.in_element && self.depth == self.wanted {
                        self.in_element = false;
                        let key = core::str::from_utf8(&self.key).unwrap_or_default();
                        let json = (!self.too_long).then_some(self.element.as_slice());
                        on_element(Element { key, json });
                    }
                    self.depth = self.depth.saturating_sub(1);
                }
                _ => {}
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.element.len() < MAX_ELEMENT_BYTES {
            self.element.push(byte);
        } else {
            self.too_long = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn scan(text: &[u8], wanted: u32, size: usize) -> (Vec<(String, Value)>, bool) {
        let (mut elements, mut found) = (Elements::new(wanted), Vec::new());
        for piece in text.chunks(size) {
            elements.push(piece, |element| {
                let value = serde_json::from_slice(element.json.unwrap()).unwrap_or(Value::Null);
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
        assert_eq!(found[1].1["id"], "b");
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
    fn an_overlong_element_is_counted_but_not_shown() {
        let long = format!(r#"[{{"id":"{}"}},{{"id":"b"}}]"#, "x".repeat(MAX_ELEMENT_BYTES));
        let (mut elements, mut shown) = (Elements::new(2), Vec::new());
        elements.push(long.as_bytes(), |element| shown.push(element.json.is_some()));
        assert_eq!(shown, [false, true]);
    }

    #[test]
    fn a_cut_document_is_not_whole() {
        assert!(!scan(br#"[{"id":"a"},{"id"#, 2, 5).1);
        assert!(!scan(b"restic said something else", 2, 5).1);
        assert!(!scan(b"", 2, 5).1);
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
                proptest::collection::vec(("[a-z\"\\\\{}]{0,5}", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_array_of_objects_comes_apart_into_its_objects(
            values in proptest::collection::vec(value().prop_filter("object", Value::is_object), 0..5),
            size in 1_usize..40,
        ) {
            let text = json!(values).to_string();
            let (found, whole) = scan(text.as_bytes(), 2, size);
            prop_assert!(whole);
            prop_assert_eq!(found.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), values);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), wanted in 0_u32..5) {
            let mut elements = Elements::new(wanted);
            elements.push(&bytes, |_| {});
        }
    }
}
