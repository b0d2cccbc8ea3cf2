use proptest::prelude::*;
use schema::{
    Key, Timestamp, Token, TokenId,
    enroll::{MAX_TOKEN_CHARS, TOKEN_PREFIX},
};

pub(crate) fn token(addresses: &str) -> Token<'_> {
    Token {
        addresses,
        ca_fingerprint: [0xca; 32],
        id: TokenId([0x1d; 16]),
        secret: [0x5e; 16],
        key: Key::new([0x4b; 32]),
        expires_at: Timestamp(1_750_000_000_000),
    }
}

pub(crate) fn written(token: &Token) -> String {
    token.write(&mut [0; MAX_TOKEN_CHARS]).expect("fits").to_owned()
}

fn same(a: &Token, b: &Token) -> bool {
    a.addresses == b.addresses
        && a.ca_fingerprint == b.ca_fingerprint
        && a.id == b.id
        && a.secret == b.secret
        && a.key.expose() == b.key.expose()
        && a.expires_at == b.expires_at
}

fn assert_parses(text: &str, as_token: &Token) {
    let mut buffer = [0; MAX_TOKEN_CHARS];
    let parsed = Token::parse(text, &mut buffer).expect("a token");
    assert!(same(&parsed, as_token), "{text}");
}

#[test]
fn a_token_comes_back_from_its_text() {
    let token = token("backup.example.org:8883");
    let text = written(&token);
    assert!(text.starts_with(TOKEN_PREFIX));
    assert!(
        text[TOKEN_PREFIX.len()..].bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()),
        "{text}"
    );
    assert_parses(&text, &token);
}

#[test]
fn case_and_blanks_around_it_do_not_matter() {
    let token = token("[2001:db8::1]:8883");
    let text = written(&token);
    assert_parses(&text.to_lowercase(), &token);
    assert_parses(&text.to_uppercase(), &token);
    assert_parses(&format!("  {text}\r\n"), &token);
}

#[test]
fn a_token_that_was_not_copied_whole_is_refused() {
    let text = written(&token("backup.example.org:8883"));
    let mut buffer = [0; MAX_TOKEN_CHARS];
    for end in 0..text.len() {
        assert!(Token::parse(&text[..end], &mut buffer).is_err(), "the first {end} characters");
    }
    for start in 1..text.len() {
        assert!(Token::parse(&text[start..], &mut buffer).is_err(), "from character {start} on");
    }
    for bad in [
        format!("{text}A"),
        format!("{text}{text}"),
        text.replacen('.', " ", 1),
        text.replace("hf1.", "hf2."),
    ] {
        assert!(Token::parse(&bad, &mut buffer).is_err(), "{bad}");
    }
}

#[test]
fn the_longest_token_that_can_be_written_can_be_read() {
    let mut longest = 0;
    for chars in 0..MAX_TOKEN_CHARS {
        let address = "a".repeat(chars);
        let token = token(&address);
        let mut buffer = [0; MAX_TOKEN_CHARS];
        let Ok(text) = token.write(&mut buffer) else { break };
        longest = chars;
        assert_parses(text, &token);
    }
    // A DNS name has 253 characters at most, and there is the port.
    assert!(longest >= 253 + ":65535".len(), "{longest}");
    assert!(longest < MAX_TOKEN_CHARS - 1, "there is an end");
}

#[test]
fn a_text_longer_than_any_token_is_refused() {
    let mut buffer = [0; MAX_TOKEN_CHARS];
    for length in [MAX_TOKEN_CHARS - 4, MAX_TOKEN_CHARS, MAX_TOKEN_CHARS + 1, 100_000] {
        assert!(Token::parse(&format!("hf1.{}", "A".repeat(length)), &mut buffer).is_err(), "{length}");
    }
}

#[test]
fn a_token_does_not_print_its_secrets() {
    let printed = format!("{:?}", token("secret-address:1"));
    assert_eq!(printed, format!("Token({})", TokenId([0x1d; 16])));
}

proptest! {
    #[test]
    fn any_token_comes_back(
        addresses in "[a-z0-9.:,\\[\\]-]{0,200}",
        ca_fingerprint: [u8; 32],
        id: [u8; 16],
        secret: [u8; 16],
        key: [u8; 32],
        expires_at: u64,
    ) {
        let token = Token {
            addresses: &addresses,
            ca_fingerprint,
            id: TokenId(id),
            secret,
            key: Key::new(key),
            expires_at: Timestamp(expires_at),
        };
        assert_parses(&written(&token), &token);
    }

    #[test]
    fn any_other_text_is_refused_without_panic(text in "\\PC{0,700}") {
        let mut buffer = [0; MAX_TOKEN_CHARS];
        prop_assert!(Token::parse(&text, &mut buffer).is_err());
        let _ = Token::parse(&format!("hf1.{text}"), &mut buffer);
    }
}
