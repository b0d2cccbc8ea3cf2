//! What each fuzz target does with its bytes: decode, read everything, and what was decoded must survive being
//! encoded and decoded again.
//!
//! `schema`'s ordinary tests include this file to replay the corpus and to run the same bodies under proptest.

use schema::{
    Bulk, CommandBody, EnrollRequest, EnrollResponse, HostId, HostTopic, JobKind, Key, Live, Plan, Presence,
    RepoId, RepoStats, Report, Sealed, ToAgent, Token, Topic, decode, encode, enroll::MAX_TOKEN_CHARS, name,
};

/// A target: its name, which is its corpus folder's too, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 12] = [
    ("cmd", cmd),
    ("plan", plan),
    ("evt", evt),
    ("live", live),
    ("bulk", bulk),
    ("presence", presence),
    ("repo_stats", repo_stats),
    ("enroll_request", enroll_request),
    ("enroll_response", enroll_response),
    ("envelope", envelope),
    ("token", token),
    ("text", text),
];

macro_rules! message {
    ($message:ty, $bytes:expr) => {
        if let Ok(message) = decode::<$message>($bytes) {
            // Reads every list to its end.
            let printed = format!("{message:?}");
            let mut buffer = vec![0; $bytes.len()];
            // Never longer: at most a number was written in more bytes than it needs.
            let encoded = encode(&message, &mut buffer).expect("no longer than it was");
            let again = decode::<$message>(encoded).expect("what was encoded");
            assert_eq!(again, message);
            assert_eq!(format!("{again:?}"), printed);
        }
    };
}

/// Commands and acks, read by the agent.
pub fn cmd(bytes: &[u8]) {
    message!(ToAgent, bytes);
    // Credentials print nothing, so their list is read here.
    if let Ok(ToAgent::Command(command)) = decode(bytes)
        && let CommandBody::ConfigUpdate(update) = command.body
        && let Some(credentials) = update.credentials
    {
        assert!(credentials.env.count() <= bytes.len());
    }
}

/// The plan, read by the agent.
pub fn plan(bytes: &[u8]) {
    message!(Plan, bytes);
}

/// Reports, read by the server.
pub fn evt(bytes: &[u8]) {
    message!(Report, bytes);
}

/// Pieces of a download, read by the server.
pub fn bulk(bytes: &[u8]) {
    message!(Bulk, bytes);
}

/// Progress and live log, read by the server.
pub fn live(bytes: &[u8]) {
    message!(Live, bytes);
}

/// Presence, read by the server.
pub fn presence(bytes: &[u8]) {
    message!(Presence, bytes);
}

/// Repository figures, read by the server.
pub fn repo_stats(bytes: &[u8]) {
    message!(RepoStats, bytes);
}

/// A request to be enrolled, read by the server.
pub fn enroll_request(bytes: &[u8]) {
    message!(EnrollRequest, bytes);
}

/// The answer to it, read by the agent.
pub fn enroll_response(bytes: &[u8]) {
    message!(EnrollResponse, bytes);
}

/// The envelope, read by both: nothing that was not sealed opens.
pub fn envelope(bytes: &[u8]) {
    if let Ok(sealed) = Sealed::parse(bytes) {
        let topic = Topic::Host(HostId([7; 16]), HostTopic::Evt);
        let mut buffer = vec![0; bytes.len()];
        assert!(sealed.open(&Key::new([9; 32]), topic, &mut buffer).is_err());
        assert!(sealed.open(&Key::new([9; 32]), topic, &mut []).is_err());
    }
}

/// The enrolment token, read by the agent from a command line.
pub fn token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut buffer = [0; MAX_TOKEN_CHARS];
    if let Ok(token) = Token::parse(&text, &mut buffer) {
        let mut written = [0; MAX_TOKEN_CHARS];
        // A text may be a little longer than the longest token that is written.
        if let Ok(written) = token.write(&mut written) {
            let mut buffer = [0; MAX_TOKEN_CHARS];
            let again = Token::parse(written, &mut buffer).expect("what was written");
            assert_eq!(again.addresses, token.addresses);
            assert_eq!(again.key.expose(), token.key.expose());
        }
    }
}

/// Topics, ids and names, read by both.
pub fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(topic) = Topic::parse(&text) {
        assert_eq!(topic.to_string(), text);
    }
    if let Ok(host) = text.parse::<HostId>() {
        assert_eq!(host.to_string(), text);
    }
    if let Ok(repo) = text.parse::<RepoId>() {
        assert_eq!(repo.to_string(), text);
    }
    if let Some(kind) = JobKind::from_word(&text) {
        assert_eq!(kind.as_str(), text);
    }
    if name::is_valid(&text) {
        assert!(text.is_ascii());
    }
}
