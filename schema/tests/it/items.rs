use crate::draw::{Draw, Source, list_of};
use proptest::prelude::*;
use schema::{DecodeError, HeldJob, HeldPhase, Items, ItemsFull, JobId, LogLine, LogStream, decode, encode};

/// A list as it stands on the wire: its length in bytes, then these bytes.
fn framed(bytes: &[u8]) -> Vec<u8> {
    encode(bytes, &mut [0; 1024]).expect("fits").to_vec()
}

#[test]
fn a_list_gives_back_what_was_written() {
    let words = ["/etc", "", "/home/é"];
    let list: Items<&str> = list_of(words);
    assert_eq!(list.iter().collect::<Vec<_>>(), words);
    assert_eq!(list.count(), 3);
    assert!(!list.is_empty());
    assert_eq!(format!("{list:?}"), format!("{words:?}"));
}

#[test]
fn the_empty_list_is_one_byte() {
    let mut buffer = [0; 8];
    assert_eq!(encode(&Items::<&str>::EMPTY, &mut buffer).expect("fits"), [0]);
    let list: Items<&str> = decode(&[0]).expect("an empty list");
    assert!(list.is_empty() && list == Items::default());
    assert_eq!(list.iter().next(), None);
}

#[test]
fn a_list_that_does_not_fit_is_an_error_and_not_a_shorter_list() {
    let job = HeldJob { job: JobId([7; 16]), phase: HeldPhase::Running, group: None };
    assert_eq!(Items::<HeldJob>::write([job; 3], &mut [0; 53]), Err(ItemsFull));
    assert!(Items::<HeldJob>::write([job; 3], &mut [0; 54]).is_ok());
}

#[test]
fn a_malformed_element_spoils_the_list_wherever_it_stands() {
    let good = [LogLine { after_ms: 1, stream: LogStream::Out, text: "one" }; 3];
    let list: Items<LogLine> = list_of(good);
    let whole = encode(&list, &mut [0; 256]).expect("fits").to_vec();
    let inner = &whole[1..];
    assert_eq!(decode::<Items<LogLine>>(&framed(inner)), Ok(list));
    for end in 1..inner.len() {
        let decoded = decode::<Items<LogLine>>(&framed(&inner[..end])).map(|list| list.count());
        let wanted = if end % 6 == 0 { Ok(end / 6) } else { Err(DecodeError::Malformed) };
        assert_eq!(decoded, wanted, "cut after {end} bytes");
    }
    // The stream of the middle line is one that does not exist.
    let mut altered = inner.to_vec();
    altered[7] = 3;
    assert_eq!(decode::<Items<LogLine>>(&framed(&altered)), Err(DecodeError::Malformed));
    // The text of the last line is not UTF-8.
    let mut altered = inner.to_vec();
    altered[15] = 0xff;
    assert_eq!(decode::<Items<LogLine>>(&framed(&altered)), Err(DecodeError::Malformed));
}

#[test]
fn elements_that_take_no_bytes_are_refused() {
    // Otherwise one byte would be a list without end.
    assert_eq!(decode::<Items<()>>(&framed(&[0])), Err(DecodeError::Malformed));
    assert_eq!(decode::<Items<()>>(&framed(&[])), Ok(Items::EMPTY));
}

#[test]
fn a_length_beyond_the_message_is_refused() {
    for bytes in [&[1][..], &[5, 1, 2], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff; 10], &[0xff; 11]] {
        assert_eq!(decode::<Items<&str>>(bytes), Err(DecodeError::Malformed), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn lists_come_back_whatever_they_hold(entropy: Vec<u8>) {
        let mut source = Source(&entropy);
        let list: Items<LogLine> = Items::draw(&mut source);
        let mut buffer = [0; 4096];
        let bytes = encode(&list, &mut buffer).expect("fits");
        let back: Items<LogLine> = decode(bytes).expect("what was encoded");
        prop_assert_eq!(back.iter().collect::<Vec<_>>(), list.iter().collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_a_list_or_not_but_no_panic(bytes: Vec<u8>) {
        if let Ok(list) = decode::<Items<LogLine>>(&bytes) {
            prop_assert_eq!(list.is_empty(), list.count() == 0);
        }
    }
}
