//! The program `holdfast-server`; see [`holdfast_server`].

use clap::Parser;
use holdfast_server::{
    archive,
    cli::{Admin, Cli, Command, Settings, Tls as TlsCommand},
    config::{Config, ConfigError, Layer, Layers, LogFormat},
    control::{self, Answer, Ask},
    data::{self, Checked, Word},
    demo, kit,
    log::VisibleStderr,
    out, platform, rotate, salvage, serve, standby,
};
use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

fn main() -> ExitCode {
    panics_are_logged();
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            // As wrong options, which clap finds: nothing was tried.
            let is_usage =
                matches!(error.downcast_ref(), Some(ConfigError::NoDataDir | ConfigError::Invalid { .. }));
            if is_usage { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Says what went wrong; when nobody can hear it, the exit code tells.
fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "holdfast-server: {error:#}");
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(options) => {
            let config = config(&options.settings)?;
            if options.print_config {
                out::print(config)?;
                return Ok(ExitCode::SUCCESS);
            }
            log_to_stderr(config.log.value, "info,rumqttd=warn");
            raise_file_limit();
            match options.follow.follow.clone() {
                Some(url) => runtime()?.block_on(standby::serve(config, options.follow, url))?,
                None => runtime()?.block_on(serve::until_signal(config))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(options) => {
            log_to_stderr(LogFormat::Text, "warn");
            runtime()?.block_on(demo::run(options))
        }
        Command::Admin { command } => {
            log_to_stderr(LogFormat::Text, "warn");
            runtime()?.block_on(admin(command))
        }
        Command::Kit(options) => {
            log_to_stderr(LogFormat::Text, "warn");
            runtime()?.block_on(kit::run(options))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Backup(options) => {
            log_to_stderr(LogFormat::Text, "warn");
            let config = config(&options.settings)?;
            runtime()?.block_on(archive::backup(&config, &options))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Restore(options) => {
            log_to_stderr(LogFormat::Text, "warn");
            archive::restore(&options)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Standby { command } => {
            log_to_stderr(LogFormat::Text, "warn");
            runtime()?.block_on(standby::command(command))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Promote(options) => {
            log_to_stderr(LogFormat::Text, "warn");
            runtime()?.block_on(standby::promote(options))
        }
        Command::Salvage(options) => {
            // What it finds it says itself, at the end.
            log_to_stderr(LogFormat::Text, "off");
            salvage::run(&options)
        }
        Command::Tls { command: TlsCommand::Rotate(options) } => {
            log_to_stderr(LogFormat::Text, "warn");
            runtime()?.block_on(rotate::run(options))
        }
        Command::Check(settings) => {
            // What is wrong is said in one sentence, at the end.
            log_to_stderr(LogFormat::Text, "off");
            let config = config(&settings)?;
            out::line("configuration: ok")?;
            // A server that runs has the data file to itself, and looks through it when it is asked.
            let asked = control::ask(&config.data_dir.value, &Ask::Check);
            match runtime()?.block_on(asked)? {
                Some(Answer::Whole { rows, locked_out, succeeded_by }) => {
                    out::line(authority(locked_out))?;
                    standing_still(succeeded_by)?;
                    out::line(format_args!("data file: ok ({rows} rows), in use by the server that runs"))?;
                    return Ok(ExitCode::SUCCESS);
                }
                Some(Answer::Refused(why)) => anyhow::bail!(why),
                Some(_) => anyhow::bail!("the server that runs is of another version"),
                None => {}
            }
            let code = match data::check(&config)? {
                Checked::Well(found) => {
                    out::line(authority(found.locked_out))?;
                    standing_still(found.succession.map(|it| it.incarnation.0))?;
                    out::line(format_args!("data file: ok ({} rows)", found.rows))?;
                    ExitCode::SUCCESS
                }
                Checked::Begun => {
                    let data_dir = config.data_dir.value.display();
                    out::line(format_args!(
                        "data file: a first start in {data_dir} did not end; serve goes on"
                    ))?;
                    ExitCode::from(NO_DATA)
                }
                Checked::New => {
                    let data_dir = config.data_dir.value.display();
                    out::line(format_args!("data file: none yet in {data_dir}; serve makes it"))?;
                    ExitCode::from(NO_DATA)
                }
            };
            Ok(code)
        }
        Command::Version => {
            out::line(concat!("holdfast-server ", env!("CARGO_PKG_VERSION")))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A check finds no data: the folder may be mistyped, or not mounted.
const NO_DATA: u8 = 3;
/// There was nothing to accept, and nothing was done.
const NOTHING_TO_DO: u8 = 3;

/// What a check says of the authority.
fn authority(locked_out: usize) -> String {
    if locked_out == 0 {
        return "authority: ok, the one that enrolled agents trust".to_owned();
    }
    format!(
        "authority: another one was accepted: the next start locks out all hosts that are enrolled ({locked_out}), until \
         each is enrolled again"
    )
}

/// What a check says of a server whose place another one has.
fn standing_still(succeeded_by: Option<u64>) -> std::io::Result<()> {
    let Some(incarnation) = succeeded_by else { return Ok(()) };
    out::line(format_args!(
        "place: another server has it, incarnation {incarnation}: this one stands still and serves no host; stop it, and see “When \
         the old server comes back” in docs/recovery.md"
    ))
}

fn config(settings: &Settings) -> Result<Config, ConfigError> {
    let layers = Layers {
        flags: settings.flags.clone(),
        environment: Layer::from_environment(|name| std::env::var(name).ok())?,
        file: settings.config.as_deref().map(Layer::from_file).transpose()?.unwrap_or_default(),
        hostname: platform::hostname(),
    };
    layers.resolve()
}

async fn admin(command: Admin) -> anyhow::Result<ExitCode> {
    let (data_dir, key_file, ask) = match command {
        Admin::Token { data_dir, master_key_file, name, scopes } => {
            (data_dir, master_key_file, Ask::Token { name, scopes })
        }
        Admin::ResetPassword { data_dir, master_key_file, name } => {
            (data_dir, master_key_file, Ask::ResetPassword { name })
        }
        Admin::AcceptAuthority { data_dir } => {
            let word = data::accept_authority(&data_dir).await?;
            out::line(match word {
                Word::Taken => {
                    "the next start takes the authority that it finds, or makes one; then enrol every host again"
                }
                Word::Given => {
                    "that was accepted before: the next start takes the authority that it finds, or makes one; then enrol every \
                     host again"
                }
                Word::NotNeeded => {
                    "there is nothing to accept: the authority that is there is the one that agents trust. Nothing was done"
                }
            })?;
            let is_needed = word != Word::NotNeeded;
            return Ok(if is_needed { ExitCode::SUCCESS } else { ExitCode::from(NOTHING_TO_DO) });
        }
    };
    Ok(match answer(&data_dir, key_file, ask).await? {
        Answer::Secret(secret) => {
            out::line(secret)?;
            ExitCode::SUCCESS
        }
        Answer::Whole { rows, .. } => {
            out::line(rows)?;
            ExitCode::SUCCESS
        }
        Answer::Refused(why) => {
            complain(&anyhow::Error::msg(why));
            ExitCode::FAILURE
        }
        _ => anyhow::bail!("the server that runs is of another version"),
    })
}

/// Asks the running server; opens the data file itself when none runs.
async fn answer(data_dir: &Path, key_file: Option<PathBuf>, ask: Ask) -> anyhow::Result<Answer> {
    if let Some(answer) = control::ask(data_dir, &ask).await? {
        return Ok(answer);
    }
    let fleet = data::open_for_admin(data_dir, key_file)?;
    let answer = control::carry_out(&fleet, ask).await;
    fleet.shutdown().await;
    Ok(answer)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Each connection is an open file, and the usual limit of 1,024 is for other programs.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// A panic stays in its task, or becomes an error that is told; beside that it is one line of the log.
fn panics_are_logged() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !tracing::dispatcher::has_been_set() {
            return usual(panic);
        }
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let why = panic.payload_as_str().unwrap_or_default();
        tracing::error!(at, why, "a part of the server failed unexpectedly");
    }));
}

fn log_to_stderr(format: LogFormat, default: &str) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_env("HOLDFAST_LOG_FILTER").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal() && format == LogFormat::Text;
    let builder = fmt().with_env_filter(filter).with_ansi(colours).with_writer(VisibleStderr { colours });
    // Who reads the log may be gone; saying so where nobody reads would be a panic.
    let builder = builder.log_internal_errors(false);
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
