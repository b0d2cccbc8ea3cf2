//! Lists the templates, so that each file in `templates/` is embedded by being there.

use std::fmt::Write;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Error> {
    println!("cargo::rerun-if-changed=templates");
    let var = |name| env::var_os(name).map(PathBuf::from).ok_or_else(|| Error::other(name));
    let root = var("CARGO_MANIFEST_DIR")?.join("templates");
    let mut files = Vec::new();
    find(&root, &mut files)?;
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&root).map_err(Error::other)?;
        let name = name.to_string_lossy().replace('\\', "/");
        writeln!(list, "    ({name:?}, include_str!({:?})),", file.to_string_lossy())
            .map_err(Error::other)?;
    }
    list.push_str("]\n");
    fs::write(var("OUT_DIR")?.join("templates.rs"), list)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { find(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
