use super::*;
use proptest::prelude::*;

fn cron(text: &str, zone: &str) -> Cron {
    Cron::parse(text, zone).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as u64)
}

/// The next `count` instants after one, as UTC.
fn next(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let cron = cron(text, zone);
    let mut from = at(after);
    let mut found = Vec::new();
    for _ in 0..count {
        from = cron.next_after(from).unwrap();
        found.push(
            jiff::Timestamp::from_millisecond(from.0 as i64).unwrap().strftime("%m-%dT%H:%M").to_string(),
        );
    }
    found
}

#[test]
fn a_host_keeps_its_delay() {
    let host = HostId([7; 16]);
    assert_eq!(delay_ms(host, "nightly", 0), 0);
    let delay = delay_ms(host, "nightly", 600);
    assert!(delay < 600_000 && delay == delay_ms(host, "nightly", 600));
    let all: std::collections::BTreeSet<u64> =
        (0..50).map(|n| delay_ms(HostId([n; 16]), "nightly", 600)).collect();
    assert!(all.len() > 45, "hosts are spread");
    let halves = (0..200).filter(|n| delay_ms(HostId([*n; 16]), "nightly", 600) < 300_000).count();
    assert!((70..130).contains(&halves), "evenly: {halves}");
}

#[test]
fn a_skipped_time_runs_once_right_after_the_gap() {
    // Berlin, 29 March 2026: 02:00 CET becomes 03:00 CEST at 01:00 UTC.
    let table: [(&str, &[&str]); 5] = [
        ("30 2 * * *", &["03-28T01:30", "03-29T01:00", "03-30T00:30"]),
        (
            "*/15 2 * * *",
            &["03-28T01:00", "03-28T01:15", "03-28T01:30", "03-28T01:45", "03-29T01:00", "03-30T00:00"],
        ),
        ("0 2,3 * * *", &["03-28T01:00", "03-28T02:00", "03-29T01:00", "03-30T00:00"]),
        ("30 2,14 * * *", &["03-28T01:30", "03-28T13:30", "03-29T01:00", "03-29T12:30", "03-30T00:30"]),
        ("0 4 * * *", &["03-28T03:00", "03-29T02:00"]),
    ];
    for (text, expected) in table {
        assert_eq!(next(text, "Europe/Berlin", "2026-03-28T00:30:00Z", expected.len()), expected, "{text}");
    }
}

#[test]
fn a_repeated_time_runs_the_first_time_only() {
    // Berlin, 25 October 2026: 03:00 CEST becomes 02:00 CET at 01:00 UTC.
    let table: [(&str, &[&str]); 3] = [
        ("30 2 * * *", &["10-24T00:30", "10-25T00:30", "10-26T01:30"]),
        ("0 2 * * *", &["10-24T00:00", "10-25T00:00", "10-26T01:00"]),
        ("0 3 * * *", &["10-24T01:00", "10-25T02:00", "10-26T02:00"]),
    ];
    for (text, expected) in table {
        assert_eq!(next(text, "Europe/Berlin", "2026-10-23T23:00:00Z", expected.len()), expected, "{text}");
    }
    // On the second pass, too.
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1), ["10-26T01:30"]);
}

#[test]
fn what_runs_every_so_often_goes_by_the_clock_as_it_is() {
    let spring = next("0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", 4);
    assert_eq!(spring, ["03-29T00:00", "03-29T01:00", "03-29T02:00", "03-29T03:00"]);
    let autumn = next("30 * * * *", "Europe/Berlin", "2026-10-24T23:40:00Z", 4);
    assert_eq!(autumn, ["10-25T00:30", "10-25T01:30", "10-25T02:30", "10-25T03:30"]);
    let quarters = next("*/20 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", 5);
    assert_eq!(quarters, ["10-25T00:40", "10-25T01:00", "10-25T01:20", "10-25T01:40", "10-25T02:00"]);
}

#[test]
fn half_an_hour_of_daylight_saving() {
    // Lord Howe, 4 October 2026: 02:00 +10:30 becomes 02:30 +11:00 at 15:30 UTC of the day before.
    assert_eq!(
        next("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T12:00:00Z", 3),
        ["10-02T15:45", "10-03T15:30", "10-04T15:15"]
    );
    // 5 April 2026: 02:00 +11:00 becomes 01:30 +10:30 at 15:00 UTC of the day before.
    assert_eq!(
        next("45 1 * * *", "Australia/Lord_Howe", "2026-04-03T12:00:00Z", 3),
        ["04-03T14:45", "04-04T14:45", "04-05T15:15"]
    );
}

#[test]
fn a_day_that_a_zone_left_out_is_no_reason_to_hang() {
    // Samoa had no 30 December 2011.
    assert_eq!(next("0 3 30 * *", "Pacific/Apia", "2011-12-01T00:00:00Z", 2), ["12-30T10:00", "01-29T13:00"]);
}

#[test]
fn words_are_those_that_people_use() {
    let table = [
        ("* * * * *", "Every minute"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("@hourly", "Every hour, on the hour"),
        ("5 * * * *", "Every hour, 5 min past"),
        ("0 */6 * * *", "Every 6 hours, on the hour"),
        ("30 3 * * *", "Every day at 03:30"),
        ("30 3,15 * * *", "Every day at 03:30 and 15:30"),
        ("0 4 * * mon-fri", "Monday to Friday at 04:00"),
        ("0 4 * * 1,4,7", "Every Monday, Thursday and Sunday at 04:00"),
        ("0 5 1 * *", "On the 1st of the month at 05:00"),
        ("0 5 11,22 * *", "On the 11th and 22nd of the month at 05:00"),
        ("@daily", "Every day at 00:00"),
    ];
    for (text, words) in table {
        assert_eq!(cron(text, "UTC").in_words(), words, "{text}");
    }
    let rare = cron("0 0 L 2 *", "UTC").in_words();
    assert!(!rare.is_empty() && !rare.ends_with('.'), "{rare}");
}

#[test]
fn what_cant_be_used_is_refused_with_its_field_and_a_reason() {
    let table = [
        ("", "five fields"),
        ("0 3 * *", "these are 4"),
        ("0 0 3 * * *", "these are 6"),
        ("60 3 * * *", "the minute"),
        ("0 25 * * *", "the hour"),
        ("0 3 0 * *", "the day of the month"),
        ("0 3 * 13 *", "the month"),
        ("0 3 * * FOO", "the day of the week"),
        ("*/0 * * * *", "the minute"),
        ("@reboot", "@hourly"),
        ("0 0 30 2 *", "never comes"),
    ];
    for (text, words) in table {
        match Cron::parse(text, "UTC") {
            Err(CronError::Cron(why)) => assert!(why.contains(words), "{text}: {why}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    for zone in ["", "Berlin", "Mars/Olympus", "../../etc/passwd", "/etc/localtime"] {
        assert!(matches!(Cron::parse("0 3 * * *", zone), Err(CronError::TimeZone(_))), "{zone}");
    }
    assert!(Cron::parse(&"1,".repeat(200), "UTC").is_err());
}

#[test]
fn zones_are_known_by_name() {
    let zones = timezones();
    assert!(zones.is_sorted());
    for zone in ["Europe/Berlin", "UTC", "Australia/Lord_Howe"] {
        assert!(zones.iter().any(|known| known == zone), "{zone}");
    }
    assert_eq!(
        cron("0 3 * * *", "Europe/Berlin").local(at("2026-11-23T02:30:00Z")),
        "Mon 23 Nov 2026, 03:30"
    );
}

const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago"];

proptest! {
    #[test]
    fn no_text_panics(text in "[-0-9*/,LW#?A-Z@ +]{0,24}", zone in "[A-Za-z/_.0-9+-]{0,12}") {
        let _ = Cron::parse(&text, &zone);
    }

    /// A fixed time comes once on each date of the wall clock, whatever happens to the clocks.
    #[test]
    fn a_fixed_time_runs_once_a_day(
        zone in proptest::sample::select(&ZONES[..]),
        (hour, minute) in (0..24u8, 0..60u8),
        from in 1_500_000_000u64..2_000_000_000,
    ) {
        let cron = cron(&format!("{minute} {hour} * * *"), zone);
        let mut last = Timestamp(from * 1_000);
        let mut date = None;
        for _ in 0..400 {
            let next = cron.next_after(last).unwrap();
            prop_assert!(next > last);
            let day = cron.zone.to_datetime(instant(next).unwrap()).date();
            if let Some(date) = date {
                prop_assert_eq!(day, jiff::civil::Date::tomorrow(date).unwrap());
            }
            // From wherever one asks in between, the answer is the same.
            prop_assert_eq!(cron.next_after(Timestamp(next.0 - 1)), Some(next));
            prop_assert_eq!(cron.next_after(Timestamp((last.0 + next.0) / 2)), Some(next));
            (last, date) = (next, Some(day));
        }
    }

    /// Every quarter of an hour is a quarter of an hour, also when clocks are changed by an hour or a half.
    #[test]
    fn what_runs_every_quarter_keeps_its_distance(
        zone in proptest::sample::select(&ZONES[..]),
        from in 1_500_000_000u64..2_000_000_000,
    ) {
        let cron = cron("*/15 * * * *", zone);
        let mut last = cron.next_after(Timestamp(from * 1_000)).unwrap();
        // Over the next change of the clocks.
        if let Some(change) = cron.change_after(instant(last).unwrap()) {
            last = cron.next_after(Timestamp(change.as_millisecond() as u64 - 3 * 3_600_000)).unwrap();
        }
        for _ in 0..40 {
            let next = cron.next_after(last).unwrap();
            prop_assert_eq!(next.0 - last.0, 900_000);
            last = next;
        }
    }
}

#[test]
fn files_of_the_system_that_are_no_zones_are_none() {
    for name in ["localtime", "posixrules", "Factory", "posix/Europe/Berlin", "right/Europe/Berlin"] {
        assert!(!is_timezone(name), "{name}");
        assert!(!timezones().iter().any(|known| known == name), "{name}");
    }
    assert!(is_timezone("UTC") && is_timezone("Europe/Berlin") && is_timezone("CET"));
}

#[test]
fn a_week_that_goes_over_its_end_is_written_as_a_list_by_the_error() {
    let why = Cron::parse("0 3 * * fri-mon", "UTC").unwrap_err().to_string();
    assert!(why.ends_with("goes over the end of the week: write FRI,SAT,SUN,MON"), "{why}");
    assert!(Cron::parse("0 3 * * FRI,SAT,SUN,MON", "UTC").is_ok());
    assert!(Cron::parse("0 3 * * mon-fri", "UTC").is_ok());
}

#[test]
fn many_times_of_a_day_are_counted() {
    let words = |text| cron(text, "UTC").in_words();
    assert_eq!(words("15 22,0,2,4,6,8 * * *"), "Every day 6 times, from 00:15 to 22:15");
    assert_eq!(words("15 22,0,2,4 * * *"), "Every day at 00:15, 02:15, 04:15 and 22:15");
    assert_eq!(words("0 1,2,3,4,5 * * mon"), "Every Monday 5 times, from 01:00 to 05:00");
}

#[test]
fn a_zone_that_is_not_known_by_its_name_goes_by_its_rules() {
    let rules = [
        ("America/New_York", "EST5EDT,M3.2.0,M11.1.0"),
        ("Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3"),
        ("Asia/Kolkata", "IST-5:30"),
        ("Australia/Lord_Howe", "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"),
    ];
    // 2026-11-01, and each fifth day of the years that follow.
    let days = (0..400_u64).map(|day| Timestamp(1_793_491_200_000 + day * 5 * 86_400_000));
    for (name, rules) in rules {
        let by_name = Cron::parse("30 2 * * *", name).unwrap();
        let by_rules = Cron::parse_with_rules("30 2 * * *", "Moon/Base", rules).unwrap();
        for at in days.clone() {
            assert_eq!(by_rules.next_after(at), by_name.next_after(at), "{name} {at:?}");
        }
        #[cfg(feature = "bundled-zones")]
        assert_eq!(rules_of(name), Some(rules));
    }
    for rules in ["", "nonsense", "M3.2.0"] {
        let unknown = Cron::parse_with_rules("30 2 * * *", "Moon/Base", rules);
        assert!(matches!(unknown, Err(CronError::TimeZone(_))), "{rules:?}");
    }
}

#[cfg(feature = "bundled-zones")]
#[test]
fn old_names_are_built_in_with_their_rules() {
    for name in ["US/Eastern", "Asia/Calcutta", "Europe/Kiev", "UTC", "Etc/GMT+5", "EST5EDT"] {
        assert!(find_zone(name).is_some() && rules_of(name).is_some(), "{name}");
    }
    assert_eq!(rules_of("Moon/Base"), None);
}
