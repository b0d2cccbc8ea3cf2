//! The command `check`: looks through the configuration and the data file, and changes nothing.

use crate::{
    command_error::CommandError,
    config::Config,
    control::{self, Answer, Ask},
    data::{self, Checked},
    out,
};
use serde::Serialize;
use std::process::ExitCode;

/// A check finds no data: the folder may be mistyped, or not mounted.
const NO_DATA: u8 = 3;

/// What was found.
#[derive(Debug, Serialize)]
struct CheckReport {
    /// `ok`; `none`: there is no data yet; `begun`: a first start did not end.
    state: &'static str,
    /// Rows of the data file.
    rows: Option<u64>,
    /// Whether a server runs over it.
    running: bool,
    /// Hosts that the next start locks out, for another authority was accepted.
    locked_out: usize,
    /// The incarnation of the server that has the place of this one, which stands still then.
    succeeded_by: Option<u64>,
}

impl CheckReport {
    const fn nothing(state: &'static str) -> Self {
        Self { state, rows: None, running: false, locked_out: 0, succeeded_by: None }
    }
}

/// Looks through it, and says what was found.
pub async fn run(config: &Config, is_json: bool) -> anyhow::Result<ExitCode> {
    if !is_json {
        out::line("configuration: ok")?;
    }
    let told = look(config).await?;
    if is_json {
        out::line(serde_json::to_string(&told)?)?;
    } else {
        out::print(in_words(config, &told))?;
    }
    Ok(if told.state == "ok" { ExitCode::SUCCESS } else { ExitCode::from(NO_DATA) })
}

async fn look(config: &Config) -> anyhow::Result<CheckReport> {
    // A server that runs has the data file to itself, and looks through it when it is asked.
    match control::ask(&config.data_dir.value, &Ask::Check).await? {
        Some(Answer::Whole { rows, locked_out, succeeded_by }) => {
            return Ok(CheckReport {
                state: "ok",
                rows: Some(rows),
                running: true,
                locked_out,
                succeeded_by,
            });
        }
        Some(Answer::Refused(why)) => return Err(why.into()),
        Some(_) => return Err(CommandError::OtherVersion.into()),
        None => {}
    }
    Ok(match data::check(config)? {
        Checked::Well(found) => CheckReport {
            state: "ok",
            rows: Some(found.rows),
            running: false,
            locked_out: found.locked_out,
            succeeded_by: found.succession.map(|it| it.incarnation.0),
        },
        Checked::Begun => CheckReport::nothing("begun"),
        Checked::New => CheckReport::nothing("none"),
    })
}

fn in_words(config: &Config, told: &CheckReport) -> String {
    let data_dir = config.data_dir.value.display();
    match told.state {
        "none" => return format!("data file: none yet in {data_dir}; serve makes it\n"),
        "begun" => return format!("data file: a first start in {data_dir} did not end; serve goes on\n"),
        _ => {}
    }
    let in_use = if told.running { ", in use by the server that runs" } else { "" };
    format!(
        "{}\n{}data file: ok ({} rows){in_use}\n",
        authority(told.locked_out),
        standing_still(told.succeeded_by),
        told.rows.unwrap_or_default()
    )
}

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
fn standing_still(succeeded_by: Option<u64>) -> String {
    let Some(incarnation) = succeeded_by else { return String::new() };
    format!(
        "place: another server has it, incarnation {incarnation}: this one stands still and serves no host; stop it, and see “When \
         the old server comes back” in docs/recovery.md\n"
    )
}
