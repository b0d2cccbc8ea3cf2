use agent_core::{Body, Cause, Change, Record, Safety, Saved, Stored, Ticket};
use agent_linux::{
    journal::{
        FILE, Journal, MAX_LIVE_BYTES, OpenedJournal,
        replay::{Condition, Fresh, replay},
    },
    reports::{self, Chunk, Content, Line},
    state_folder::StateFolder,
};
use proptest::prelude::*;
use schema::{
    Class, Epoch, JobId, JobKind, LogStream, Outcome, Refusal, Report, ReportBody, ReportSeq, Slot,
    SlotRevision, Stream, Timestamp, report::Trouble,
};
use std::fs;
use tempfile::TempDir;

const FRESH: Fresh = Fresh { stream: Stream(7), epoch: Epoch(1000) };

struct Book {
    folder: TempDir,
    journal: Journal,
    saved: Saved,
}

fn state_in(folder: &TempDir) -> StateFolder {
    StateFolder::open_or_make(&folder.path().join("state")).expect("a state folder")
}

fn book() -> Book {
    book_with(MAX_LIVE_BYTES)
}

fn book_with(max_live_bytes: u64) -> Book {
    let folder = TempDir::new().expect("a folder");
    let opened = Journal::open_with(&state_in(&folder), FRESH, max_live_bytes).expect("opens");
    let OpenedJournal { journal, saved, .. } = opened;
    Book { folder, journal, saved }
}

impl Book {
    fn state(&self) -> StateFolder {
        state_in(&self.folder)
    }

    fn write(&mut self, change: Change, body: Option<Body>, chunk: Option<&Chunk>, spec: &[u8]) -> Stored {
        let begins = matches!(change, Change::Queued(_) | Change::Started(_));
        let safety = if begins { Safety::OnDisk } else { Safety::Kept };
        let report = body.map(|body| (self.saved.last_report.next(), body));
        let record = Record { taken: self.saved.taken.next(), at: Timestamp(5), change, report, safety };
        let content = Content { chunk, ..Content::default() };
        let bytes = reports::encode(self.saved.stream, &record, &content).unwrap_or_default();
        let stored = self.journal.append(&record, spec, &bytes, &self.saved);
        if stored != Stored::Not {
            self.saved.apply(&record);
        }
        stored
    }

    fn queue(&mut self, number: u8) -> Stored {
        let ticket = ticket(number);
        let body = Body::Accepted { job: ticket.job, behind: 0 };
        self.write(Change::Queued(ticket), Some(body), None, &[number; 40])
    }

    fn start(&mut self, number: u8) -> Stored {
        let job = job(number);
        self.write(Change::Started(job), Some(Body::Started { job }), None, &[])
    }

    fn finish(&mut self, number: u8) -> Stored {
        let job = job(number);
        let cause = Cause::Ran { outcome: Outcome::Failed, class: Some(Class::Network), stop: None };
        self.write(Change::Ended(job), Some(Body::Finished { job, cause }), None, &[])
    }

    fn log(&mut self, number: u8, bytes: usize) -> Stored {
        let line = Line { after_ms: 1, stream: LogStream::Out, text: "x".repeat(bytes) };
        let chunk = Chunk::Log { first_line: 0, lines: vec![line; 8] };
        let body = Body::Chunk { job: job(number), expendable: true };
        self.write(Change::None, Some(body), Some(&chunk), &[])
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.state().file(FILE)).expect("a journal file")
    }

    fn reopen(self) -> (OpenedJournal, TempDir) {
        let Self { folder, journal, .. } = self;
        drop(journal);
        let opened = Journal::open(&state_in(&folder), Fresh { stream: Stream(8), epoch: Epoch(2000) })
            .expect("opens");
        (opened, folder)
    }
}

fn job(number: u8) -> JobId {
    JobId([number; 16])
}

fn ticket(number: u8) -> Ticket {
    let expires_at = Timestamp(99);
    Ticket {
        job: job(number),
        kind: JobKind::Backup,
        urgent: false,
        expires_at,
        deadline_secs: 0,
        group: None,
        own: false,
        for_other: false,
        taken_at: Timestamp(5),
    }
}

fn body_of(bytes: &[u8]) -> String {
    let report: Report<'_> = schema::decode(bytes).expect("a report");
    match report.body {
        ReportBody::Finished(finished) => format!("{} finished {:?}", report.seq, finished.outcome),
        ReportBody::Accepted { .. } => format!("{} accepted", report.seq),
        ReportBody::Started { .. } => format!("{} started", report.seq),
        ReportBody::Log { .. } => format!("{} log", report.seq),
        other => format!("{} {other:?}", report.seq),
    }
}

#[test]
fn what_was_written_is_there_after_a_clean_end() {
    let mut book = book();
    assert_eq!((book.queue(1), book.start(1), book.queue(2), book.finish(1)), {
        use Stored::OnDisk;
        (OnDisk, OnDisk, OnDisk, OnDisk)
    });
    let saved = book.saved.clone();
    let Book { folder, journal, .. } = book;
    journal.close(&saved);
    let opened = Journal::open(&state_in(&folder), FRESH).expect("opens");
    assert_eq!(opened.condition, Condition::Clean);
    assert_eq!(opened.saved, saved);
    assert_eq!(opened.journal.spec(job(2)), Some(vec![2; 40]));
    assert_eq!(opened.journal.spec(job(1)), None);
    let bodies: Vec<_> =
        (1..=4).map(|seq| body_of(&opened.journal.report(ReportSeq(seq)).expect("a report"))).collect();
    assert_eq!(bodies, ["1 accepted", "2 started", "3 accepted", "4 finished Failed"]);
    assert_eq!(opened.journal.report(ReportSeq(5)), None);
}

#[test]
fn after_a_kill_numbers_and_epochs_are_skipped_and_nothing_else_changes() {
    let mut book = book();
    book.queue(1);
    book.start(1);
    let before = book.saved.clone();
    let (opened, _folder) = book.reopen();
    assert_eq!(opened.condition, Condition::Ended);
    assert_eq!(opened.saved.stream, before.stream);
    assert_eq!(
        (opened.saved.last_report, opened.saved.epoch),
        (before.last_report.plus(16), before.epoch.plus(1024))
    );
    assert_eq!((opened.saved.held, opened.saved.taken), (before.held, before.taken));
    assert_eq!(opened.journal.report(ReportSeq(3)), None);
    assert_eq!(body_of(&opened.journal.report(ReportSeq(2)).expect("still there")), "2 started");
}

#[test]
fn cut_after_every_byte_the_journal_says_what_was_complete() {
    let mut book = book();
    let head = book.bytes().len();
    let mut sums = vec![(head, book.saved.clone())];
    book.queue(1);
    sums.push((book.bytes().len(), book.saved.clone()));
    book.start(1);
    sums.push((book.bytes().len(), book.saved.clone()));
    book.log(1, 20);
    sums.push((book.bytes().len(), book.saved.clone()));
    book.finish(1);
    sums.push((book.bytes().len(), book.saved.clone()));
    let bytes = book.bytes();
    for cut in head..=bytes.len() {
        let replayed = replay(&bytes[..cut], FRESH);
        let (_, expected) = sums.iter().rev().find(|(length, _)| *length <= cut).expect("at least the head");
        assert_eq!(replayed.condition, Condition::Ended, "cut at {cut}");
        assert_eq!(replayed.saved.taken, expected.taken, "cut at {cut}");
        assert_eq!(replayed.saved.last_report, expected.last_report.plus(16), "cut at {cut}");
        assert_eq!(replayed.saved.held, expected.held, "cut at {cut}");
        assert_eq!(replayed.saved.known, expected.known, "cut at {cut}");
    }
    for cut in 0..head {
        let replayed = replay(&bytes[..cut], FRESH);
        assert_eq!(replayed.condition, Condition::Damaged, "cut at {cut}");
        assert_eq!(replayed.saved.stream, FRESH.stream);
    }
}

#[test]
fn with_any_byte_flipped_no_job_runs_again_and_no_number_is_used_twice() {
    let mut book = book();
    book.queue(1);
    book.start(1);
    book.queue(2);
    book.finish(1);
    let bytes = book.bytes();
    for at in 0..bytes.len() {
        for bit in [1, 0x80] {
            let mut flipped = bytes.clone();
            flipped[at] ^= bit;
            let replayed = replay(&flipped, Fresh { stream: Stream(8), epoch: Epoch(5000) });
            let saved = &replayed.saved;
            let waits =
                |number| saved.held.iter().any(|e| e.ticket.job == job(number) && e.started_at.is_none());
            assert!(!waits(1), "byte {at}: job 1 would run again");
            let same_stream = saved.stream == Stream(7);
            assert_eq!(same_stream, replayed.condition != Condition::Damaged, "byte {at}");
            if same_stream {
                assert!(
                    saved.last_report >= ReportSeq(4) && saved.epoch > Epoch(1000),
                    "byte {at}: {saved:?}"
                );
            } else {
                assert_eq!(saved.last_report, ReportSeq(replayed.reports.len() as u64), "byte {at}");
                assert!(saved.epoch >= Epoch(1024), "byte {at}: {saved:?}");
            }
            // What is left can be read, and stands under its number.
            for (seq, (_, report)) in &replayed.reports {
                if !report.is_empty() {
                    let report: Report<'_> = schema::decode(report).expect("a report");
                    assert_eq!((report.seq, report.stream), (*seq, saved.stream), "byte {at}");
                }
            }
        }
    }
}

#[test]
fn a_damaged_journal_is_kept_aside_and_its_results_go_on_in_a_new_stream() {
    let mut book = book();
    book.queue(1);
    book.start(1);
    book.finish(1);
    book.queue(2);
    let mut bytes = book.bytes();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xFF;
    let Book { folder, journal, .. } = book;
    drop(journal);
    let state = state_in(&folder);
    fs::write(state.file(FILE), &bytes).expect("written");
    let opened = Journal::open(&state, Fresh { stream: Stream(8), epoch: Epoch(2000) }).expect("opens");
    assert_eq!((opened.condition, opened.saved.stream), (Condition::Damaged, Stream(8)));
    assert_eq!(fs::read(state.file("journal.damaged")).expect("kept"), bytes);
    assert!(opened.saved.last_report >= ReportSeq(2));
    let bodies: Vec<_> = ReportSeq(1)
        .through(opened.saved.last_report)
        .map(|seq| body_of(&opened.journal.report(seq).expect("a report")))
        .collect();
    assert!(bodies.iter().any(|body| body.contains("accepted")), "{bodies:?}");
    // Damaged once, not twice: the new file is whole.
    drop(opened);
    let again = Journal::open(&state, FRESH).expect("opens");
    assert_eq!((again.condition, again.saved.stream), (Condition::Ended, Stream(8)));
}

#[test]
fn acked_reports_are_gone_and_the_file_does_not_grow_for_ever() {
    let mut book = book();
    let mut largest = 0;
    for round in 0..400 {
        assert_eq!(book.log(1, 1000), Stored::OnDisk, "round {round}");
        let through = book.saved.last_report;
        assert_ne!(book.write(Change::Acked(through), None, None, &[]), Stored::Not);
        assert_eq!(book.journal.report(through), None);
        largest = largest.max(book.bytes().len());
    }
    assert!(largest < 400 * 1024, "{largest}");
    assert_eq!(book.saved.acked, ReportSeq(400));
}

#[test]
fn when_space_runs_out_logs_are_given_up_and_results_never() {
    let mut book = book_with(256 * 1024);
    book.queue(1);
    book.start(1);
    for _ in 0..200 {
        assert_eq!(book.log(1, 1500), Stored::OnDisk);
    }
    assert_eq!(book.finish(1), Stored::OnDisk);
    assert!(book.bytes().len() < 1024 * 1024, "{}", book.bytes().len());
    let last = book.saved.last_report;
    let kept = |book: &Journal| ReportSeq(1).through(last).filter(|seq| book.report(*seq).is_some()).count();
    assert!(kept(&book.journal) < 60, "{}", kept(&book.journal));
    for seq in [ReportSeq(1), ReportSeq(2), last] {
        assert!(book.journal.report(seq).is_some(), "result {seq} is gone");
    }
    let stays = kept(&book.journal);
    let (opened, _folder) = book.reopen();
    assert!(kept(&opened.journal) >= stays);
    assert_eq!(body_of(&opened.journal.report(last).expect("the result")), format!("{last} finished Failed"));
}

#[test]
fn full_of_results_it_takes_no_new_job_but_the_ends_of_old_ones() {
    let mut book = book_with(8 * 1024);
    let mut taken = 0;
    while book.queue(1) == Stored::OnDisk {
        book.finish(1);
        taken += 1;
        assert!(taken < 1000, "never full");
    }
    assert!(taken > 10, "{taken}");
    assert_eq!(book.write(Change::Refused(job(3)), Some(refused(3)), None, &[]), Stored::OnDisk);
}

fn refused(number: u8) -> Body {
    Body::Refused { job: job(number), reason: Refusal::QueueFull }
}

#[test]
fn a_disk_that_takes_nothing_keeps_results_in_memory_and_writes_them_later() {
    let mut book = book();
    book.queue(1);
    book.start(1);
    let (state, Book { folder, journal, .. }) = (book.state(), book);
    drop(journal);
    // A folder in the way of the new file: every attempt to write it fails, for root, too.
    let way = state.file("journal.new");
    fs::create_dir(&way).expect("a folder in the way");
    let OpenedJournal { journal, saved, .. } =
        Journal::open(&state, Fresh { stream: Stream(8), epoch: Epoch(9_000) }).expect("opens");
    // What is said now may be forgotten: it is said under another name, and with a higher epoch.
    assert_eq!((saved.stream, saved.last_report, saved.epoch), (Stream(8), ReportSeq(2), Epoch(9_000)));
    let mut book = Book { folder, journal, saved };
    assert_eq!(book.finish(1), Stored::InMemory);
    assert_eq!(book.queue(2), Stored::Not);
    for number in 0..15 {
        let stored = book.write(Change::Refused(job(100 + number)), Some(refused(100 + number)), None, &[]);
        assert_eq!(stored, Stored::InMemory, "{number}");
    }
    assert_eq!(book.write(Change::Refused(job(99)), Some(refused(99)), None, &[]), Stored::Not);
    assert!(!book.journal.is_on_disk() && !book.journal.retry(&book.saved));
    assert_eq!(body_of(&book.journal.report(ReportSeq(3)).expect("from memory")), "3 finished Failed");
    fs::remove_dir(&way).expect("out of the way");
    assert!(book.journal.retry(&book.saved) && book.journal.is_on_disk());
    assert_eq!(book.queue(2), Stored::OnDisk);
    let last = book.saved.last_report;
    let (opened, _folder) = book.reopen();
    assert_eq!(opened.saved.last_report, last.plus(16));
    assert_eq!(body_of(&opened.journal.report(ReportSeq(3)).expect("on disk")), "3 finished Failed");
}

#[test]
fn slots_and_troubles_are_remembered() {
    let mut book = book();
    let change = Change::Slot { slot: Slot::Admin, revision: SlotRevision(3), filled: true };
    let body = Body::ConfigApplied { slot: Slot::Admin, revision: SlotRevision(3), refused: None };
    book.write(change, Some(body), None, &[]);
    book.write(Change::None, Some(Body::Trouble(Trouble::StateFolder)), None, &[]);
    let (opened, _folder) = book.reopen();
    assert_eq!(opened.saved.slot(Slot::Admin).revision, SlotRevision(3));
    assert!(body_of(&opened.journal.report(ReportSeq(2)).expect("a report")).contains("StateFolder"));
}

proptest! {
    #[test]
    fn garbage_is_a_damaged_journal_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 1..600)) {
        prop_assert_eq!(replay(&bytes, FRESH).condition, Condition::Damaged);
    }

    #[test]
    fn a_journal_with_garbage_in_it_never_panics_and_keeps_its_numbers(
        at in 0..1000_usize, garbage in prop::collection::vec(any::<u8>(), 0..40), cut in 0..60_usize
    ) {
        let mut book = book();
        book.queue(1);
        book.start(1);
        book.log(1, 10);
        book.finish(1);
        let mut bytes = book.bytes();
        let at = at % bytes.len();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, garbage);
        let replayed = replay(&bytes, Fresh { stream: Stream(8), epoch: Epoch(5000) });
        let saved = &replayed.saved;
        let seqs: Vec<ReportSeq> = replayed.reports.keys().copied().collect();
        let expected: Vec<ReportSeq> = saved.acked.next().through(saved.last_report).collect();
        prop_assert_eq!(seqs, expected);
        prop_assert!(!saved.held.iter().any(|e| e.ticket.job == job(1) && e.started_at.is_none())
            || replayed.saved.last_report <= ReportSeq(17), "{:?}", saved);
    }
}
