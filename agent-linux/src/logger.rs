//! Log lines on standard error: level and text. Whoever runs the agent (systemd, syslog, a terminal) adds the time.

use std::{
    fmt,
    sync::atomic::{AtomicU8, Ordering},
};

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something does not work.
    Error = 0,
    /// Something is not as it should be.
    Warn = 1,
    /// The normal course of events.
    Info = 2,
    /// Each step in detail, for finding faults.
    Debug = 3,
}

impl Level {
    /// The level of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "error" => Some(Self::Error),
            "warn" => Some(Self::Warn),
            "info" => Some(Self::Info),
            "debug" => Some(Self::Debug),
            _ => None,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

static MAX: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Lines less important than this are left out from now on.
pub fn set_max(level: Level) {
    MAX.store(level as u8, Ordering::Relaxed);
}

/// Writes one line.
pub fn log(level: Level, text: fmt::Arguments<'_>) {
    if level as u8 <= MAX.load(Ordering::Relaxed) {
        use std::io::Write as _;
        // Nobody to tell when standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "holdfast-agent {}: {text}", level.word());
    }
}

/// Something does not work.
pub fn error(text: fmt::Arguments<'_>) {
    log(Level::Error, text);
}

/// Something is not as it should be.
pub fn warn(text: fmt::Arguments<'_>) {
    log(Level::Warn, text);
}

/// Logs a line of level [`Level::Info`].
pub fn info(text: fmt::Arguments<'_>) {
    log(Level::Info, text);
}

/// Logs a line of level [`Level::Debug`].
pub fn debug(text: fmt::Arguments<'_>) {
    log(Level::Debug, text);
}
