//! What stands in the state folders of agents must mean the same to each later program: postcard writes a variant by its
//! place, so that one that is moved, or put before others, would be read as another one.
//!
//! `agent-linux/tests/files/journal.golden` holds literal bytes of every enum that the journal stores. A new variant goes
//! behind the others; then `HOLDFAST_WRITE_GOLDENS=1` writes the file anew, and a diff must show new lines only.
//!
//! `journal-N.hex` is a whole journal of form N, whose meaning is in `journal-N.words`; form 1 is that of the commit 9245fd3.
//! When what is written differs from the newest of them: fix the code, or raise [`FORM`], have older forms read, and write
//! the goldens anew. What is kept of a form already is never written over.

use agent_core::{
    Body, Cause, Change, HeldEntry, Known, Record, Safety, Saved, SlotState, StopCause, TakenGroup, Ticket,
};
use agent_linux::journal::{
    frame::{self, Entry, Sort},
    replay::{Fresh, Replay, replay},
};
use schema::{
    Class, CommandSeq, Epoch, GroupKey, Incarnation, JobId, JobKind, Outcome, Refusal, ReportSeq, Slot,
    SlotRevision, Stream, Timestamp, report::Trouble,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fmt::{Debug, Write as _},
    fs,
    path::{Path, PathBuf},
};

/// The form of journals that is written. All of them are read.
const FORM: u32 = 2;
const JOB: JobId = JobId([0x0a; 16]);
const AT: Timestamp = Timestamp(1_750_000_000_123);

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// What is kept under this name; written first when that is asked for.
fn kept(name: &str, said: &str) -> String {
    if std::env::var_os("HOLDFAST_WRITE_GOLDENS").is_some() {
        fs::write(file(name), said).expect("a file");
    }
    fs::read_to_string(file(name)).expect("a kept file")
}

/// The same of a form, which stays what it is.
fn kept_for_ever(name: &str, said: &str) -> String {
    if std::env::var_os("HOLDFAST_WRITE_GOLDENS").is_some() && !file(name).exists() {
        fs::write(file(name), said).expect("a file");
    }
    fs::read_to_string(file(name)).expect("a kept file")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex");
    digits.chunks(2).map(pair).collect()
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, Vec::new()).expect("encodes")
}

struct Written(String);

impl Written {
    fn add<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, of: &str, value: &T) {
        let bytes = encoded(value);
        assert_eq!(&postcard::from_bytes::<T>(&bytes).expect("decodes"), value);
        let name = format!("{value:?}");
        let name = name.split([' ', '(', '{']).next().unwrap_or_default();
        writeln!(self.0, "{of}.{name} {}", hex(&bytes)).expect("text");
    }
}

/// Adds a value of each variant; one that is left out does not compile.
macro_rules! each {
    ($written:ident, $type:ident { $($variant:pat => $value:expr,)+ }) => {{
        let is_one = |value: &$type| match value { $($variant => {})+ };
        $({
            let value: $type = $value;
            is_one(&value);
            assert!(matches!(value, $variant), "{value:?}");
            $written.add(stringify!($type), &value);
        })+
    }};
}

fn ticket() -> Ticket {
    Ticket {
        job: JOB,
        kind: JobKind::Backup,
        urgent: true,
        expires_at: AT,
        deadline_secs: 3_600,
        group: Some(GroupKey::of("files")),
        own: true,
        for_other: true,
        taken_at: Timestamp(5),
    }
}

fn enums() -> String {
    let mut written = Written(String::new());
    each!(written, Change {
        Change::None => Change::None,
        Change::Epoch(_) => Change::Epoch(Epoch(300)),
        Change::Acked(_) => Change::Acked(ReportSeq(7)),
        Change::Queued(_) => Change::Queued(ticket()),
        Change::Refused(_) => Change::Refused(JOB),
        Change::Started(_) => Change::Started(JOB),
        Change::Ended(_) => Change::Ended(JOB),
        Change::Slot { .. } => Change::Slot { slot: Slot::Admin, revision: SlotRevision(3), filled: true },
        Change::Heard(_) => Change::Heard(Incarnation(1_795_392_000)),
    });
    let ran =
        Cause::Ran { outcome: Outcome::Failed, class: Some(Class::Network), stop: Some(StopCause::Deadline) };
    each!(written, Body {
        Body::Accepted { .. } => Body::Accepted { job: JOB, behind: 2 },
        Body::Own { .. } => Body::Own { job: JOB },
        Body::Refused { .. } => Body::Refused { job: JOB, reason: Refusal::Policy },
        Body::Started { .. } => Body::Started { job: JOB },
        Body::Chunk { .. } => Body::Chunk { job: JOB, expendable: true },
        Body::Finished { .. } => Body::Finished { job: JOB, cause: ran },
        Body::ConfigApplied { .. } => Body::ConfigApplied { slot: Slot::Repo, revision: SlotRevision(4), refused: Some(Refusal::StateFolder) },
        Body::NotUnderstood { .. } => Body::NotUnderstood { seq: CommandSeq(9) },
        Body::CancelMissed { .. } => Body::CancelMissed { job: JOB },
        Body::Trouble(_) => Body::Trouble(Trouble::StateFolder),
        Body::CredentialsHeld { .. } => Body::CredentialsHeld { job: JOB },
    });
    each!(written, Cause {
        Cause::Ran { .. } => ran,
        Cause::CancelledInQueue => Cause::CancelledInQueue,
        Cause::Restarted => Cause::Restarted,
    });
    each!(written, StopCause {
        StopCause::Cancel => StopCause::Cancel,
        StopCause::Deadline => StopCause::Deadline,
        StopCause::Shutdown => StopCause::Shutdown,
    });
    each!(written, Safety {
        Safety::OnDisk => Safety::OnDisk,
        Safety::Kept => Safety::Kept,
        Safety::Lazy => Safety::Lazy,
    });
    each!(written, Sort {
        Sort::Result => Sort::Result,
        Sort::Expendable => Sort::Expendable,
        Sort::Dropped => Sort::Dropped,
    });
    each!(written, Trouble {
        Trouble::JournalSetAside => Trouble::JournalSetAside,
        Trouble::StateFolder => Trouble::StateFolder,
        Trouble::CredentialsSetAside => Trouble::CredentialsSetAside,
        Trouble::StateFolderMended => Trouble::StateFolderMended,
    });
    each!(written, Outcome {
        Outcome::Succeeded => Outcome::Succeeded,
        Outcome::Warning => Outcome::Warning,
        Outcome::Failed => Outcome::Failed,
        Outcome::Cancelled => Outcome::Cancelled,
    });
    JobKind::ALL.iter().for_each(|kind| written.add("JobKind", kind));
    Class::ALL.iter().for_each(|class| written.add("Class", class));
    Refusal::ALL.iter().for_each(|refusal| written.add("Refusal", refusal));
    Slot::ALL.iter().for_each(|slot| written.add("Slot", slot));
    for (name, entry) in entries() {
        let name = format!("Entry.{name} {}", hex(&encoded(&entry)));
        writeln!(written.0, "{name}").expect("text");
    }
    written.0
}

fn saved() -> Saved {
    let mut saved = Saved::new(Stream(77));
    (saved.epoch, saved.taken) = (Epoch(400), CommandSeq(41));
    (saved.acked, saved.last_report) = (ReportSeq(11), ReportSeq(12));
    saved.held.push(HeldEntry { ticket: ticket(), started_at: Some(Timestamp(6)) }).expect("room");
    saved.known.push(Known { job: JobId([1; 16]), ended_by: Some(ReportSeq(11)) }).expect("room");
    let taken = TakenGroup {
        group: GroupKey::of("files"),
        at: AT,
        job: JOB,
        before: Some(Timestamp(4)),
        saved: Some(Timestamp(3)),
    };
    saved.groups.push(taken).expect("room");
    saved.slots = [
        SlotState { revision: SlotRevision(3), filled: true },
        SlotState { revision: SlotRevision(1), filled: false },
    ];
    saved.incarnation = Incarnation(1_795_392_000);
    saved
}

/// A whole journal, one entry of each sort in it.
fn entries() -> Vec<(&'static str, Entry<'static>)> {
    let second = JobId([0x0b; 16]);
    let queued = Record {
        taken: CommandSeq(42),
        at: AT,
        change: Change::Queued(Ticket { job: second, ..ticket() }),
        report: Some((ReportSeq(14), Body::Accepted { job: second, behind: 1 })),
        safety: Safety::OnDisk,
    };
    let entries = vec![
        ("Head", Entry::Head(Box::new(saved()))),
        ("Report", Entry::Report { seq: ReportSeq(12), sort: Sort::Result, report: b"a result" }),
        ("Spec", Entry::Spec { job: JOB, spec: b"what to do" }),
        ("Figures", Entry::Figures(b"what is known")),
        ("Record", Entry::Record { record: queued, spec: b"another", report: b"accepted" }),
        ("Closed", Entry::Closed),
    ];
    // One that is left out does not compile.
    for (_, entry) in &entries {
        match entry {
            Entry::Head(_) | Entry::Report { .. } | Entry::Spec { .. } => {}
            Entry::Figures(_) | Entry::Record { .. } | Entry::Closed => {}
        }
    }
    entries
}

#[test]
fn every_enum_of_the_journal_is_stored_as_it_always_was() {
    let said = enums();
    let kept = kept("journal.golden", &said);
    for (said, kept) in said.lines().zip(kept.lines()) {
        assert_eq!(said, kept);
    }
    assert_eq!(said.lines().count(), kept.lines().count());
}

#[test]
fn kept_journals_of_each_form_say_what_they_always_said() {
    let mut now = Vec::new();
    for (_, entry) in entries() {
        assert!(frame::write(&entry, &mut now));
    }
    for form in 1..=FORM {
        let file = bytes(&kept_for_ever(&format!("journal-{form}.hex"), &format!("{}\n", hex(&now))));
        let Replay { saved: found, reports, specs, figures, condition } =
            replay(&file, Fresh { stream: Stream(8), epoch: Epoch(2_000) });
        let specs: BTreeMap<JobId, Vec<u8>> = specs.into_iter().collect();
        let said = format!("{found:#?}\n{reports:?}\n{specs:?}\n{figures:?}\n{condition:?}\n");
        assert_eq!(said, kept_for_ever(&format!("journal-{form}.words"), &said), "form {form}");
        let is_as_now = file == now;
        assert_eq!(is_as_now, form == FORM, "what is written differs from form {FORM}: raise FORM");
    }
}

/// Of a head that is cut or altered nothing is made up, and nothing panics.
#[test]
fn an_earlier_head_that_is_damaged_is_none() {
    let whole = bytes(&fs::read_to_string(file("journal-1.hex")).expect("a kept file"));
    let length = u32::from_le_bytes(whole[..4].try_into().expect("four bytes")) as usize;
    let content = &whole[frame::HEADER_BYTES..frame::HEADER_BYTES + length];
    // A frame whose checks fit, whatever is in it.
    let framed = |content: &[u8]| {
        let length = u32::try_from(content.len()).expect("short").to_le_bytes();
        let check = (frame::crc32(&length) ^ 0x4846_4A31).to_le_bytes();
        [&length[..], &check, &frame::crc32(content).to_le_bytes(), content].concat()
    };
    assert!(matches!(frame::read(&framed(content)), frame::Start::Frame(Entry::Head(_), _)));
    for cut in 0..content.len() {
        let damaged = framed(&content[..cut]);
        assert!(!matches!(frame::read(&damaged), frame::Start::Frame(Entry::Head(_), _)), "cut at {cut}");
    }
    for (at, bit) in (0..content.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut altered = content.to_vec();
        altered[at] ^= 1 << bit;
        // Whatever it is taken for.
        let _ = frame::read(&framed(&altered));
    }
}
