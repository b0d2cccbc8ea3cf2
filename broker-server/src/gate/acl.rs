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

/// The view tree begins with this.
const VIEW: &str = "hf/1/view/";

/// By what is below this, Home Assistant finds devices.
const DISCOVERY: &str = "homeassistant/";

/// What a viewer may look at beside the view tree.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sight {
    /// Hosts' presence and statistics, sealed as they are.
    pub(super) debug: bool,
    /// What Home Assistant finds devices by.
    pub(super) discovery: bool,
}

/// Whether this can be a topic of the view tree, or of what Home Assistant finds devices by: printable ASCII, no wildcard,
/// not too long.
pub(super) fn is_view_topic(topic: &str) -> bool {
    topic.len() <= 256
        && topic.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'+' | b'#'))
        && [VIEW, DISCOVERY].iter().any(|root| topic.strip_prefix(root).is_some_and(|rest| !rest.is_empty()))
}

/// Whether a viewer sees messages on this topic of the retained set: the view tree; with the debug role also hosts'
/// presence and statistics. Whoever was let subscribe to what devices are found by sees that go, too, when it is switched
/// off: nothing stands there then.
pub(super) fn viewer_sees(debug: bool, topic: &str) -> bool {
    debug || topic.starts_with(VIEW) || topic.starts_with(DISCOVERY)
}

/// Whether there can be anything that a viewer sees behind that well-formed filter. A wide one, such as `#`, is
/// granted: it is shown what it may see, and nothing else.
pub(super) fn viewer_subscribes(sight: Sight, filter: &str) -> bool {
    /// The shapes of topics of the view tree (see `view_tree`).
    const TREE: [&str; 5] = [
        "hf/1/view/+/presence",
        "hf/1/view/+/repo",
        "hf/1/view/+/last/+",
        "hf/1/view/+/job/+",
        "hf/1/view/incidents/+",
    ];
    if !filter.is_ascii() {
        return false;
    }
    let finds = filter.starts_with(DISCOVERY) || overlaps("homeassistant/device/+/config", filter);
    filter.starts_with(VIEW)
        || TREE.iter().any(|shape| overlaps(shape, filter))
        || (sight.discovery && finds)
        || (sight.debug
            && [HostTopic::Presence, HostTopic::RepoStats]
                .iter()
                .any(|topic| overlaps(&format!("hf/1/+/{}", topic.suffix()), filter))
            && names_host(filter))
}

/// Whether the third level can be a host's id.
fn names_host(filter: &str) -> bool {
    let third = filter.split('/').take(3).last().unwrap_or_default();
    matches!(third, "+" | "#") || third.parse::<HostId>().is_ok()
}

/// Whether a topic of this shape, in which `+` is any level, can match the filter.
fn overlaps(shape: &str, filter: &str) -> bool {
    let mut shape = shape.split('/');
    for level in filter.split('/') {
        match (level, shape.next()) {
            ("#", _) => return true,
            (_, None) => return false,
            ("+", _) | (_, Some("+")) => {}
            (level, Some(other)) if level == other => {}
            _ => return false,
        }
    }
    shape.next().is_none()
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
            ("hf/1/view/incidents/+", true, true),
            ("+/+/+/incidents/+", true, true),
            ("hf/1/+/presence", false, true),
            ("hf/1/+/repo/stats", false, true),
            (&format!("hf/1/{A}/presence"), false, true),
            ("#", true, true),
            ("+/#", true, true),
            ("+/1/view/#", true, true),
            ("hf/#", true, true),
            ("hf/1/#", true, true),
            ("hf/1/+/#", true, true),
            ("hf/1/+/+/presence", true, true),
            ("+/+/+/+/+/+", true, true),
            ("+/+/+/+", false, true),
            ("hf/1/+/+", false, true),
            ("+", false, false),
            ("hf/1/+/cmd", false, false),
            ("hf/2/#", false, false),
            ("+/+/view2/#", false, false),
            (&format!("hf/1/{A}/#"), false, true),
            ("hf/1/enroll/#", false, false),
            (&format!("hf/1/{A}/cmd"), false, false),
            ("hf/1/enroll/+/rsp", false, false),
            ("$SYS/#", false, false),
            ("$share/x/hf/1/view/#", false, false),
            ("hf/1/view/é", false, false),
        ] {
            let sees = |debug| viewer_subscribes(Sight { debug, discovery: false }, filter);
            assert_eq!(sees(false), plain, "{filter}");
            assert_eq!(sees(true), debug, "{filter}, debug");
        }
    }

    #[test]
    fn what_devices_are_found_by_is_subscribed_to_while_it_is_switched_on_alone() {
        for (filter, finds) in [
            ("homeassistant/#", true),
            ("homeassistant/device/+/config", true),
            ("homeassistant/sensor/+/+/config", true),
            ("+/device/+/config", true),
            ("+/+/+/config", true),
            ("homeassistant", false),
            ("homeassistant2/#", false),
            ("+/sensor/+/config", false),
            ("$share/x/homeassistant/#", false),
        ] {
            let sees = |discovery| viewer_subscribes(Sight { debug: false, discovery }, filter);
            assert_eq!((sees(false), sees(true)), (false, finds), "{filter}");
        }
        let is_wide = |filter| viewer_subscribes(Sight::default(), filter);
        assert!(is_wide("#") && is_wide("+/#"));
    }
}
