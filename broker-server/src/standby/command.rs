//! The commands `standby …`.

use super::{folder::StandbyFolder, serve};
use crate::{
    cli,
    control::{self, Answer, Ask, StandbyTold},
    data, out,
};
use std::path::{Path, PathBuf};

/// Adds, lists or removes standbys of a server, which may run; or shows the recipient of a standby.
pub async fn run(command: cli::Standby) -> anyhow::Result<()> {
    match command {
        cli::Standby::Add { server, name, recipient, json } => {
            let ask = Ask::AddStandby { name: name.clone(), recipient };
            let Answer::Secret(token) = answer(&server.data_dir, server.master_key_file, ask).await? else {
                anyhow::bail!(control::OTHER_VERSION)
            };
            if json {
                return Ok(out::line(serde_json::json!({ "name": name, "token": token }))?);
            }
            Ok(out::line(token)?)
        }
        cli::Standby::List { server, json } => {
            let Answer::Standbys(all) =
                answer(&server.data_dir, server.master_key_file, Ask::Standbys).await?
            else {
                anyhow::bail!(control::OTHER_VERSION)
            };
            if json {
                return Ok(out::line(serde_json::json!({ "standbys": all }))?);
            }
            Ok(out::print(all.iter().map(in_words).collect::<String>())?)
        }
        cli::Standby::Remove { server, name } => {
            let ask = Ask::RemoveStandby { name };
            let _ = answer(&server.data_dir, server.master_key_file, ask).await?;
            Ok(())
        }
        cli::Standby::Recipient { data_dir } => {
            let there = Some(StandbyFolder::of(&data_dir)).filter(StandbyFolder::is_there);
            let folder = there.map_or_else(|| serve::begin(&data_dir), Ok)?;
            Ok(out::line(folder.identity()?.1)?)
        }
    }
}

fn in_words(standby: &StandbyTold) -> String {
    let StandbyTold { name, recipient, asked_at, fetched_at, late, .. } = standby;
    let at = |at: &Option<String>| at.clone().unwrap_or_else(|| "-".to_owned());
    let late = if *late { "  LATE" } else { "" };
    format!("{name}  asked {}  fetched {}  {recipient}{late}\n", at(asked_at), at(fetched_at))
}

/// Asks the running server; opens the data file itself when none runs.
async fn answer(data_dir: &Path, key_file: Option<PathBuf>, ask: Ask) -> anyhow::Result<Answer> {
    let answer = match control::ask(data_dir, &ask).await? {
        Some(answer) => answer,
        None => {
            let fleet = data::open_for_admin(data_dir, key_file)?;
            let answer = control::carry_out(&fleet, ask).await;
            fleet.shutdown().await;
            answer
        }
    };
    match answer {
        Answer::Refused(why) => anyhow::bail!(why),
        answer => Ok(answer),
    }
}
