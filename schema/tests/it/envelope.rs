use schema::{
    CURRENT, Epoch, HostId, HostTopic, Key, MIN, OpenError, Presence, Sealed, TooLong, Topic, decode,
    envelope::{HEADER_BYTES, NONCE_BYTES, OVERHEAD_BYTES, seal, seal_in_place, version_notice},
    limits::{MAX_MESSAGE_BYTES, MAX_PACKET_BYTES, MAX_PAYLOAD_BYTES},
    topic::MAX_TOPIC_BYTES,
};

const HOST: HostId = HostId([1; 16]);
const TOPIC: Topic = Topic::Host(HOST, HostTopic::Presence);
const MESSAGE: Presence = Presence::Gone { epoch: Epoch(300), clean: true };

fn key(fill: u8) -> Key {
    Key::new([fill; 32])
}

pub(crate) fn sealed() -> Vec<u8> {
    let mut buffer = [0; 128];
    seal(&key(2), 3, [4; NONCE_BYTES], TOPIC, &MESSAGE, &mut buffer).expect("fits").to_vec()
}

fn open(envelope: &[u8], key: &Key, topic: Topic) -> Result<Vec<u8>, OpenError> {
    let mut buffer = vec![0x55; envelope.len()];
    let opened = Sealed::parse(envelope)?.open(key, topic, &mut buffer).map(<[u8]>::to_vec);
    if opened.is_err() && envelope.len() >= OVERHEAD_BYTES {
        let message = &buffer[..envelope.len() - OVERHEAD_BYTES];
        assert!(message.iter().all(|byte| *byte == 0), "nothing of a forged message is left");
    }
    opened
}

#[test]
fn what_was_sealed_opens_with_its_key_on_its_topic() {
    let opened = open(&sealed(), &key(2), TOPIC).expect("opens");
    assert_eq!(decode(&opened), Ok(MESSAGE));
    assert_eq!(Sealed::parse(&sealed()).expect("an envelope").key_id, 3);
}

#[test]
fn it_does_not_open_on_another_topic_of_the_host_nor_of_another_host() {
    for topic in HostTopic::ALL {
        for host in [HOST, HostId([2; 16])] {
            let topic = Topic::Host(host, topic);
            if topic != TOPIC {
                assert_eq!(open(&sealed(), &key(2), topic), Err(OpenError::Forged), "{topic}");
            }
        }
    }
    for topic in
        [Topic::EnrollRequest(schema::TokenId([1; 16])), Topic::EnrollResponse(schema::TokenId([1; 16]))]
    {
        assert_eq!(open(&sealed(), &key(2), topic), Err(OpenError::Forged), "{topic}");
    }
}

#[test]
fn it_does_not_open_with_another_key() {
    assert_eq!(open(&sealed(), &key(3), TOPIC), Err(OpenError::Forged));
    let mut one_bit = [2; 32];
    one_bit[31] ^= 0x80;
    assert_eq!(open(&sealed(), &Key::new(one_bit), TOPIC), Err(OpenError::Forged));
}

#[test]
fn no_altered_byte_goes_unnoticed() {
    let sealed = sealed();
    for place in 0..sealed.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut altered = sealed.clone();
            altered[place] ^= flip;
            let wanted = match place {
                0 => OpenError::Version(altered[0]),
                // The key id is authenticated too.
                _ => OpenError::Forged,
            };
            assert_eq!(open(&altered, &key(2), TOPIC), Err(wanted), "byte {place}");
        }
    }
}

#[test]
fn a_cut_or_lengthened_envelope_does_not_open() {
    let sealed = sealed();
    for end in 0..sealed.len() {
        let wanted = if end < OVERHEAD_BYTES { OpenError::Malformed } else { OpenError::Forged };
        assert_eq!(open(&sealed[..end], &key(2), TOPIC), Err(wanted), "cut after {end} bytes");
    }
    let mut longer = sealed.clone();
    longer.push(0);
    assert_eq!(open(&longer, &key(2), TOPIC), Err(OpenError::Forged));
}

#[test]
fn an_empty_message_has_a_seal_too() {
    let mut buffer = [0; OVERHEAD_BYTES];
    let sealed = seal_in_place(&key(2), 0, [4; NONCE_BYTES], TOPIC, &mut buffer, 0).expect("fits").to_vec();
    assert_eq!(open(&sealed, &key(2), TOPIC), Ok(vec![]));
    assert_eq!(open(&sealed, &key(1), TOPIC), Err(OpenError::Forged));
}

#[test]
fn a_buffer_that_is_too_small_is_an_error() {
    for room in 0..sealed().len() {
        let mut buffer = vec![0; room];
        assert_eq!(
            seal(&key(2), 3, [4; NONCE_BYTES], TOPIC, &MESSAGE, &mut buffer),
            Err(TooLong),
            "{room} bytes"
        );
    }
    let sealed = sealed();
    let envelope = Sealed::parse(&sealed).expect("an envelope");
    assert_eq!(envelope.open(&key(2), TOPIC, &mut [0; 3]), Err(OpenError::Malformed));
}

#[test]
fn versions_that_are_not_spoken_here_are_named() {
    let mut other = sealed();
    for version in (1..=255).filter(|version| !(MIN..=CURRENT).contains(version)) {
        other[0] = version;
        assert_eq!(Sealed::parse(&other).expect_err("not spoken"), OpenError::Version(version));
        // Also when it is shorter than any envelope of ours.
        assert_eq!(Sealed::parse(&[version]).expect_err("not spoken"), OpenError::Version(version));
    }
}

#[test]
fn the_version_notice_is_read_and_says_what_the_other_side_speaks() {
    assert_eq!(version_notice(), [0, MIN, CURRENT]);
    let error = Sealed::parse(&[0, 4, 9]).expect_err("a notice");
    assert_eq!(error, OpenError::Notice { min: 4, current: 9 });
    assert!(error.to_string().contains("4 to 9"), "{error}");
    // Neither shorter nor longer.
    for other in [&[0][..], &[0, 4], &[0, 4, 9, 9]] {
        assert_eq!(Sealed::parse(other).expect_err("nothing"), OpenError::Version(0));
    }
    assert_eq!(Sealed::parse(&[]).expect_err("nothing"), OpenError::Malformed);
}

#[test]
fn the_limits_fit_into_one_another() {
    assert_eq!(OVERHEAD_BYTES, HEADER_BYTES + 16);
    assert_eq!(MAX_MESSAGE_BYTES + OVERHEAD_BYTES, MAX_PAYLOAD_BYTES);
    // Fixed header, topic with its length, packet number.
    const { assert!(MAX_PAYLOAD_BYTES + 5 + 2 + MAX_TOPIC_BYTES + 2 <= MAX_PACKET_BYTES) };
    let mut buffer = vec![0; MAX_PAYLOAD_BYTES];
    let largest = seal_in_place(&key(2), 1, [4; NONCE_BYTES], TOPIC, &mut buffer, MAX_MESSAGE_BYTES)
        .expect("fits exactly");
    assert_eq!(largest.len(), MAX_PAYLOAD_BYTES);
}

#[test]
fn a_key_does_not_print() {
    assert_eq!(format!("{:?}", key(0x41)), "Key(…)");
}
