//! The policy file: TOML, every key optional.
//!
//! ```toml
//! source_roots = ["/srv", "/home"]        # only what is in these is backed up and shown
//! repositories = ["rest:https://nas/*"]   # only there backups go
//! restore_base = "/var/lib/holdfast/restored"  # new folders with what is restored are made in it, that of proofs, too
//! restore_targets = ["/srv/restored"]     # and in these
//! restore_in_place = false                # never to where it was, over what is there
//! download = false                        # no file of a snapshot is sent to a browser
//! other_hosts = true                      # what other hosts have saved may be restored here
//! admin_slot = false                      # no credentials that may delete: no prune from here
//! limit_upload = 2000                     # KiB a second
//! limit_download = 0                      # 0 = no limit
//! nice = 10                               # 0 to 19
//! io_idle = true                          # needs ionice
//! spare_memory = true                     # else: on machines with less than 1 GiB
//! quiet_hours = ["08:00-18:00"]           # by the machine's own time zone
//! interfaces = ["eth0", "wlan*"]          # where the way out has to go
//! update_key = "MCowBQYDK2VwAyEA…"        # whose programs `holdfast-agent update` takes
//!
//! [hooks.stop-database]                   # a source group names it: stop-database
//! command = ["/usr/local/bin/stop-database", "--now"]
//! timeout_secs = 600
//!
//! [commands.orders]                       # a source group names it as its path: command:orders
//! command = ["/usr/bin/pg_dump", "orders"]
//! file_name = "orders.sql"
//! ```

use super::{
    Hook, Limits, Pattern, Policy, Quiet, SourceCommand,
    restore::default_base,
    roots::{has_steps_up, system_folder_above, system_folder_below},
};
use crate::{state_folder::DEFAULT_FOLDER, update::signature::UpdateKey};
use rustix::{fs::OFlags, process::geteuid};
use schema::name;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Where the policy is when nothing else is said.
pub const DEFAULT_FILE: &str = "/etc/holdfast/policy.toml";
/// Its name in a state folder that is not the usual one.
const NAME: &str = "policy.toml";
const MAX_BYTES: u64 = 64 * 1024;
const DEFAULT_TIMEOUT_SECS: u32 = 600;
const LONGEST_TIMEOUT_SECS: u32 = 24 * 3_600;

impl Default for Policy {
    /// Of a machine without a policy file and with the state folder where it usually is.
    fn default() -> Self {
        Self::least(Path::new(DEFAULT_FOLDER), Path::new(DEFAULT_FILE))
    }
}

impl Policy {
    /// What an empty policy file comes to: no program, no file that is there replaced.
    fn least(state_dir: &Path, file: &Path) -> Self {
        Self {
            allows_admin_slot: true,
            source_roots: Vec::new(),
            restore_base: default_base(state_dir),
            restore_targets: Vec::new(),
            restore_in_place: false,
            // The server has the password of the repository: it could read there what is downloaded.
            downloads: true,
            other_hosts: false,
            repositories: Vec::new(),
            state_dir: state_dir.to_owned(),
            file: file.to_owned(),
            limits: Limits::default(),
            quiet: Vec::new(),
            interfaces: Vec::new(),
            hooks: BTreeMap::new(),
            commands: BTreeMap::new(),
            update_key: None,
        }
    }
}

/// Why the policy can't be read; nothing is allowed then.
#[derive(Debug, thiserror::Error)]
#[error("the policy file {file}: {why}")]
pub struct PolicyError {
    file: String,
    why: String,
}

/// Where the policy comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyAt {
    /// The file; `None` = the default one, else the one in a state folder that is not the usual one; neither need be
    /// there.
    pub file: Option<PathBuf>,
    /// The state folder of the agent.
    pub state_dir: PathBuf,
    /// Said on the command line: no admin slot, whatever the file says.
    pub no_admin_slot: bool,
    /// Said on the command line, instead of those in the file.
    pub source_roots: Vec<PathBuf>,
}

impl PolicyAt {
    /// The policy of the files alone, with no right of a command line.
    #[must_use]
    pub const fn new(file: Option<PathBuf>, state_dir: PathBuf) -> Self {
        Self { file, state_dir, no_admin_slot: false, source_roots: Vec::new() }
    }

    /// Reads it.
    pub fn load(&self) -> Result<Policy, PolicyError> {
        let file = self.path();
        let mut policy =
            if self.file.is_none() && !file.exists() { self.least() } else { read(&file, &self.state_dir)? };
        policy.allows_admin_slot &= !self.no_admin_slot;
        if !self.source_roots.is_empty() {
            policy.source_roots.clone_from(&self.source_roots);
        }
        Ok(policy)
    }

    /// What counts when no file says anything.
    #[must_use]
    pub fn least(&self) -> Policy {
        Policy::least(&self.state_dir, &self.path())
    }

    /// The file that counts: the one that was named, or the default one where it is there.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let default = Path::new(DEFAULT_FILE);
        match &self.file {
            Some(file) => file.clone(),
            None if default.exists() || self.state_dir == Path::new(DEFAULT_FOLDER) => default.to_owned(),
            None => self.state_dir.join(NAME),
        }
    }
}

fn read(file: &Path, state_dir: &Path) -> Result<Policy, PolicyError> {
    let failed = |why: String| PolicyError { file: file.display().to_string(), why };
    let text = text_of(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => failed("it is not there".to_owned()),
        _ => failed(error.to_string()),
    })?;
    parse(&text, state_dir, file).map_err(failed)
}

/// The text of a file that nobody else may write.
fn text_of(file: &Path) -> io::Result<String> {
    let own = geteuid().as_raw();
    // One that is no file could keep whoever opens it waiting for ever.
    let opened =
        OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(file)?;
    let metadata = opened.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    if let Some(why) = who_else_writes(metadata.uid(), metadata.mode(), own) {
        return Err(io::Error::other(why));
    }
    // Who may write its folder can put another file in its place.
    for path in [file.to_owned(), file.canonicalize()?] {
        let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { continue };
        let metadata = fs::metadata(folder)?;
        if let Some(why) = who_else_writes(metadata.uid(), metadata.mode(), own) {
            return Err(io::Error::other(format!("its folder {}: {why}", folder.display())));
        }
    }
    let mut text = String::new();
    if opened.take(MAX_BYTES + 1).read_to_string(&mut text)? as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it is longer than {MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// Who may write a file, so that it is not to be trusted.
pub(super) fn who_else_writes(owner: u32, mode: u32, own: u32) -> Option<String> {
    if owner != 0 && owner != own {
        return Some(format!("it belongs to the user {owner}; give it to root"));
    }
    (mode & 0o022 != 0).then(|| "others may write it; chmod go-w".to_owned())
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Text {
    source_roots: Option<Vec<PathBuf>>,
    repositories: Option<Vec<String>>,
    restore_base: Option<PathBuf>,
    restore_targets: Vec<PathBuf>,
    restore_in_place: bool,
    download: bool,
    other_hosts: bool,
    admin_slot: bool,
    limit_upload: u32,
    limit_download: u32,
    nice: u8,
    io_idle: bool,
    spare_memory: Option<bool>,
    quiet_hours: Vec<String>,
    interfaces: Option<Vec<String>>,
    update_key: Option<String>,
    hooks: BTreeMap<String, HookText>,
    commands: BTreeMap<String, CommandText>,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            source_roots: None,
            repositories: None,
            restore_base: None,
            restore_targets: Vec::new(),
            restore_in_place: false,
            download: true,
            other_hosts: false,
            admin_slot: true,
            limit_upload: 0,
            limit_download: 0,
            nice: 0,
            io_idle: false,
            spare_memory: None,
            quiet_hours: Vec::new(),
            interfaces: None,
            update_key: None,
            hooks: BTreeMap::new(),
            commands: BTreeMap::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HookText {
    command: Vec<String>,
    timeout_secs: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandText {
    command: Vec<String>,
    file_name: String,
}

/// A list that limits something when it is there: without anything in it nobody could say what is meant.
fn named<T>(key: &str, list: Option<Vec<T>>) -> Result<Vec<T>, String> {
    match list {
        Some(list) if list.is_empty() => {
            Err(format!("{key} is empty: name something, or take the key out, which allows all"))
        }
        list => Ok(list.unwrap_or_default()),
    }
}

/// Reads a policy's text: the whole of it, or why not.
pub(super) fn parse(text: &str, state_dir: &Path, file: &Path) -> Result<Policy, String> {
    let text: Text = basic_toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let least = Policy::least(state_dir, file);
    let repositories = named("repositories", text.repositories)?;
    let repositories = repositories.iter().map(|pattern| Pattern::parse(pattern));
    let mut policy = Policy {
        allows_admin_slot: text.admin_slot,
        source_roots: absolute("source_roots", named("source_roots", text.source_roots)?)?,
        repositories: repositories.collect::<Result<_, _>>().map_err(|why| format!("repositories: {why}"))?,
        restore_base: match text.restore_base {
            Some(base) => restore_roots("restore_base", vec![base], state_dir)?.remove(0),
            None => least.restore_base.clone(),
        },
        restore_targets: restore_roots("restore_targets", text.restore_targets, state_dir)?,
        restore_in_place: text.restore_in_place,
        downloads: text.download,
        other_hosts: text.other_hosts,
        limits: Limits {
            upload_kib: text.limit_upload,
            download_kib: text.limit_download,
            nice: text.nice,
            io_idle: text.io_idle,
            spare_memory: text.spare_memory,
        },
        ..least
    };
    if text.nice > 19 {
        return Err(format!("nice is 0 to 19, not {}", text.nice));
    }
    for span in text.quiet_hours {
        let quiet = Quiet::parse(&span);
        policy.quiet.push(quiet.ok_or_else(|| format!("quiet_hours: {span:?} is not like 08:00-18:00"))?);
    }
    for name in named("interfaces", text.interfaces)? {
        let start = name.strip_suffix('*').unwrap_or(&name);
        if name.is_empty() || start.contains(|c: char| c.is_whitespace() || c == '/' || c == '*') {
            return Err(format!(
                "interfaces: {name:?} is not the name of an interface, nor its start with a *"
            ));
        }
        policy.interfaces.push(name);
    }
    if let Some(text) = text.update_key {
        let key = UpdateKey::parse(&text);
        policy.update_key = Some(key.ok_or_else(|| {
            format!("update_key: {text:?} is no ed25519 public key in Base64 (the line in its PEM file)")
        })?);
    }
    for (name, HookText { command, timeout_secs }) in text.hooks {
        let timeout_secs = timeout_secs.unwrap_or(DEFAULT_TIMEOUT_SECS);
        if !(1..=LONGEST_TIMEOUT_SECS).contains(&timeout_secs) {
            return Err(format!("hooks.{name}: timeout_secs is 1 to {LONGEST_TIMEOUT_SECS}"));
        }
        check_command("hooks", &name, &command)?;
        policy.hooks.insert(name, Hook { command, timeout_secs });
    }
    for (name, CommandText { command, file_name }) in text.commands {
        check_command("commands", &name, &command)?;
        if file_name.is_empty() || file_name.contains(|c: char| c == '/' || c.is_control()) {
            return Err(format!("commands.{name}: file_name is the name of a file, without a folder"));
        }
        policy.commands.insert(name, SourceCommand { command, file_name });
    }
    Ok(policy)
}

fn absolute(key: &str, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, String> {
    match paths.iter().find(|path| !path.is_absolute()) {
        Some(path) => Err(format!("{key}: {path:?} is not absolute: begin it with /")),
        None => Ok(paths),
    }
}

/// Folders that new ones are made in: absolute, and without steps upwards, for what is made new below is found by its
/// name; and none in which something that appears could be run, or be taken for the agent's own.
fn restore_roots(key: &str, paths: Vec<PathBuf>, state_dir: &Path) -> Result<Vec<PathBuf>, String> {
    let paths = absolute(key, paths)?;
    let wrong = |path: &PathBuf| {
        let named = path.display();
        if has_steps_up(path) {
            return Some(format!("{named} has steps upwards"));
        }
        if path.starts_with(state_dir) {
            return Some(format!("{named} is in the agent's state folder, which holds its keys"));
        }
        let system = match (system_folder_above(path), system_folder_below(path)) {
            (Some(above), _) => format!("{named} belongs to the system ({above})"),
            (None, Some(below)) => format!("{named} holds {below}, which belongs to the system"),
            (None, None) => return None,
        };
        Some(format!("{system}, and what is restored there could be run: name a folder of your own"))
    };
    match paths.iter().find_map(wrong) {
        Some(why) => Err(format!("{key}: {why}")),
        None => Ok(paths),
    }
}

fn check_command(table: &str, name: &str, command: &[String]) -> Result<(), String> {
    if !name::is_valid(name) {
        return Err(format!("{table}.{name}: a name has letters, digits, dots, dashes and underscores"));
    }
    match command.first() {
        Some(program) if program.starts_with('/') => {}
        _ => return Err(format!("{table}.{name}: command begins with the program's absolute path")),
    }
    match command.iter().find(|word| word.contains('\0')) {
        Some(_) => Err(format!("{table}.{name}: command has a NUL")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn parse(text: &str) -> Result<Policy, String> {
        super::parse(text, Path::new(DEFAULT_FOLDER), Path::new(DEFAULT_FILE))
    }

    #[test]
    fn an_empty_file_is_the_same_as_none() {
        assert_eq!(parse("").unwrap(), Policy::default());
    }

    #[test]
    fn where_the_file_is_depends_on_the_state_folder() {
        if Path::new(DEFAULT_FILE).exists() {
            return;
        }
        let at =
            |state: &str, file: Option<&str>| PolicyAt::new(file.map(PathBuf::from), state.into()).path();
        assert_eq!(at(DEFAULT_FOLDER, None), Path::new(DEFAULT_FILE));
        assert_eq!(at("/volume1/state", None), Path::new("/volume1/state/policy.toml"));
        assert_eq!(at("/volume1/state", Some("/p")), Path::new("/p"));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        for (text, said) in [
            ("source_roots = ['photos']", "source_roots: \"photos\" is not absolute"),
            ("source_roots = ['']", "source_roots: \"\" is not absolute"),
            ("interfaces = []", "interfaces is empty"),
            ("source_roots = []", "source_roots is empty"),
            ("repositories = []", "repositories is empty"),
            ("source_root = ['/a']", "unknown field `source_root`"),
            ("nice = 20", "nice is 0 to 19"),
            ("nice = 'much'", "invalid type"),
            ("quiet_hours = ['8-18']", "\"8-18\" is not like 08:00-18:00"),
            ("interfaces = ['eth 0']", "not the name of an interface"),
            ("[hooks.a]\ncommand = []", "hooks.a: command begins with"),
            ("[hooks.a]\ncommand = ['sh']", "absolute path"),
            ("[hooks.'a b']\ncommand = ['/bin/sh']", "hooks.a b: a name has"),
            ("[hooks.a]\ncommand = ['/bin/sh']\ntimeout_secs = 0", "timeout_secs is 1 to 86400"),
            ("[hooks.a]\ncommand = ['/bin/sh']\nshell = true", "unknown field `shell`"),
            ("[commands.a]\ncommand = ['/bin/sh']", "missing field `file_name`"),
            ("[commands.a]\ncommand = ['/bin/sh']\nfile_name = '../a'", "without a folder"),
            ("source_roots = [", "at line 1 column 17"),
            ("restore_base = 'back'", "restore_base: \"back\" is not absolute"),
            ("restore_targets = ['/a/../b']", "restore_targets: /a/../b has steps upwards"),
            ("restore_base = '/'", "restore_base: / holds /bin, which belongs to the system"),
            (
                "restore_targets = ['/srv', '/etc/cron.d']",
                "restore_targets: /etc/cron.d belongs to the system (/etc)",
            ),
            ("restore_targets = ['/var']", "/var holds /var/spool"),
            ("restore_base = '/usr//lib/./systemd/'", "belongs to the system (/usr)"),
            ("restore_base = '/var/lib/holdfast-agent/back'", "in the agent's state folder"),
            ("repositories = ['rest:https://nas*']", "repositories: \"rest:https://nas*\""),
            ("update_key = 'AAAA'", "update_key: \"AAAA\" is no ed25519 public key"),
            ("nice = 1\nnice = 2", "duplicate key: `nice`"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
    }

    #[test]
    fn a_file_that_others_may_write_allows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        let at = PolicyAt::new(Some(file.clone()), folder.path().to_owned());
        assert!(at.load().unwrap_err().to_string().contains("it is not there"));
        fs::write(&file, "admin_slot = true\nsource_roots = ['/a']").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(at.load().unwrap_err().to_string().contains("others may write it"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(at.load().unwrap().source_roots, [Path::new("/a")]);
        let flags = PolicyAt { no_admin_slot: true, source_roots: vec!["/b".into()], ..at.clone() };
        let policy = flags.load().unwrap();
        assert_eq!((policy.allows_admin_slot, policy.source_roots), (false, vec!["/b".into()]));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(at.load().unwrap_err().to_string().contains("its folder"));
        // Nor is one that only a link leads to from a good folder.
        let good = tempfile::tempdir().unwrap();
        let link = good.path().join("policy.toml");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let linked = PolicyAt { file: Some(link), ..at.clone() };
        assert!(linked.load().unwrap_err().to_string().contains("its folder"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(linked.load().is_ok());
        fs::write(&file, vec![b'#'; 70_000]).unwrap();
        assert!(at.load().unwrap_err().to_string().contains("longer than"));
        assert!(who_else_writes(1000, 0o644, 0).is_some());
        assert_eq!(who_else_writes(1000, 0o644, 1000), None);
    }
}
