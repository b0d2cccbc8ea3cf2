//! The command line.

use crate::config::Layer;
use clap::{Args, Parser, Subcommand};
use fleet::MOST_INCARNATION;
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

/// The Holdfast server: MQTT broker, pages and API of a fleet of restic backups.
#[derive(Debug, Parser)]
#[command(name = "holdfast-server", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    #[command(after_help = "Exit status: 0 it was ended in order, 1 it failed, 2 wrong usage")]
    Serve(Serve),
    /// Run a server, an agent and a first backup here, to look at
    #[command(after_help = "Exit status: 0 it went well, 1 it failed, 2 wrong usage")]
    Demo(Demo),
    /// Accounts and tokens, also while the server runs
    Admin {
        /// What to do
        #[command(subcommand)]
        command: Admin,
    },
    /// Make a break-glass kit: one encrypted file with what is needed to restore with restic alone; also while the
    /// server runs
    #[command(after_help = DONE_OR_FAILED)]
    Kit(Kit),
    /// Make an archive of the server: all that it is, in one encrypted file; also while it runs
    #[command(after_help = DONE_OR_FAILED)]
    Backup(Backup),
    /// Make a server anew from an archive, in an empty folder
    #[command(
        after_help = "Exit status: 0 the server is there (with --check: the archive is whole; with --rehearse: a server of it would start, \
        and each secret opens), 1 it failed, 2 wrong usage"
    )]
    Restore(Restore),
    /// The standbys of this server: programs elsewhere that fetch its archives, to take its place
    Standby {
        /// What to do
        #[command(subcommand)]
        command: Standby,
    },
    /// Make a standby the server, of the newest archive that it has. Exit status: 0 it is the server, 3 the server that it
    /// follows is still there, or may be (it answers, hangs, something else answers, or it can't be reached from here) and nothing was
    /// done, 1 it failed, 2 wrong usage
    Promote(Promote),
    /// Make a data folder of what can be read of a damaged one, which stays as it is. Exit status: 0 all was read, 1
    /// something is missing, 2 nothing was made
    Salvage(Salvage),
    /// The authority that agents trust
    Tls {
        /// What to do
        #[command(subcommand)]
        command: Tls,
    },
    /// Check the configuration and look through the data file, also while the server runs; changes nothing. Exit status: 0
    /// nothing is damaged or missing, also of a server that stands still because another one has its place (which is said, in a
    /// line "place"), 3 there is no data yet, 1 something is wrong, 2 wrong usage
    Check(Check),
    /// Print the version
    #[command(after_help = DONE_OR_FAILED)]
    Version,
}

/// How most commands end.
const DONE_OR_FAILED: &str = "Exit status: 0 it was done, 1 it failed, 2 wrong usage";

impl Command {
    /// Whether what comes of it is to be one JSON object.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        match self {
            Self::Kit(options) => options.json,
            Self::Backup(options) => options.json,
            Self::Restore(options) => options.json,
            Self::Promote(options) => options.json,
            Self::Salvage(options) => options.json,
            Self::Check(options) => options.json,
            Self::Tls { command: Tls::Rotate(options) } => options.json,
            Self::Standby {
                command:
                    Standby::Add { json, .. }
                    | Standby::List { json, .. }
                    | Standby::Remove { json, .. }
                    | Standby::Recipient { json, .. },
            }
            | Self::Admin { command: Admin::AcceptAuthority { json, .. } } => *json,
            Self::Admin { command: Admin::Token { .. } | Admin::ResetPassword { .. } }
            | Self::Serve(_)
            | Self::Demo(_)
            | Self::Version => false,
        }
    }
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Settings
    #[command(flatten)]
    pub settings: Settings,
    /// Print what was found, or what failed, as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Where the settings come from.
#[derive(Debug, Args)]
pub struct Settings {
    /// Settings file (TOML); its keys are the long options, with _ for -, and lists for what may be given several times
    #[arg(long, value_name = "FILE", env = "HOLDFAST_CONFIG")]
    pub config: Option<PathBuf>,
    /// The settings of the command line
    #[command(flatten)]
    pub flags: Layer,
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Settings
    #[command(flatten)]
    pub settings: Settings,
    /// Print the settings in force and where each comes from, and end
    #[arg(long)]
    pub print_config: bool,
    /// Whom to follow
    #[command(flatten)]
    pub follow: Follow,
}

/// Options of `serve` that make it a standby. They are no settings of the server: a settings file can't have them.
#[derive(Clone, Debug, Args)]
pub struct Follow {
    /// Be the standby of the server whose pages are there: keep its newest archives, to take its place
    #[arg(long, value_name = "URL", env = "HOLDFAST_FOLLOW")]
    pub follow: Option<String>,
    /// How often it is asked for what is new: such as 30s or 5m, from 1s to 60m [default: 5m]
    #[arg(long, value_name = "TIME", env = "HOLDFAST_FOLLOW_EVERY", value_parser = every)]
    pub follow_every: Option<Duration>,
    /// File with the token that the server gave [default: standby/token in the data folder]
    #[arg(long, value_name = "FILE", env = "HOLDFAST_FOLLOW_TOKEN_FILE")]
    pub follow_token_file: Option<PathBuf>,
    /// Authority (PEM) that the server's certificate is of, such as its tls/ca.pem [default: those that the system trusts]
    #[arg(long, value_name = "FILE", env = "HOLDFAST_FOLLOW_AUTHORITY")]
    pub follow_authority: Option<PathBuf>,
    /// Ask without TLS also when it is another machine
    #[arg(long, env = "HOLDFAST_FOLLOW_PLAIN")]
    pub follow_plain: bool,
}

/// How often a server may be asked by its standby.
const EVERY_MAY_BE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);

fn every(text: &str) -> Result<Duration, String> {
    let unit = |ending| text.strip_suffix(ending).and_then(|number: &str| number.parse::<u64>().ok());
    let seconds = unit("s").or_else(|| unit("m").and_then(|minutes| minutes.checked_mul(60)));
    let every = seconds.map(Duration::from_secs).filter(|every| EVERY_MAY_BE.contains(every));
    every.ok_or_else(|| "a whole number of seconds (30s) or minutes (5m), from 1s to 60m".to_owned())
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Check the result and end, instead of staying up
    #[arg(long)]
    pub once: bool,
    /// Where the demo keeps everything
    #[arg(long, value_name = "DIR", default_value = "demo-data")]
    pub data_dir: PathBuf,
    /// What to back up; may be given more than once [default: this folder, without the demo's own data]
    #[arg(long, value_name = "PATH")]
    pub source: Vec<PathBuf>,
    /// Port of the pages on 127.0.0.1 [default: 8080, or the next free one]
    #[arg(long, value_name = "PORT")]
    pub http_port: Option<u16>,
    /// Port for the agent on 127.0.0.1, MQTT over TLS [default: 8883, or the next free one]
    #[arg(long, value_name = "PORT")]
    pub mqtt_port: Option<u16>,
    /// Port for MQTT tools on 127.0.0.1 [default: 1883, or the next free one]
    #[arg(long, value_name = "PORT")]
    pub mqtt_plain_port: Option<u16>,
    /// The agent program [default: holdfast-agent beside this program]
    #[arg(long, value_name = "FILE")]
    pub agent: Option<PathBuf>,
    /// The restic program [default: found in PATH]
    #[arg(long, value_name = "FILE")]
    pub restic: Option<PathBuf>,
}

/// Options of `kit`.
#[derive(Debug, Args)]
pub struct Kit {
    /// The server's data folder
    #[arg(long, value_name = "DIR", env = "HOLDFAST_DATA_DIR")]
    pub data_dir: PathBuf,
    /// The server's master key, when it is not in the data folder
    #[arg(long, value_name = "FILE", env = "HOLDFAST_MASTER_KEY_FILE")]
    pub master_key_file: Option<PathBuf>,
    /// Where to write the kit, for its owner alone
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace the file when it is there
    #[arg(long)]
    pub force: bool,
    /// A host, by name or id; may be given more than once [default: all hosts, when no label is given either]
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Also the hosts that have this label; may be given more than once
    #[arg(long, value_name = "LABEL")]
    pub label: Vec<String>,
    /// Read the passphrase from the first line of this file [default: asked for on the terminal, or read from standard
    /// input]
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    pub passphrase_file: Option<PathBuf>,
    /// Draw a passphrase and print it; it is shown this once
    #[arg(long)]
    pub generate: bool,
    /// Print where it is and of how many hosts, or what failed, as one JSON object, which never holds a passphrase
    #[arg(long, conflicts_with = "generate")]
    pub json: bool,
}

/// Options of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// Settings
    #[command(flatten)]
    pub settings: Settings,
    /// Where to write it, for its owner alone: a file, or a folder that is there, in which it gets a name of its own
    /// [default: the server makes it as each night, with the key that it has been given]
    #[arg(long, value_name = "FILE|DIR")]
    pub to: Option<PathBuf>,
    /// Replace the file when it is there
    #[arg(long, requires = "to")]
    pub force: bool,
    /// Encrypt it for this age recipient (age1…); may be given more than once [default: with a passphrase]
    #[arg(long, value_name = "RECIPIENT", requires = "to")]
    pub recipient: Vec<String>,
    /// Read the passphrase from the first line of this file [default: asked for on the terminal, or read from standard
    /// input]
    #[arg(long, value_name = "FILE", requires = "to", conflicts_with_all = ["recipient", "generate"])]
    pub passphrase_file: Option<PathBuf>,
    /// Draw a passphrase and print it; it is shown this once
    #[arg(long, requires = "to", conflicts_with = "recipient")]
    pub generate: bool,
    /// Print the result, or what failed, as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The archive
    #[arg(value_name = "FILE")]
    pub archive: PathBuf,
    /// Where the server is to be: a folder that is empty or not there
    #[arg(long, value_name = "DIR", required_unless_present_any = ["check", "rehearse"])]
    pub data_dir: Option<PathBuf>,
    /// Only look through the archive, and say what it is of
    #[arg(long, conflicts_with_all = ["data_dir", "clock_is_right", "incarnation_after"])]
    pub check: bool,
    /// Only rehearse: make a server of the archive in a folder that is removed again, open all of it, and say what it holds. It
    /// does not run, and no agent is contacted
    #[arg(long, conflicts_with_all = ["check", "data_dir", "clock_is_right", "incarnation_after"])]
    pub rehearse: bool,
    /// Where the folder of a rehearsal is made; the server's secrets are in it meanwhile, for you alone [default: the system's
    /// folder for temporary files]
    #[arg(long, value_name = "DIR", requires = "rehearse", conflicts_with = "check")]
    pub scratch: Option<PathBuf>,
    /// Read the passphrase from the first line of this file [default: asked for on the terminal, or read from standard
    /// input]
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Open it with an identity of age, as age-keygen writes it
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub identity_file: Option<PathBuf>,
    /// By this machine's clock the archive is older than a year, or of later than now, and the clock is right
    #[arg(long, alias = "long-ago")]
    pub clock_is_right: bool,
    /// Become an incarnation above this one, of which agents have heard: one that a clock made that was years ahead; up to
    /// 253402300799999999, the end of the year 9999
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true,
        value_parser = incarnation)]
    pub incarnation_after: u64,
    /// Print the result, or what failed, as one JSON object
    #[arg(long)]
    pub json: bool,
}

fn incarnation(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|number| *number <= MOST_INCARNATION).ok_or_else(|| {
        format!(
            "a whole number up to {MOST_INCARNATION}, the end of the year 9999 in microseconds since 1970, as an agent's log names it: \
             above a higher one no later restore could come"
        )
    })
}

/// What to do with standbys.
#[derive(Debug, Subcommand)]
pub enum Standby {
    /// Add a standby, and print the token with which it asks; it is shown this once. Also while the server runs
    #[command(after_help = DONE_OR_FAILED)]
    Add {
        /// The server
        #[command(flatten)]
        server: Served,
        /// What it is to be called
        name: String,
        /// The recipient (age1…) that the standby shows: archives are encrypted for it
        #[arg(long, value_name = "RECIPIENT")]
        recipient: String,
        /// Print the result, or what failed, as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List the standbys, and when each has asked and fetched last
    #[command(after_help = DONE_OR_FAILED)]
    List {
        /// The server
        #[command(flatten)]
        server: Served,
        /// Print the result, or what failed, as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove a standby: its token is worth nothing any more
    #[command(after_help = DONE_OR_FAILED)]
    Remove {
        /// The server
        #[command(flatten)]
        server: Served,
        /// Which one
        name: String,
        /// Print the result, or what failed, as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// On the standby: print the recipient of its data folder, which is made where it is empty or not there
    #[command(after_help = DONE_OR_FAILED)]
    Recipient {
        /// The data folder of the standby
        #[arg(long, value_name = "DIR", env = "HOLDFAST_DATA_DIR")]
        data_dir: PathBuf,
        /// Print the result, or what failed, as one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// A server, which may run.
#[derive(Debug, Args)]
pub struct Served {
    /// The server's data folder
    #[arg(long, value_name = "DIR", env = "HOLDFAST_DATA_DIR")]
    pub data_dir: PathBuf,
    /// The server's master key, when it is not in the data folder
    #[arg(long, value_name = "FILE", env = "HOLDFAST_MASTER_KEY_FILE")]
    pub master_key_file: Option<PathBuf>,
}

/// Options of `promote`.
#[derive(Debug, Args)]
pub struct Promote {
    /// The data folder of the standby, which may run: it ends then
    #[arg(long, value_name = "DIR", env = "HOLDFAST_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Also when the server that it follows still answers, or can't be reached from here: you know that it is gone. Where it is
    /// not there are two then, agents go over to this one as soon as they reach it, and what the other one is told until it
    /// stands still is lost
    #[arg(long)]
    pub force: bool,
    /// By this machine's clock the newest archive is older than a year, or of later than now, and the clock is right
    #[arg(long, alias = "long-ago")]
    pub clock_is_right: bool,
    /// Print the result, or what failed, as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Options of `salvage`.
#[derive(Debug, Args)]
pub struct Salvage {
    /// The damaged data folder; its server must not run
    #[arg(long, value_name = "DIR", env = "HOLDFAST_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Where the new one is to be: a folder that is empty or not there
    #[arg(long, value_name = "NEWDIR")]
    pub to: PathBuf,
    /// The server's master key, when it is not in the data folder
    #[arg(long, value_name = "FILE", env = "HOLDFAST_MASTER_KEY_FILE")]
    pub master_key_file: Option<PathBuf>,
    /// Print what was read and what is missing, or what failed, as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What to do with the authority that agents trust.
#[derive(Debug, Subcommand)]
pub enum Tls {
    /// Replace the authority, in two steps: the first tells agents of a new one, the second, once all hosts have it, uses it
    /// alone. Exit status: 0 a step was done, 3 hosts do not have the new one, they are listed and nothing was done, 1 it failed, 2
    /// wrong usage
    Rotate(Rotate),
}

/// Options of `tls rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    /// The data folder of the server, which runs
    #[arg(long, value_name = "DIR", env = "HOLDFAST_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Use the new one also when hosts do not have it: they are lost until each is enrolled again
    #[arg(long)]
    pub force: bool,
    /// Print the result, or what failed, as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Make an API token and print it; it is shown this once
    #[command(after_help = DONE_OR_FAILED)]
    Token {
        /// The server's data folder
        #[arg(long, value_name = "DIR", env = "HOLDFAST_DATA_DIR")]
        data_dir: PathBuf,
        /// The server's master key, when it is not in the data folder
        #[arg(long, value_name = "FILE", env = "HOLDFAST_MASTER_KEY_FILE")]
        master_key_file: Option<PathBuf>,
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it may do: any of metrics, read, run, restore, write, admin, comma-separated
        #[arg(long, value_name = "SCOPE", value_delimiter = ',', default_value = "read,run,write")]
        scopes: Vec<String>,
    },
    /// Give an account a new random password and print it; its browsers are signed out
    #[command(after_help = DONE_OR_FAILED)]
    ResetPassword {
        /// The server's data folder
        #[arg(long, value_name = "DIR", env = "HOLDFAST_DATA_DIR")]
        data_dir: PathBuf,
        /// The server's master key, when it is not in the data folder
        #[arg(long, value_name = "FILE", env = "HOLDFAST_MASTER_KEY_FILE")]
        master_key_file: Option<PathBuf>,
        /// Which account
        name: String,
    },
    /// Let the next start come with another authority than the one that enrolled agents trust, or make a new one where
    /// it is lost; then every host has to be enrolled again. Exit status: 0 it is accepted, 3 the authority that is there is the
    /// one that agents trust and nothing was done, 1 it failed, 2 wrong usage
    AcceptAuthority {
        /// The server's data folder
        #[arg(long, value_name = "DIR", env = "HOLDFAST_DATA_DIR")]
        data_dir: PathBuf,
        /// Print what came of it, or what failed, as one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The help of a command and of all below it.
    fn help(command: &mut clap::Command, all: &mut String) {
        let text = command.clone().mut_args(|arg| arg.hide_env_values(true)).render_long_help();
        all.push_str(&format!("### {}\n{text}\n", command.get_display_name().unwrap_or(command.get_name())));
        command.get_subcommands_mut().filter(|it| it.get_name() != "help").for_each(|below| help(below, all));
    }

    /// A number of nanoseconds, say, would make an incarnation that no later restore reaches by its clock.
    #[test]
    fn an_incarnation_is_given_up_to_a_bound_that_the_refusal_names() {
        let parsed = |number: u64| {
            let number = number.to_string();
            Cli::try_parse_from([
                "holdfast-server",
                "restore",
                "a.age",
                "--data-dir=new",
                "--incarnation-after",
                &number,
            ])
        };
        assert!(parsed(MOST_INCARNATION).is_ok());
        // Who only looks through an archive is told what has no meaning then.
        for more in ["--data-dir=new", "--incarnation-after=1", "--clock-is-right", "--long-ago"] {
            assert!(
                Cli::try_parse_from(["holdfast-server", "restore", "a.age", "--check", more]).is_err(),
                "{more}"
            );
        }
        assert!(Cli::try_parse_from(["holdfast-server", "restore", "a.age", "--check"]).is_ok());
        let rehearses = |more: &[&str]| {
            let words = ["holdfast-server", "restore", "a.age", "--rehearse"];
            Cli::try_parse_from(words.iter().chain(more)).is_ok()
        };
        assert!(rehearses(&[]) && rehearses(&["--scratch=there", "--json"]));
        assert!(!rehearses(&["--data-dir=new"]) && !rehearses(&["--check"]));
        let why = parsed(MOST_INCARNATION + 1).unwrap_err().to_string();
        assert!(why.contains("253402300799999999"), "{why}");
        let mut command = Cli::command();
        let restore = command.find_subcommand_mut("restore").unwrap();
        assert!(restore.render_long_help().to_string().contains(&MOST_INCARNATION.to_string()));
    }

    /// A script has to know what a number means.
    #[test]
    fn the_help_of_each_command_names_its_exit_statuses() {
        fn look(command: &mut clap::Command, seen: &mut usize) {
            let mut below: Vec<_> =
                command.get_subcommands_mut().filter(|it| it.get_name() != "help").collect();
            below.iter_mut().for_each(|it| look(it, seen));
            if below.is_empty() {
                let help = command.render_long_help().to_string();
                let statuses = help.split_once("Exit status: 0 ").map(|(_, statuses)| statuses);
                let statuses = statuses.unwrap_or_else(|| panic!("{help}"));
                assert!(["1 ", "2 "].iter().all(|status| statuses.contains(status)), "{help}");
                *seen += 1;
            }
        }
        let mut command = Cli::command().term_width(1_000);
        command.build();
        let mut seen = 0;
        look(&mut command, &mut seen);
        assert!(seen >= 15, "{seen}");
    }

    #[test]
    fn the_help_is_as_it_was() {
        let mut command = Cli::command().term_width(100);
        command.build();
        let mut all = String::new();
        help(&mut command, &mut all);
        insta::assert_snapshot!("help", all);
    }
}
