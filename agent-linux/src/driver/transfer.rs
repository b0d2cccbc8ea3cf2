//! The bytes of a download on their way to the server. They live as long as the connection that they began on.

use super::{Driver, running::Transfer};
use crate::{link, restic::Control};
use ring::digest;
use schema::{Bulk, BulkBody, HostTopic, JobId, OsText, Topic};

/// More than a piece has besides the bytes of its chunk.
const BESIDE_CHUNK_BYTES: usize = 128;

impl Driver {
    pub(super) fn begin_transfer(&mut self, bytes: Option<u64>) {
        let epoch = self.core.saved().epoch;
        if self.link.is_none() {
            return self.leave_transfer();
        }
        if let Some(running) = &mut self.download {
            let digest = digest::Context::new(&digest::SHA256);
            running.transfer = Some(Transfer { epoch, next: 0, bytes: 0, digest });
        }
        self.send_piece(BulkBody::Begin { bytes });
    }

    pub(super) fn send_chunk(&mut self, chunk: &[u8]) {
        if let Some(transfer) = self.download.as_mut().and_then(|running| running.transfer.as_mut()) {
            transfer.digest.update(chunk);
            transfer.bytes = transfer.bytes.saturating_add(chunk.len() as u64);
        }
        self.send_piece(BulkBody::Chunk(OsText::new(chunk)));
    }

    /// The last piece, unless it was sent or nobody hears it.
    pub(super) fn end_transfer(&mut self, is_whole: bool) {
        let Some(transfer) = self.download.as_ref().and_then(|running| running.transfer.as_ref()) else {
            return;
        };
        let mut body = BulkBody::Broken;
        if is_whole {
            let mut sha256 = [0; 32];
            sha256.copy_from_slice(transfer.digest.clone().finish().as_ref());
            body = BulkBody::End { bytes: transfer.bytes, sha256 };
        }
        self.send_piece(body);
        if let Some(running) = &mut self.download {
            running.transfer = None;
        }
    }

    /// A piece that can't be sent is missing for good, so nothing is sent behind it.
    fn send_piece(&mut self, body: BulkBody<'_>) {
        let Some(running) = &mut self.download else { return };
        let Some(transfer) = &mut running.transfer else { return };
        let bulk = Bulk { job: running.job, epoch: transfer.epoch, number: transfer.next, body };
        transfer.next = transfer.next.wrapping_add(1);
        let topic = Topic::Host(self.identity.host, HostTopic::Bulk);
        let chunk_bytes = if let BulkBody::Chunk(chunk) = body { chunk.as_bytes().len() } else { 0 };
        let sealed = link::seal_large(&self.identity, topic, &bulk, chunk_bytes + BESIDE_CHUNK_BYTES);
        let sent = match (sealed, &self.link) {
            (Some(payload), Some(link)) => link.publish(topic, payload).is_ok(),
            _ => false,
        };
        if !sent {
            self.leave_transfer();
        }
    }

    /// The connection is gone, and with it whoever took the bytes: restic need not go on.
    pub(super) fn leave_transfer(&mut self) {
        if let Some(running) = &mut self.download {
            running.transfer = None;
            // A task that has ended needs none, and one that has no room for it hears no credit either.
            let _ = running.control.try_send(Control::Leave);
        }
    }

    pub(super) fn take_credit(&self, job: JobId, before: u32) {
        if let Some(running) = self.download.as_ref().filter(|running| running.job == job) {
            // Without room: it is said again.
            let _ = running.control.try_send(Control::Credit(before));
        }
    }
}
