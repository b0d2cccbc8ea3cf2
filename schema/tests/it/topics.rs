use proptest::prelude::*;
use schema::{
    HostId, HostTopic, TokenId, Topic,
    topic::{MAX_TOPIC_BYTES, VIEW_FILTER},
};

const HOST: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn topics(id: [u8; 16]) -> Vec<Topic> {
    let mut all: Vec<Topic> =
        HostTopic::ALL.into_iter().map(|topic| Topic::Host(HostId(id), topic)).collect();
    all.push(Topic::EnrollRequest(TokenId(id)));
    all.push(Topic::EnrollResponse(TokenId(id)));
    all
}

#[test]
fn topics_are_spelled_as_the_design_says() {
    let host: HostId = HOST.parse().expect("an id");
    let spelled: Vec<String> =
        HostTopic::ALL.into_iter().map(|topic| Topic::Host(host, topic).to_string()).collect();
    let suffixes = ["cmd", "plan", "evt", "live", "presence", "repo/stats", "bulk"];
    assert_eq!(spelled, suffixes.map(|suffix| format!("hf/1/{HOST}/{suffix}")));
    let token: TokenId = HOST.parse().expect("an id");
    assert_eq!(Topic::EnrollRequest(token).to_string(), format!("hf/1/enroll/{HOST}/req"));
    assert_eq!(Topic::EnrollResponse(token).to_string(), format!("hf/1/enroll/{HOST}/rsp"));
    assert_eq!(VIEW_FILTER, "hf/1/view/#");
}

#[test]
fn the_agent_publishes_on_five_of_its_topics_and_hears_two() {
    let from_agent: Vec<&str> =
        HostTopic::ALL.into_iter().filter(|topic| topic.is_from_agent()).map(HostTopic::suffix).collect();
    assert_eq!(from_agent, ["evt", "live", "presence", "repo/stats", "bulk"]);
    let retained: Vec<&str> =
        HostTopic::ALL.into_iter().filter(|topic| topic.is_retained()).map(HostTopic::suffix).collect();
    assert_eq!(retained, ["plan", "presence", "repo/stats"]);
}

#[test]
fn wildcards_and_foreign_spellings_are_no_topics_of_ours() {
    let lower = HOST.to_lowercase();
    for text in [
        "",
        "/",
        "#",
        "+",
        "hf",
        "hf/1",
        "hf/1/",
        "hf/1/#",
        "hf/1/+/cmd",
        "$SYS/broker",
        "hf/1/view/web-1/presence",
        &format!("hf/1/{HOST}"),
        &format!("hf/1/{HOST}/"),
        &format!("hf/1/{HOST}/+"),
        &format!("hf/1/{HOST}/#"),
        &format!("hf/1/{HOST}/CMD"),
        &format!("hf/1/{HOST}/cmd/"),
        &format!("hf/1/{HOST}/cmd/x"),
        &format!("hf/1/{HOST}/repo"),
        &format!("hf/1/{HOST}/repo/stats/"),
        &format!("hf/1/{HOST}/repo//stats"),
        &format!("hf/1//{HOST}/cmd"),
        &format!("/hf/1/{HOST}/cmd"),
        &format!("hf/2/{HOST}/cmd"),
        &format!("HF/1/{HOST}/cmd"),
        &format!("hf/1/{lower}/cmd"),
        &format!("hf/1/ {HOST}/cmd"),
        &format!("hf/1/{HOST}/cmd\0"),
        &format!("hf/1/{HOST}/évt"),
        "hf/1/enroll",
        "hf/1/enroll/",
        "hf/1/enroll/+/rsp",
        "hf/1/enroll/cmd",
        &format!("hf/1/enroll/{HOST}"),
        &format!("hf/1/enroll/{HOST}/"),
        &format!("hf/1/enroll/{HOST}/req/"),
        &format!("hf/1/enroll/{HOST}/cmd"),
        &format!("hf/1/enroll/{lower}/req"),
    ] {
        assert_eq!(Topic::parse(text), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn a_built_topic_parses_to_itself_and_fits(id: [u8; 16]) {
        for topic in topics(id) {
            let text = topic.text();
            prop_assert_eq!(text.as_str(), topic.to_string());
            prop_assert!(text.as_str().len() <= MAX_TOPIC_BYTES);
            prop_assert_eq!(Topic::parse(text.as_str()), Some(topic));
        }
    }

    #[test]
    fn whatever_parses_is_spelled_the_one_way(text in "(hf/1/)?(enroll/)?[0-9A-Z]{0,27}/?[a-z/+#]{0,12}") {
        if let Some(topic) = Topic::parse(&text) {
            prop_assert_eq!(topic.to_string(), text);
        }
    }

    #[test]
    fn one_altered_byte_never_gives_the_same_topic(id: [u8; 16], place: prop::sample::Index, byte: u8) {
        for topic in topics(id) {
            let mut text = topic.to_string().into_bytes();
            let place = place.index(text.len());
            prop_assume!(text[place] != byte);
            text[place] = byte;
            if let Ok(text) = String::from_utf8(text) {
                prop_assert_ne!(Topic::parse(&text), Some(topic));
            }
        }
    }
}
