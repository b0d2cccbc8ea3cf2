//! The command `tls rotate`.

use crate::{
    cli,
    command_error::CommandError,
    control::{self, Answer, Ask, Authorities},
    out,
};
use std::process::ExitCode;

/// Hosts do not trust the next authority yet, and nothing was done.
const WAITING: u8 = 3;

/// Asks the server that runs for the next step, and says what came of it.
pub async fn run(options: cli::Rotate) -> anyhow::Result<ExitCode> {
    let told = match control::ask(&options.data_dir, &Ask::RotateAuthority { force: options.force }).await? {
        Some(Answer::Authorities(told)) => told,
        Some(Answer::Refused(why)) => return Err(why.into()),
        Some(_) => return Err(CommandError::OtherVersion.into()),
        None => {
            let what_to_do = "start it, for agents have to be told of a new authority";
            return Err(CommandError::NoServer { data_dir: options.data_dir, what_to_do }.into());
        }
    };
    if options.json {
        out::line(serde_json::to_string(&told)?)?;
    } else {
        out::print(in_words(&told))?;
    }
    Ok(if told.state == "waiting" { ExitCode::from(WAITING) } else { ExitCode::SUCCESS })
}

fn in_words(told: &Authorities) -> String {
    let Authorities { present, hosts, lacking, .. } = told;
    let next = told.next.as_deref().unwrap_or_default();
    let have = hosts.saturating_sub(*lacking);
    let mut text = match told.state.as_str() {
        "begun" => format!(
            "Agents are told of a new authority, {next}.\n{have} of {hosts} hosts have it. Run this again when all have: it is \
             used alone then. It is by itself after 30 days, too.\n"
        ),
        "done" => format!("The new authority is the only one: {present}.\n"),
        _ => format!(
            "Nothing was done: {have} of {hosts} hosts have the new authority, {next}.\nThe others learn of it when they come. \
             With --force they are lost until each is enrolled again:\n"
        ),
    };
    if told.state == "done" && *lacking > 0 {
        text.push_str("Hosts that did not have it, to be enrolled again:\n");
    }
    if told.state != "begun" {
        told.lacking_hosts.iter().for_each(|name| text.push_str(&format!("    {name}\n")));
        match lacking.saturating_sub(told.lacking_hosts.len()) {
            0 => {}
            more => text.push_str(&format!("    and {more} more\n")),
        }
    }
    text
}
