//! The rules of the house that can be read from the sources.

mod modules;

use modules::{Crate, circles};
use std::{collections::BTreeMap, path::Path};

/// A crate's root, its facades, and how many files its largest circle may have; 0 = none. Lower a figure
/// when it is bettered.
const MOST: &[(&str, &[&str], usize)] = &[
    ("schema/src/lib.rs", &["lib"], 0),
    ("agent-core/src/lib.rs", &["lib"], 0),
    ("agent-linux/src/lib.rs", &["lib"], 0),
    ("fleet/src/lib.rs", &["lib", "fleet"], 3),
    ("web/src/lib.rs", &["lib"], 0),
    ("broker-server/src/lib.rs", &["lib"], 0),
];

#[test]
fn modules_that_use_each_other_in_a_circle_do_not_become_more() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut grown = String::new();
    for (root, facades, most) in MOST {
        let uses = Crate::read(&top.join(root)).uses(facades);
        assert!(uses.len() > 5 && uses.values().any(|used| used.len() > 2), "{root} was not read: {uses:?}");
        for circle in circles(&uses).into_iter().filter(|circle| circle.len() > *most) {
            grown += &format!("{root}: a circle of {} files, at most {most}\n", circle.len());
            for module in &circle {
                let within: Vec<_> =
                    uses[module].iter().filter(|used| circle.contains(used)).cloned().collect();
                grown += &format!("    {module} uses {}\n", within.join(", "));
            }
        }
    }
    assert!(grown.is_empty(), "{grown}");
}

/// So many types may have one name, each private to its module or plain there.
const MOST_OF_A_NAME: usize = 3;

#[test]
fn a_name_of_a_type_is_not_used_again_and_again() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (root, ..) in MOST {
        let read = Crate::read(&top.join(root));
        let of = root.trim_end_matches("/src/lib.rs");
        for (name, module) in read.types() {
            named.entry(name.to_owned()).or_default().push(format!("{of}::{module}"));
        }
    }
    assert!(named.len() > 1000, "{} names of types were read", named.len());
    let mut too_many = String::new();
    for (name, modules) in named.into_iter().filter(|(_, modules)| modules.len() > MOST_OF_A_NAME) {
        too_many += &format!("{name} is {} types: {}\n", modules.len(), modules.join(", "));
    }
    assert!(too_many.is_empty(), "say of each what it is, in its name:\n{too_many}");
}

#[test]
fn types_are_read_with_the_modules_that_define_them() {
    let scratch = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| std::fs::write(scratch.path().join(name), text).expect("written");
    file("lib.rs", "mod a; pub struct One; type Not = One; #[cfg(test)] struct ForTests;");
    file(
        "a.rs",
        "pub enum One {} trait Two {} fn f() { struct One; } #[cfg(test)] mod tests { struct Two; }",
    );
    let read = Crate::read(&scratch.path().join("lib.rs"));
    let types: Vec<String> = read.types().map(|(name, module)| format!("{module}::{name}")).collect();
    assert_eq!(types, ["lib::One", "a::One", "a::Two", "a::One"]);
}

#[test]
fn a_circle_is_found_through_all_that_leads_to_it() {
    let scratch = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    file("lib.rs", "mod a; mod b; mod c; mod d; mod e; pub use a::Door;");
    file("a/mod.rs", "mod inner; pub(crate) use inner::Thing; pub struct Door;");
    file("a/inner.rs", "pub struct Thing; fn f() { crate::b::g(); }");
    // By a re-export; by a macro's tokens.
    file("b.rs", "use crate::a::Thing; pub fn g() { println!(\"{}\", crate::c::N); }");
    file("c.rs", "pub const N: u8 = 1; use super::d::*; fn f(_: Far) {}");
    // Back by a name that is imported whole; what is for tests does not count.
    file("d.rs", "use crate::a; pub type Far = a::Thing; #[cfg(test)] mod tests { use crate::e::E; }");
    file("e.rs", "use crate::d::Far; pub struct E; impl E { #[cfg(test)] fn f() { crate::b::g() } }");
    let uses = Crate::read(&scratch.path().join("lib.rs")).uses(&["lib"]);
    assert_eq!(circles(&uses), [vec!["a::inner".to_owned(), "b".into(), "c".into(), "d".into()]]);
    file("d.rs", "pub type Far = u8;");
    file("b.rs", "pub fn g() { println!(\"{}\", crate::c::N); }");
    let uses = Crate::read(&scratch.path().join("lib.rs")).uses(&["lib"]);
    assert!(circles(&uses).is_empty(), "{uses:?}");
}
