//! Sizes that both sides hold each other to.

/// The longest MQTT payload on a host's topics, sealed, in bytes. Longer content is split by who sends it.
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024;
/// The longest MQTT packet that either side accepts, in bytes.
pub const MAX_PACKET_BYTES: usize = MAX_PAYLOAD_BYTES + 512;
/// The longest message inside an envelope, in bytes.
pub const MAX_MESSAGE_BYTES: usize = MAX_PAYLOAD_BYTES - super::envelope::OVERHEAD_BYTES;
/// The longest job specification that a command can carry, in bytes.
pub const MAX_SPEC_BYTES: usize = 56 * 1024;
/// The most log text in one report, in bytes.
pub const MAX_LOG_CHUNK_BYTES: usize = 16 * 1024;
/// The longest single log line; a longer one is cut and marked, in bytes.
pub const MAX_LOG_LINE_BYTES: usize = 2 * 1024;
/// The longest host, source group or account name, in characters.
pub const MAX_NAME_CHARS: usize = 63;
/// The longest name of a file, in bytes.
pub const MAX_NAME_BYTES: usize = 1024;
/// The longest path, URL or other single value, in bytes.
pub const MAX_VALUE_BYTES: usize = 4 * 1024;
/// The longest text of certificates of authorities.
pub const MAX_CA_BYTES: usize = 16 * 1024;
/// The most authorities that an agent is told to trust at once: the server's present one and the next.
pub const MAX_AUTHORITIES: usize = 2;
/// The most addresses by which agents may reach their server.
pub const MAX_ADDRESSES: usize = 8;
/// The longest of them, in bytes: a whole name of DNS, and a port.
pub const MAX_ADDRESS_BYTES: usize = 260;
/// The most entries of one folder's listing.
pub const MAX_ENTRIES: u32 = 10_000;
/// The most entries that one search by name brings.
pub const MAX_HITS: u32 = 10_000;
/// The most snapshots that one search by name looks through.
pub const MAX_FIND_SNAPSHOTS: u32 = 300;
/// The longest pattern of a search by name, in bytes.
pub const MAX_FIND_PATTERN_BYTES: usize = 1024;
/// The most changes that one comparison of two snapshots brings.
pub const MAX_CHANGES: u32 = 10_000;
/// The most jobs an agent holds, the running one included.
pub const MAX_HELD_JOBS: usize = 16;
/// The most findings about single paths in the summary of one backup.
pub const MAX_SOURCE_FINDINGS: usize = 64;
/// The most bytes of a download in one message.
pub const MAX_BULK_CHUNK_BYTES: usize = 48 * 1024;
/// How many chunks of a download may be on their way or waiting at the server: 768 KiB. The first so many need no
/// [`crate::ToAgent::Credit`].
pub const BULK_WINDOW: u32 = 16;
/// The most failed files that the summary of one restore names.
pub const MAX_RESTORE_FAILURES: usize = 100;
/// The most files that one drill draws.
pub const MAX_DRILL_FILES: u16 = 100;
/// The most files that the summary of one drill names.
pub const MAX_DRILL_FINDINGS: usize = 50;
