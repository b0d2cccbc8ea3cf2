//! The command `salvage`.

use crate::{cli, clock, command_error, out};
use fleet::{Authority, Damage, Driver, Pieces, Salvaged, TableDamage};
use serde_json::json;
use std::{path::Path, process::ExitCode, sync::Arc};

/// Something is missing in what was salvaged.
const SOMETHING_MISSING: u8 = 1;
/// Nothing was salvaged.
const NOTHING: u8 = 2;

/// What it means that rows of the table `meta` are missing.
const META_LOST: &str = "meta has what is of the server as a whole: what opens archives (until it is set again none is made), the \
    standbys and their tokens (add them again), the addresses that agents were given, the authorities that they were told of, who \
    has the place of this server. Look at Settings, Archives, and Addresses and authority for what is gone\n";

/// Makes a data folder of what can be read of a damaged one, and says what is missing.
pub fn run(options: &cli::Salvage) -> anyhow::Result<ExitCode> {
    let from = Pieces {
        data_dir: options.data_dir.clone(),
        key_file: options.master_key_file.clone(),
        authority: Authority::NotAsked,
    };
    let driver = Driver { now: Arc::new(clock::now), random: Arc::new(clock::random) };
    match fleet::salvage(&from, &options.to, driver) {
        Ok(salvaged) => {
            out::print(if options.json { as_json(&salvaged) } else { in_words(&options.to, &salvaged) })?;
            let is_whole = salvaged.damage.is_whole() && has_authority(&salvaged);
            Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(SOMETHING_MISSING) })
        }
        Err(why) => {
            command_error::tell(&why.into(), options.json);
            Ok(ExitCode::from(NOTHING))
        }
    }
}

fn as_json(salvaged: &Salvaged) -> String {
    let Salvaged { damage, rows, incarnation, parts, succession } = salvaged;
    let told = json!({
        "is_whole": damage.is_whole(),
        "rows": rows,
        "incarnation": incarnation.0,
        "parts": parts,
        "succeeded_by": succession.as_ref().map(|it| it.incarnation.0),
        "mended_pages": damage.mended_pages,
        "is_earlier": damage.is_earlier,
        "left_out": damage.left_out,
        "hosts": damage.hosts,
        "remade_hosts": damage.remade_hosts,
        "tables": damage.tables,
    });
    format!("{told}\n")
}

fn has_authority(salvaged: &Salvaged) -> bool {
    ["tls/ca.pem", "tls/ca.key"].iter().all(|part| salvaged.parts.contains(part))
}

/// How much of a table is missing.
fn missing(table: &TableDamage) -> String {
    let mut words = vec![match table.unreadable {
        Some(rows) => format!("{rows} unreadable"),
        None => "an unknown number unreadable".to_owned(),
    }];
    if table.undecodable > 0 {
        words.push(format!("{} that mean nothing", table.undecodable));
    }
    if table.unsure > 0 {
        let what = if table.is_carved {
            "that nothing vouches for: they may be altered or older"
        } else {
            "that may be older"
        };
        words.push(format!("{} {what}", table.unsure));
    }
    if table.is_earlier {
        words.push("as of one change before the last".to_owned());
    }
    for gap in &table.gaps {
        let end = |key: &Option<String>, none: &str| key.clone().unwrap_or_else(|| none.to_owned());
        words.push(format!(
            "between {} and {}",
            end(&gap.after, "the beginning"),
            end(&gap.before, "the end")
        ));
    }
    if table.more_gaps > 0 {
        words.push(format!("and {} more places", table.more_gaps));
    }
    words.join(", ")
}

/// What was read, what is missing, and what is to be done next.
fn in_words(to: &Path, salvaged: &Salvaged) -> String {
    let Damage { tables, hosts, remade_hosts, .. } = &salvaged.damage;
    let mut text = String::from("rows read by table:\n");
    for table in tables.iter().filter(|table| !table.is_index) {
        let what = if table.is_missing_something() {
            format!("{} read, {}", table.read, missing(table))
        } else {
            format!("{} read", table.read)
        };
        text.push_str(&format!("    {}: {what}\n", table.table));
    }
    let damage = &salvaged.damage;
    let carved: Vec<&str> = tables
        .iter()
        .filter(|table| table.is_carved && !table.is_index)
        .map(|table| table.table.as_str())
        .collect();
    if !carved.is_empty() {
        text.push_str(&format!(
            "found by their pages, for the list of tables is damaged: {}\n",
            carved.join(", ")
        ));
    }
    if damage.mended_pages > 0 {
        text.push_str(&format!("{} pages had one wrong bit, and were put right\n", damage.mended_pages));
    }
    if damage.is_earlier {
        text.push_str("the last change can't be read as a whole, or can't be told from the one before: all of it is as of the one before, or may \
             be. What was removed or revoked with the last change is back then\n",
        );
    }
    if tables.iter().any(|table| table.table == "meta" && table.is_missing_something()) {
        text.push_str(META_LOST);
    }
    if damage.left_out > 0 {
        text.push_str(&format!(
            "{} rows were left out, for what they belong to is missing\n",
            damage.left_out
        ));
    }
    if !remade_hosts.is_empty() {
        text.push_str(&format!(
            "made anew, for their own row is missing (look at their names and labels): {}\n",
            remade_hosts.join(", ")
        ));
    }
    if !hosts.is_empty() {
        text.push_str(&format!("hosts of which something may be missing: {}\n", hosts.join(", ")));
    }
    if !has_authority(salvaged) {
        text.push_str(
            "no authority was there (tls/ca.pem and tls/ca.key), without which no agent comes back and the server does not start: \
             take the folder tls out of an archive (\"A piece is gone\" in docs/recovery.md)\n",
        );
    }
    if let Some(successor) = &salvaged.succession {
        text.push_str(&super::archive::warning(successor.incarnation));
    }
    let folder = to.display();
    let config = if salvaged.parts.contains(&"settings.toml") {
        format!(" --config {folder}/settings.toml")
    } else {
        String::new()
    };
    text.push_str(&format!(
        "\n{folder}: {} rows, incarnation {}. Start it where the server was:\n\n    holdfast-server serve{config} --data-dir \
         {folder}\n",
        salvaged.rows, salvaged.incarnation
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Incarnation;

    #[test]
    fn what_a_lost_row_of_the_whole_server_means_is_said() {
        let said = |name: &str, unreadable: u64| {
            let table = TableDamage {
                table: name.to_owned(),
                read: 3,
                unreadable: Some(unreadable),
                ..TableDamage::default()
            };
            let damage = Damage { tables: vec![table], ..Damage::default() };
            let (rows, incarnation, parts) = (3, Incarnation(1), vec!["tls/ca.pem", "tls/ca.key"]);
            in_words(Path::new("/new"), &Salvaged { damage, rows, incarnation, parts, succession: None })
        };
        assert!(said("meta", 9).contains("what opens archives"), "{}", said("meta", 9));
        assert!(
            !said("meta", 0).contains("what opens archives") && !said("jobs", 9).contains("opens archives")
        );
    }
}
