//! More reads than there are places for.

use crate::world::{Answer, Client, World};
use fleet::record::Role;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

/// Reads that run or wait.
const MOST: usize = 512;
/// A page that asks whom the broker did not let in.
const SLOW: &str = "/refused-connections";

/// Longer than anything here takes; whoever hangs fails.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it comes soon")
}

/// Keeps everybody waiting who asks whom the broker did not let in, until it is dropped.
fn hold(world: &World) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    let (held, is_held) = mpsc::channel();
    let refused = world.refused.clone();
    thread::spawn(move || {
        let _guard = refused.lock().unwrap();
        held.send(()).unwrap();
        let _ = released.recv();
    });
    is_held.recv().unwrap();
    release
}

type Asked = Pin<Box<dyn Future<Output = Answer>>>;

/// A request that waits for its turn.
async fn ask(client: &Client, path: &'static str) -> Asked {
    let client = client.clone();
    let mut asked: Asked = Box::pin(async move { client.get(path).await });
    let polled = poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx))).await;
    assert!(polled.is_pending(), "{path} is answered at once");
    asked
}

#[tokio::test]
async fn slow_reads_hold_up_nothing_that_needs_none_and_one_too_many_is_told_so() {
    let world = World::new();
    let admin = world.admin().await;
    let program = world.program(Role::Admin).await;
    let release = hold(&world);
    let mut slow = Vec::new();
    for _ in 0..MOST {
        slow.push(ask(&admin, SLOW).await);
    }

    assert_eq!(soon(admin.get("/healthz")).await.status, 200);
    assert_eq!(soon(admin.get("/readyz")).await.status, 200);
    assert_eq!(soon(admin.get("/static/000000000000/app.js")).await.status, 200);
    assert_eq!(soon(admin.get("/api/me")).await.status, 200);
    let refused = soon(program.get("/api/hosts")).await.expect(503);
    assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("busy", "1"));
    let page = soon(admin.get("/jobs")).await.expect(503);
    assert!(page.text.starts_with("The server is busy:"), "{}", page.text);

    // Who goes away leaves the place in the queue to somebody else.
    drop(slow.pop());
    let waits = ask(&admin, "/jobs").await;
    soon(program.get("/api/hosts")).await.expect(503);

    drop(release);
    // In their order: who has got a place and does not take it keeps all others waiting.
    for asked in slow.into_iter().chain([waits]) {
        soon(asked).await.expect(200);
    }
    let metrics = soon(program.get("/metrics")).await.expect(200).text;
    assert!(metrics.contains("holdfast_reads_refused_total 3\n"), "{metrics}");
}

#[tokio::test]
async fn a_panic_in_a_read_is_an_error_page_and_frees_its_place() {
    let world = World::new();
    let admin = world.admin().await;
    let refused = world.refused.clone();
    let poisoned = thread::spawn(move || {
        let _guard = refused.lock().unwrap();
        panic!("on purpose");
    });
    poisoned.join().unwrap_err();
    for _ in 0..MOST + 1 {
        let answer = soon(admin.get(SLOW)).await.expect(500);
        assert!(answer.text.contains("Something went wrong here."), "{}", answer.text);
    }
    soon(admin.get("/jobs")).await.expect(200);
}
