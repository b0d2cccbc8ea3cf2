//! One contract for both backends, in memory and on disk.

use super::*;
use crate::change::{Changed, Effects};
use crate::record::LogChunk;
use crate::refused::WriteFault;
use proptest::prelude::*;
use schema::{HostId, JobId};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

type Told = Arc<Mutex<Vec<Changed>>>;

/// A store, what it told, and the folder that goes with it.
struct Bench {
    store: Arc<Store>,
    told: Told,
    folder: Option<tempfile::TempDir>,
}

fn listener() -> (Told, Committed) {
    let told = Told::default();
    let keep = told.clone();
    (told, Box::new(move |effects: Effects, _: &Reader<'_>| keep.lock().unwrap().extend(effects.changes)))
}

fn in_memory() -> Bench {
    let (told, committed) = listener();
    Bench { store: Arc::new(Store::in_memory(committed, |_| Ok(())).unwrap()), told, folder: None }
}

fn on_disk() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let (told, committed) = listener();
    let store = Store::open(&folder.path().join("data.redb"), Begins::New, committed, |_| Ok(())).unwrap();
    Bench { store: Arc::new(store), told, folder: Some(folder) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

fn job(n: u8) -> JobId {
    JobId([n; 16])
}

fn chunk(first_line: u32) -> LogChunk {
    LogChunk { first_line, lines: vec![(0, 1, "line".to_owned())] }
}

async fn put(store: &Store, job: JobId, line: u32) -> Result<(), Refused> {
    store.write(move |tx| Ok(tx.put(&LOGS, &(job, line), &chunk(line))?)).await
}

macro_rules! contract {
    ($($name:ident)*) => {
        mod memory {
            $(#[test] fn $name() { super::$name(&super::in_memory()); })*
        }
        mod disk {
            $(#[test] fn $name() { super::$name(&super::on_disk()); })*
        }
    };
}

contract! {
    what_was_answered_can_be_read
    a_span_is_walked_in_both_orders_and_stops_when_told
    a_snapshot_does_not_see_what_comes_later
    many_operations_at_once_share_commits
    operations_are_written_in_the_order_in_which_they_were_asked
    an_operation_that_fails_after_a_write_leaves_nothing_and_spoils_no_other
    an_operation_that_panics_is_answered_and_spoils_no_other
    an_operation_refused_because_of_a_spoiled_one_gets_its_chance
    what_follows_is_told_only_of_what_was_committed
    a_closed_store_finishes_what_it_was_asked_and_refuses_what_comes_later
    who_stops_waiting_does_not_undo_the_write
}

fn what_was_answered_can_be_read(bench: &Bench) {
    runtime().block_on(async {
        put(&bench.store, job(1), 5).await.unwrap();
        let view = bench.store.read().unwrap();
        assert_eq!(view.get(&LOGS, &(job(1), 5)).unwrap(), Some(chunk(5)));
        assert_eq!(view.get(&LOGS, &(job(1), 6)).unwrap(), None);
        let removed = bench.store.write(|tx| Ok(tx.remove(&LOGS, &(job(1), 5))?)).await.unwrap();
        assert!(removed);
        assert_eq!(bench.store.read().unwrap().get(&LOGS, &(job(1), 5)).unwrap(), None);
    });
}

fn a_span_is_walked_in_both_orders_and_stops_when_told(bench: &Bench) {
    runtime().block_on(async {
        for n in [3, 1, 2, 300, 70_000] {
            put(&bench.store, job(1), n).await.unwrap();
        }
        put(&bench.store, job(0), 9).await.unwrap();
        put(&bench.store, job(255), 9).await.unwrap();
        let view = bench.store.read().unwrap();
        let lines = |span: Span| -> Vec<u32> {
            view.keys(&LOGS, &span, usize::MAX).unwrap().into_iter().map(|(_, line)| line).collect()
        };
        let own = Span::under(&job(1));
        let at = |line: u32| (job(1), line);
        assert_eq!(lines(own.clone()), [1, 2, 3, 300, 70_000]);
        assert_eq!(lines(own.clone().from(&at(3))), [3, 300, 70_000]);
        assert_eq!(lines(own.clone().after(&at(3))), [300, 70_000]);
        assert_eq!(lines(own.clone().through(&at(3))), [1, 2, 3]);
        assert_eq!(lines(own.clone().before(&at(3))), [1, 2]);
        assert!(lines(own.clone().after(&at(9)).before(&at(9))).is_empty());
        assert!(lines(own.clone().from(&at(9)).before(&at(2))).is_empty());
        assert_eq!(lines(Span::under(&job(255))), [9]);
        assert_eq!(view.last(&LOGS, &own).unwrap().unwrap().0.1, 70_000);
        assert_eq!(view.keys(&LOGS, &own, 2).unwrap().len(), 2);
        let mut seen = Vec::new();
        view.walk(&LOGS, &own, Order::Descending, |(_, line), _| {
            seen.push(line);
            Ok(if seen.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .unwrap();
        assert_eq!(seen, [70_000, 300]);
        let gone = bench.store.write(|tx| Ok(tx.remove_all(&LOGS, &Span::under(&job(1)))?)).await.unwrap();
        assert_eq!(gone, 5);
        let view = bench.store.read().unwrap();
        assert_eq!(view.keys(&LOGS, &Span::ALL, usize::MAX).unwrap(), [(job(0), 9), (job(255), 9)]);
    });
}

fn a_snapshot_does_not_see_what_comes_later(bench: &Bench) {
    runtime().block_on(async {
        let before = bench.store.read().unwrap();
        put(&bench.store, job(1), 1).await.unwrap();
        assert_eq!(before.get(&LOGS, &(job(1), 1)).unwrap(), None);
        assert!(bench.store.read().unwrap().get(&LOGS, &(job(1), 1)).unwrap().is_some());
    });
}

/// Keeps the writer inside an operation until the returned sender is used or dropped.
fn hold(bench: &Bench) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (entered, is_inside) = std::sync::mpsc::channel();
    let store = bench.store.clone();
    let held = tokio::spawn(async move {
        let written = store.write(move |tx| {
            let _ = entered.send(());
            let _ = wait.recv();
            Ok(tx.put(&LOGS, &(job(200), 0), &chunk(0))?)
        });
        written.await.unwrap();
    });
    is_inside.recv().unwrap();
    (release, held)
}

fn many_operations_at_once_share_commits(bench: &Bench) {
    runtime().block_on(async {
        let before = bench.store.counts();
        let (release, held) = hold(bench);
        let mut asked: Vec<_> = (0..1_000).map(|n| Box::pin(put(&bench.store, job(1), n))).collect();
        std::future::poll_fn(|context| {
            assert!(asked.iter_mut().all(|one| one.as_mut().poll(context).is_pending()));
            std::task::Poll::Ready(())
        })
        .await;
        drop(release);
        held.await.unwrap();
        for one in asked {
            one.await.unwrap();
        }
        let after = bench.store.counts();
        assert_eq!(after.operations - before.operations, 1_001);
        assert_eq!(after.commits - before.commits, 1 + 1_000 / 200, "one that was held, and five full ones");
        let rows = bench.store.read().unwrap().keys(&LOGS, &Span::under(&job(1)), usize::MAX).unwrap();
        assert_eq!(rows.len(), 1_000);
    });
}

fn operations_are_written_in_the_order_in_which_they_were_asked(bench: &Bench) {
    runtime().block_on(async {
        let order = Arc::new(Mutex::new(Vec::new()));
        // More than the queue takes, so that some wait to get in.
        let mut asked: Vec<_> = (0..3_000u32)
            .map(|n| {
                let (store, order) = (bench.store.clone(), order.clone());
                Box::pin(async move {
                    store
                        .write(move |tx| {
                            order.lock().unwrap().push(n);
                            Ok(tx.put(&LOGS, &(job(1), n), &chunk(n))?)
                        })
                        .await
                })
            })
            .collect();
        std::future::poll_fn(|context| {
            for one in &mut asked {
                let _ = one.as_mut().poll(context);
            }
            std::task::Poll::Ready(())
        })
        .await;
        drop(asked);
        // Dropped or answered: those that got in were written in order.
        put(&bench.store, job(2), 0).await.unwrap();
        let order = order.lock().unwrap();
        assert!(order.len() >= 1_000 && order.is_sorted(), "{} written", order.len());
    });
}

fn an_operation_that_fails_after_a_write_leaves_nothing_and_spoils_no_other(bench: &Bench) {
    runtime().block_on(async {
        let (release, held) = hold(bench);
        let mut asked = tokio::task::JoinSet::new();
        for n in 0..50 {
            let store = bench.store.clone();
            asked.spawn(async move {
                let written = store.write(move |tx| {
                    tx.put(&LOGS, &(job(1), n), &chunk(n))?;
                    if n % 10 == 3 { Err(Refused::JobEnded) } else { Ok(()) }
                });
                (n, written.await)
            });
        }
        drop(release);
        held.await.unwrap();
        while let Some(done) = asked.join_next().await {
            let (n, answer) = done.unwrap();
            assert_eq!(answer.is_err(), n % 10 == 3, "{n}: {answer:?}");
            assert!(answer.is_ok() || matches!(answer, Err(Refused::JobEnded)));
        }
        let keys = bench.store.read().unwrap().keys(&LOGS, &Span::under(&job(1)), usize::MAX).unwrap();
        let lines: Vec<u32> = keys.into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, (0..50).filter(|n| n % 10 != 3).collect::<Vec<_>>());
    });
}

fn an_operation_that_panics_is_answered_and_spoils_no_other(bench: &Bench) {
    runtime().block_on(async {
        let (release, held) = hold(bench);
        let store = bench.store.clone();
        let bad = tokio::spawn(async move {
            let written = store.write::<()>(|tx| {
                tx.put(&LOGS, &(job(1), 1), &chunk(1))?;
                panic!("on purpose");
            });
            written.await
        });
        let store = bench.store.clone();
        let good = tokio::spawn(async move { put(&store, job(1), 2).await });
        drop(release);
        held.await.unwrap();
        assert!(matches!(bad.await.unwrap(), Err(Refused::Store(StoreError::Panicked))));
        good.await.unwrap().unwrap();
        let keys = bench.store.read().unwrap().keys(&LOGS, &Span::under(&job(1)), usize::MAX).unwrap();
        assert_eq!(keys, [(job(1), 2)]);
    });
}

fn an_operation_refused_because_of_a_spoiled_one_gets_its_chance(bench: &Bench) {
    runtime().block_on(async {
        let (release, held) = hold(bench);
        let claim = |fails: bool| {
            let store = bench.store.clone();
            async move {
                store
                    .write(move |tx| {
                        if tx.has(&LOGS, &(job(1), 0))? {
                            return Err(Refused::NameTaken { name: "line".to_owned() });
                        }
                        tx.put(&LOGS, &(job(1), 0), &chunk(0))?;
                        if fails { Err(Refused::JobEnded) } else { Ok(()) }
                    })
                    .await
            }
        };
        let (mut first, mut second) = (Box::pin(claim(true)), Box::pin(claim(false)));
        std::future::poll_fn(|context| {
            assert!(first.as_mut().poll(context).is_pending());
            assert!(second.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(release);
        held.await.unwrap();
        assert!(matches!(first.await, Err(Refused::JobEnded)));
        second.await.unwrap();
    });
}

fn what_follows_is_told_only_of_what_was_committed(bench: &Bench) {
    runtime().block_on(async {
        let tell = |line: u32, fails: bool| {
            bench.store.write(move |tx| {
                tx.effects.changed(Changed::Repo(HostId([line as u8; 16])));
                if fails {
                    return Err(Refused::JobEnded);
                }
                Ok(tx.put(&LOGS, &(job(1), line), &chunk(line))?)
            })
        };
        let (first, second, third) = tokio::join!(tell(1, false), tell(2, true), tell(3, false));
        assert!(first.is_ok() && second.is_err() && third.is_ok());
        let told = bench.told.lock().unwrap();
        assert_eq!(*told, [Changed::Repo(HostId([1; 16])), Changed::Repo(HostId([3; 16]))]);
    });
}

fn a_closed_store_finishes_what_it_was_asked_and_refuses_what_comes_later(bench: &Bench) {
    runtime().block_on(async {
        let (release, held) = hold(bench);
        let mut asked = Box::pin(put(&bench.store, job(1), 1));
        std::future::poll_fn(|context| {
            assert!(asked.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        let store = bench.store.clone();
        let closed = tokio::task::spawn_blocking(move || store.close());
        drop(release);
        held.await.unwrap();
        closed.await.unwrap();
        asked.await.unwrap();
        assert!(matches!(put(&bench.store, job(1), 2).await, Err(Refused::Store(StoreError::Closed))));
        assert!(bench.store.read().unwrap().get(&LOGS, &(job(1), 1)).unwrap().is_some());
    });
}

fn who_stops_waiting_does_not_undo_the_write(bench: &Bench) {
    runtime().block_on(async {
        let (release, held) = hold(bench);
        let mut asked = Box::pin(put(&bench.store, job(1), 1));
        std::future::poll_fn(|context| {
            assert!(asked.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(asked);
        drop(release);
        held.await.unwrap();
        put(&bench.store, job(1), 2).await.unwrap();
        assert!(bench.store.read().unwrap().get(&LOGS, &(job(1), 1)).unwrap().is_some());
    });
}

#[test]
fn a_file_that_was_closed_opens_with_all_that_was_answered() {
    let bench = on_disk();
    runtime().block_on(put(&bench.store, job(1), 1)).unwrap();
    let folder = bench.folder.unwrap();
    drop(bench.store);
    let store = Store::open(&folder.path().join("data.redb"), Begins::New, listener().1, |_| Ok(())).unwrap();
    assert!(store.read().unwrap().get(&LOGS, &(job(1), 1)).unwrap().is_some());
    assert!(store.bytes() > 0);
}

#[test]
fn a_file_that_is_open_is_not_opened_twice() {
    let bench = on_disk();
    let file = bench.folder.as_ref().unwrap().path().join("data.redb");
    let again = Store::open(&file, Begins::New, listener().1, |_| Ok(()));
    assert!(matches!(again, Err(OpenError::InUse { .. })));
}

#[test]
fn a_file_that_is_none_of_ours_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.redb");
    std::fs::write(&file, "a letter to my mother".repeat(500)).unwrap();
    assert!(Store::open(&file, Begins::New, listener().1, |_| Ok(())).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a letter to my mother".repeat(500));
}

#[test]
fn a_copy_taken_while_it_is_written_opens_with_a_whole_commit() {
    // What a crash leaves: the bytes as they are on disk at some moment between two commits.
    let bench = on_disk();
    let folder = bench.folder.as_ref().unwrap().path();
    let runtime = runtime();
    for n in 0..20 {
        runtime.block_on(put(&bench.store, job(1), n)).unwrap();
        let copy = folder.join(format!("copy{n}.redb"));
        std::fs::copy(folder.join("data.redb"), &copy).unwrap();
        let store = Store::open(&copy, Begins::Kept, listener().1, |_| Ok(())).unwrap();
        let rows = store.read().unwrap().keys(&LOGS, &Span::under(&job(1)), usize::MAX).unwrap();
        assert_eq!(rows.len(), n as usize + 1);
    }
}

/// A file on a disk that can be made full.
#[derive(Debug)]
struct Disk {
    file: redb::backends::FileBackend,
    is_full: Arc<AtomicBool>,
}

impl Disk {
    fn room(&self) -> Result<(), redb::BackendError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
        }
        Ok(())
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.room()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.room()?;
        self.file.write(offset, data)
    }
    fn close(&self) -> Result<(), std::io::Error> {
        self.file.close()
    }
}

#[test]
fn a_full_disk_is_an_error_for_who_asked_and_all_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.redb");
    let place = Arc::new(OpenedFile::new(&path));
    let is_full = Arc::new(AtomicBool::new(false));
    let open = {
        let is_full = is_full.clone();
        move || {
            // redb writes when it opens a file.
            if is_full.load(Ordering::SeqCst) {
                let why = std::io::ErrorKind::StorageFull.into();
                return Err(OpenError::Folder { path: path.clone(), why });
            }
            let file = redb::backends::FileBackend::new(open::private_file(&path, true).unwrap())
                .map_err(StoreError::from)?;
            let disk = Disk { file, is_full: is_full.clone() };
            Ok(builder().create_with_backend(disk).map_err(StoreError::from)?)
        }
    };
    let (told, committed) = listener();
    let database = open().unwrap();
    let reopen_to_read = {
        let place = place.clone();
        Box::new(move || check::open_to_read(&place))
    };
    let ways = Ways { reopen: Box::new(open), reopen_to_read };
    let store = Store::start(database, Begins::New, ways, Some(place), committed, |_| Ok(())).unwrap();
    runtime().block_on(async {
        put(&store, job(1), 1).await.unwrap();
        let before = store.read().unwrap();
        for round in 0..3 {
            is_full.store(true, Ordering::SeqCst);
            for line in 10..13 {
                let failed = store.write(move |tx| {
                    tx.effects.changed(Changed::Audit);
                    let long = LogChunk { first_line: line, lines: vec![(0, 1, "x".repeat(300_000))] };
                    Ok(tx.put(&LOGS, &(job(1), line), &long)?)
                });
                let Err(Refused::Store(failed)) = failed.await else { panic!("round {round}") };
                assert_eq!(failed.write_fault(), WriteFault::Full, "round {round}: {failed:?}");
                let keys = store.read().unwrap().keys(&LOGS, &Span::ALL, usize::MAX).unwrap();
                assert_eq!(keys.len(), 1 + round as usize, "what is there is read all the while");
            }
            assert_eq!(store.counts().fault, Some(WriteFault::Full));
            is_full.store(false, Ordering::SeqCst);
            put(&store, job(2), round).await.unwrap();
        }
        assert!(told.lock().unwrap().is_empty(), "nothing is told of what was not committed");
        drop(before);
        let keys = store.read().unwrap().keys(&LOGS, &Span::ALL, usize::MAX).unwrap();
        assert_eq!(keys, [(job(1), 1), (job(2), 0), (job(2), 1), (job(2), 2)]);
    });
}

#[test]
fn a_file_that_was_moved_or_replaced_takes_nothing_more_and_its_rows_can_still_be_read() {
    let bench = on_disk();
    let path = bench.folder.as_ref().unwrap().path().join("data.redb");
    let (copy, away) = (path.with_extension("copy"), path.with_extension("away"));
    runtime().block_on(async {
        put(&bench.store, job(1), 1).await.unwrap();
        std::fs::copy(&path, &copy).unwrap();
        let stands_in = |is_there: bool| {
            std::fs::rename(&path, &away).unwrap();
            if is_there {
                std::fs::copy(&copy, &path).unwrap();
            }
        };
        for is_there in [true, false] {
            stands_in(is_there);
            let Err(Refused::Store(refused)) = put(&bench.store, job(2), 2).await else { panic!() };
            assert!(matches!(refused, StoreError::Replaced(_)), "{refused:?}");
            let Err(Refused::Store(refused)) = bench.store.moment().await else { panic!() };
            assert!(matches!(refused, StoreError::Replaced(_)), "{refused:?}");
            let keys = bench.store.read().unwrap().keys(&LOGS, &Span::ALL, usize::MAX).unwrap();
            assert_eq!(keys, [(job(1), 1)]);
            assert_eq!(bench.store.counts().fault, Some(WriteFault::Replaced));
            std::fs::rename(&away, &path).unwrap();
        }
        put(&bench.store, job(3), 3).await.unwrap();
    });
}

#[test]
fn a_file_in_use_is_looked_through_while_it_is_written_without_a_false_alarm() {
    let bench = on_disk();
    let (store, ends) = (bench.store.clone(), Arc::new(AtomicBool::new(false)));
    let rounds = Arc::new(AtomicU32::new(0));
    let runtime = runtime();
    let writer = runtime.spawn({
        let (ends, rounds) = (ends.clone(), rounds.clone());
        async move {
            while !ends.load(Ordering::SeqCst) {
                // Rows come, change and go, so that pages are freed and used again all the time.
                let round = rounds.fetch_add(1, Ordering::SeqCst);
                let written = store.write(move |tx| {
                    for n in 0..40 {
                        let lines = vec![(0, 1, "x".repeat(((round + n) % 90) as usize * 40))];
                        tx.put(
                            &LOGS,
                            &(job((n % 5) as u8), (round * 7 + n) % 900),
                            &LogChunk { first_line: n, lines },
                        )?;
                        tx.remove(&LOGS, &(job((n % 5) as u8), (round * 3 + n) % 900))?;
                    }
                    Ok(())
                });
                written.await.unwrap();
            }
        }
    });
    let mut looks = 0;
    while looks < 6 || rounds.load(Ordering::SeqCst) < 60 {
        looks += 1;
        let moment = runtime.block_on(bench.store.moment()).unwrap().unwrap();
        // What the file gets meanwhile is not of this moment.
        assert!(runtime.block_on(bench.store.moment()).unwrap().is_none(), "one at a time");
        assert!(moment.check().unwrap().is_some());
    }
    ends.store(true, Ordering::SeqCst);
    runtime.block_on(writer).unwrap();
}

#[test]
fn a_store_that_is_closed_does_not_wait_for_who_looks_through_it() {
    let bench = on_disk();
    let runtime = runtime();
    runtime.block_on(put(&bench.store, job(1), 1)).unwrap();
    let moment = runtime.block_on(bench.store.moment()).unwrap().unwrap();
    bench.store.close();
    assert!(moment.check().unwrap().is_none(), "given up, and no damage");
}

#[test]
fn a_changed_bit_is_found_in_a_file_in_use_as_in_one_at_rest() {
    use std::os::unix::fs::FileExt;
    let (folder, file) = filled();
    let store = Store::open(&file, Begins::Kept, listener().1, |_| Ok(())).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let handle = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    let copy = folder.path().join("copy.redb");
    let (runtime, mut found) = (runtime(), 0);
    for at in (4096 + 77..whole.len()).step_by(4096) {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        std::fs::write(&copy, &damaged).unwrap();
        handle.write_all_at(&damaged[at..=at], at as u64).unwrap();
        let moment = runtime.block_on(store.moment()).unwrap().unwrap();
        let (in_use, at_rest) = (moment.check(), check(&copy, |_| Ok(())));
        assert_eq!(in_use.is_ok(), at_rest.is_ok(), "byte {at}: {in_use:?}, {at_rest:?}");
        found += u32::from(in_use.is_err());
        handle.write_all_at(&whole[at..=at], at as u64).unwrap();
    }
    assert!(found > 20, "{found}");
}

/// The files of a server that was killed, as they are when the head names the change before the last one: the flag was altered, or
/// it was killed before it had turned it.
#[test]
fn the_last_change_counts_also_where_the_head_names_the_one_before() {
    let bench = on_disk();
    let (runtime, folder) = (runtime(), bench.folder.as_ref().unwrap());
    for line in 0..5 {
        runtime.block_on(put(&bench.store, job(1), line)).unwrap();
    }
    let mut bytes = std::fs::read(folder.path().join("data.redb")).unwrap();
    bytes[9] ^= 1;
    let copy = folder.path().join("copy.redb");
    let rows = |file: &Path| {
        let store = Store::open(file, Begins::Kept, listener().1, |_| Ok(())).unwrap();
        let rows = store.read().unwrap().rows(&LOGS, &Span::ALL).unwrap().len();
        // Whoever reads nothing but this goes on from it.
        runtime.block_on(put(&store, job(2), 7)).unwrap();
        store.close();
        rows
    };
    std::fs::write(&copy, &bytes).unwrap();
    // And the format.
    assert_eq!(check(&copy, |_| Ok(())).unwrap(), 6);
    assert!(std::fs::read(&copy).unwrap() == bytes, "a check changes nothing");
    assert_eq!(rows(&copy), 5);
    assert_eq!(check(&copy, |_| Ok(())).unwrap(), 7);
    assert_eq!(rows(&copy), 6);
    // A change that did not get whole onto the disk was told to nobody, and is no damage.
    let slot = 64 + 128 * usize::from(bytes[9] & 1 == 0);
    let root = u64::from_le_bytes(*bytes[slot + 8..].first_chunk().unwrap());
    let begin = 4096 * (1 + ((root & 0xf_ffff) << (root >> 59)) as usize);
    bytes[begin..begin + 4096].fill(0);
    std::fs::write(&copy, &bytes).unwrap();
    assert_eq!(check(&copy, |_| Ok(())).unwrap(), 5);
    assert_eq!(rows(&copy), 4);
    assert_eq!(check(&copy, |_| Ok(())).unwrap(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_is_written_and_removed_reads_like_a_map(
        steps in proptest::collection::vec((0..4u8, 0..6u32, 0..4u8), 1..60),
    ) {
        let bench = in_memory();
        let mut model = BTreeMap::new();
        let outcome: Result<(), TestCaseError> = runtime().block_on(async {
            for (n, line, what) in steps {
                let key = (job(n), line);
                match what {
                    0 => {
                        let removed = bench.store.write(move |tx| Ok(tx.remove(&LOGS, &key)?)).await.unwrap();
                        prop_assert_eq!(removed, model.remove(&key).is_some());
                    }
                    1 => {
                        let span = Span::under(&job(n)).from(&key);
                        let gone = bench.store.write(move |tx| Ok(tx.remove_all(&LOGS, &span)?)).await.unwrap();
                        let before = model.len();
                        model.retain(|(id, at), _| *id != job(n) || *at < line);
                        prop_assert_eq!(gone, before - model.len());
                    }
                    _ => {
                        put(&bench.store, key.0, key.1).await.unwrap();
                        model.insert(key, chunk(line));
                    }
                }
                let rows = bench.store.read().unwrap().rows(&LOGS, &Span::ALL).unwrap();
                prop_assert_eq!(rows, model.clone().into_iter().collect::<Vec<_>>());
            }
            Ok(())
        });
        outcome?;
    }
}

/// A closed file with rows in several tables, enough for trees of some depth.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let bench = on_disk();
    runtime().block_on(async {
        let written = bench.store.write(|tx| {
            for n in 0..2_000u32 {
                tx.put(&LOGS, &(job((n % 7) as u8), n), &chunk(n))?;
                tx.put(&OPEN_JOBS, &(HostId([(n % 5) as u8; 16]), JobId(u128::from(n).to_be_bytes())), &())?;
            }
            Ok(())
        });
        written.await.unwrap();
    });
    let folder = bench.folder.unwrap();
    drop(bench.store);
    let file = folder.path().join("data.redb");
    (folder, file)
}

#[test]
fn a_check_reads_every_row_and_leaves_the_file_as_it_is() {
    let (_folder, file) = filled();
    let before = std::fs::read(&file).unwrap();
    // And the format.
    assert_eq!(check(&file, |_| Ok(())).unwrap(), 4_001);
    assert!(std::fs::read(&file).unwrap() == before);
    let refused = check(&file, |_| Err(OpenError::KeyWrong));
    assert!(matches!(refused, Err(OpenError::KeyWrong)), "{refused:?}");
    let open = Store::open(&file, Begins::New, listener().1, |_| Ok(())).unwrap();
    assert!(matches!(check(&file, |_| Ok(())), Err(OpenError::InUse { .. })), "not while a server has it");
    drop(open);
}

#[test]
fn a_check_finds_a_row_that_can_not_be_read() {
    let (_folder, file) = filled();
    let store = Store::open(&file, Begins::New, listener().1, |_| Ok(())).unwrap();
    let raw: Table<(JobId, u32), NotAChunk> = LOGS.of_rows();
    runtime().block_on(store.write(move |tx| Ok(tx.put(&raw, &(job(1), 8), &NotAChunk)?))).unwrap();
    drop(store);
    let Err(OpenError::Damaged { why, .. }) = check(&file, |_| Ok(())) else { panic!("not found") };
    assert!(why.contains("logs"), "{why}");
}

struct NotAChunk;

impl StoredRow for NotAChunk {
    const VERSION: u8 = 1;
    fn encode(&self) -> Vec<u8> {
        vec![1, 255, 255, 255]
    }
    fn decode(_: u8, _: &[u8]) -> Option<Self> {
        None
    }
}

#[test]
fn damage_is_found_by_a_check_and_is_an_error_to_whoever_meets_it() {
    let (folder, file) = filled();
    let whole = std::fs::read(&file).unwrap();
    let rows = {
        let store = Store::open(&file, Begins::New, listener().1, |_| Ok(())).unwrap();
        store.read().unwrap().rows(&LOGS, &Span::ALL).unwrap()
    };
    let copy = folder.path().join("copy.redb");
    let (mut found, mut met) = (0, 0);
    for at in (0..whole.len()).step_by(4096) {
        let mut damaged = whole.clone();
        let end = (at + 3000).min(damaged.len());
        damaged[at..end].iter_mut().for_each(|byte| *byte ^= 0xa5);
        std::fs::write(&copy, &damaged).unwrap();
        let checked = check(&copy, |_| Ok(()));
        assert!(std::fs::read(&copy).unwrap() == damaged, "a check changes nothing");
        let store = match Store::open(&copy, Begins::Kept, listener().1, |_| Ok(())) {
            Ok(store) => store,
            Err(error) => {
                assert!(matches!(error, OpenError::Damaged { .. }), "page {at}: {error:?}");
                assert!(checked.is_err(), "page {at}: {error}");
                (found, met) = (found + 1, met + 1);
                continue;
            }
        };
        let read = store.read().and_then(|view| view.rows(&LOGS, &Span::ALL));
        let mut answers = Vec::new();
        runtime().block_on(async {
            for n in 0..4 {
                answers.push(put(&store, job(n), u32::from(n) * 500).await);
            }
        });
        // Nobody waits for ever, and the writer is there for the next one.
        let closed = answers.iter().any(|answer| matches!(answer, Err(Refused::Store(StoreError::Closed))));
        assert!(!closed, "page {at}: {answers:?}");
        match checked {
            Ok(count) => {
                assert_eq!(count, 4_001, "page {at}");
                assert!(read.is_ok_and(|read| read == rows), "page {at}");
            }
            Err(error) => {
                assert!(matches!(error, OpenError::Damaged { .. }), "page {at}: {error:?}");
                found += 1;
                met += u32::from(read.is_err() || answers.iter().any(Result::is_err));
            }
        }
    }
    assert!(found > 20 && met > 10, "{found} found, {met} met");
}
