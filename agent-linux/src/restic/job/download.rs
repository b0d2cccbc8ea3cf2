//! A download: what it is about is looked at first, then restic gives it and it is passed on.

use super::{
    super::{
        event::JobEvent,
        outcome::{Stop, UNHEARD, Verdict},
        pump::Next,
        step::Step,
        summary::JobSummary,
    },
    Job,
    prepare::refused_args,
};
use crate::restic::args::ArgsError;
use schema::{Class, OsText, Outcome, report::EntryKind};

impl Job<'_> {
    pub(super) async fn download(&mut self, steps: &[Step], path: OsText<'_>, archive: bool) -> Verdict {
        let [look, dump] = steps else { return refused_args(&ArgsError::NoPaths) };
        let mut size = None;
        // The root is there in any snapshot, and is named in none.
        if path.as_bytes() != b"/" || !archive {
            if !self.places.small {
                // Each start of restic takes most of a second of a processor, for the key: both at once. What it gives
                // goes nowhere before its turn.
                self.wires.next = Some(Next::Asked(dump.clone()));
            }
            let looked = self.main_step(look).await;
            let why = match looked.is_ok() {
                true => is_other(path, archive, looked.found.folder),
                false => Some(looked.verdict),
            };
            if let Some(why) = why {
                self.wires.end_next().await;
                return why;
            }
            size = (!archive).then_some(looked.found.file_bytes);
        }
        // Whoever runs the job hears it to its end, or ends it.
        let _ = self.wires.events.send(JobEvent::Begin(size)).await;
        self.wires.expected_bytes = size.unwrap_or(0);
        let dumped = self.main_step_once(dump).await;
        let bytes = dumped.found.passed_bytes;
        self.summary = JobSummary::Download(bytes);
        if dumped.verdict.outcome != Outcome::Succeeded {
            return dumped.verdict;
        }
        // restic came to its end, but not all that it gave was taken.
        match self.wires.stop {
            None => {}
            Some(Stop::Cancelled) => {
                let message = "The download was ended before it was done.".to_owned();
                return Verdict { outcome: Outcome::Cancelled, class: Some(Class::Cancelled), message };
            }
            Some(_) => return Verdict::failed(Class::Network, UNHEARD),
        }
        if let Some(size) = size.filter(|&size| size != bytes) {
            let message = format!(
                "restic gave {bytes} bytes of a file that has {size} in the snapshot, so it is not whole. Run a check of the repository."
            );
            return Verdict::failed(Class::Damaged, &message);
        }
        let _ = self.wires.events.send(JobEvent::Whole).await;
        Verdict::succeeded()
    }
}

/// Why it can't be downloaded in this form.
fn is_other(path: OsText<'_>, archive: bool, found: Option<EntryKind>) -> Option<Verdict> {
    let why = match (found, archive) {
        (Some(EntryKind::Folder), true) | (Some(EntryKind::File), false) => return None,
        (None, _) => {
            return Some(Verdict::failed(Class::NotInSnapshot, &format!("The snapshot holds no {path}.")));
        }
        (Some(EntryKind::Folder), false) => "is a folder: download it as an archive, tar.gz or zip.",
        (Some(EntryKind::File), true) => "is a file: download it as it is, raw.",
        (Some(EntryKind::Symlink | EntryKind::Other), _) => {
            "is neither a file nor a folder, so there is nothing to download."
        }
    };
    Some(Verdict::failed(Class::NotDownloadable, &format!("{path} {why}")))
}
