//! Nothing that restic could print makes the reader panic, grow without bound, or lie.

use agent_linux::restic::{
    Credentials, HitSeen,
    find::Search,
    mask::{Mask, is_common},
    outcome::{Ended, MAX_MESSAGE_BYTES, Stop, judge},
    parse::{Reader, Said},
    step::StepKind::{self, *},
};
use proptest::{collection::vec, prelude::*};
use schema::{Outcome, limits::MAX_LOG_LINE_BYTES};
use std::collections::VecDeque;

const KINDS: [StepKind; 20] = [
    Config, Init, Backup, Forget, Prune, Check, Unlock, Stats, Snapshots, Ls, Walk, Restore, ListLocks,
    CatLock, Choose, Find, RawFind, Diff, RawDiff, Sizes,
];

/// Pieces of real lines, so that garbage is near to what is understood.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"{\"message_type\":\"status\",\"percent_done\":",
        b"{\"message_type\":\"summary\",",
        b"{\"message_type\":\"error\",\"error\":{\"message\":\"",
        b"{\"message_type\":\"exit_error\",\"code\":10,\"message\":\"",
        b"\"files_new\":-1,\"num_errors\":1e99,",
        b"9223372036854775808",
        b"[{\"keep\":[{\"id\":\"",
        b"[{\"matches\":[{\"path\":\"/",
        b"\"}],\"snapshot\":\"",
        b"Found matching entries in snapshot ",
        b"}]}]",
        b"\"}",
        b"}\n",
        b"\n",
        b"\r",
        b"\x1b[2K",
        b"[0:00] 83.33%  5 / 6 packs",
        b"remaining:  5 blobs / 1e400 TiB\n",
        b"already locked by PID 99999999999 on x by y\n",
        b"successfully removed -1 locks\n",
        b"\xff\xfe",
        "ä€".as_bytes(),
    ];
    prop_oneof![3 => proptest::sample::select(words).prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..20)]
}

proptest! {
    #[test]
    fn garbage_is_read_without_panic_and_shown_clean(
        kind in proptest::sample::select(&KINDS[..]),
        out in vec(piece(), 0..30),
        err in vec(piece(), 0..30),
        code in prop_oneof![Just(0), Just(1), Just(3), Just(10), Just(11), Just(12), any::<i32>()],
    ) {
        let mask = Mask::new([]);
        let search = Search { pattern: b"*".to_vec(), ..Search::default() };
        let (mut reader, mut said) = (Reader::new(kind, &mask), VecDeque::new());
        if matches!(kind, Find | RawFind) {
            reader.searching(&search);
        }
        out.iter().for_each(|piece| reader.stdout(piece, &mut said));
        err.iter().for_each(|piece| reader.stderr(piece, &mut said));
        let found = reader.finish(&mut said);
        for said in said {
            match said {
                Said::Log(_, text) => {
                    prop_assert!(text.len() <= MAX_LOG_LINE_BYTES);
                    prop_assert!(!text.chars().any(char::is_control));
                }
                Said::Progress(progress) => prop_assert!(progress.permille <= 1000),
                Said::Snapshot(snapshot) => prop_assert!(snapshot.id.len() <= 64),
                Said::Hit(HitSeen::Entry(entry)) => prop_assert!(entry.path.len() <= 4096),
                Said::Hit(HitSeen::Change(change)) => prop_assert!(change.path.len() <= 4096),
                Said::Hit(HitSeen::Snapshot { id, .. }) => prop_assert!(id.len() <= 64),
                Said::Entry(entry) => prop_assert!(!entry.name.is_empty() && entry.name.len() <= 1024),
            }
        }
        for ended in [Ended::Code(code), Ended::Signal(9)] {
            for stop in [None, Some(Stop::Cancelled), Some(Stop::Timeout)] {
                let verdict = judge(kind, ended, stop, &found);
                prop_assert!(verdict.message.len() <= MAX_MESSAGE_BYTES);
                prop_assert_eq!(verdict.class.is_none(), verdict.outcome == Outcome::Succeeded);
                prop_assert!(ended == Ended::Code(0) || verdict.outcome != Outcome::Succeeded, "a failure is never a success");
            }
        }
    }

    #[test]
    fn a_secret_in_restics_words_never_comes_out(
        kind in proptest::sample::select(&KINDS[..]),
        before in vec(piece(), 0..8),
        after in vec(piece(), 0..8),
        secret in "[a-zA-Z0-9/+:@&<\"% ]{6,16}",
    ) {
        prop_assume!(secret.trim().len() >= 6 && !is_common(secret.trim()));
        let credentials = Credentials {
            url: "rest:http://nas/".into(), username: "me".into(), password: String::new(),
            repo_password: secret.clone(), ca: String::new(), host_keys: String::new(), env: Vec::new(),
        };
        let mask = Mask::new([&credentials]);
        let json = serde_json::to_string(&secret).unwrap();
        let (mut reader, mut said) = (Reader::new(kind, &mask), VecDeque::new());
        for to_stderr in [false, true] {
            let words = [before.concat(), format!("\nopening {secret} failed\n{{\"message_type\":\"error\",\"error\":{{\"message\":{json}}},\"item\":{json}}}\n{{\"message_type\":\"exit_error\",\"message\":{json}}}\n").into_bytes(), after.concat()];
            for word in &words {
                if to_stderr { reader.stderr(word, &mut said) } else { reader.stdout(word, &mut said) }
            }
        }
        let found = reader.finish(&mut said);
        let message = judge(kind, Ended::Code(1), None, &found).message;
        let shown = format!("{message}\n{said:?}");
        prop_assert!(!message.contains(secret.trim()), "{message}");
        for said in &said {
            if let Said::Log(_, text) = said {
                prop_assert!(!text.contains(secret.trim()), "{shown}");
            }
        }
    }
}

#[test]
fn an_endless_line_is_cut() {
    let mask = Mask::new([]);
    let (mut reader, mut said) = (Reader::new(Backup, &mask), VecDeque::new());
    for _ in 0..200 {
        reader.stderr(&[b'x'; 8192], &mut said);
    }
    let _ = reader.finish(&mut said);
    let [Said::Log(_, text)] = said.make_contiguous() else { panic!("{}", said.len()) };
    assert!(text.len() <= MAX_LOG_LINE_BYTES && text.ends_with("[…]"));
}
