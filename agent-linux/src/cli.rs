//! The command line.

use crate::{
    clock,
    doctor::{self, Where},
    driver::{self, AgentEnd, Options},
    enroll::{self, Enrolled},
    heartbeat::{
        self,
        source::{HeartbeatOptions, Source},
    },
    keep_alive,
    local::{self, options::LocalCommand},
    logger::{self, Level},
    offline_plan,
    platform::VERSION,
    policy::{self, PolicyAt, Rights, Written},
    restic,
    state_folder::{DEFAULT_FOLDER, StateFolder},
    status,
    update::{
        self,
        trial::{self, Trial},
    },
    usage::UsageError,
};
use core::pin::{Pin, pin};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::{
    ffi::OsString,
    fmt,
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const HELP: &str = "\
holdfast-agent: runs restic backups for a Holdfast server

Usage: holdfast-agent COMMAND [OPTIONS]

Commands:
  enroll TOKEN   make this machine a host of the server that made the token
  run            connect to the server and do what it asks for
  status         how the agent is
  doctor         look for what keeps backups from running here
  update FILE    put another version of the agent in the place of the one that runs
  policy check   what the owner of this machine allows the server, and whether it can work
  list           the snapshots of this machine's repository, or a folder of one; needs no server
  find NAME      what is called so in them; needs no server
  restore ID     bring files back from one of them; needs no server
  version        print the version

holdfast-agent COMMAND --help says more.
";
const ENROLL_HELP: &str = "\
Usage: holdfast-agent enroll [OPTIONS] TOKEN

Makes this machine a host of the server that made the token. TOKEN is one line that begins with hf1. and works once;
with - it is read from standard input.

Options:
  --state-dir DIR   where the agent keeps its state [HOLDFAST_AGENT_STATE_DIR; /var/lib/holdfast-agent]
  --force           also when this machine is enrolled already; the old identity is lost
  --policy FILE     the policy file [HOLDFAST_AGENT_POLICY; /etc/holdfast/policy.toml, with another state folder
                    policy.toml in that]

The policy file says what the server may ask of this machine; see holdfast-agent policy --help. It is written with every
key in it, commented out but for these rights. One that is there is never overwritten. Without any of them the server may
back up everything but the agent's own state, to any repository, and restore into new folders of the agent's own only.

  --allow-source-root DIR       back up and show only what is in DIR (source_roots); may stand several times
  --allow-repository ADDRESS    back up only to ADDRESS, or with /* at its end to all below it (repositories); may stand
                                several times
  --restore-base DIR            make new folders for what is restored in DIR (restore_base) [/var/lib/holdfast/restored,
                                with another state folder beside that]
  --allow-restore-to DIR        make them in DIR too, when the server asks for it (restore_targets); may stand several times
  --allow-restore-in-place      restore also to where it was, and into folders that are there (restore_in_place)
  --allow-other-hosts           restore and send what other hosts have saved (other_hosts)
  --no-admin-slot               refuse credentials that may delete (admin_slot = false)

Exit status: 0 enrolled, 1 not enrolled, 2 wrong usage.
";
const RUN_HELP: &str = "\
Usage: holdfast-agent run [OPTIONS]

Connects to the server and does what it asks for, until SIGTERM or SIGINT. At SIGUSR2 it ends its work in order and starts
again in its own process.

Options:
  --state-dir DIR     where the agent keeps its state [HOLDFAST_AGENT_STATE_DIR; /var/lib/holdfast-agent]
  --restic PATH       the restic to use [HOLDFAST_AGENT_RESTIC; restic, from PATH]
  --policy FILE       what the server may ask for [HOLDFAST_AGENT_POLICY; /etc/holdfast/policy.toml, where there is one,
                      else policy.toml in the state folder]
  --no-admin-slot     refuse credentials that may delete [HOLDFAST_AGENT_NO_ADMIN_SLOT=1]: then no prune, and no forget
                      on an append-only storage, can be run from this machine
  --source-root DIR   back up and show only what is in DIR, whatever the policy file says; may stand several times
                      [HOLDFAST_AGENT_SOURCE_ROOTS, colon-separated]
  --alone-after SECS  how long the server may be away before due backups are run without it
                      [HOLDFAST_AGENT_ALONE_AFTER; 120]
  --keep-alive SECS   how often a silent connection says that it is there, 5 to 1200; when the network cuts it sooner,
                      oftener by itself [HOLDFAST_AGENT_KEEP_ALIVE; 60]
  --heartbeat URL     ask URL every five minutes while this host is well: who watches it tells when nothing comes. Whoever
                      sees the processes of this machine sees it here [HOLDFAST_AGENT_HEARTBEAT]
  --heartbeat-file FILE
                      the same, with the URL in a file [HOLDFAST_AGENT_HEARTBEAT_FILE]
  --heartbeat-ca FILE what its certificate may be of (PEM) [HOLDFAST_AGENT_HEARTBEAT_CA; what this machine trusts]
  --log-level LEVEL   error, warn, info or debug [HOLDFAST_AGENT_LOG_LEVEL; info]
  --program PATH      how the agent starts itself again, where its own file can't be started: under an emulator
                      [HOLDFAST_AGENT_PROGRAM]
  --end-with PID      end, as at SIGTERM, when the process PID ends, which has started this one

Exit status: 0 ended by a signal, 1 can't run, 2 wrong usage.
";
const STATUS_HELP: &str = "\
Usage: holdfast-agent status [OPTIONS]

Says how the agent is: from the agent itself when it runs, else from its state folder.

Options:
  --state-dir DIR   where the agent keeps its state [HOLDFAST_AGENT_STATE_DIR; /var/lib/holdfast-agent]
  --json            as JSON

Exit status: 0 running and connected, 3 running and not connected, 4 not running, 5 not enrolled, 1 no answer,
2 wrong usage.
";
const DOCTOR_HELP: &str = "\
Usage: holdfast-agent doctor [OPTIONS]

Looks at the clock, the policy file, restic, the state folder and its space, the server (name, connection, certificate),
whether the agent runs, and whether restic opens the repository. Changes nothing but restic's cache.

Options:
  --state-dir DIR   where the agent keeps its state [HOLDFAST_AGENT_STATE_DIR; /var/lib/holdfast-agent]
  --restic PATH     the restic to use [HOLDFAST_AGENT_RESTIC; restic, from PATH]
  --policy FILE     the policy file [HOLDFAST_AGENT_POLICY; /etc/holdfast/policy.toml]
  --json            as JSON

Exit status: 0 nothing keeps backups from running, 1 something does, 2 wrong usage.
";
const UPDATE_HELP: &str = "\
Usage: holdfast-agent update [OPTIONS] FILE

Puts FILE, another version of this program, in the place of the agent that runs. Its signature has to be right by the
update_key in the policy file. The new program is tried first: only when it has said hello to the server it takes the
place of the old one, by one rename. Else nothing is replaced, and the old one goes on. The agent's process keeps its
number, so no service manager has to know. Nothing is ever fetched.

Where a package manager has put the agent, let it bring the next version too.

Options:
  --signature FILE   the signature: 64 bytes, or their Base64 [FILE.sig]
  --state-dir DIR    where the agent keeps its state [HOLDFAST_AGENT_STATE_DIR; /var/lib/holdfast-agent]
  --policy FILE      the policy file [HOLDFAST_AGENT_POLICY; /etc/holdfast/policy.toml]
  --wait SECS        how long the new program has for its hello [120]
  --allow-older      also to a version before the one that runs
  --json             say the result as JSON

To make keys and signatures:
  openssl genpkey -algorithm ed25519 -out update-key.pem
  openssl pkey -in update-key.pem -pubout        # the line between the dashes is the update_key
  openssl pkeyutl -sign -rawin -inkey update-key.pem -in FILE -out FILE.sig

Exit status: 0 the new version runs and has said hello, 1 the old one does, 2 wrong usage.
";
const POLICY_HELP: &str = "\
Usage: holdfast-agent policy check [OPTIONS]

Says what the policy file lets the server do on this machine, and what in it can't work. The agent reads it before each
job. It and its folder must belong to root, or to the user who runs the agent, and nobody else may write them.

Options:
  --policy FILE     the file [HOLDFAST_AGENT_POLICY; /etc/holdfast/policy.toml, where there is one, else policy.toml in
                    the state folder]
  --state-dir DIR   where the agent keeps its state [HOLDFAST_AGENT_STATE_DIR; /var/lib/holdfast-agent]
  --json            as JSON

Keys, all optional:
  source_roots                    folders: only what is in these is backed up and shown; else all but the agent's state
  repositories                    [\"rest:https://nas/*\", \"/mnt/usb/*\"]: backups go only there; else anywhere, but not
                                  into folders of the system
  restore_base                    the folder that new folders with what is restored are made in, that of proofs, too
                                  [/var/lib/holdfast/restored, with another state folder beside that; proofs in the
                                  state folder]
  restore_targets                 folders: and in these; both neither in nor above folders of the system
  restore_in_place                true or false [false]: restore also to where it was, and into folders of the above that
                                  are there (restic 0.18 or newer)
  download                        true or false [true]: send files of snapshots to the server, for whoever downloads
                                  them
  other_hosts                     true or false [false]: restore and send what other hosts have saved, with their
                                  credentials for that one job
  admin_slot                      true or false [true]: take credentials that may delete, for one job
  limit_upload, limit_download    KiB a second
  nice, io_idle, spare_memory     0 to 19; true or false
  quiet_hours                     [\"08:00-18:00\"]: no backup, forget, prune, check begins then
  interfaces                      [\"eth0\", \"wlan*\"]: where the default route has to go
  update_key                      \"MCowBQ...\": whose programs holdfast-agent update takes (see its --help)
  [hooks.NAME]                    command = [\"/program\", \"argument\"], timeout_secs = 600
  [commands.NAME]                 command = [...], file_name = \"dump.sql\"; a source group saves its output by the
                                  path command:NAME (restic 0.16 or newer)

Exit status: 0 nothing is wrong, 1 something is, 2 wrong usage.
";
const LIST_HELP: &str = "\
Usage: holdfast-agent list [OPTIONS] [SNAPSHOT [PATH]]

Lists the snapshots of the repository that this machine backs up to, newest first; or what is in a folder of one of them
(/ when no PATH is named). SNAPSHOT is the beginning of an id, or latest. Asks the storage only: no server is needed, and
the agent may run meanwhile.

Options:
  --group NAME      only snapshots of this group (tag)
  --host NAME       only snapshots of this host name; latest is this machine's own where nothing is said
  --json            as lines of JSON: snapshot or entry, log, end
  -v, --verbose     show what restic says
  --state-dir DIR   where the agent keeps its state [HOLDFAST_AGENT_STATE_DIR; /var/lib/holdfast-agent]
  --restic PATH     the restic to use [HOLDFAST_AGENT_RESTIC; restic, from PATH]
  --policy FILE     the policy file [HOLDFAST_AGENT_POLICY; /etc/holdfast/policy.toml]

It reads the credentials in the state folder: run it as root, or as the agent's user.

Exit status: 0 all was listed, 1 nothing was, 2 wrong usage, 3 some is missing, 130 interrupted.
";
const FIND_HELP: &str = "\
Usage: holdfast-agent find [OPTIONS] NAME

Looks for names in the snapshots of this machine, or in all of the repository when it has none. A part of a name is
enough, as it is or as it is shown; *, ? and [ab] are restic's patterns, and \\ before such a sign means itself. A folder that matches stands for what
is in it. Shows each path with its versions, newest first. No server is needed.

Options:
  --newest N        in the newest N snapshots [300, the most]
  -i, --ignore-case capital letters are as small ones
  --group NAME      only in snapshots of this group (tag)
  --host NAME       in snapshots of this host name
  --json            as lines of JSON: found, log, end
  -v, --verbose     show what restic says
  --state-dir DIR, --restic PATH, --policy FILE   as for list

Exit status: 0 found, 1 nothing was, 2 wrong usage, 3 found, but not all was looked through or shown, 130 interrupted.
";
const RESTORE_HELP: &str = "\
Usage: holdfast-agent restore [OPTIONS] SNAPSHOT

Restores files of a snapshot: the beginning of an id of holdfast-agent list, or latest. No server is needed, and the agent
may run meanwhile.

Options:
  --path PATH       only this file or folder of the snapshot, as it is or as it is shown; may stand several times
  --new-folder      into a new folder below restore_base of the policy file (the default)
  --target DIR      into DIR, which is made when it is not there; files lie in it under their whole paths
  --original        to where they were
  --overwrite WHEN  what becomes of files that are there: never (replaced), if-newer, if-changed, always [never]
  --delete          delete what is there and the snapshot lacks; with --target or --original
  --no-verify       don't read back what was written
  --dry-run         only say what would be done
  --yes             don't ask; else --original and --delete show the numbers first, then ask for the host's name
  --group NAME      only of a snapshot of this group (tag); latest is the newest of it
  --host NAME       only of a snapshot of this host name; latest is the newest of it
  --json            as lines of JSON: progress, log, plan, restored, end
  -v, --verbose     show what restic says
  --state-dir DIR, --restic PATH, --policy FILE   as for list

Of the policy file only restore_base, repositories and the limits count here: the rest keeps the server back, not you.
The agent's own state is never restored over, and no symbolic link is followed to a target. Over what is there, restic
0.18 or newer is needed.

Ctrl-C ends restic in order; what was written until then stays.

Exit status: 0 all was restored, 1 nothing was or it failed, 2 wrong usage, 3 some of it is missing, 130 interrupted.
";
const VERSION_HELP: &str = "Usage: holdfast-agent version\n";
const MAX_TOKEN_INPUT_BYTES: u64 = 4096;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Print this text and end.
    Print(String),
    /// The command `enroll`.
    Enroll {
        /// The state folder and the policy file.
        policy: PolicyAt,
        /// What the policy file is to say.
        rights: Rights,
        /// The token, or `-`.
        token: String,
        /// Also over an existing identity.
        force: bool,
    },
    /// The command `run`.
    Run {
        /// The state folder.
        state_dir: PathBuf,
        /// The options that the agent runs with.
        options: Options,
        /// What is logged.
        level: Level,
        /// The parent that it ends with.
        end_with: Option<u32>,
    },
    /// The command `doctor`.
    Doctor {
        /// Where to look.
        at: Where,
        /// Whether to print JSON instead of lines for people.
        json: bool,
    },
    /// The command `update`.
    Update {
        /// Where the new program is.
        from: update::From,
        /// Whether to print JSON instead of lines for people.
        json: bool,
    },
    /// The command `policy check`.
    PolicyCheck {
        /// Where the policy is.
        policy: PolicyAt,
        /// Whether to print JSON instead of lines for people.
        json: bool,
    },
    /// The commands `list`, `find` and `restore`.
    Local(Box<LocalCommand>),
    /// The command `status`.
    Status {
        /// The state folder.
        state_dir: PathBuf,
        /// Whether to print JSON instead of lines for people.
        json: bool,
    },
}

impl Request {
    /// The same with its paths made absolute: restic does not run in the folder that they are relative to. A bare
    /// program name stays as it is, to be looked up in PATH.
    fn at_absolute_paths(mut self) -> Self {
        let absolute = |path: &mut PathBuf| {
            // Fails for an empty path, or when the current folder is gone; the path itself then tells more.
            if let Ok(found) = std::path::absolute(&path) {
                *path = found;
            }
        };
        let policy_paths = |policy: &mut PolicyAt| {
            policy.file.iter_mut().for_each(absolute);
            absolute(&mut policy.state_dir);
        };
        let at_absolute_places = |Where { state_dir, restic, policy }: &mut Where| {
            absolute(state_dir);
            policy_paths(policy);
            if restic.components().nth(1).is_some() || restic.starts_with(".") {
                absolute(restic);
            }
        };
        match &mut self {
            Self::Print(_) => {}
            Self::Local(asked) => at_absolute_places(&mut asked.at),
            Self::Doctor { at, .. } => at_absolute_places(at),
            Self::Update { from: update::From { file, signature, policy, state_dir, .. }, .. } => {
                signature.iter_mut().for_each(absolute);
                policy_paths(policy);
                absolute(file);
                absolute(state_dir);
            }
            Self::PolicyCheck { policy, .. } | Self::Enroll { policy, .. } => policy_paths(policy),
            Self::Status { state_dir, .. } => absolute(state_dir),
            Self::Run { state_dir, options: Options { restic, policy, program, heartbeat, .. }, .. } => {
                absolute(state_dir);
                program.iter_mut().for_each(absolute);
                if let Some(HeartbeatOptions { source, ca }) = heartbeat {
                    ca.iter_mut().for_each(absolute);
                    if let Source::File(file) = source {
                        absolute(file);
                    }
                }
                policy_paths(policy);
                if restic.components().nth(1).is_some() || restic.starts_with(".") {
                    absolute(restic);
                }
            }
        }
        self
    }
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = args.get(1).and_then(|first| restic::child::child_main(first)) {
        return code;
    }
    match parse(args.get(1..).unwrap_or_default(), |name| std::env::var(name).ok()) {
        Ok(request) => carry_out(request.at_absolute_paths()),
        Err(error) => {
            let _ = writeln!(io::stderr(), "holdfast-agent: {error}");
            ExitCode::from(2)
        }
    }
}

/// Reads the arguments behind the program's name.
pub fn parse(args: &[OsString], env: impl Fn(&str) -> Option<String>) -> Result<Request, UsageError> {
    let Some((command, args)) = args.split_first() else {
        return Err(UsageError("no command".to_owned()));
    };
    let as_text = |arg: &OsString| match arg.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(UsageError(format!("{} is not UTF-8", arg.display()))),
    };
    let command = as_text(command)?;
    let help = match command.as_str() {
        "enroll" | "enrol" => ENROLL_HELP,
        "run" => RUN_HELP,
        "status" => STATUS_HELP,
        "policy" => POLICY_HELP,
        "doctor" => DOCTOR_HELP,
        "update" => UPDATE_HELP,
        "list" => LIST_HELP,
        "find" => FIND_HELP,
        "restore" => RESTORE_HELP,
        "version" | "--version" | "-V" => VERSION_HELP,
        "help" | "--help" | "-h" => return Ok(Request::Print(HELP.to_owned())),
        other => return Err(UsageError(format!("no such command: {other}"))),
    };
    // What stands behind `--` is no option, whatever it looks like.
    let mut options = args.iter().take_while(|arg| *arg != "--");
    if options.any(|arg| arg == "--help" || arg == "-h") {
        return Ok(Request::Print(help.to_owned()));
    }
    if matches!(command.as_str(), "list" | "find" | "restore") {
        return local::options::parse(&command, args, &env).map(|asked| Request::Local(Box::new(asked)));
    }
    let rest = args.iter().map(as_text).collect::<Result<Vec<_>, _>>()?;
    let mut state_dir = env("HOLDFAST_AGENT_STATE_DIR").unwrap_or_else(|| DEFAULT_FOLDER.to_owned());
    let mut policy_file = env("HOLDFAST_AGENT_POLICY").filter(|file| !file.is_empty()).map(PathBuf::from);
    let mut restic = env("HOLDFAST_AGENT_RESTIC").unwrap_or_else(|| "restic".to_owned());
    let mut level = env("HOLDFAST_AGENT_LOG_LEVEL").unwrap_or_else(|| "info".to_owned());
    let mut no_admin_slot = match env("HOLDFAST_AGENT_NO_ADMIN_SLOT").as_deref() {
        None | Some("" | "0") => false,
        Some("1") => true,
        Some(other) => {
            return Err(UsageError(format!("HOLDFAST_AGENT_NO_ADMIN_SLOT is 1 or 0, not {other}")));
        }
    };
    let mut source_roots: Vec<PathBuf> = env("HOLDFAST_AGENT_SOURCE_ROOTS")
        .iter()
        .flat_map(|roots| roots.split(':'))
        .filter(|root| !root.is_empty())
        .map(PathBuf::from)
        .collect();
    let mut program = env("HOLDFAST_AGENT_PROGRAM").filter(|file| !file.is_empty()).map(PathBuf::from);
    let mut alone_after = env("HOLDFAST_AGENT_ALONE_AFTER");
    let mut keep_alive = env("HOLDFAST_AGENT_KEEP_ALIVE");
    let some = |name: &str| env(name).filter(|value| !value.is_empty());
    let mut beat = some("HOLDFAST_AGENT_HEARTBEAT").map(Source::Given);
    let mut beat_file = some("HOLDFAST_AGENT_HEARTBEAT_FILE").map(PathBuf::from);
    let mut beat_ca = some("HOLDFAST_AGENT_HEARTBEAT_CA").map(PathBuf::from);
    let (mut force, mut json, mut check, mut allows_older) = (false, false, false, false);
    let (mut token, mut end_with, mut file, mut signature) = (None, None, None, None);
    let mut wait_secs = update::WAIT_SECS;
    let mut rights = Rights::default();
    let mut rest = rest.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        let (name, attached) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (arg, None),
        };
        let mut value = || {
            attached
                .or_else(|| rest.next())
                .map(str::to_owned)
                .ok_or_else(|| UsageError(format!("{name} needs a value")))
        };
        match (command.as_str(), name) {
            ("enroll" | "enrol" | "run" | "status" | "doctor" | "update" | "policy", "--state-dir") => {
                state_dir = value()?;
            }
            ("update", "--signature") => signature = Some(PathBuf::from(value()?)),
            ("update", "--wait") => {
                let text = value()?;
                let secs = text.parse().ok().filter(|secs| (1..=3_600).contains(secs));
                wait_secs =
                    secs.ok_or_else(|| UsageError(format!("--wait is 1 to 3600 seconds, not {text}")))?;
            }
            ("update", "--allow-older") if attached.is_none() => allows_older = true,
            ("enroll" | "enrol", "--allow-source-root") => rights.source_roots.push(value()?),
            ("enroll" | "enrol", "--allow-repository") => rights.repositories.push(value()?),
            ("enroll" | "enrol", "--restore-base") => rights.restore_base = Some(value()?),
            ("enroll" | "enrol", "--allow-restore-to") => rights.restore_targets.push(value()?),
            ("enroll" | "enrol", "--allow-restore-in-place") if attached.is_none() => {
                rights.restore_in_place = true;
            }
            ("enroll" | "enrol", "--allow-other-hosts") if attached.is_none() => rights.other_hosts = true,
            ("enroll" | "enrol", "--no-admin-slot") if attached.is_none() => rights.no_admin_slot = true,
            ("enroll" | "enrol" | "run" | "policy" | "doctor" | "update", "--policy") => {
                policy_file = Some(value()?.into());
            }
            ("run" | "doctor", "--restic") => restic = value()?,
            ("run", "--program") => program = Some(value()?.into()),
            ("run", "--alone-after") => alone_after = Some(value()?),
            ("run", "--keep-alive") => keep_alive = Some(value()?),
            ("run", "--heartbeat") => (beat, beat_file) = (Some(Source::Given(value()?)), None),
            ("run", "--heartbeat-file") => (beat, beat_file) = (None, Some(value()?.into())),
            ("run", "--heartbeat-ca") => beat_ca = Some(value()?.into()),
            ("run", "--log-level") => level = value()?,
            ("run", "--source-root") => source_roots.push(value()?.into()),
            ("run", "--end-with") => {
                let pid = value()?;
                let pid: u32 =
                    pid.parse().map_err(|_| UsageError(format!("{pid} is not the number of a process")))?;
                end_with = Some(pid);
            }
            ("run", "--no-admin-slot") if attached.is_none() => no_admin_slot = true,
            ("enroll" | "enrol", "--force") if attached.is_none() => force = true,
            ("status" | "policy" | "doctor" | "update", "--json") if attached.is_none() => json = true,
            ("policy", "check") => check = true,
            ("enroll" | "enrol", text) if token.is_none() && (text == "-" || !text.starts_with('-')) => {
                token = Some(arg.to_owned());
            }
            ("update", text) if file.is_none() && !text.starts_with('-') => file = Some(PathBuf::from(arg)),
            _ => return Err(UsageError(format!("{command} does not know {arg}"))),
        }
    }
    let state_dir = PathBuf::from(state_dir);
    // As the file says it; only `run` has options beside it.
    let policy = PolicyAt::new(policy_file, state_dir.clone());
    Ok(match command.as_str() {
        "run" => {
            let level = Level::from_word(&level).ok_or_else(|| {
                UsageError(format!("no such log level: {level} (error, warn, info, debug)"))
            })?;
            if let Some(root) = source_roots.iter().find(|root| !root.is_absolute()) {
                return Err(UsageError(format!("the source root {} is not absolute", root.display())));
            }
            let policy = PolicyAt { no_admin_slot, source_roots, ..policy };
            let alone_after_secs = match alone_after.as_deref() {
                None => offline_plan::GRACE_SECS,
                Some(text) => text
                    .parse()
                    .map_err(|_| UsageError(format!("--alone-after {text} is no number of seconds")))?,
            };
            let keep_alive_secs = match keep_alive.as_deref() {
                None => keep_alive::USUAL_SECS,
                Some(text) => text
                    .parse()
                    .ok()
                    .filter(|secs| keep_alive::SECS.contains(secs))
                    .ok_or_else(|| UsageError(format!("--keep-alive is 5 to 1200 seconds, not {text}")))?,
            };
            let heartbeat = match (beat, beat_file) {
                (Some(_), Some(_)) => {
                    return Err(UsageError("a heartbeat has one address: name it, or its file".to_owned()));
                }
                (given, file) => given.or(file.map(Source::File)),
            };
            if let Some(Source::Given(address)) = &heartbeat {
                heartbeat::check(address).map_err(|error| UsageError(format!("the heartbeat: {error}")))?;
            }
            let heartbeat = heartbeat.map(|source| HeartbeatOptions { source, ca: beat_ca });
            let options = Options {
                restic: restic.into(),
                policy,
                program,
                alone_after_secs,
                keep_alive_secs,
                heartbeat,
            };
            Request::Run { state_dir, options, level, end_with }
        }
        "status" => Request::Status { state_dir, json },
        "doctor" => Request::Doctor { at: Where { state_dir, restic: restic.into(), policy }, json },
        "update" => {
            let file =
                file.ok_or_else(|| UsageError("update needs the file of the new program".to_owned()))?;
            let from = update::From { file, signature, policy, state_dir, wait_secs, allows_older };
            Request::Update { from, json }
        }
        "policy" if check => Request::PolicyCheck { policy, json },
        "policy" => return Err(UsageError("policy what? There is: policy check".to_owned())),
        "enroll" | "enrol" => {
            let token = token.ok_or_else(|| UsageError("enroll needs a token".to_owned()))?;
            Request::Enroll { policy, rights, token, force }
        }
        _ => Request::Print(format!("holdfast-agent {VERSION}\n")),
    })
}

fn carry_out(request: Request) -> ExitCode {
    let result = match request {
        Request::Print(text) => print(text).map(|()| ExitCode::SUCCESS).map_err(AnyError::from),
        Request::Enroll { policy, rights, token, force } => run_enroll(&policy, &rights, &token, force),
        Request::Run { state_dir, options, level, end_with } => {
            logger::set_max(level);
            run_agent(&state_dir, options, end_with)
        }
        Request::Status { state_dir, json } => run_status(&state_dir, json),
        Request::Doctor { at, json } => examine(&at, json),
        Request::Update { from, json } => run_update(&from, json),
        Request::PolicyCheck { policy, json } => check_policy(&policy, json),
        Request::Local(asked) => run_to_end(local::run(&asked)).map(ExitCode::from).map_err(AnyError::from),
    };
    result.unwrap_or_else(|error| {
        logger::error(format_args!("{error}"));
        ExitCode::FAILURE
    })
}

/// Prints a text as it is. Who reads may go when they have seen enough, such as `head`: that is no error.
fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

type AnyError = Box<dyn std::error::Error>;

fn run_enroll(at: &PolicyAt, rights: &Rights, token: &str, force: bool) -> Result<ExitCode, AnyError> {
    let mut text = zeroize::Zeroizing::new(token.to_owned());
    if token == "-" {
        text.clear();
        io::stdin().lock().take(MAX_TOKEN_INPUT_BYTES).read_to_string(&mut text)?;
    }
    let Enrolled { identity, written, backups_held } = block_on(enroll::enroll_at(at, rights, &text, force))?;
    let mut option = String::new();
    if at.state_dir != Path::new(DEFAULT_FOLDER) {
        option = format!(" --state-dir {}", at.state_dir.display());
    }
    if let Some(file) = &at.file {
        option = format!("{option} --policy {}", file.display());
    }
    let (name, address) = (&identity.host_name, &identity.addresses);
    print(format_args!(
        "This machine is enrolled as {name} at {address}.\n{}\n{}\
         Next: start the agent with `holdfast-agent run{option}`, or let your service manager do it.\n",
        match written {
            Written::New(file) => format!("What the server may ask of it stands in {}.", file.display()),
            Written::Kept(file) =>
                format!("What the server may ask of it stood in {} already.", file.display()),
            Written::Not(why) =>
                format!("No policy file was written ({why}): the server may ask for the least."),
        },
        if backups_held {
            "It takes another machine's place: its backups wait until somebody starts them on the host's page. \
             Restore first.\n"
        } else {
            ""
        }
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn run_agent(state_dir: &Path, options: Options, end_with: Option<u32>) -> Result<ExitCode, AnyError> {
    if let Some(parent) = end_with {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        // It may have ended before the signal was set.
        if getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()) != Some(parent) {
            return Err(format!("the process {parent} has not started this one, or has ended").into());
        }
    }
    // Before another one may take its place.
    let program = std::env::current_exe()?;
    match block_on(driver::run(state_dir, options))? {
        AgentEnd::Told => Ok(ExitCode::SUCCESS),
        AgentEnd::ToStartAgain => start_again(state_dir, &program),
    }
}

/// Goes on in the same process as the program that is in place; before that, tries a new one when `update` has asked.
fn start_again(state_dir: &Path, program: &Path) -> Result<ExitCode, AnyError> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let state = StateFolder::open(state_dir)?;
    if let Some(trial) = Trial::asked(&state, clock::wall()) {
        match block_on(trial.run(&state, &args)) {
            Ok(trial::TrialEnd::Told) => return Ok(ExitCode::SUCCESS),
            Ok(trial::TrialEnd::GoOn) => {}
            Err(error) => {
                logger::error(format_args!("the new program can't be tried: {error}"));
                state.remove(trial::FILE)?;
            }
        }
    }
    // Returns only when it fails.
    Err(Command::new(program).args(args).exec().into())
}

fn run_update(from: &update::From, json: bool) -> Result<ExitCode, AnyError> {
    let said = update::update(from, |step| {
        if !json {
            let _ = print(format_args!("{step}\n"));
        }
    });
    if json {
        let (version, error) = (said.as_ref().ok(), said.as_ref().err().map(ToString::to_string));
        print(format_args!("{}\n", serde_json::json!({ "version": version, "error": error })))?;
        return Ok(if said.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    print(format_args!("version {} runs now\n", said?))?;
    Ok(ExitCode::SUCCESS)
}

fn run_status(state_dir: &Path, json: bool) -> Result<ExitCode, AnyError> {
    let status = if state_dir.exists() {
        status::ask(&StateFolder::open(state_dir)?)
    } else {
        status::Status::of_nobody()
    };
    if json {
        print(format_args!("{}\n", serde_json::to_string(&status)?))?;
    } else {
        print(status.to_text(clock::wall().0))?;
    }
    let is_enrolled = status.host.is_some() || status.last_error.is_some();
    Ok(ExitCode::from(match (status.is_running, status.connected_since) {
        (true, Some(_)) => 0,
        (true, None) => 3,
        (false, _) if is_enrolled => 4,
        (false, _) => 5,
    }))
}

fn examine(at: &Where, json: bool) -> Result<ExitCode, AnyError> {
    let report = run_to_end(doctor::examine(at))?;
    if json {
        print(format_args!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        print(report.to_text())?;
    }
    Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_policy(at: &PolicyAt, json: bool) -> Result<ExitCode, AnyError> {
    let told = policy::check(at);
    if json {
        print(format_args!("{}\n", serde_json::to_string(&told)?))?;
    } else {
        print(told.to_text())?;
    }
    Ok(if told.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn block_on<T, E: std::error::Error + 'static>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, AnyError> {
    Ok(run_to_end(work)??)
}

fn run_to_end<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let mut done = None;
    drive(pin!(async { done = Some(work.await) }))?;
    done.ok_or_else(|| io::Error::other("the work ended without a result"))
}

/// Of one type for all work: each other one would have a runtime's loop of its own in the program.
fn drive(work: Pin<&mut dyn Future<Output = ()>>) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMANDS: [&str; 10] =
        ["enroll", "run", "status", "doctor", "update", "policy", "list", "find", "restore", "version"];

    fn read(line: &str) -> Result<Request, UsageError> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&args, |_| None)
    }

    #[test]
    fn options_come_with_a_space_or_an_equals_sign() {
        let policy = PolicyAt::new(None, "/s".into());
        let run = |policy| Request::Run {
            state_dir: "/s".into(),
            options: Options {
                restic: "/r".into(),
                policy,
                program: None,
                alone_after_secs: 120,
                keep_alive_secs: 60,
                heartbeat: None,
            },
            level: Level::Debug,
            end_with: None,
        };
        assert_eq!(read("run --state-dir /s --restic=/r --log-level debug"), Ok(run(policy)));
        let policy = PolicyAt {
            file: Some("/p".into()),
            state_dir: "/s".into(),
            no_admin_slot: true,
            source_roots: vec!["/a".into(), "/b".into()],
        };
        let line = "run --no-admin-slot --policy /p --source-root /a --source-root=/b --state-dir /s --restic=/r --log-level debug";
        assert_eq!(read(line), Ok(run(policy)));
        let enroll = |rights| Request::Enroll {
            policy: PolicyAt::new(None, "/s".into()),
            rights,
            token: "-".into(),
            force: true,
        };
        assert_eq!(read("enrol - --force --state-dir=/s"), Ok(enroll(Rights::default())));
        let rights = Rights {
            source_roots: vec!["/a".into(), "/b".into()],
            repositories: vec!["rest:https://nas/*".into()],
            restore_base: Some("/r".into()),
            restore_targets: vec!["/t".into()],
            restore_in_place: true,
            other_hosts: true,
            no_admin_slot: true,
        };
        let line = "enroll --allow-source-root /a --allow-source-root=/b --allow-repository rest:https://nas/* \
            --restore-base=/r --allow-restore-to /t --allow-restore-in-place --allow-other-hosts \
            --no-admin-slot --state-dir /s --force -";
        assert_eq!(read(line), Ok(enroll(rights)));
    }

    #[test]
    fn the_environment_stands_behind_the_options() {
        let env = |name: &str| (name == "HOLDFAST_AGENT_STATE_DIR").then(|| "/env".to_owned());
        let args = |line: &str| line.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        let status = |dir: &str| Ok(Request::Status { state_dir: dir.into(), json: false });
        assert_eq!(parse(&args("status"), env), status("/env"));
        assert_eq!(parse(&args("status --state-dir /s"), env), status("/s"));
    }

    #[test]
    fn paths_are_made_absolute_and_a_bare_program_name_is_left_for_the_search_path() {
        let here = std::env::current_dir().unwrap();
        let run = |dir: PathBuf, restic: PathBuf| Request::Run {
            state_dir: dir.clone(),
            options: Options {
                restic,
                policy: PolicyAt::new(None, dir),
                program: None,
                alone_after_secs: 120,
                keep_alive_secs: 60,
                heartbeat: None,
            },
            level: Level::Info,
            end_with: None,
        };
        for (line, request) in [
            ("run --state-dir s", run(here.join("s"), "restic".into())),
            ("run --state-dir /s --restic bin/restic", run("/s".into(), here.join("bin/restic"))),
            ("run --state-dir=/s --restic ./restic", run("/s".into(), here.join("restic"))),
            ("status --state-dir s", Request::Status { state_dir: here.join("s"), json: false }),
        ] {
            assert_eq!(read(line).unwrap().at_absolute_paths(), request, "{line}");
        }
    }

    #[test]
    fn a_heartbeat_has_one_address_by_itself_in_a_file_or_in_the_environment() {
        let wanted = |line: &str, env: &[(&str, &str)]| -> Result<Option<HeartbeatOptions>, UsageError> {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let env =
                |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
            match parse(&args, env)?.at_absolute_paths() {
                Request::Run { options, .. } => Ok(options.heartbeat),
                other => panic!("{other:?}"),
            }
        };
        let given = |url: &str| Source::Given(url.to_owned());
        let at = |source, ca: Option<&str>| Ok(Some(HeartbeatOptions { source, ca: ca.map(PathBuf::from) }));
        assert_eq!(wanted("run", &[("HOLDFAST_AGENT_HEARTBEAT", "")]), Ok(None));
        let line = "run --heartbeat https://a/b --heartbeat-ca /ca.pem";
        assert_eq!(wanted(line, &[]), at(given("https://a/b"), Some("/ca.pem")));
        let here = std::env::current_dir().unwrap();
        assert_eq!(wanted("run --heartbeat-file h", &[]), at(Source::File(here.join("h")), None));
        let env = [("HOLDFAST_AGENT_HEARTBEAT", "https://a/c")];
        assert_eq!(wanted("run", &env), at(given("https://a/c"), None));
        assert_eq!(wanted("run --heartbeat-file=/h", &env), at(Source::File("/h".into()), None));
        let both = [env[0], ("HOLDFAST_AGENT_HEARTBEAT_FILE", "/h")];
        assert!(wanted("run", &both).unwrap_err().to_string().contains("one address"));
    }

    #[test]
    fn wrong_usage_says_what_is_wrong() {
        for (line, word) in [
            ("", "no command"),
            ("dance", "dance"),
            ("run --log-level loud", "loud"),
            ("run --alone-after soon", "number of seconds"),
            ("run --force", "--force"),
            ("run --heartbeat ftp://a/a-secret", "can't be used"),
            ("run --source-root photos", "not absolute"),
            ("enroll", "token"),
            ("update", "needs the file"),
            ("update new --wait 0", "1 to 3600"),
            ("enroll a b", "does not know b"),
            ("status --state-dir", "needs a value"),
            ("list latest / more", "does not know more"),
            ("find", "needs a name"),
            ("find x --newest 0", "number of snapshots"),
            ("find x --path /a", "--path"),
            ("restore", "needs a snapshot"),
            ("restore yesterday", "is no snapshot"),
            ("restore latest --path a", "begins with /"),
            ("restore latest --target a/../b", "without .."),
            ("restore latest --target=", "empty name"),
            ("restore latest --target /a --original", "only one"),
            ("restore latest --overwrite perhaps", "if-newer"),
            ("restore latest --delete", "holds nothing to delete"),
            ("restore latest --original --json", "--yes"),
        ] {
            let error = read(line).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("a-secret"), "{line:?}: {error}");
        }
    }

    #[test]
    fn the_help_is_as_it_was() {
        let mut all = HELP.to_owned();
        for command in COMMANDS {
            let Ok(Request::Print(text)) = read(&format!("{command} --help")) else { panic!("{command}") };
            all.push_str(&format!("\n### {command}\n{text}"));
        }
        insta::assert_snapshot!("help", all);
    }

    #[test]
    fn what_stands_behind_two_dashes_is_no_option() {
        assert!(matches!(read("find --help -- it"), Ok(Request::Print(_))));
        for wanted in ["--help", "-h"] {
            assert!(matches!(read(&format!("find -- {wanted}")), Ok(Request::Local(_))), "{wanted}");
        }
    }

    #[test]
    fn every_command_has_a_help() {
        for command in COMMANDS {
            let Ok(Request::Print(text)) = read(&format!("{command} --help")) else { panic!("{command}") };
            assert!(text.contains(command));
        }
    }
}
