//! What runs for as long as the server does, each task under its name.
//!
//! A task says regularly that it is well: it *beats*. One that panics begins again, after a pause that grows while it
//! does so again and again. One that hangs, or has ended by itself, beats no more, and `/readyz` says so.

use crate::clock;
use futures_util::FutureExt as _;
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};
use web::TaskFacts;

/// The pause before a task begins again, at first.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause before a task begins again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often a task beats that waits for something to happen.
pub const IDLE: Duration = Duration::from_secs(10);

/// The tasks of a server.
#[derive(Clone, Default)]
pub struct Tasks {
    rows: Arc<Mutex<Vec<Beat>>>,
    #[cfg(test)]
    faults: tests::Faults,
}

/// Where a task says that it is well.
#[derive(Clone)]
pub struct Beat(Arc<TaskState>);

struct TaskState {
    name: &'static str,
    period: Duration,
    begun: Instant,
    /// When it beat last, in milliseconds after `begun`.
    beat_ms: AtomicU64,
    restarts: AtomicU64,
    #[cfg(test)]
    faults: tests::Faults,
}

impl Tasks {
    /// Runs what `make` gives until that ends by itself; after a panic, what it gives then. It beats at least once a
    /// `period` while it is well.
    pub fn spawn<F>(
        &self,
        name: &'static str,
        period: Duration,
        mut make: impl FnMut(Beat) -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (beat_ms, restarts) = (AtomicU64::new(0), AtomicU64::new(0));
        #[cfg(test)]
        let period = self.faults.paced(period);
        let beat = Beat(Arc::new(TaskState {
            name,
            period,
            begun: clock::instant(),
            beat_ms,
            restarts,
            #[cfg(test)]
            faults: self.faults.clone(),
        }));
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).push(beat.clone());
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let begun = clock::instant();
                let run = AssertUnwindSafe(async { make(beat.clone()).await }).catch_unwind().await;
                if run.is_ok() {
                    return;
                }
                // One that ran well for a while has not failed again and again.
                if begun.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
                beat.0.restarts.fetch_add(1, Relaxed);
                tracing::error!(task = name, "ended by a fault of the program; begins again in {pause:?}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        })
    }

    /// How each is, in the order in which they began.
    #[must_use]
    pub fn health(&self) -> Vec<TaskFacts> {
        let tasks = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().map(|beat| beat.0.health()).collect()
    }
}

/// Does what blocks on a thread where it may: the runtime's workers serve all connections. A panic in it is one of the
/// task that waits for it.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that ends drops what has not begun; this task goes with it.
            Err(_) => std::future::pending().await,
        },
    }
}

impl TaskState {
    fn health(&self) -> TaskFacts {
        let since_beat =
            self.begun.elapsed().saturating_sub(Duration::from_millis(self.beat_ms.load(Relaxed)));
        TaskFacts { name: self.name, period: self.period, since_beat, restarts: self.restarts.load(Relaxed) }
    }
}

impl Beat {
    /// Notes that the task was alive just now.
    fn beat(&self) {
        let after = self.0.begun.elapsed().as_millis();
        self.0.beat_ms.store(u64::try_from(after).unwrap_or(u64::MAX), Relaxed);
    }

    /// Waits for something, and beats as long as it does.
    pub async fn waits<T>(&self, something: impl Future<Output = T>) -> T {
        let mut something = std::pin::pin!(something);
        loop {
            #[cfg(test)]
            self.0.faults.meet(self.0.name).await;
            self.beat();
            tokio::select! {
                biased;
                done = &mut something => return done,
                () = tokio::time::sleep(self.0.period) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Layer, Layers};
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Faults that a test puts into tasks of a whole server.
    #[derive(Clone, Default)]
    pub(super) struct Faults {
        pace: Option<u32>,
        /// The task that hangs from now on, or panics.
        broken: Arc<Mutex<Option<(&'static str, Fault)>>>,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        Hangs,
        PanicsOnce,
    }

    impl Faults {
        pub(super) fn paced(&self, period: Duration) -> Duration {
            period / self.pace.unwrap_or(1)
        }

        pub(super) async fn meet(&self, task: &str) {
            let broken = self.broken.lock().unwrap().take_if(|(name, _)| *name == task);
            match broken {
                Some((_, Fault::Hangs)) => std::future::pending().await,
                Some((_, Fault::PanicsOnce)) => panic!("on purpose"),
                None => {}
            }
        }
    }

    fn config(data_dir: &std::path::Path) -> Config {
        // Ports that are free now.
        let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (http, mqtt) = (port(), port());
        let flags = Layer {
            data_dir: Some(data_dir.to_owned()),
            http: Some(http),
            mqtt: Some(mqtt),
            mqtt_plain: Some("off".to_owned()),
            mqtt_public: Some(vec![mqtt.to_string()]),
            ..Layer::default()
        };
        Layers { flags, ..Layers::default() }.resolve().unwrap()
    }

    async fn get(http: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// With the periods of a real server by a twentieth.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readyz_tells_within_three_beats_of_each_task_that_hangs_and_of_none_that_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let tasks = Tasks { faults: Faults { pace: Some(20), ..Faults::default() }, ..Tasks::default() };
        let server =
            crate::serve::start_with(config(&folder.path().join("data")), tasks.clone()).await.unwrap();
        let names: Vec<_> = tasks.health().into_iter().map(|task| task.name).collect();
        for task in
            ["schedules", "ingest", "publisher", "mqtt_listener", "maintenance", "sweep", "deliveries"]
        {
            assert!(names.contains(&task), "{task} of {names:?}");
        }
        assert!(get(server.http, "/readyz").await.starts_with("HTTP/1.1 200"));
        let by = || fleet::By { actor: fleet::record::Actor::System, peer: String::new() };
        for host in ["stays", "goes"] {
            server.fleet.create_host(host, Vec::new(), by()).await.unwrap();
        }
        let shown = |host: &str| {
            server.gate.view_topics().iter().any(|topic| topic.starts_with(&format!("hf/1/view/{host}/")))
        };
        while !(shown("stays") && shown("goes")) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // What a publisher that ended by a fault has left, and is there no more, goes with the next one.
        let ghost = "hf/1/view/goes/ghost";
        server.gate.publish_view(ghost, Some(bytes::Bytes::from_static(b"{}"))).unwrap();
        *tasks.faults.broken.lock().unwrap() = Some(("publisher", Fault::PanicsOnce));
        while server.gate.view_topics().iter().any(|topic| topic == ghost) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(shown("stays") && shown("goes"));
        // One that panics begins again, before anybody has to be told.
        *tasks.faults.broken.lock().unwrap() = Some(("schedules", Fault::PanicsOnce));
        let restarts =
            |task: &str| tasks.health().into_iter().find(|health| health.name == task).unwrap().restarts;
        while restarts("schedules") == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut silent = Vec::new();
        for task in names {
            *tasks.faults.broken.lock().unwrap() = Some((task, Fault::Hangs));
            // It meets that at its next beat.
            while tasks.faults.broken.lock().unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            silent.push(task);
        }
        let longest = tasks.health().iter().map(|task| task.period).max().unwrap();
        tokio::time::sleep(4 * longest).await;
        let answer = get(server.http, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        for task in silent {
            assert!(answer.contains(&format!("{task} has not responded")), "{task}: {answer}");
        }
        server.stop().await;
    }

    fn only(tasks: &Tasks) -> TaskFacts {
        let [health] = tasks.health()[..] else { panic!("one task") };
        health
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_begins_again_and_one_that_hangs_beats_no_more() {
        let tasks = Tasks::default();
        let mut runs = 0;
        let _task = tasks.spawn("odd", IDLE, move |beat| {
            runs += 1;
            let run = runs;
            async move {
                assert!(run > 3, "on purpose");
                beat.waits(tokio::time::sleep(Duration::from_secs(300))).await;
                std::future::pending::<()>().await;
            }
        });
        // Pauses of one, two and four seconds.
        tokio::time::sleep(Duration::from_millis(6_900)).await;
        assert_eq!(only(&tasks).restarts, 3);
        tokio::time::sleep(Duration::from_secs(200)).await;
        let health = only(&tasks);
        assert!((health.name, health.restarts) == ("odd", 3) && health.since_beat <= IDLE, "{health:?}");
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert!(only(&tasks).since_beat > 3 * IDLE, "{:?}", only(&tasks));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_by_itself_is_over_and_beats_no_more() {
        let tasks = Tasks::default();
        tasks.spawn("short", IDLE, |beat| async move { beat.beat() }).await.unwrap();
        tokio::time::sleep(4 * IDLE).await;
        assert_eq!((only(&tasks).restarts, only(&tasks).since_beat), (0, 4 * IDLE));
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_grows_while_it_panics_again_and_again() {
        let tasks = Tasks::default();
        let _task = tasks.spawn("bad", IDLE, |_| async { panic!("on purpose") });
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let restarts = only(&tasks).restarts;
        assert!((60..=70).contains(&restarts), "{restarts}");
    }
}
