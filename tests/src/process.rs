//! Processes that a test starts: their words are kept, and none outlives its test.

use crate::{
    proc_table,
    wait::{self, SOON},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader, Read, Seek, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// How many lines a failed test shows of each process.
const LAST_WORDS: usize = 60;

/// What a process has said so far, on both its outputs.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// All lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All lines as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    fn follow(&self, output: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                log.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }
}

/// A process with its log. Dropped, it is killed with everything it started.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Log,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`; `name` is for messages.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start(name: &str, command: Command) -> Self {
        Self::start_reading(name, command, Stdio::null())
    }

    fn start_reading(name: &str, mut command: Command, input: Stdio) -> Self {
        // It stays in the test's process group: what ends the test from outside ends it too.
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{name} does not start ({command:?}): {error}"));
        let log = Log::default();
        if let Some(output) = child.stdout.take() {
            log.follow(output);
        }
        if let Some(output) = child.stderr.take() {
            log.follow(output);
        }
        Self { name: name.to_owned(), child, log, ended: None }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Waits for a line from which `find` makes something.
    ///
    /// # Panics
    /// At the deadline, and at once when the process ends without that line.
    #[track_caller]
    pub fn line<T>(&mut self, what: &str, limit: Duration, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let (name, log) = (self.name.clone(), self.log.clone());
        wait::until(&format!("{what} from {name}"), limit, || {
            let ended = self.ended();
            if let Some(found) = log.lines().iter().find_map(|line| find(line)) {
                return Ok(found);
            }
            assert!(ended.is_none(), "{name} ended ({ended:?}) without {what}:\n{}", log.text());
            Err(log.lines().last().cloned().unwrap_or_else(|| "it has said nothing".to_owned()))
        })
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn end(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait::until(&format!("the end of {name}"), limit, || self.ended().ok_or_else(|| "it runs".to_owned()))
    }

    /// `kill -9`, of this process alone, and reaps it.
    pub fn kill_9(&mut self) {
        self.signal(Signal::KILL);
        self.end(SOON);
    }

    /// Asks it to stop, and waits until it has.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.end(SOON)
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none()
            && let Some(pid) = pid_of(self.pid())
        {
            // It may end in this very moment.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            let lines = self.log.lines();
            eprintln!("── {} (pid {}, {:?}), its last words:", self.name, self.pid(), self.ended);
            for line in lines.iter().skip(lines.len().saturating_sub(LAST_WORDS)) {
                eprintln!("   {line}");
            }
        }
        let family = proc_table::descendants(self.pid());
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        for orphan in family.iter().filter_map(|seen| pid_of(seen.pid)) {
            let _ = kill_process(orphan, Signal::KILL);
        }
    }
}

fn pid_of(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// Runs a command to its end.
///
/// # Panics
/// When it can't be started, or takes longer than `limit`.
#[track_caller]
#[must_use]
pub fn run(name: &str, command: Command, limit: Duration) -> Finished {
    finish(Process::start(name, command), limit)
}

/// The same, with a text to read on its input.
///
/// # Panics
/// As [`run`].
#[track_caller]
#[must_use]
pub fn run_reading(name: &str, command: Command, input: &str, limit: Duration) -> Finished {
    // A file, so that nobody has to write while it runs; it has no name.
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(input.as_bytes()).expect("room for a short text");
    file.rewind().expect("a file that can be read");
    finish(Process::start_reading(name, command, Stdio::from(file)), limit)
}

#[track_caller]
fn finish(mut process: Process, limit: Duration) -> Finished {
    let status = process.end(limit);
    // The readers may still hold the last lines.
    let log = process.log.clone();
    wait::until_true("its outputs to be read", SOON, || Arc::strong_count(&log.0) <= 2);
    Finished { status, output: log.text() }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// What it said, on both outputs.
    pub output: String,
}

impl Finished {
    /// Its output, when it went well.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    #[must_use]
    pub fn expect_success(self, what: &str) -> String {
        assert!(self.status.success(), "{what}: {}\n{}", self.status, self.output);
        self.output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_are_kept_to_the_last_line() {
        let finished = run("a shell", shell("echo one; echo two >&2; printf three; exit 3"), SOON);
        assert_eq!(finished.status.code(), Some(3));
        for word in ["one", "two", "three"] {
            assert!(finished.output.contains(word), "{word} in {}", finished.output);
        }
    }

    #[test]
    fn an_input_is_read_to_its_end() {
        let finished = run_reading("a shell", shell("cat; echo behind"), "a secret\n", SOON);
        assert_eq!(finished.expect_success("cat"), "a secret\nbehind");
    }

    #[test]
    fn a_line_is_waited_for() {
        let mut process = Process::start("a shell", shell("echo a; echo port=42; sleep 600"));
        let port = process.line("its port", SOON, |line| line.strip_prefix("port=")?.parse::<u16>().ok());
        assert_eq!(port, 42);
        assert!(!process.terminate().success());
    }

    #[test]
    #[should_panic(expected = "without a line that never comes")]
    fn an_end_without_the_line_is_told_at_once() {
        Process::start("a shell", shell("exit 1")).line("a line that never comes", SOON, |_| None::<()>);
    }

    #[test]
    fn nothing_outlives_a_dropped_process() {
        let mut process = Process::start("a shell", shell("sleep 600 & echo child=$!; wait"));
        let child = process.line("its child", SOON, |line| line.strip_prefix("child=")?.parse::<u32>().ok());
        assert!(proc_table::runs(child));
        drop(process);
        wait::until_true("its child to be gone", SOON, || !proc_table::runs(child));
    }
}
