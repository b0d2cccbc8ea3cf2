//! Whether the server lives and can serve.

use crate::app::{Ctx, TaskFacts};
use crate::format::{ago, bytes};
use crate::problem::Problem;
use axum::Json;
use axum::http::StatusCode;
use fleet::{Found, WriterCounts};
use schema::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// What was found of the data file's being written counts for so long, so that who asks often writes no more.
const PROVEN_FOR_MS: u64 = 10_000;
/// With less than this left a disk is nearly full, in bytes.
const LITTLE_SPACE: u64 = 256 << 20;
/// How long a write may take.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// When it was last tried to write, and what came of it.
pub(crate) type Proven = Option<(Timestamp, bool)>;

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /readyz`: the data file can be read and written and is whole as far as is known, and all that runs beside the
/// pages is well.
pub(crate) async fn ready(ctx: Ctx) -> Result<Json<Value>, Problem> {
    let away = |what: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", what);
    let snapshot = ctx.app.fleet.read().map_err(|_| away("The data file can't be read."))?;
    snapshot.operators().map_err(|_| away("The data file can't be read."))?;
    let is_writable = is_writable(&ctx).await;
    if let Some(trouble) = troubles(&ctx).into_iter().find(|trouble| trouble.is_failure) {
        return Err(away(&format!("{}. {}", trouble.title, trouble.text)));
    }
    if !is_writable {
        return Err(away(
            "The data file can't be written: look at the space on its disk, and at the server's log.",
        ));
    }
    Ok(Json(json!({"status": "ok"})))
}

/// Something that is wrong with the server, or soon will be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trouble {
    /// It does not do all that it should; else it soon won't.
    pub(crate) is_failure: bool,
    pub(crate) title: String,
    pub(crate) text: String,
}

/// What is wrong with the server, the worst first.
pub(crate) fn troubles(ctx: &Ctx) -> Vec<Trouble> {
    let settings = &ctx.app.settings;
    let now = ctx.now();
    let scrub = ctx.app.fleet.last_scrub();
    let damage = scrub.and_then(|scrub| match scrub.found {
        Found::Damage(why) => Some((ago(now, scrub.at), why)),
        Found::Well(_) | Found::Failed(_) => None,
    });
    judge(damage, ctx.app.fleet.writer_counts(), (settings.space_left)(), (settings.tasks)())
}

fn judge(
    damage: Option<(String, String)>,
    writer: WriterCounts,
    space_left: Option<u64>,
    tasks: Vec<TaskFacts>,
) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut fails = |title: &str, text: String| {
        troubles.push(Trouble { is_failure: true, title: title.to_owned(), text });
    };
    if let Some((ago, why)) = damage {
        fails(
            "The server's data file is damaged",
            format!(
                "Something else than the server has changed it, such as a bad disk; that was found {ago} ({why}). Stop the \
                 server, and restore the data folder from your backup of it. Backups of hosts go on meanwhile."
            ),
        );
    }
    if writer.failing > 0 && writer.is_full {
        fails(
            "The server's disk is full",
            "Nothing can be changed here, and what hosts report waits with them. Make room on the disk of its data \
             folder; then it goes on by itself."
                .to_owned(),
        );
    } else if writer.failing > 0 {
        fails(
            "The server's data file can't be written",
            "Nothing can be changed here, and what hosts report waits with them. The server's log says why."
                .to_owned(),
        );
    } else if let Some(left) = space_left.filter(|left| *left < LITTLE_SPACE) {
        troubles.push(Trouble {
            is_failure: false,
            title: "The server's disk is nearly full".to_owned(),
            text: format!(
                "{} are left where its data file is. Make room before it can't be written.",
                bytes(left)
            ),
        });
    }
    if let Some(silent) = in_trouble(tasks) {
        troubles.push(Trouble {
            is_failure: true,
            title: "A part of the server is not well".to_owned(),
            text: silent,
        });
    }
    troubles
}

/// Who asks while another one tries waits for that.
async fn is_writable(ctx: &Ctx) -> bool {
    let mut proven = ctx.app.proven.lock().await;
    let now = ctx.now();
    if let Some((at, is_writable)) = *proven
        && at <= now
        && now.ms_since(at) < PROVEN_FOR_MS
    {
        return is_writable;
    }
    let write = tokio::time::timeout(WRITE_LIMIT, ctx.app.fleet.prove_writable()).await;
    let is_writable = matches!(write, Ok(Ok(())));
    *proven = Some((now, is_writable));
    is_writable
}

/// Which tasks are not well, in words; `None` = all are.
pub(crate) fn in_trouble(tasks: Vec<TaskFacts>) -> Option<String> {
    let silent: Vec<String> = tasks
        .into_iter()
        .filter(|task| !task.is_well())
        .map(|task| format!("{} has not been heard of for {} s", task.name, task.since_beat.as_secs()))
        .collect();
    (!silent.is_empty())
        .then(|| format!("Not well: {}. Restart the server, and look at its log.", silent.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_the_worst_first() {
        let well = TaskFacts {
            name: "schedules",
            period: Duration::from_secs(30),
            since_beat: Duration::from_secs(90),
            restarts: 0,
        };
        let silent = TaskFacts { since_beat: Duration::from_secs(91), ..well };
        let counts = |failing, is_full| WriterCounts { failing, is_full, ..WriterCounts::default() };
        let damage = || Some(("1 h ago".to_owned(), "a page".to_owned()));
        let table = [
            (None, counts(0, false), Some(LITTLE_SPACE), well, vec![]),
            (None, counts(0, false), None, well, vec![]),
            (None, counts(0, false), Some(LITTLE_SPACE - 1), well, vec![("nearly full", false)]),
            (None, counts(1, true), Some(0), well, vec![("is full", true)]),
            (None, counts(9, false), Some(0), well, vec![("can't be written", true)]),
            (damage(), counts(0, false), None, silent, vec![("damaged", true), ("not well", true)]),
        ];
        for (damage, counts, left, task, expected) in table {
            let found = judge(damage, counts, left, vec![task]);
            let found: Vec<_> =
                found.iter().map(|trouble| (trouble.title.as_str(), trouble.is_failure)).collect();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for ((title, is_failure), (word, expected)) in found.iter().zip(&expected) {
                assert!(title.contains(word) && is_failure == expected, "{found:?}");
            }
        }
    }
}
