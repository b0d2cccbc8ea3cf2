//! The commands `standby …`.

use super::{folder::StandbyFolder, serve};
use crate::{
    cli,
    command_error::CommandError,
    control::{self, Answer, Ask, StandbyTold},
    data, out,
};
use fleet::{Pieces, Stand};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// Adds, lists or removes standbys of a server, which may run; or shows the recipient of a standby.
pub async fn run(command: cli::Standby) -> anyhow::Result<()> {
    match command {
        cli::Standby::Add { server, name, recipient, json } => {
            let ask = Ask::AddStandby { name: name.clone(), recipient };
            let added = answer(&server.data_dir, server.master_key_file, ask).await?;
            let Answer::StandbyAdded { token, url } = added else {
                return Err(CommandError::OtherVersion.into());
            };
            let url = url.filter(|url| fleet::leads_others(url));
            if json {
                return Ok(out::line(serde_json::json!({ "name": name, "token": token, "url": url }))?);
            }
            out::line(token)?;
            // Beside the output: a script takes that as the token.
            let _ = std::io::stderr().write_all(next_steps(url.as_deref()).as_bytes());
            Ok(())
        }
        cli::Standby::List { server, json } => {
            let Answer::Standbys(all) =
                answer(&server.data_dir, server.master_key_file, Ask::Standbys).await?
            else {
                return Err(CommandError::OtherVersion.into());
            };
            if json {
                return Ok(out::line(serde_json::json!({ "standbys": all }))?);
            }
            if all.is_empty() {
                return Ok(out::line("This server has no standby.")?);
            }
            Ok(out::print(all.iter().map(in_words).collect::<String>())?)
        }
        cli::Standby::Remove { server, name, json } => {
            let ask = Ask::RemoveStandby { name: name.clone() };
            let _ = answer(&server.data_dir, server.master_key_file, ask).await?;
            if json {
                return Ok(out::line(serde_json::json!({ "removed": name }))?);
            }
            Ok(out::line(format_args!("{name} fetches nothing any more. What it has fetched, it keeps."))?)
        }
        cli::Standby::Recipient { data_dir, json } => {
            let is_server =
                matches!(Pieces::from(data_dir.as_path()).look(), Ok(stand) if stand != Stand::New);
            let there = StandbyFolder::of(&data_dir);
            let folder = if there.is_there()? && !is_server { there } else { serve::begin(&data_dir)? };
            let (_, recipient) = folder.identity()?;
            if json {
                return Ok(out::line(serde_json::json!({ "recipient": recipient }))?);
            }
            Ok(out::line(recipient)?)
        }
    }
}

/// What is to be done on the machine of a standby that was added.
fn next_steps(url: Option<&str>) -> String {
    let follow = url.unwrap_or("URL");
    let mut text = format!(
        "\nThis is its token, shown this once. On the machine of the standby, with NEWDIR the folder whose recipient was given:\n\n    \
         (umask 077; cat > NEWDIR/standby/token)    # the token, Enter, Ctrl-D\n    \
         holdfast-server serve --follow {follow} --data-dir NEWDIR --mqtt-public ADDRESS:8883\n\n\
         Where the server's pages show its own certificate, add --follow-authority FILE, a copy of its tls/ca.pem.\n\
         ADDRESS is where agents would find that machine: name it on this server, too, with --mqtt-public, behind its own.\n"
    );
    if url.is_none() {
        text.push_str("URL is where that machine finds the pages of this server, such as https://holdfast.example:8443.\n");
    }
    text
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
        Answer::Refused(why) => Err(why.into()),
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_next_is_said_as_commands() {
        let known = next_steps(Some("https://fleet.example"));
        assert!(
            known.contains("serve --follow https://fleet.example --data-dir NEWDIR")
                && !known.contains("URL"),
            "{known}"
        );
        let unknown = next_steps(None);
        assert!(unknown.contains("serve --follow URL") && unknown.contains("URL is where"), "{unknown}");
    }
}
