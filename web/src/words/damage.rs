//! What a damaged data file lacks, in words.

use crate::format::many;
use fleet::{Damage, TableDamage};

/// So many hosts are named; the rest is counted.
const NAMED: usize = 8;
/// The same of tables.
const TABLES: usize = 6;

/// What can't be read of it, in a sentence.
pub(crate) fn unreadable(damage: &Damage) -> String {
    if damage.rows() == 0 {
        return "What can still be read of it is not known.".to_owned();
    }
    let lacks =
        |table: &&TableDamage| table.unreadable != Some(0) || table.undecodable > 0 || !table.gaps.is_empty();
    let mut tables: Vec<String> = damage
        .torn_tables()
        .filter(lacks)
        .map(|table| match table.unreadable {
            Some(rows) => format!("{} of {}", many(rows + table.undecodable, "row"), table.table),
            None => format!("all of {}", table.table),
        })
        .collect();
    let unsure: Vec<String> = damage
        .torn_tables()
        .filter(|table| !lacks(table))
        .map(|table| match table.unsure {
            0 => format!("all of {}", table.table),
            rows => format!("{} of {}", many(rows, "row"), table.table),
        })
        .collect();
    let unsure = match unsure.len() {
        0 => String::new(),
        all if all > TABLES => format!(
            " May be older than the rest or altered: {}, and of {}.",
            unsure[..TABLES].join(", "),
            many((all - TABLES) as u64, "more table")
        ),
        _ => format!(" May be older than the rest or altered: {}.", unsure.join(", ")),
    };
    if tables.is_empty() && damage.is_earlier {
        return "The last change can't be read, or can't be told from the one before; all of before it can."
            .to_owned();
    }
    if tables.is_empty() {
        return format!("All of it can still be read.{unsure}");
    }
    let more = tables.len().saturating_sub(TABLES);
    tables.truncate(TABLES);
    let mut text = format!("Can't be read: {}", tables.join(", "));
    if more > 0 {
        text.push_str(&format!(", and of {}", many(more as u64, "more table")));
    }
    let mut hosts: Vec<&str> = damage.remade_hosts.iter().chain(&damage.hosts).map(String::as_str).collect();
    hosts.sort_unstable();
    hosts.dedup();
    if !hosts.is_empty() {
        let more = hosts.len().saturating_sub(NAMED);
        hosts.truncate(NAMED);
        text.push_str(&format!("; of {}", hosts.join(", ")));
        if more > 0 {
            text.push_str(&format!(" and {}", many(more as u64, "more host")));
        }
    }
    text.push('.');
    if damage.is_earlier {
        text.push_str(" All of it may be as of the change before the last one.");
    }
    text + &unsure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_tables_and_hosts_and_counts_the_rest() {
        let table = |name: &str, unreadable| TableDamage {
            table: name.to_owned(),
            read: 10,
            unreadable,
            ..TableDamage::default()
        };
        let damage = |tables: Vec<TableDamage>, hosts: usize| Damage {
            tables,
            hosts: (0..hosts).map(|n| format!("host-{n}")).collect(),
            ..Damage::default()
        };
        assert_eq!(unreadable(&damage(vec![], 0)), "What can still be read of it is not known.");
        assert_eq!(unreadable(&damage(vec![table("jobs", Some(0))], 0)), "All of it can still be read.");
        let doubtful = TableDamage { unsure: 10, ..table("hosts", Some(0)) };
        assert_eq!(
            unreadable(&damage(vec![doubtful.clone()], 0)),
            "All of it can still be read. May be older than the rest or altered: 10 rows of hosts."
        );
        assert_eq!(
            unreadable(&damage(vec![doubtful, table("jobs", Some(3))], 0)),
            "Can't be read: 3 rows of jobs. May be older than the rest or altered: 10 rows of hosts."
        );
        let earlier = Damage { is_earlier: true, ..damage(vec![table("jobs", Some(0))], 0) };
        assert_eq!(
            unreadable(&earlier),
            "The last change can't be read, or can't be told from the one before; all of before it can."
        );
        let earlier = Damage { is_earlier: true, ..damage(vec![table("jobs", Some(3))], 0) };
        let said = "Can't be read: 3 rows of jobs. All of it may be as of the change before the last one.";
        assert_eq!(unreadable(&earlier), said);
        let torn = damage(vec![table("jobs", Some(12)), table("logs", Some(1)), table("hosts", None)], 2);
        assert_eq!(
            unreadable(&torn),
            "Can't be read: 12 rows of jobs, 1 row of logs, all of hosts; of host-0, host-1."
        );
        let many = damage((0..9).map(|n| table(&format!("t{n}"), Some(2))).collect(), 10);
        assert!(unreadable(&many).contains("and of 3 more tables; of host-0, "), "{}", unreadable(&many));
        assert!(unreadable(&many).ends_with(" and 2 more hosts."), "{}", unreadable(&many));
    }
}
