//! Connections that the broker did not let in: what is told of them, and what to do.

use fleet::Newcomer;

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
    /// A last will without a topic, or on one with a wildcard.
    WillTopic,
    /// A host or an enrolment came over WebSocket.
    WebSocket,
    /// A last will of QoS 2, with MQTT 5.
    WillQos,
    /// More connections of a view account than it may have.
    AccountFull,
    /// More connections of view accounts than there may be.
    ViewersFull,
    /// A version of MQTT that is not spoken.
    Version,
    /// Something else than MQTT.
    NotMqtt,
    /// It does not trust the certificate of this server.
    Untrusted,
    /// No TLS, or none that fits.
    NoTls,
    /// A machine that only the server has enrolled from whose archive this one was restored.
    Newcomer,
}

impl NotLetIn {
    /// All of them.
    pub const ALL: [Self; 21] = [
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
        Self::WillTopic,
        Self::WebSocket,
        Self::WillQos,
        Self::AccountFull,
        Self::ViewersFull,
        Self::Version,
        Self::NotMqtt,
        Self::Untrusted,
        Self::NoTls,
        Self::Newcomer,
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
            Self::WillTopic => "will_topic",
            Self::WebSocket => "web_socket",
            Self::WillQos => "will_qos",
            Self::AccountFull => "account_full",
            Self::ViewersFull => "viewers_full",
            Self::Version => "version",
            Self::NotMqtt => "not_mqtt",
            Self::Untrusted => "untrusted",
            Self::NoTls => "no_tls",
            Self::Newcomer => "newcomer",
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
            Self::Will => "a last will that is not on the host's own presence with QoS 0 or 1",
            Self::WillTopic => "a last will without a topic, or with a wildcard in it",
            Self::WebSocket => "a host or an enrolment over WebSocket, which is for view accounts",
            Self::WillQos => "a last will with QoS 2",
            Self::AccountFull => "a view account that has as many connections as it may have",
            Self::ViewersFull => "a view account, when there are as many connections of them as there may be",
            Self::Version => {
                "a version of MQTT that is not spoken here: it is 3.1.1, and with view accounts also 5"
            }
            Self::NotMqtt => "not MQTT",
            Self::Untrusted => "it does not trust the certificate of this server",
            Self::NoTls => "no TLS, or none that fits",
            Self::Newcomer => {
                "a machine that was enrolled after the archive was made from which this server was restored"
            }
        }
    }

    /// What it can be, and what to do.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::UnknownHost => {
                "Its host was deleted here, or it was enrolled after the copy was made from which this server was restored. \
                 If the machine is yours, add it as a host and run the enrolment command there with --force: what it has backed up \
                 stays in its repository."
            }
            Self::HostPassword => {
                "The host was enrolled again on another machine or with another state folder, or this server was restored from \
                 a copy that is older than the enrolment. If this is the right machine, create a new token for the host and run \
                 its enrolment command there with --force; if it is an old copy, stop the agent on it."
            }
            Self::Quarantined => {
                "Two machines have the identity of this host. Its quarantine page shows both."
            }
            Self::UnknownToken | Self::TokenPassword => {
                "The enrolment command was cut when it was copied, or is from another server, or its host was deleted. Create a new token."
            }
            Self::TokenExpired => "An enrolment token can be used for 24 hours. Create a new one.",
            Self::ViewAccount => {
                "MQTT tools sign in with a view account; an admin creates one in the settings."
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
            Self::WebSocket => {
                "Agents connect to the MQTT port with TLS alone. Somebody else may have the login of this host: look where it comes from."
            }
            Self::WillTopic => {
                "Set another topic for the last will in the settings of the tool, or no last will: the server does not publish it."
            }
            Self::WillQos => {
                "Set QoS 0 or 1 for the last will in the settings of the tool, or no last will: nobody is shown it \
                 here."
            }
            Self::AccountFull => {
                "A tool connects again and again without ending what it had, often because several have the same settings. \
                 End the ones that are not needed, give each tool an account of its own, or raise --max-viewers-per-account."
            }
            Self::ViewersFull => "End the tools that are not needed, or raise --max-viewers of the server.",
            Self::Version => {
                "Set the tool to MQTT 3.1.1, or to 5 with a view account. Agents speak 3.1.1 only."
            }
            Self::NotMqtt => "A port scan, or a browser or a monitor that speaks HTTP to this port.",
            Self::Untrusted => {
                "An agent that was enrolled with another server, or before this server's certificate authority was replaced: enrol it \
                 again, or bring back the tls folder. An MQTT tool needs this server's certificate as its CA file."
            }
            Self::Newcomer => {
                "It has a login that only the server can have given that is lost. If the machine is yours, take it in. If it was \
                 given away or its host was deleted since then, leave it out."
            }
            Self::NoTls => {
                "A tool that is set to MQTT without TLS, TLS of a version before 1.2, or a port scan. Set it to TLS with this \
                 server's certificate as its CA file."
            }
        }
    }

    /// Whether it looks like a machine that should be backed up, and of which no host's own state tells.
    pub(crate) const fn is_agent(self) -> bool {
        matches!(self, Self::UnknownHost | Self::HostPassword | Self::Untrusted | Self::Newcomer)
    }
}

/// A connection that was not let in, with those like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedConnection {
    /// The address, or the /64 with IPv6.
    pub origin: String,
    /// The name it gave, fit for a page; `None` = it got not so far.
    pub name: Option<String>,
    /// Why it was refused.
    pub reason: NotLetIn,
    /// How often it was refused for this reason.
    pub tries: u64,
    /// How long ago the first was, in milliseconds.
    pub first_ms_ago: u64,
    /// How long ago the last was, in milliseconds.
    pub last_ms_ago: u64,
    /// How long ago it was let in after all, in milliseconds; `None` = it was not since the last.
    pub let_in_ms_ago: Option<u64>,
}

impl RefusedConnection {
    /// Whether there is still something to say of it: one that was taken in is let in when it tries next.
    pub(crate) fn stands(&self, newcomers: &[Newcomer]) -> bool {
        let is_it = |newcomer: &Newcomer| self.name.as_deref() == Some(newcomer.host.to_string().as_str());
        self.reason != NotLetIn::Newcomer || self.let_in_ms_ago.is_some() || newcomers.iter().any(is_it)
    }
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
    fn the_words_of_reasons_are_as_they_were() {
        let words = NotLetIn::ALL.map(|it| format!("{}: {}\n  {}\n", it.code(), it.words(), it.advice()));
        insta::assert_snapshot!("refused_connections", words.concat());
    }

    #[test]
    fn each_reason_has_a_word_of_its_own() {
        let codes: BTreeSet<&str> = NotLetIn::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), NotLetIn::ALL.len());
    }
}
