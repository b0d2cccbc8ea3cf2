//! The program `holdfast-server`; see [`holdfast_server`].

use clap::Parser;
use holdfast_server::{
    archive, check,
    cli::{Admin, Cli, Command, Settings, Tls as TlsCommand},
    command_error::{self, CommandError},
    config::{Config, ConfigError, Layer, Layers, LogFormat},
    control::{self, Answer, Ask},
    data::{self, Word},
    demo, kit,
    log::VisibleStderr,
    out, platform, rotate, salvage, serve, standby,
};
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

fn main() -> ExitCode {
    panics_are_logged();
    let cli = Cli::parse();
    let is_json = cli.command.is_json();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            command_error::tell(&error, is_json);
            // As wrong options, which clap finds: nothing was tried.
            let is_usage =
                matches!(error.downcast_ref(), Some(ConfigError::NoDataDir | ConfigError::Invalid { .. }));
            if is_usage { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
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
            archive::restore(&options)
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
        Command::Check(options) => {
            // What is wrong is said in one sentence, at the end.
            log_to_stderr(LogFormat::Text, "off");
            let config = config(&options.settings)?;
            runtime()?.block_on(check::run(&config, options.json))
        }
        Command::Version => {
            out::line(concat!("holdfast-server ", env!("CARGO_PKG_VERSION")))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// There was nothing to accept, and nothing was done.
const NOTHING_TO_DO: u8 = 3;

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
        Admin::AcceptAuthority { data_dir, json } => {
            let word = data::accept_authority(&data_dir).await?;
            if json {
                out::line(serde_json::json!({ "state": word.code() }))?;
            } else {
                out::line(accepted(word))?;
            }
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
        Answer::Refused(why) => return Err(why.into()),
        _ => return Err(CommandError::OtherVersion.into()),
    })
}

/// What became of a person's word that another authority is right.
const fn accepted(word: Word) -> &'static str {
    match word {
        Word::Taken => {
            "the next start takes the authority that it finds, or makes one; then enrol every host again"
        }
        Word::Given => {
            "that was accepted before: the next start takes the authority that it finds, or makes one; then enrol every host \
             again"
        }
        Word::NotNeeded => {
            "there is nothing to accept: the authority that is there is the one that agents trust. Nothing was done"
        }
    }
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
