//! The folder of a demo.

use anyhow::Context;
use std::{
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Where the demo keeps everything.
pub(super) struct DemoFolder {
    pub(super) root: PathBuf,
}

impl DemoFolder {
    pub(super) fn open(root: &Path) -> anyhow::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(root).with_context(|| format!("cannot make the folder {}", root.display()))?;
        let folder = Self { root: root.canonicalize()? };
        builder.create(folder.server())?;
        Ok(folder)
    }

    pub(super) fn server(&self) -> PathBuf {
        self.root.join("server")
    }

    pub(super) fn agent(&self) -> PathBuf {
        self.root.join("agent")
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.root.join("repository")
    }

    pub(super) fn agent_log(&self) -> PathBuf {
        self.root.join("agent.log")
    }
}
