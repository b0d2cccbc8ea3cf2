//! What hosts say, from the gate into the store.
//!
//! Messages enter the store's writer in the order in which they came in; many are on their way at once, so that one
//! commit takes a whole group. A message's sender is acked only behind that commit.

use crate::gate::{GateHandle, Incoming};
use crate::tasks::Beat;
use bytes::Bytes;
use fleet::{Fleet, Handled};
use futures_util::{StreamExt, stream::FuturesUnordered};
use schema::{HostId, HostTopic};
use std::{future::Future, pin::Pin, sync::Arc};
use tokio::sync::{Mutex, mpsc};

/// How many messages may wait for their commit at once; beyond that the gate is not read.
const MAX_UNDER_WAY: usize = 1024;

type UnderWay = FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Takes in messages until the gate closes the channel, and finishes what is under way. Whoever was on its way when this
/// panicked was not acked, and says it again.
pub async fn run(incoming: Arc<Mutex<mpsc::Receiver<Incoming>>>, fleet: Fleet, gate: GateHandle, beat: Beat) {
    let mut incoming = incoming.lock().await;
    // Futures are polled first in the order in which they were pushed: that is the order in the writer's queue.
    let mut under_way: UnderWay = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
            next = beat.waits(incoming.recv()), if under_way.len() < MAX_UNDER_WAY => match next {
                Some(next) => take(next, &fleet, &gate, &under_way),
                None => break,
            },
        }
    }
    while under_way.next().await.is_some() {}
}

fn take(incoming: Incoming, fleet: &Fleet, gate: &GateHandle, under_way: &UnderWay) {
    match incoming {
        Incoming::Host { host, topic: HostTopic::Live, payload, done, .. } => {
            fleet.handle_live(host, &payload);
            done.committed();
        }
        Incoming::Host { host, topic, payload, peer, done } => {
            let (fleet, gate) = (fleet.clone(), gate.clone());
            under_way.push(Box::pin(async move {
                let peer = peer.ip().to_string();
                let handled = match topic {
                    HostTopic::Evt => fleet.handle_report(host, &payload, &peer).await,
                    HostTopic::Presence => fleet.handle_presence(host, &payload, &peer).await,
                    HostTopic::RepoStats => fleet.handle_stats(host, &payload).await,
                    HostTopic::Live | HostTopic::Bulk | HostTopic::Cmd | HostTopic::Plan => {
                        return done.committed();
                    }
                };
                match handled {
                    Ok(handled) => {
                        done.committed();
                        answer(host, handled, &gate);
                    }
                    // Dropping `done` ends the session: the host comes back and sends it again.
                    Err(error) => tracing::error!(%host, ?topic, %error, "a message could not be stored"),
                }
            }));
        }
        Incoming::Enroll { token, payload, peer, reply } => {
            let fleet = fleet.clone();
            under_way.push(Box::pin(async move {
                let answer = fleet.enroll(token, &payload, &peer.ip().to_string()).await;
                tracing::info!(%token, %peer, "enrolment");
                reply.send(Bytes::from(answer));
            }));
        }
        Incoming::Connected { host, peer } => {
            tracing::info!(%host, name = fleet.host_name(host), %peer, "host connected");
            fleet.connection_began(host);
        }
        Incoming::Closed { host, peer, reason } => {
            tracing::info!(%host, name = fleet.host_name(host), %peer, ?reason, "host's connection ended");
            let fleet = fleet.clone();
            under_way.push(Box::pin(async move { fleet.connection_ended(host).await }));
        }
    }
}

fn answer(host: HostId, handled: Handled, gate: &GateHandle) {
    if let Some(reply) = handled.reply {
        gate.send(host, Bytes::from(reply));
    }
    if handled.kept_out {
        gate.kick(host, "two machines have its identity");
    } else if handled.rewound {
        gate.kick(host, "commands have to be sent again");
    } else if handled.wake {
        gate.wake(host);
    }
}
