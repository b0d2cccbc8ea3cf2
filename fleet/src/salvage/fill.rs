//! The rows of a damaged file on their way into another one.

use crate::damage::{Damage, KeyGap, TableDamage};
use crate::record::meta::{META_FORMAT, Meta};
use crate::refused::{OpenError, StoreError};
use crate::store::{
    Gap, HOST_JOBS, HOST_NAMES, Import, META, NAMES, PageFile, StoredRow as _, Survey, TableAt,
    TableKey as _, Tables, check_row, file_format, key_in_words,
};
use schema::{HostId, JobId};
use std::collections::{BTreeMap, BTreeSet};

/// Tables that are made anew from the others.
pub(super) const INDICES: [&str; 18] = [
    "host_names",
    "host_tokens",
    "schedules_due",
    "host_pending",
    "pending_waiting",
    "pending_due",
    "host_jobs",
    "kind_jobs",
    "source_jobs",
    "open_jobs",
    "exclusive_jobs",
    "usages",
    "repo_hosts",
    "place_hosts",
    "standing_incidents",
    "host_incidents",
    "audit_shares",
    "audit_hosts",
];

/// What the damaged file says besides the rows that are taken over.
#[derive(Default)]
pub(super) struct Known {
    /// How hosts are called, by the index of names.
    pub(super) names: BTreeMap<HostId, String>,
    /// Whose jobs are, by the index.
    pub(super) jobs: BTreeMap<JobId, HostId>,
    /// Whether the row of the incarnation can have been lost.
    pub(super) meta_is_torn: bool,
    /// Tables that are not whole, and where; nowhere = it is not known where.
    pub(super) torn: BTreeMap<&'static str, Vec<Gap>>,
}

impl Known {
    pub(super) fn is_torn(&self, table: &str) -> bool {
        self.torn.contains_key(table)
    }

    /// Whether rows of a thing with this id may be missing in a table whose keys begin with it.
    pub(super) fn may_lack(&self, table: &str, id: [u8; 16]) -> bool {
        let begins = |key: &Vec<u8>| key.get(..16).map(<[u8]>::to_vec);
        self.torn.get(table).is_some_and(|gaps| {
            gaps.is_empty()
                || gaps.iter().any(|gap| {
                    gap.after.as_ref().and_then(begins).is_none_or(|after| after.as_slice() <= id.as_slice())
                        && gap
                            .before
                            .as_ref()
                            .and_then(begins)
                            .is_none_or(|before| before.as_slice() >= id.as_slice())
                })
        })
    }
}

/// Which tables are where.
pub(super) fn survey(pages: &PageFile) -> Survey {
    pages.survey(Tables {
        names: &NAMES,
        is_index: |name| INDICES.contains(&name),
        is_row: |name, key, row| matches!(check_row(name, key, row), Some(Ok(()))),
    })
}

/// Puts every row that can be read into the other file.
pub(super) fn fill(
    pages: &PageFile,
    survey: &Survey,
    import: &mut Import,
) -> Result<(Damage, Known), OpenError> {
    let mut known = Known::default();
    let mut damage = Damage { is_earlier: survey.is_earlier, ..Damage::default() };
    let format = format(pages, survey);
    is_understood(format)?;
    for name in NAMES {
        let is_index = INDICES.contains(&name);
        let Some((at, _)) = survey.tables.get(name) else {
            // A file of before this table, perhaps; but then its list of tables is whole.
            if survey.list_is_torn {
                known.torn.insert(name, Vec::new());
            }
            damage.tables.push(TableDamage {
                table: name.to_owned(),
                unreadable: (!survey.list_is_torn).then_some(0),
                is_index,
                ..TableDamage::default()
            });
            continue;
        };
        let table = one(pages, at, name, is_index, import, &mut known)?;
        if let Some(found) = format.filter(|found| table.undecodable > 0 && *found < file_format::FORMAT) {
            // Its page is what was written: it is of another form.
            return Err(OpenError::OlderFormat { found, oldest: file_format::FORMAT });
        }
        let is_earlier = survey.earlier_tables.iter().any(|earlier| earlier == name);
        let is_carved = survey.carved_tables.iter().any(|carved| carved == name);
        damage.tables.push(TableDamage { is_index, is_earlier, is_carved, ..table });
    }
    known.meta_is_torn = known.is_torn(META.name());
    if known.meta_is_torn && format.is_none() {
        // Each row of it was decoded.
        import.put(META.name(), |put| {
            put(META_FORMAT.as_bytes(), &Meta::Format(file_format::FORMAT).encode())
        })?;
    }
    damage.mended_pages = pages.mended();
    Ok((damage, known))
}

fn one(
    pages: &PageFile,
    at: &TableAt,
    name: &'static str,
    is_index: bool,
    import: &mut Import,
    known: &mut Known,
) -> Result<TableDamage, OpenError> {
    let mut undecodable = 0;
    let (mut names, mut jobs) = (BTreeMap::new(), BTreeMap::new());
    let mut walked = None;
    import.put(name, |put| {
        walked = Some(pages.walk::<StoreError>(at, &mut |key, row| {
            if !matches!(check_row(name, key, row), Some(Ok(()))) {
                undecodable += 1;
                return Ok(());
            }
            if name == HOST_NAMES.name() {
                if let (Ok(host), Ok(called)) = (HostId::from_bytes(row), std::str::from_utf8(key)) {
                    names.insert(host, called.to_owned());
                }
            } else if name == HOST_JOBS.name()
                && let Some((host, job)) = <(HostId, JobId)>::read(&mut &key[..])
            {
                jobs.insert(job, host);
            }
            if is_index { Ok(()) } else { put(key, row) }
        })?);
        Ok(())
    })?;
    let walked = walked.unwrap_or_default();
    known.names.extend(names);
    known.jobs.extend(jobs);
    let unreadable = at.rows.saturating_sub(walked.rows);
    if walked.lost > 0 || unreadable > 0 || undecodable > 0 {
        let are_all_known = undecodable == 0 && walked.lost == walked.gaps.len() as u64;
        known.torn.insert(name, if are_all_known { walked.gaps.clone() } else { Vec::new() });
    }
    let in_words = |key: &Vec<u8>| key_in_words(name, key);
    let gap = |gap: &Gap| KeyGap {
        after: gap.after.as_ref().map(in_words),
        before: gap.before.as_ref().map(in_words),
    };
    const TOLD: usize = 100;
    Ok(TableDamage {
        table: name.to_owned(),
        read: walked.rows - undecodable,
        unreadable: Some(unreadable),
        undecodable,
        unsure: walked.unsure,
        gaps: walked.gaps.iter().take(TOLD).map(gap).collect(),
        more_gaps: walked.lost.saturating_sub(walked.gaps.len().min(TOLD) as u64),
        ..TableDamage::default()
    })
}

/// The format that the file says; `None` = that row is lost, and it is taken for one of this program.
fn format(pages: &PageFile, survey: &Survey) -> Option<u32> {
    let mut format = None;
    let (at, _) = survey.tables.get(META.name())?;
    let _ = pages.walk::<()>(at, &mut |key, row| {
        if let (true, Ok(Meta::Format(found))) = (key == META_FORMAT.as_bytes(), Meta::from_bytes(row)) {
            format = Some(found);
        }
        Ok(())
    });
    format
}

/// What a program of another format wrote is not damaged.
fn is_understood(format: Option<u32>) -> Result<(), OpenError> {
    let (oldest, understood) = (file_format::oldest(), file_format::FORMAT);
    match format {
        Some(found) if found > understood => Err(OpenError::NewerFormat { found, understood }),
        Some(found) if found < oldest => Err(OpenError::OlderFormat { found, oldest }),
        _ => Ok(()),
    }
}

/// The hosts that what is missing was of, as far as that can be told.
pub(super) fn hosts_concerned(
    known: &Known,
    of_a_host: &[&'static str],
    hosts: &BTreeMap<HostId, String>,
    has_job: impl Fn(JobId) -> bool,
) -> BTreeSet<HostId> {
    let mut concerned = BTreeSet::new();
    let is_asked = |table: &&str| of_a_host.contains(table) && !INDICES.contains(table);
    // Where it is not known what of a table is missing, it says nothing of any host.
    for (table, _) in known.torn.iter().filter(|(table, gaps)| is_asked(table) && !gaps.is_empty()) {
        concerned.extend(hosts.keys().filter(|host| known.may_lack(table, host.0)));
    }
    let lost = known.jobs.iter().filter(|(job, _)| !has_job(**job));
    concerned.extend(lost.map(|(_, host)| *host).filter(|host| hosts.contains_key(host)));
    concerned
}
