//! One operation while the writer runs it.
//!
//! The writer may run an operation more than once before it is committed (see [`crate::store`]). So all that it
//! changes is in its transaction, all that follows from it are effects there, which count with the commit, and what
//! it knows besides does not change by what it does.

use crate::facts::Facts;
use crate::request::By;
use crate::store::Tx;
use schema::{HostId, JobId, Timestamp};

/// What an operation works with.
pub(crate) struct Op<'o, 't> {
    /// The transaction, shared with the other operations of its batch.
    pub(crate) tx: &'o mut Tx<'t>,
    /// The clock, read once: what one operation writes is of one instant, also when it runs again.
    pub(crate) now: Timestamp,
    /// Who asks, and from where: what the audit says.
    pub(crate) by: &'o By,
    /// What the server knows besides.
    pub(crate) facts: &'o Facts,
}

impl<'t> Op<'_, 't> {
    /// The same operation, on behalf of somebody else: a schedule's run in the tick of the server, say.
    pub(crate) fn as_by<'s>(&'s mut self, by: &'s By) -> Op<'s, 't> {
        Op { tx: self.tx, now: self.now, by, facts: self.facts }
    }

    /// A job id that sorts behind all that were made before, also within a millisecond and when the clock jumps back.
    pub(crate) fn job_id(&mut self) -> JobId {
        let last = self.facts.last_job().max(self.tx.effects.last_job.unwrap_or(JobId([0; 16])));
        let fresh = JobId::new(self.now, self.facts.random());
        let id = if fresh > last {
            fresh
        } else {
            JobId((u128::from_be_bytes(last.0).wrapping_add(1)).to_be_bytes())
        };
        self.tx.effects.last_job = Some(id);
        id
    }

    /// Whether something odd about this host may be audited: at most once a minute, so that a broken agent can't
    /// fill the audit. It counts as audited with the commit.
    pub(crate) fn may_note(&mut self, host: HostId) -> bool {
        let may = self.facts.may_note(host, self.now) && !self.tx.effects.noted.contains(&host);
        if may {
            self.tx.effects.noted.push(host);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use crate::fleet::Fleet;
    use crate::link::Link;
    use crate::record::{CredentialsInput, Group, Job, JobState, Presence, Schedule, Secret};
    use crate::refused::Refused;
    use crate::request::{By, JobRequest};
    use crate::seal::Binding;
    use crate::store::{HOST_NAMES, LINKS, PRESENCES, rows_in_words};
    use schema::command::Over;
    use schema::{HostId, InstallationId, JobId, Slot, Timestamp, TokenId};
    use std::future::Future;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    const NOW: Timestamp = Timestamp(1_750_000_000_000);
    const HOST: HostId = HostId([3; 16]);

    /// A fleet whose clock goes on by so much each time it is read.
    fn fleet(step_ms: u64) -> Fleet {
        let clock = AtomicU64::new(NOW.0);
        let driver = crate::Driver {
            now: Arc::new(move || Timestamp(clock.fetch_add(step_ms, Ordering::SeqCst))),
            random: Arc::new(|bytes| bytes.fill(7)),
        };
        Fleet::in_memory(crate::Settings::for_tests(), driver).unwrap()
    }

    /// Puts operations into one batch with one that panics, so that they run twice.
    async fn spoil<T>(fleet: &Fleet, asked: impl Future<Output = T>) -> T {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (mut held, mut begun) = (Some(held), Some(begun));
        let blocked = fleet.write(By::system(), move |_| {
            if let (Some(held), Some(begun)) = (held.take(), begun.take()) {
                let _ = begun.send(());
                let _ = held.recv();
            }
            Ok(())
        });
        let spoiled = fleet.write::<()>(By::system(), |_| panic!("on purpose"));
        let batch = async {
            // The writer holds the first one alone; these wait for it in one batch.
            begins.await.unwrap();
            tokio::join!(asked, spoiled, async { release.send(()).unwrap() })
        };
        let (blocked, (answer, spoiled, ())) = tokio::join!(blocked, batch);
        assert!(blocked.is_ok() && spoiled.is_err());
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_runs_twice_is_noted_and_counted_once() {
        let fleet = fleet(0);
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let noted = fleet.write(By::system(), move |op| {
            counted.fetch_add(1, Ordering::Relaxed);
            op.tx.effects.refused.push((HOST, Over::Audit));
            op.tx.put(&HOST_NAMES, &"noted".to_owned(), &HOST)?;
            Ok(op.may_note(HOST))
        });
        let noted = spoil(&fleet, noted).await;
        assert_eq!((noted.unwrap(), runs.load(Ordering::Relaxed)), (true, 2), "the second time as well");
        assert!(fleet.context().is_noted(HOST, NOW), "with the commit");
        let again = fleet.write(By::system(), move |op| Ok(op.may_note(HOST)));
        assert!(!again.await.unwrap(), "once a minute");
        assert_eq!(fleet.over_budget(HOST).refused, [(Over::Audit, 1, NOW)]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_clock_is_read_once_however_often_an_operation_runs() {
        let fleet = fleet(1_000);
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let sees = Arc::clone(&seen);
        let asked = fleet.write(By::system(), move |op| {
            sees.lock().unwrap().push(op.now);
            Ok(op.tx.put(&HOST_NAMES, &"seen".to_owned(), &HOST)?)
        });
        spoil(&fleet, asked).await.unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!((seen.len(), seen[0]), (2, seen[1]));
    }

    /// A host that is enrolled and connected, and may back up.
    async fn connected(fleet: &Fleet) -> HostId {
        let by = By::system;
        let host = fleet.create_host("attic", vec![], by()).await.unwrap().0.id;
        fleet
            .write(by(), move |op| {
                let link = Link {
                    key_id: 1,
                    sealed_key: op.facts.master.seal(Binding::Link(host), op.facts.random(), &[9; 32]),
                    password_sha256: [0; 32],
                    token: TokenId([0; 16]),
                    installation: InstallationId([0; 16]),
                };
                op.tx.put(&LINKS, &host, &link)?;
                Ok(op.tx.put(&PRESENCES, &host, &Presence { online: true, ..Presence::default() })?)
            })
            .await
            .unwrap();
        fleet.put_credentials(host, Slot::Repo, credentials("/srv/repo"), by()).await.unwrap();
        fleet.put_group(host, None, group("etc"), by()).await.unwrap();
        host
    }

    fn credentials(url: &str) -> CredentialsInput {
        let repo_password = Some(Secret::new("repo-password"));
        CredentialsInput { url: url.into(), repo_password, ..Default::default() }
    }

    fn group(name: &str) -> Group {
        Group { name: name.into(), includes: vec![format!("/{name}")], ..Group::default() }
    }

    fn schedule() -> Schedule {
        Schedule {
            name: "nightly".into(),
            cron: "0 3 * * *".into(),
            timezone: "UTC".into(),
            groups: vec!["etc".into()],
            enabled: true,
            ..Schedule::default()
        }
    }

    /// What people, ticks and agents ask, one operation each.
    const ASKED: [&str; 11] = [
        "host",
        "token",
        "rename",
        "credentials",
        "group",
        "schedule",
        "backup",
        "cancel",
        "delete",
        "forged",
        "operator",
    ];

    async fn ask(fleet: &Fleet, what: &str, host: HostId, open: JobId) -> Result<(), Refused> {
        let by = By::system;
        match what {
            "host" => fleet.create_host("barn", vec!["garden".into()], by()).await.map(drop),
            "token" => fleet.new_enroll_token(host, crate::record::TokenMachine::Any, by()).await.map(drop),
            "rename" => fleet.update_host(host, Some("loft".into()), None, by()).await.map(drop),
            "credentials" => {
                fleet.put_credentials(host, Slot::Repo, credentials("/srv/new"), by()).await.map(drop)
            }
            "group" => fleet.put_group(host, Some("etc"), group("home"), by()).await.map(drop),
            "schedule" => fleet.put_schedule(host, None, schedule(), by()).await.map(drop),
            "backup" => fleet.dispatch(host, JobRequest::Stats, by()).await.map(drop),
            "cancel" => fleet.cancel(open, by()).await.map(drop),
            "delete" => fleet.delete_host(host, by()).await,
            "forged" => fleet.handle_report(host, &[1; 80], "192.0.2.9").await.map(drop).map_err(Into::into),
            "operator" => {
                let role = crate::record::Role::Admin;
                fleet.create_operator("ada", role, "$argon2id$".into(), by()).await.map(drop)
            }
            other => panic!("nobody asks for {other}"),
        }
    }

    async fn rows_after(what: &str, is_spoiled: bool) -> Vec<(&'static str, String)> {
        let fleet = fleet(0);
        let host = connected(&fleet).await;
        let backup = JobRequest::Backup { group: "etc".into() };
        let open: Job = fleet.dispatch(host, backup, By::system()).await.unwrap();
        assert_eq!(open.state, JobState::Queued);
        let before = rows_in_words(&fleet.view().unwrap()).unwrap();
        let asked = ask(&fleet, what, host, open.id);
        if is_spoiled {
            spoil(&fleet, asked).await.unwrap();
        } else {
            asked.await.unwrap();
        }
        let after = rows_in_words(&fleet.view().unwrap()).unwrap();
        assert_ne!(before, after, "{what} changes nothing");
        after
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_operation_that_runs_twice_leaves_what_one_run_leaves() {
        for what in ASKED {
            assert_eq!(rows_after(what, true).await, rows_after(what, false).await, "{what}");
        }
    }
}
