//! A clock that is wrong, and can be set, for one program alone: its calls of libc are answered by a small library that
//! adds the seconds of a file.

use crate::{process::run, wait::SOON};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long ahead(void) {
    char text[32];
    const char *path = getenv("CLOCK_AHEAD_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    long got = read(file, text, sizeof text - 1);
    close(file);
    if (got <= 0) return 0;
    text[got] = 0;
    return atol(text);
}

int clock_gettime(clockid_t id, struct timespec *at) {
    int result = syscall(SYS_clock_gettime, id, at);
    if (result == 0 && id == CLOCK_REALTIME) at->tv_sec += ahead();
    return result;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"#;

/// A wrong clock.
#[derive(Debug)]
pub struct WrongClock {
    library: PathBuf,
    file: PathBuf,
}

impl WrongClock {
    /// One that is right, until it is set.
    ///
    /// # Panics
    /// When the library can't be made: that takes a C compiler, as building this project does.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        fs::write(&source, SOURCE).expect("a file in the scratch folder");
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
        let _ = run("cc", command, SOON).expect_success("a library that answers for the clock");
        let clock = Self { library, file: folder.join("ahead") };
        clock.set_ahead(0);
        clock
    }

    /// Sets it: ahead of the right time by so many seconds, or behind.
    ///
    /// # Panics
    /// When the file can't be written.
    pub fn set_ahead(&self, secs: i64) {
        let new = self.file.with_extension("new");
        fs::write(&new, secs.to_string()).expect("a file in the scratch folder");
        fs::rename(&new, &self.file).expect("a name in the scratch folder");
    }

    /// What a program that goes by it has in its environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, OsString)> {
        let set = |name: &str, value: &Path| (name.to_owned(), value.as_os_str().to_owned());
        vec![set("LD_PRELOAD", &self.library), set("CLOCK_AHEAD_FILE", &self.file)]
    }

    /// A wrapper that lets a program go by it.
    #[must_use]
    pub fn wrapper(&self) -> Vec<OsString> {
        let set = |(name, value): (String, OsString)| {
            let mut text = OsString::from(name + "=");
            text.push(value);
            text
        };
        std::iter::once("env".into()).chain(self.environment().into_iter().map(set)).collect()
    }
}
