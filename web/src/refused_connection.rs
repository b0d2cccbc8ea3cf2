//! Connections that the broker did not let in: what is told of them, and what to do.

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotLetIn {
    /// A host that this server does not know.
    UnknownHost,
    /// A host's login that is not the one it has now.
    HostPassword,
    /// A host in quarantine.
    Quarantined,
    /// An enrolment token that this server does not know.
    UnknownToken,
    /// An enrolment token with another secret.
    TokenPassword,
    /// An enrolment token whose time is over.
    TokenExpired,
    /// A view account that does not exist, or another password.
    ViewAccount,
    /// No name or no password.
    NoLogin,
    /// A client id that MQTT or this server does not take.
    ClientId,
    /// A host's client id that is not its own.
    OthersClientId,
    /// A last will that a host may not have.
    Will,
    /// Another version of MQTT.
    Version,
    /// Something else than MQTT.
    NotMqtt,
    /// It does not trust the certificate of this server.
    Untrusted,
    /// No TLS, or none that fits.
    NoTls,
}

impl NotLetIn {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::UnknownHost,
        Self::HostPassword,
        Self::Quarantined,
        Self::UnknownToken,
        Self::TokenPassword,
        Self::TokenExpired,
        Self::ViewAccount,
        Self::NoLogin,
        Self::ClientId,
        Self::OthersClientId,
        Self::Will,
        Self::Version,
        Self::NotMqtt,
        Self::Untrusted,
        Self::NoTls,
    ];

    /// The word of the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownHost => "unknown_host",
            Self::HostPassword => "host_password",
            Self::Quarantined => "quarantined",
            Self::UnknownToken => "unknown_token",
            Self::TokenPassword => "token_password",
            Self::TokenExpired => "token_expired",
            Self::ViewAccount => "view_account",
            Self::NoLogin => "no_login",
            Self::ClientId => "client_id",
            Self::OthersClientId => "others_client_id",
            Self::Will => "will",
            Self::Version => "version",
            Self::NotMqtt => "not_mqtt",
            Self::Untrusted => "untrusted",
            Self::NoTls => "no_tls",
        }
    }

    /// What was refused, for people and the audit.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::UnknownHost => "a host that this server does not know",
            Self::HostPassword => "a host's login that was replaced",
            Self::Quarantined => "a host in quarantine",
            Self::UnknownToken => "an enrolment token that this server does not know",
            Self::TokenPassword => "an enrolment token with another secret",
            Self::TokenExpired => "an enrolment token that has expired",
            Self::ViewAccount => "a view account that does not exist, or a wrong password",
            Self::NoLogin => "no name or no password",
            Self::ClientId => "a client id that is empty, too long or has odd characters",
            Self::OthersClientId => "a client id that is not the host's own",
            Self::Will => "a last will that is not on the host's own presence with quality 0 or 1",
            Self::Version => "another version of MQTT than 3.1.1 or 3.1",
            Self::NotMqtt => "something else than MQTT",
            Self::Untrusted => "it does not trust the certificate of this server",
            Self::NoTls => "no TLS, or none that fits",
        }
    }

    /// What it can be, and what to do.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::UnknownHost => {
                "Its host was deleted here, or it was enrolled after the copy was made from which this server was restored. \
                 If the machine is yours, add it as a host and run the new line there with --force: what it has backed up \
                 stays in its repository."
            }
            Self::HostPassword => {
                "The host was enrolled anew on another machine or with another state folder, or this server was restored from \
                 a copy that is older than the enrolment. If this is the right machine, make an enrolment line for the host \
                 and run it there with --force; if it is an old copy, stop the agent on it."
            }
            Self::Quarantined => {
                "Two machines have the identity of this host. Its page of quarantine tells them apart."
            }
            Self::UnknownToken | Self::TokenPassword => {
                "The line was cut when it was copied, or it is of another server, or its host was deleted. Make a new one."
            }
            Self::TokenExpired => "A line for enrolment can be used for 24 hours. Make a new one.",
            Self::ViewAccount => {
                "MQTT tools sign in with a view account; an admin makes one in the settings."
            }
            Self::NoLogin => {
                "MQTT tools sign in with a view account: --username and --pw in the settings of the tool."
            }
            Self::ClientId => {
                "Set another client id in the settings of the tool: letters, digits, and - _ . :"
            }
            Self::OthersClientId => {
                "A host's login serves its agent only. MQTT tools sign in with a view account."
            }
            Self::Will => "A host's login serves its agent only. MQTT tools sign in with a view account.",
            Self::Version => "Set the tool to MQTT 3.1.1.",
            Self::NotMqtt => "A port scan, or a browser or a monitor that speaks HTTP to this port.",
            Self::Untrusted => {
                "An agent that was enrolled with another server, or before this server's authority was made anew: enrol it \
                 again, or bring back the tls folder. An MQTT tool needs this server's certificate as its CA file."
            }
            Self::NoTls => {
                "A tool that is set to MQTT without TLS, TLS of a version before 1.2, or a port scan. Set it to TLS with this \
                 server's certificate as its CA file."
            }
        }
    }

    /// Whether it looks like a machine that should be backed up, and of which no host's own state tells.
    pub(crate) const fn is_agent(self) -> bool {
        matches!(self, Self::UnknownHost | Self::HostPassword | Self::Untrusted)
    }
}

/// A connection that was not let in, with those like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedConnection {
    /// The address, or the /64 with IPv6.
    pub origin: String,
    /// The name it gave, fit for a page; `None` = it got not so far.
    pub name: Option<String>,
    /// Why.
    pub reason: NotLetIn,
    /// How often.
    pub tries: u64,
    /// How long ago the first was, in milliseconds.
    pub first_ms_ago: u64,
    /// How long ago the last was, in milliseconds.
    pub last_ms_ago: u64,
}

/// Those of the last day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedConnections {
    /// The last first.
    pub rows: Vec<RefusedConnection>,
    /// Rows that gave way to others, since the start.
    pub left_out: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_reason_has_a_word_of_its_own() {
        let codes: BTreeSet<&str> = NotLetIn::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), NotLetIn::ALL.len());
    }
}
