//! Literal bytes, one file for each wire version. When one of these tests fails: fix the code, not the test.
//!
//! With `HOLDFAST_WRITE_GOLDENS=1` samples that have no golden yet are appended to the file of the current version;
//! what is there already is never touched.

use crate::{draw::Variants, envelope, samples, token};
use schema::{
    BulkBody, CURRENT, Class, CommandBody, EnrollRefusal, EnrollResponse, HeldPhase, JobKind, JobSpec, Live,
    LogStream, Outcome, Over, Presence, Refusal, ReportBody, Slot, SourceReason, Summary, ToAgent,
    envelope::version_notice,
    report::{EntryKind, Trouble},
    stats::SizeSource,
};
use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", &format!("v{CURRENT}.txt")].iter().collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn goldens() -> BTreeMap<String, String> {
    let text = fs::read_to_string(path()).unwrap_or_default();
    let mut goldens = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, bytes) = line.split_once(" = ").unwrap_or_else(|| panic!("not name = hex: {line}"));
        assert_eq!(goldens.insert(name.to_owned(), bytes.to_owned()), None, "{name} twice");
    }
    goldens
}

fn wanted() -> Vec<(String, String)> {
    let mut wanted: Vec<(String, String)> =
        samples::all().into_iter().map(|sample| (sample.name, hex(&sample.bytes))).collect();
    wanted.push(("envelope".to_owned(), hex(&envelope::sealed())));
    wanted.push(("version notice".to_owned(), hex(&version_notice())));
    let token = token::written(&token::token("backup.example.org:8883"));
    wanted.push(("token".to_owned(), hex(token.as_bytes())));
    wanted
}

#[test]
fn every_message_is_written_as_its_golden_bytes() {
    let mut goldens = goldens();
    let mut added = String::new();
    for (name, bytes) in wanted() {
        match goldens.remove(&name) {
            Some(golden) => assert_eq!(bytes, golden, "{name} is written differently now"),
            None => {
                let _ = writeln!(added, "{name} = {bytes}");
            }
        }
    }
    assert!(goldens.is_empty(), "goldens that nothing stands for any more: {:?}", goldens.keys());
    if std::env::var_os("HOLDFAST_WRITE_GOLDENS").is_some() {
        let mut text = fs::read_to_string(path()).unwrap_or_else(|_| {
            format!("# The literal bytes of wire version {CURRENT}. A line that is here never changes.\n")
        });
        text.push_str(&added);
        fs::write(path(), text).expect("the golden file");
    } else {
        assert!(added.is_empty(), "no golden yet (run once with HOLDFAST_WRITE_GOLDENS=1) for:\n{added}");
    }
}

#[test]
fn every_golden_of_the_file_decodes_to_its_sample() {
    let goldens = goldens();
    for sample in samples::all() {
        let golden = &goldens[&sample.name];
        let bytes: Vec<u8> = (0..golden.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&golden[at..at + 2], 16).expect("hex"))
            .collect();
        assert_eq!(bytes, sample.bytes, "{}", sample.name);
        assert_eq!((sample.decodes)(&bytes), Ok(()), "{}", sample.name);
    }
}

#[test]
fn every_variant_of_every_enum_has_a_golden() {
    fn require<E: Variants>(goldens: &BTreeMap<String, String>, missing: &mut Vec<&'static str>) {
        missing.extend(
            E::NAMES
                .iter()
                .filter(|name| !goldens.keys().any(|golden| golden.split(' ').next() == Some(**name))),
        );
    }
    let goldens = goldens();
    let mut missing = Vec::new();
    require::<ToAgent>(&goldens, &mut missing);
    require::<CommandBody>(&goldens, &mut missing);
    require::<Slot>(&goldens, &mut missing);
    require::<JobKind>(&goldens, &mut missing);
    require::<JobSpec>(&goldens, &mut missing);
    require::<Outcome>(&goldens, &mut missing);
    require::<Class>(&goldens, &mut missing);
    require::<SourceReason>(&goldens, &mut missing);
    require::<Summary>(&goldens, &mut missing);
    require::<ReportBody>(&goldens, &mut missing);
    require::<Refusal>(&goldens, &mut missing);
    require::<Trouble>(&goldens, &mut missing);
    require::<Live>(&goldens, &mut missing);
    require::<BulkBody>(&goldens, &mut missing);
    require::<LogStream>(&goldens, &mut missing);
    require::<Presence>(&goldens, &mut missing);
    require::<HeldPhase>(&goldens, &mut missing);
    require::<SizeSource>(&goldens, &mut missing);
    require::<Over>(&goldens, &mut missing);
    require::<EntryKind>(&goldens, &mut missing);
    require::<EnrollResponse>(&goldens, &mut missing);
    require::<EnrollRefusal>(&goldens, &mut missing);
    assert!(missing.is_empty(), "no golden for {missing:?}");
}
