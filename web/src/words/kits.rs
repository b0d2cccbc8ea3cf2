//! How the break-glass kits stand to the credentials of now, in words.

use crate::format::{day, many};
use fleet::{Kits, WhyGap};

/// How the kits stand.
pub(crate) struct KitsWords {
    /// The state in the templates.
    pub(crate) state: &'static str,
    pub(crate) short: &'static str,
    pub(crate) sentence: String,
}

/// In short and in one sentence. That none was made is no fault: nobody was told so before.
pub(crate) fn kits(kits: &Kits) -> KitsWords {
    let Some(newest) = kits.newest_at.map(day) else {
        let text = match kits.hosts {
            0 => "No kit was made yet, and no host has credentials that it could hold.".to_owned(),
            _ => "No kit was made yet.".to_owned(),
        };
        return KitsWords { state: "never", short: "None yet", sentence: text };
    };
    let (lacking, outdated) = (kits.lacking() as u64, kits.outdated() as u64);
    let changed = |hosts: &str| format!("{hosts} whose credentials changed since");
    let gaps = match (lacking, outdated) {
        (0, 0) => {
            let text = format!("The kit of {newest} holds every host as it is.");
            return KitsWords { state: "ok", short: "Up to date", sentence: text };
        }
        (0, outdated) => changed(&many(outdated, "host")),
        (lacking, 0) => many(lacking, "host"),
        (lacking, outdated) => {
            format!("{}, and {}", many(lacking, "host"), changed(&crate::format::count(outdated)))
        }
    };
    KitsWords { state: "warning", short: "Too old", sentence: format!("The kit of {newest} lacks {gaps}.") }
}

/// What a kit lacks of a host, short.
pub(crate) fn gap(why: WhyGap) -> String {
    match why {
        WhyGap::InNone => "in no kit".to_owned(),
        WhyGap::ChangedSince(at) => format!("changed since the kit of {}", day(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::KitGap;
    use schema::{HostId, Timestamp};

    #[test]
    fn the_sentence_says_what_a_kit_lacks() {
        let at = Timestamp(1_794_500_000_000);
        let gap = |why| KitGap { host: HostId([1; 16]), name: "attic".to_owned(), why };
        let (none, changed) = (gap(WhyGap::InNone), gap(WhyGap::ChangedSince(at)));
        let said = |newest_at, hosts, gaps: &[&KitGap]| {
            let gaps = gaps.iter().map(|gap| (*gap).clone()).collect();
            let KitsWords { state, short, sentence } = kits(&Kits { newest_at, hosts, gaps });
            format!("{state} {short}: {sentence}")
        };
        let text = [
            said(None, 0, &[]),
            said(None, 1, &[&none]),
            said(Some(at), 3, &[]),
            said(Some(at), 3, &[&none]),
            said(Some(at), 3, &[&changed]),
            said(Some(at), 3, &[&none, &none, &changed]),
            self::gap(none.why),
            self::gap(changed.why),
        ];
        insta::assert_snapshot!("kits", text.join("\n"));
    }
}
