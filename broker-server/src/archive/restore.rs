//! The command `restore`.

use crate::{
    cli, clock,
    command_error::{self, CommandError},
    config::{Layer, Layers},
    data, out, passphrase, platform,
};
use anyhow::Context;
use fleet::{
    About, ArchiveError, ArchiveOpener, Contents, Driver, Holds, Rehearsal, RestoreAs, Restored, Scratch,
    look_through, may_restore_into, record::Secret,
};
use schema::{Incarnation, Timestamp};
use std::{
    fs::{self, File},
    io::{BufReader, IsTerminal, stdin},
    path::Path,
    process::ExitCode,
    sync::Arc,
};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

/// Restores a server, or only looks through its archive.
pub fn run(options: &cli::Restore) -> anyhow::Result<ExitCode> {
    let archive = &options.archive;
    // Before a passphrase is asked for.
    let opened = File::open(archive).with_context(|| archive.display().to_string())?;
    if let Some(data_dir) = options.data_dir.as_ref().filter(|_| !options.rehearse) {
        may_restore_into(data_dir).map_err(no_room)?;
    }
    let opener = opener(options)?;
    if options.rehearse {
        return rehearse(options, opener);
    }
    let Some(data_dir) = &options.data_dir else {
        let found = look_through(BufReader::with_capacity(1 << 20, opened), &opener)?;
        if options.json {
            out::line(of_contents(&found))?;
        } else {
            out::line(in_words(archive, &found))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let driver = Driver { now: Arc::new(clock::now), random: Arc::new(clock::random) };
    let wish =
        RestoreAs { above: Incarnation(options.incarnation_after), is_clock_right: options.clock_is_right };
    let restored = fleet::restore_as(archive, &opener, data_dir, driver, wish).map_err(no_room)?;
    if options.json {
        let mut told = facts(&restored.about, restored.rows);
        told["data_dir"] = data_dir.display().to_string().into();
        told["restored_incarnation"] = restored.incarnation.0.into();
        told["parts"] = restored.parts.clone().into();
        told["succeeded_by"] = restored.succession.as_ref().map(|it| it.incarnation.0).into();
        told["programs"] = settings_in(data_dir).ok().map(|it| it.notice_scripts.unwrap_or_default()).into();
        out::line(told)?;
    } else {
        out::print(done(data_dir, &restored, &settings_in(data_dir)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the folder is taken, there are other things to do with an archive.
fn no_room(error: ArchiveError) -> anyhow::Error {
    match error {
        ArchiveError::NotEmpty(_) | ArchiveError::Busy(_) | ArchiveError::IsThere(_) => {
            CommandError::NoRoom(error).into()
        }
        error => error.into(),
    }
}

/// Makes a server of the archive, looks at it, and removes it.
fn rehearse(options: &cli::Restore, opener: ArchiveOpener) -> anyhow::Result<ExitCode> {
    let parent = options.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let driver = Driver { now: Arc::new(clock::now), random: Arc::new(clock::random) };
    let look = |data_dir: &Path| would_start(data_dir).map_err(|why| format!("{why:#}"));
    let archive = options.archive.clone();
    let Rehearsal { restored, holds } =
        unless_ended(&parent, move |scratch| fleet::rehearse(&archive, &opener, scratch, driver, look))?;
    let about = &restored.about;
    let fault = (holds.sealed > 0).then(|| anyhow::Error::new(CommandError::SealedSecrets(holds.sealed)));
    if options.json {
        let mut told = facts(about, restored.rows);
        if let Some(fault) = &fault {
            told["error"] = command_error::object(fault);
        }
        told["enrolled"] = holds.enrolled.into();
        told["jobs"] = holds.jobs.into();
        told["newest_job_at"] = holds.newest_job_at.map(web::rfc3339).into();
        told["credentials"] = holds.credentials.into();
        told["unreadable_secrets"] = holds.sealed.into();
        told["accounts"] = holds.accounts.into();
        told["succeeded_by"] = restored.succession.as_ref().map(|it| it.incarnation.0).into();
        out::line(told)?;
    } else {
        let stood_still = restored.succession.as_ref().map(|it| warning(it.incarnation)).unwrap_or_default();
        out::print(rehearsed(&options.archive, about, restored.rows, &holds) + &stood_still)?;
    }
    // It was told with the rest: one object is printed.
    fault.iter().for_each(command_error::complain);
    Ok(if fault.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Works in a folder of its own below `parent`, until somebody ends this process: then the folder goes, with the master key that is
/// in it.
fn unless_ended<T: Send + 'static>(
    parent: &Path,
    work: impl FnOnce(&Scratch) -> Result<T, ArchiveError> + Send + 'static,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        // Before there is anything to be removed.
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let scratch = Arc::new(Scratch::begin(parent)?);
        let works_in = Arc::clone(&scratch);
        let working = tokio::task::spawn_blocking(move || work(&works_in));
        tokio::select! {
            done = working => return anyhow::Ok(done??),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Whoever works finds nothing there any more.
        scratch.remove()?;
        Err(CommandError::Ended.into())
    });
    runtime.shutdown_background();
    done
}

/// Whether a server with this folder and the settings in it would start.
fn would_start(data_dir: &Path) -> anyhow::Result<()> {
    let layers = Layers {
        flags: Layer { data_dir: Some(data_dir.to_owned()), ..Layer::default() },
        file: settings_in(data_dir)?,
        hostname: platform::hostname(),
        ..Layers::default()
    };
    data::check(&layers.resolve()?).map(drop)
}

/// The settings that came with an archive.
fn settings_in(data_dir: &Path) -> anyhow::Result<Layer> {
    let settings = data_dir.join("settings.toml");
    Ok(if settings.exists() { Layer::from_file(&settings)? } else { Layer::default() })
}

/// How long ago something was, or how far it is ahead: pure.
fn age(at: Timestamp, now: Timestamp) -> String {
    let long = |ms: u64| match ms / 3_600_000 {
        hours @ 0..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    };
    match at.ms_since(now) {
        0..60_000 => format!("{} ago", long(now.ms_since(at))),
        ahead @ 60_000..3_600_000 => format!("{} minutes ahead of now", ahead / 60_000),
        ahead => format!("{} ahead of now", long(ahead)),
    }
}

/// What a rehearsal has found.
fn rehearsed(archive: &Path, about: &About, rows: u64, holds: &Holds) -> String {
    let made_at = Timestamp(about.made_at_ms);
    let age = age(made_at, clock::now());
    let newest =
        holds.newest_job_at.map(|at| format!(", the newest of {}", web::rfc3339(at))).unwrap_or_default();
    let opens = match holds.sealed {
        0 => "each secret of a host opens".to_owned(),
        some => format!("{some} secrets of hosts do not open"),
    };
    let addresses: Vec<&str> = about.addresses().collect();
    let addresses =
        if addresses.is_empty() { "it is not known what".to_owned() } else { addresses.join(", ") };
    format!(
        "{}: a server was made of it and would start; it was removed again, and no agent was contacted\n    \
         as of: {}, {age} by this machine's clock\n    \
         hosts: {}, {} of them enrolled\n    \
         jobs: {}{newest}\n    \
         credentials: {}; {opens}\n    \
         accounts: {}\n    \
         rows: {rows}\n    \
         agents dial: {addresses}\n",
        archive.display(),
        web::rfc3339(made_at),
        holds.hosts,
        holds.enrolled,
        holds.jobs,
        holds.credentials,
        holds.accounts,
    )
}

/// What an archive is found to be, for programs.
pub(super) fn of_contents(found: &Contents) -> serde_json::Value {
    let mut told = facts(&found.about, found.rows);
    told["succeeded_by"] = found.succeeded_by.map(|it| it.0).into();
    told
}

/// What an archive is of, for programs.
fn facts(about: &About, rows: u64) -> serde_json::Value {
    serde_json::json!({
        "as_of": web::rfc3339(Timestamp(about.made_at_ms)),
        "incarnation": about.incarnation,
        "hosts": about.hosts,
        "rows": rows,
        "addresses": about.addresses().collect::<Vec<_>>(),
        "server_version": about.server_version,
        "data_format": about.data_format,
        "lacks": about.lacks,
    })
}

fn opener(options: &cli::Restore) -> anyhow::Result<ArchiveOpener> {
    if let Some(path) = &options.identity_file {
        let text =
            fs::read_to_string(path).map(Zeroizing::new).with_context(|| path.display().to_string())?;
        return Ok(ArchiveOpener::Identities(Secret::new(text.as_str())));
    }
    if options.passphrase_file.is_none() && stdin().is_terminal() && wants_identity(&options.archive) {
        return Err(ArchiveError::WantsIdentity.into());
    }
    Ok(ArchiveOpener::Passphrase(passphrase::known("the archive", options.passphrase_file.as_deref())?))
}

/// Whether it is encrypted for recipients, so that nobody is asked for a passphrase in vain.
fn wants_identity(archive: &Path) -> bool {
    let Ok(opened) = File::open(archive) else { return false };
    let nothing = ArchiveOpener::Identities(Secret::new(""));
    matches!(look_through(opened, &nothing), Err(ArchiveError::Identity))
}

/// What an archive is of.
pub(super) fn in_words(path: &Path, found: &Contents) -> String {
    let about = &found.about;
    let many = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let before = match about.incarnation {
        0 => String::new(),
        incarnation => format!(", itself restored from an archive, incarnation {incarnation}"),
    };
    let addresses: Vec<&str> = about.addresses().collect();
    let of = if addresses.is_empty() {
        "that names no address".to_owned()
    } else {
        format!("of {}", addresses.join(","))
    };
    let mut lacks: String = about.lacks.iter().map(|what| format!("\nit goes without {what}")).collect();
    if let Some(successor) = found.succeeded_by {
        lacks.push_str(&format!("\n{}", warning(successor).trim_end()));
    }
    format!(
        "{}: the server {of} as of {} ({}, {} of the data file{before}; holdfast-server {}){lacks}",
        path.display(),
        web::rfc3339(Timestamp(about.made_at_ms)),
        many(about.hosts, "host"),
        many(found.rows, "row"),
        about.server_version,
    )
}

/// Where a server is to be started whose agents dial these.
pub(crate) fn where_to_start<'a>(addresses: impl Iterator<Item = &'a str>) -> String {
    match addresses.collect::<Vec<_>>().as_slice() {
        [] => "What its agents dial is not known: they have it from before. Start it where that leads:"
            .to_owned(),
        [one] => format!("Its agents dial {one}. Start it where that leads:"),
        several => format!("Its agents dial {}. Start it where one of these leads:", several.join(", ")),
    }
}

/// What a person has to know of a server that stood still and is made anew.
pub(crate) fn warning(incarnation: Incarnation) -> String {
    format!(
        "WARNING: this server stood still, for another one, incarnation {incarnation}, has its place. Once this one is started, \
         agents obey it and leave that one, and what that one was told since is lost\n"
    )
}

/// What was done, and what is to be done next.
fn done(data_dir: &Path, restored: &Restored, settings: &anyhow::Result<Layer>) -> String {
    let about = &restored.about;
    let folder = data_dir.display();
    let mut text = format!(
        "{folder}: the server as of {}, incarnation {}\n\nWhat it was told since then is lost, but for what its agents still \
         hold; the audit\nsays so. {}\n\n",
        web::rfc3339(Timestamp(about.made_at_ms)),
        restored.incarnation,
        where_to_start(about.addresses()),
    );
    let has = |name| restored.parts.contains(&name);
    let config =
        if has("settings.toml") { format!(" --config {folder}/settings.toml") } else { String::new() };
    text.push_str(&format!("    holdfast-server serve{config} --data-dir {folder}\n\n"));
    if has("settings.toml") {
        text.push_str(
            "settings.toml has the settings that were in force; look through it for folders and addresses of the other machine.\n",
        );
    }
    match settings {
        Err(why) => {
            text.push_str(&format!("It can't be read, and a server does not start with it: {why:#}.\n"));
        }
        Ok(Layer { notice_scripts, archive_dir, .. }) => {
            for program in notice_scripts.iter().flatten() {
                text.push_str(&format!(
                    "By settings.toml the server starts the program {program} when a notice is to be told: is it yours?\n"
                ));
            }
            if let Some(folder) = archive_dir {
                text.push_str(&format!("By settings.toml its own archives go to {}.\n", folder.display()));
            }
        }
    }
    if has("brought/certificate.pem") || has("brought/pages-certificate.pem") {
        text.push_str(&format!(
            "Certificates that were brought, and their keys, are in {folder}/brought, and are used from there unless others are \
             named.\n"
        ));
    }
    for lacks in &about.lacks {
        text.push_str(&format!("The archive goes without {lacks}. Bring it again before others need it.\n"));
    }
    if let Some(successor) = &restored.succession {
        text.push_str(&warning(successor.incarnation));
    }
    text.push_str(&format!(
        "The master key is {folder}/master.key. If another one was handed over to the server, with --master-key-file, it is \
         the same.\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the program says it: with what lies below an error, once.
    #[test]
    fn an_error_says_once_why() {
        let why = || std::io::Error::other("a reason");
        for error in [
            ArchiveError::Read(why()).into(),
            ArchiveError::Write(why()).into(),
            ArchiveError::File { path: "/x".into(), why: why() }.into(),
            anyhow::Error::from(crate::tls::TlsError::File {
                doing: "can't read",
                path: "/x".into(),
                why: why(),
            }),
            crate::gate::StartError::Bind { address: ([127, 0, 0, 1], 1).into(), tls: true, why: why() }
                .into(),
        ] {
            let said = format!("{error:#}");
            assert_eq!(said.matches("a reason").count(), 1, "{said}");
        }
    }

    #[test]
    fn an_archive_of_later_than_now_is_not_said_to_be_of_now() {
        let hour = 3_600_000;
        let now = Timestamp(1_000 * hour);
        for (at, said) in [
            (999 * hour, "1 hours ago"),
            (900 * hour, "4 days ago"),
            (1_000 * hour + 5_000, "0 hours ago"),
            (1_000 * hour + 120_000, "2 minutes ahead of now"),
            (1_002 * hour, "2 hours ahead of now"),
            (1_072 * hour, "3 days ahead of now"),
        ] {
            assert_eq!(age(Timestamp(at), now), said);
        }
    }

    fn about() -> About {
        let about = serde_json::json!({
            "holdfast_archive": 1, "made_at_ms": 1_780_000_000_000_u64, "server_version": "0.1.0", "data_format": 5,
            "incarnation": 3, "hosts": 2, "mqtt_address": "a:1",
        });
        serde_json::from_value(about).unwrap()
    }

    #[test]
    fn programs_that_the_settings_of_an_archive_name_are_told() {
        let restored = Restored {
            about: about(),
            rows: 7,
            incarnation: Incarnation(4),
            parts: vec!["settings.toml"],
            succession: None,
        };
        let scratch = tempfile::tempdir().unwrap();
        let said = || done(scratch.path(), &restored, &settings_in(scratch.path()));
        assert!(!said().contains("program"));
        for (settings, words) in [
            ("notice_scripts = [\"sms=/opt/sms\"]", "starts the program sms=/opt/sms when"),
            ("archive_dir = \"/mnt/a\"", "archives go to /mnt/a."),
            ("unknown_of_later = 1", "a server does not start with it"),
        ] {
            fs::write(scratch.path().join("settings.toml"), settings).unwrap();
            assert!(said().contains(words), "{}", said());
        }
    }

    #[test]
    fn what_an_archive_is_of_says_that_its_server_stood_still() {
        let said = |succeeded_by| {
            let found = Contents { about: about(), rows: 7, succeeded_by };
            (in_words(Path::new("/a.age"), &found), of_contents(&found)["succeeded_by"].as_u64())
        };
        let (words, told) = said(Some(Incarnation(9)));
        assert!(words.contains("WARNING: this server stood still") && told == Some(9), "{words}");
        let (words, told) = said(None);
        assert!(!words.contains("WARNING") && told.is_none(), "{words}");
    }

    #[test]
    fn where_a_server_is_to_be_started_is_a_sentence_whatever_is_known() {
        let said = |addresses: &[&'static str]| where_to_start(addresses.iter().copied());
        assert_eq!(said(&["a:1"]), "Its agents dial a:1. Start it where that leads:");
        assert_eq!(said(&["a:1", "b:1"]), "Its agents dial a:1, b:1. Start it where one of these leads:");
        assert!(said(&[]).starts_with("What its agents dial is not known"), "{}", said(&[]));
    }
}
