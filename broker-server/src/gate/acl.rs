//! Who may do what. Everything that is not said here is refused.

use schema::{HostId, HostTopic, TokenId, Topic};

/// The topic of a host on which it may publish, if this is one.
pub(super) fn host_publishes(host: HostId, topic: &str) -> Option<HostTopic> {
    match Topic::parse(topic) {
        Some(Topic::Host(owner, topic)) if owner == host && topic.is_from_agent() => Some(topic),
        _ => None,
    }
}

/// The topic of a host to which it may subscribe, if the filter is literally that.
pub(super) fn host_subscribes(host: HostId, filter: &str) -> Option<HostTopic> {
    match Topic::parse(filter) {
        Some(Topic::Host(owner, topic)) if owner == host && !topic.is_from_agent() => Some(topic),
        _ => None,
    }
}

/// Whether an enrolment may publish there.
pub(super) fn enroll_publishes(token: TokenId, topic: &str) -> bool {
    Topic::parse(topic) == Some(Topic::EnrollRequest(token))
}

/// Whether an enrolment may subscribe to that.
pub(super) fn enroll_subscribes(token: TokenId, filter: &str) -> bool {
    Topic::parse(filter) == Some(Topic::EnrollResponse(token))
}

/// Whether a viewer may subscribe to that well-formed filter: the view tree or below; with the debug role also
/// hosts' presence and statistics, sealed as they are.
pub(super) fn viewer_subscribes(debug: bool, filter: &str) -> bool {
    if !filter.is_ascii() {
        return false;
    }
    if filter.starts_with("hf/1/view/") {
        return true;
    }
    let Some((host, suffix)) = filter.strip_prefix("hf/1/").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    debug
        && (host == "+" || host.parse::<HostId>().is_ok())
        && [HostTopic::Presence, HostTopic::RepoStats].iter().any(|topic| topic.suffix() == suffix)
}

/// Whether a client id is one that nothing in the way can stumble over.
pub(super) fn is_client_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'+' | b'#' | b'/' | b'$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const B: &str = "01BX5ZZKBKACTAV9WEVGEMMVRZ";

    #[test]
    fn a_host_reaches_its_own_topics_literally_and_nothing_else() {
        let host: HostId = A.parse().unwrap();
        let published: Vec<_> =
            ["evt", "live", "presence", "repo/stats", "cmd", "plan", "+", "#", "", "evt/x"]
                .into_iter()
                .filter(|suffix| host_publishes(host, &format!("hf/1/{A}/{suffix}")).is_some())
                .collect();
        assert_eq!(published, ["evt", "live", "presence", "repo/stats"]);
        let subscribed: Vec<_> =
            ["evt", "live", "presence", "repo/stats", "cmd", "plan", "+", "#", "", "cmd/#"]
                .into_iter()
                .filter(|suffix| host_subscribes(host, &format!("hf/1/{A}/{suffix}")).is_some())
                .collect();
        assert_eq!(subscribed, ["cmd", "plan"]);
        for foreign in ["#", "+/+/+/cmd", "hf/1/+/cmd", "hf/2/x/cmd", "$SYS/#", "hf/1/view/#", "é"] {
            assert_eq!(host_subscribes(host, foreign), None, "{foreign}");
            assert_eq!(host_publishes(host, foreign), None, "{foreign}");
        }
        for topic in HostTopic::ALL {
            let of_b = format!("hf/1/{B}/{}", topic.suffix());
            assert_eq!((host_publishes(host, &of_b), host_subscribes(host, &of_b)), (None, None));
            let lower = format!("hf/1/{}/{}", A.to_lowercase(), topic.suffix());
            assert_eq!((host_publishes(host, &lower), host_subscribes(host, &lower)), (None, None));
        }
    }

    #[test]
    fn an_enrolment_reaches_its_two_topics() {
        let token: TokenId = A.parse().unwrap();
        assert!(enroll_publishes(token, &format!("hf/1/enroll/{A}/req")));
        assert!(enroll_subscribes(token, &format!("hf/1/enroll/{A}/rsp")));
        for other in [format!("hf/1/enroll/{B}/req"), format!("hf/1/enroll/{A}/rsp"), format!("hf/1/{A}/evt")]
        {
            assert!(!enroll_publishes(token, &other), "{other}");
        }
        for other in
            [format!("hf/1/enroll/{B}/rsp"), format!("hf/1/enroll/{A}/req"), "hf/1/enroll/+/rsp".into()]
        {
            assert!(!enroll_subscribes(token, &other), "{other}");
        }
    }

    #[test]
    fn a_viewer_sees_the_view_tree_and_with_the_debug_role_two_topics_more() {
        for (filter, plain, debug) in [
            ("hf/1/view/#", true, true),
            ("hf/1/view/nas/presence", true, true),
            ("hf/1/view/+/repo", true, true),
            ("hf/1/+/presence", false, true),
            ("hf/1/+/repo/stats", false, true),
            (&format!("hf/1/{A}/presence"), false, true),
            ("#", false, false),
            ("+/1/view/#", false, false),
            ("hf/#", false, false),
            ("hf/1/#", false, false),
            ("hf/1/+/#", false, false),
            ("hf/1/+/cmd", false, false),
            ("hf/1/+/+", false, false),
            (&format!("hf/1/{A}/cmd"), false, false),
            ("hf/1/enroll/+/rsp", false, false),
            ("$SYS/#", false, false),
            ("$share/x/hf/1/view/#", false, false),
            ("hf/1/view/é", false, false),
        ] {
            assert_eq!(viewer_subscribes(false, filter), plain, "{filter}");
            assert_eq!(viewer_subscribes(true, filter), debug, "{filter}, debug");
        }
    }
}
