//! The modules of a crate and which of them use which, read from the sources with `syn`.
//!
//! A module here is a file. What a module uses is where the names in its paths are defined, through all `use` and
//! `pub use` on the way; what is compiled for tests only does not count, nor what a facade uses, since it is there to
//! know all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use syn::visit::{self, Visit};

/// A module's path below the crate: `["store", "writer"]`.
type Name = Vec<String>;

#[derive(Debug, Default)]
struct Module {
    children: BTreeSet<String>,
    /// What a name stands for here: the path as written.
    imports: BTreeMap<String, Vec<String>>,
    /// What is imported whole.
    globs: Vec<Vec<String>>,
    /// All paths in it, with the module in which they are written.
    paths: BTreeSet<Vec<String>>,
    items: BTreeSet<String>,
    /// The structs, enums and traits among them, once for each that there is.
    types: Vec<String>,
}

/// The modules of one crate.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    modules: BTreeMap<Name, Module>,
}

impl Crate {
    /// Reads a crate's sources, `root` its `lib.rs` or `main.rs`.
    pub(crate) fn read(root: &Path) -> Self {
        let mut found = Self::default();
        let folder = root.parent().expect("a folder");
        found.read_file(root, folder, &Vec::new());
        found
    }

    fn read_file(&mut self, file: &Path, folder: &Path, name: &Name) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut reader = Reader { module: Module::default(), inner: Vec::new() };
        reader.visit_file(&parsed);
        let Reader { module, inner } = reader;
        assert!(inner.is_empty());
        let children: Vec<String> = module.children.iter().cloned().collect();
        self.modules.insert(name.clone(), module);
        for child in children {
            let mut below = name.clone();
            below.push(child.clone());
            let own = folder.join(format!("{child}.rs"));
            let within = folder.join(&child);
            let path = if own.is_file() { own } else { within.join("mod.rs") };
            self.read_file(&path, &within, &below);
        }
    }

    /// The module in which a path that is written in `at` ends.
    fn resolve(&self, at: &[String], path: &[String], depth: usize) -> Option<Name> {
        if depth > 16 {
            return None;
        }
        let mut here: Name = at.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                here.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    here.pop()?;
                    rest = &rest[1..];
                }
            }
            // A name of the prelude or of another crate, unless it is one of here.
            first => {
                let module = self.modules.get(at)?;
                let is_known = module.children.contains(first)
                    || module.imports.contains_key(first)
                    || module.items.contains(first)
                    || !module.globs.is_empty();
                if !is_known {
                    return None;
                }
            }
        }
        let mut is_here = false;
        while let Some((part, below)) = rest.split_first() {
            let module = self.modules.get(&here)?;
            if module.children.contains(part) {
                here.push(part.clone());
            } else if let Some(import) = module.imports.get(part) {
                let mut way = import.clone();
                way.extend(below.iter().cloned());
                return self.resolve(&here, &way, depth + 1);
            } else if module.items.contains(part) {
                is_here = true;
                break;
            } else {
                for glob in &module.globs {
                    let mut way = glob.clone();
                    way.extend(rest.iter().cloned());
                    if let Some(found) = self.resolve(&here, &way, depth + 1) {
                        return Some(found);
                    }
                }
                return None;
            }
            rest = below;
        }
        // A module by itself is only a way to what is in it.
        is_here.then_some(here)
    }

    /// The structs, enums and traits that are defined, with the module of each.
    pub(crate) fn types(&self) -> impl Iterator<Item = (&str, String)> {
        self.modules.iter().flat_map(|(name, module)| {
            let module_name = in_words(name);
            module.types.iter().map(move |it| (it.as_str(), module_name.clone()))
        })
    }

    /// Which module uses which, but for the facades.
    pub(crate) fn uses(&self, facades: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        let mut all = BTreeMap::new();
        for (name, module) in &self.modules {
            let mut used = BTreeSet::new();
            let imported = module.imports.values().chain(&module.globs);
            for path in module.paths.iter().chain(imported) {
                if let Some(found) = self.resolve(name, path, 0).filter(|found| found != name) {
                    used.insert(in_words(&found));
                }
            }
            if facades.contains(&in_words(name).as_str()) {
                used.clear();
            }
            all.insert(in_words(name), used);
        }
        all
    }
}

fn in_words(name: &[String]) -> String {
    if name.is_empty() { "lib".to_owned() } else { name.join("::") }
}

/// The circles: sets of modules each of which uses, by way of the others, itself. The largest first.
pub(crate) fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = uses
        .keys()
        .map(|from| {
            let mut seen = BTreeSet::new();
            let mut next: Vec<&String> = uses[from].iter().collect();
            while let Some(module) = next.pop() {
                if seen.insert(module) {
                    next.extend(uses.get(module).into_iter().flatten());
                }
            }
            (from, seen)
        })
        .collect();
    let mut left: BTreeSet<&String> = uses.keys().collect();
    let mut circles = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut circle = vec![first.clone()];
        if reach[first].contains(first) {
            let mates: Vec<&String> = left
                .iter()
                .copied()
                .filter(|mate| reach[first].contains(mate) && reach[mate].contains(first))
                .collect();
            for mate in mates {
                left.remove(mate);
                circle.push(mate.clone());
            }
        }
        if circle.len() > 1 {
            circles.push(circle);
        }
    }
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

/// Collects what one file says.
struct Reader {
    module: Module,
    /// The modules within the file in which the reader is.
    inner: Vec<String>,
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Meta>().is_ok_and(|meta| meta.path().is_ident("test"))
    })
}

impl Reader {
    fn import(&mut self, tree: &syn::UseTree, way: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                way.push(path.ident.to_string());
                self.import(&path.tree, way);
                way.pop();
            }
            syn::UseTree::Name(name) => {
                let name = name.ident.to_string();
                let mut path = way.clone();
                let own = if name == "self" {
                    path.last().cloned()
                } else {
                    path.push(name.clone());
                    Some(name)
                };
                if let Some(own) = own {
                    self.module.imports.insert(own, path);
                }
            }
            syn::UseTree::Rename(rename) => {
                let mut path = way.clone();
                path.push(rename.ident.to_string());
                // `as _` brings a trait in: a name that nobody can write.
                self.module.imports.insert(format!("{}", rename.rename), path);
            }
            syn::UseTree::Glob(_) => self.module.globs.push(way.clone()),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, way);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        use syn::Item;
        let (attributes, name) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Mod(item) => (&item.attrs, None),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Use(item) => (&item.attrs, None),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            _ => return visit::visit_item(self, item),
        };
        if is_for_tests(attributes) {
            return;
        }
        if let Some(name) = name {
            self.module.items.insert(name.to_string());
            if let Item::Enum(_) | Item::Struct(_) | Item::Trait(_) = item {
                self.module.types.push(name.to_string());
            }
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        match &item.content {
            None => {
                self.module.children.insert(item.ident.to_string());
            }
            // A module within the file is part of the file.
            Some(_) => {
                self.module.items.insert(item.ident.to_string());
                visit::visit_item_mod(self, item);
            }
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut way = Vec::new();
        self.import(&item.tree, &mut way);
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        if let syn::ImplItem::Fn(function) = item
            && is_for_tests(&function.attrs)
        {
            return;
        }
        visit::visit_impl_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.module.paths.insert(path.segments.iter().map(|part| part.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        // The tokens of a macro may hold paths: all that begin as such are taken for them.
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut next = vec![item.tokens.clone().into_iter()];
        let mut done = Vec::new();
        while let Some(stream) = next.last_mut() {
            match stream.next() {
                Some(proc_macro2::TokenTree::Ident(ident)) => {
                    if colons != 2 {
                        done.push(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                Some(proc_macro2::TokenTree::Punct(punct)) if punct.as_char() == ':' => colons += 1,
                Some(proc_macro2::TokenTree::Group(group)) => {
                    done.push(std::mem::take(&mut path));
                    colons = 0;
                    next.push(group.stream().into_iter());
                }
                Some(_) => {
                    done.push(std::mem::take(&mut path));
                    colons = 0;
                }
                None => {
                    done.push(std::mem::take(&mut path));
                    next.pop();
                }
            }
        }
        self.module.paths.extend(done.into_iter().filter(|path| !path.is_empty()));
        visit::visit_macro(self, item);
    }
}
