//! Drills: what is asked of one, and what it found.

use super::said::said;
use super::words;
use fleet::record::DrillFigures;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A drill of a source group.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = DrillRequest)]
pub(crate) struct DrillBody {
    /// The source group; absent: the one that was drilled longest ago.
    pub(crate) group: Option<String>,
    /// The most files that are drawn, 1 to 100; absent: 20.
    pub(crate) files: Option<u16>,
    /// The most bytes in all; absent: 512 MiB. A larger file is never drawn.
    pub(crate) bytes: Option<u64>,
}

/// Each file that was drawn is equal, changed since, unreadable, different, or was not tried.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrillSummary {
    /// restic's id of the snapshot; null: it ended before one was chosen.
    snapshot: Option<String>,
    /// Files in the snapshot.
    of_files: u64,
    /// Size of those files.
    of_bytes: u64,
    /// Files that were drawn.
    drawn: u32,
    /// Files that were restored and have the content that the host has.
    equal: u32,
    /// Files that were restored whole by restic's own reckoning, and have been changed on the host since.
    changed_since: u32,
    /// Files that could not be restored.
    unreadable: u32,
    /// Files that came back with other content than the host has, where nothing has changed since.
    different: u32,
    /// Files of which nothing is known: the drill was over before.
    not_tried: u32,
    /// Size of the files that were restored whole.
    bytes: u64,
    /// How long restic took to restore them, in seconds.
    secs: f64,
    cuts: DrillCutsOut,
    /// The files that are unreadable or different.
    files: Vec<DrillFindingOut>,
    /// How many more there were.
    files_left_out: u32,
}

/// What the bounds have cut.
#[derive(Serialize, ToSchema)]
#[schema(as = DrillCuts)]
struct DrillCutsOut {
    /// Files that are larger than all that may be drawn.
    too_large: u64,
    /// Files whose names restic's listing alters, or that are too long: they are never drawn.
    odd_names: u64,
    /// Files that the lot fell on and for which no bytes were left.
    over_bytes: u32,
    /// There was less room on the host than the bound on bytes.
    short_of_room: bool,
    /// It was over before all files were restored and compared.
    out_of_time: bool,
}

/// A file that a drill could not prove.
#[derive(Serialize, ToSchema)]
#[schema(as = DrillFinding)]
struct DrillFindingOut {
    path: String,
    #[schema(value_type = words::DrillFault)]
    fault: &'static str,
    /// In restic's words or the agent's; null: nothing was said.
    reason: Option<String>,
}

impl From<&DrillFigures> for DrillSummary {
    fn from(found: &DrillFigures) -> Self {
        let cuts = found.cuts;
        let files = found.findings.iter().map(|finding| DrillFindingOut {
            path: finding.path.clone(),
            fault: finding.fault.as_str(),
            reason: said(&finding.reason),
        });
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a drill are far below 2^52")]
        let secs = found.restore_ms as f64 / 1000.0;
        Self {
            snapshot: said(&found.snapshot),
            of_files: found.of_files,
            of_bytes: found.of_bytes,
            drawn: found.drawn,
            equal: found.equal,
            changed_since: found.changed_since,
            unreadable: found.unreadable,
            different: found.different,
            not_tried: found.not_tried,
            bytes: found.bytes,
            secs,
            cuts: DrillCutsOut {
                too_large: cuts.too_large,
                odd_names: cuts.odd_names,
                over_bytes: cuts.over_bytes,
                short_of_room: cuts.short_of_room,
                out_of_time: cuts.out_of_time,
            },
            files: files.collect(),
            files_left_out: found.findings_left_out,
        }
    }
}
