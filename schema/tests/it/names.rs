use proptest::prelude::*;
use schema::{
    Class, HostId, JobKind, Refusal, RepoId, Slot, SourceReason, Timestamp, limits::MAX_NAME_CHARS,
    name::is_valid,
};

#[test]
fn good_names_are_taken() {
    for name in ["a", "7", "web-1", "db.example.org", "A_b-c.9", &"x".repeat(MAX_NAME_CHARS)] {
        assert!(is_valid(name), "{name:?}");
    }
}

#[test]
fn a_name_that_could_be_an_option_a_wildcard_or_a_path_is_refused() {
    let long = "x".repeat(MAX_NAME_CHARS + 1);
    for name in [
        "", "-v", ".", "..", "_x", "a b", "a/b", "+", "#", "a#", "a,b", "é", "a\n", "a\0", "ａ", "$SYS",
        &long,
    ] {
        assert!(!is_valid(name), "{name:?}");
    }
}

#[test]
fn each_kind_has_one_word_and_is_found_by_it() {
    for kind in JobKind::ALL {
        assert_eq!(JobKind::from_word(kind.as_str()), Some(kind));
    }
    for word in ["", "Backup", "backup ", "rm"] {
        assert_eq!(JobKind::from_word(word), None, "{word:?}");
    }
}

#[test]
fn words_are_different_from_one_another() {
    fn all_differ(words: &[&str]) {
        for (index, word) in words.iter().enumerate() {
            assert!(!words[..index].contains(word), "{word} twice");
        }
    }
    all_differ(&JobKind::ALL.map(JobKind::as_str));
    all_differ(&Class::ALL.map(Class::as_str));
    all_differ(&SourceReason::ALL.map(SourceReason::as_str));
    all_differ(&Slot::ALL.map(Slot::as_str));
    all_differ(
        &[
            Refusal::QueueFull,
            Refusal::Expired,
            Refusal::AlreadyStarted,
            Refusal::Policy,
            Refusal::Unsupported,
            Refusal::NoCredentials,
            Refusal::StateFolder,
            Refusal::Busy,
        ]
        .map(Refusal::as_str),
    );
}

#[test]
fn an_id_has_one_spelling() {
    let id: HostId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("canonical");
    assert_eq!(id.to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    for text in [
        "",
        "01arz3ndektsv4rrffq69g5fav",
        "01ARZ3NDEKTSV4RRFFQ69G5FA",
        "01ARZ3NDEKTSV4RRFFQ69G5FAVV",
        // O, I and L are read as 0 and 1 by Crockford's rule; here they would be a second spelling.
        "O1ARZ3NDEKTSV4RRFFQ69G5FAV",
        "0IARZ3NDEKTSV4RRFFQ69G5FAV",
        // Larger than 128 bits.
        "81ARZ3NDEKTSV4RRFFQ69G5FAV",
        "ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "01ARZ3NDEKTSV4RRFFQ69G5F-V",
        "01ARZ3NDEKTSV4RRFFQ69G5FÄ",
    ] {
        assert!(text.parse::<HostId>().is_err(), "{text:?}");
    }
}

#[test]
fn an_id_tells_when_it_was_made_and_later_ones_sort_later() {
    let earlier = HostId::new(Timestamp(1_700_000_000_000), [255; 10]);
    let later = HostId::new(Timestamp(1_700_000_000_001), [0; 10]);
    assert_eq!(earlier.made_at(), Timestamp(1_700_000_000_000));
    assert!(earlier < later);
    assert!(earlier.to_string() < later.to_string());
}

#[test]
fn a_repository_id_of_another_length_or_spelling_is_refused() {
    let text = "0123456789abcdef".repeat(4);
    assert_eq!(text.parse::<RepoId>().expect("64 hex digits").to_string(), text);
    for bad in ["", "ab", &text[1..], &text[..63], &format!("{text}0"), &text.to_uppercase(), &"é".repeat(32)]
    {
        assert!(bad.parse::<RepoId>().is_err(), "{bad:?}");
    }
}

#[test]
fn timestamps_saturate() {
    assert_eq!(Timestamp(u64::MAX).plus_ms(1), Timestamp(u64::MAX));
    assert_eq!(Timestamp(5).ms_since(Timestamp(9)), 0);
    assert_eq!(Timestamp(9).ms_since(Timestamp(5)), 4);
}

proptest! {
    #[test]
    fn ids_come_back_from_their_text(bytes: [u8; 16], repo: [u8; 32]) {
        let id = HostId(bytes);
        prop_assert_eq!(id.to_string().parse::<HostId>(), Ok(id));
        let repo = RepoId(repo);
        prop_assert_eq!(repo.to_string().parse::<RepoId>(), Ok(repo));
    }

    #[test]
    fn any_text_is_an_id_or_not_but_no_panic(text in "\\PC{0,70}") {
        let _ = text.parse::<HostId>();
        let _ = text.parse::<RepoId>();
        if is_valid(&text) {
            prop_assert!(!text.contains(['/', '+', '#', '\0']) && !text.starts_with('-'));
        }
    }
}
