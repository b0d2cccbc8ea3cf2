//! Heads of the earlier form: without what was added to [`agent_core::Saved`] since, the last good backup of each source
//! group and the incarnation of the server.

/// How the fields of things lie: `v` a number, a flag or a variant, `j` 16 bytes, `o` a number that may be missing.
const COUNTS: &[u8] = b"vvvvvv";
const HELD: &[u8] = b"jvvvvovvvo";
const KNOWN: &[u8] = b"jo";
const GROUP: &[u8] = b"vvjo";
/// The first of the entries.
const HEAD: u8 = 0;

/// The content of a frame with a head of the earlier form as one of now: what was added is empty.
pub(super) fn head(content: &[u8]) -> Option<Vec<u8>> {
    if content.first() != Some(&HEAD) {
        return None;
    }
    let mut rest = content;
    pass(&mut rest, COUNTS)?;
    for list in [HELD, KNOWN] {
        for _ in 0..number(&mut rest)? {
            pass(&mut rest, list)?;
        }
    }
    let mut groups = number(&mut rest)?;
    let mut head = content[..content.len() - rest.len()].to_vec();
    while groups > 0 {
        let before = rest;
        pass(&mut rest, GROUP)?;
        head.extend_from_slice(&before[..before.len() - rest.len()]);
        head.push(0);
        groups -= 1;
    }
    head.extend_from_slice(rest);
    head.push(0);
    Some(head)
}

/// Passes over one thing.
fn pass(bytes: &mut &[u8], fields: &[u8]) -> Option<()> {
    for field in fields {
        match field {
            b'j' => *bytes = bytes.get(16..)?,
            b'v' => {
                number(bytes)?;
            }
            _ => {
                if number(bytes)? != 0 {
                    number(bytes)?;
                }
            }
        }
    }
    Some(())
}

/// Seven bits a byte, the lowest first.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
