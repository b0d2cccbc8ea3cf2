//! What MQTT 5 adds to CONNECT.

use super::{
    super::{reader::Reader, topic::is_topic},
    properties::{self, Packets},
    reason::{Error, ReasonCode},
};

/// What a client asks for beside what 3.1.1 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// No packet may be larger than this.
    pub max_packet_bytes: usize,
    /// The session should outlive its connection.
    pub keeps_session: bool,
}

/// The properties behind the keep-alive.
pub(in super::super) fn options(rest: &mut Reader<'_>) -> Result<Options, Error> {
    let properties = properties::read(rest, Packets::CONNECT)?;
    if properties.authentication_method {
        return Err(Error::new(
            ReasonCode::BAD_AUTHENTICATION_METHOD,
            "only name and password are known here",
        ));
    }
    if properties.authentication_data {
        return Err(Error::new(ReasonCode::PROTOCOL_ERROR, "authentication data without a method"));
    }
    let max_packet_bytes = properties.max_packet_bytes.unwrap_or(u32::MAX);
    Ok(Options {
        max_packet_bytes: usize::try_from(max_packet_bytes).unwrap_or(usize::MAX),
        keeps_session: properties.session_expiry_secs > 0,
    })
}

/// The properties before a will's topic. Nobody gets to see the will.
pub(in super::super) fn will_properties(rest: &mut Reader<'_>) -> Result<(), Error> {
    let properties = properties::read(rest, Packets::WILL)?;
    if properties.response_topic.is_some_and(|topic| !is_topic(topic)) {
        return Err(Error::new(ReasonCode::PROTOCOL_ERROR, "a response topic that can't be"));
    }
    Ok(())
}
