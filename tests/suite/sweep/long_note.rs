//! A seal with a very long note, so that the manifest is rewritten, as tens of thousands of ordinary notes
//! would cause.

use forebay::call::LineSink as _;
use forebay::log::{Encoded, RequestFrames};
use forebay::object::{ObjectKey, ObjectName};
use forebay::time::Clock as _;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout};

use super::node::{HANG, Node, location, source};
use super::world::{POLL, World};

/// Longer than the size at which a manifest is rewritten.
const LONG: usize = 1_100_000;
/// Stored, sealed and committed by hand: it is not counted.
pub(super) const UNCOUNTED: &str = "{\"uncounted\":true}";

/// Seals and commits a line of a source with a long note, and waits until a new manifest is begun.
pub(super) async fn write(world: &World, node: &Node, name: &str) {
    let mut frames = RequestFrames::new(source(name), world.clock.wall(), 0);
    frames.line().extend_from_slice(UNCOUNTED.as_bytes());
    frames.call(0);
    let appended = timeout(HANG, node.spool.appender().append(frames)).await.expect("an append hangs");
    let before = world.manifest();
    if appended.is_err() || seal_and_commit(node, name).is_none() {
        return;
    }
    let until = Instant::now() + world.patience();
    while world.manifest() == before && !node.has_stopped() {
        assert!(Instant::now() < until || world.failing(), "no new manifest is begun");
        if Instant::now() >= until {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

fn seal_and_commit(node: &Node, name: &str) -> Option<()> {
    let log = &node.log;
    let batch = log.open_batches().into_iter().find(|batch| batch.key.source == source(name))?;
    let text = format!("{UNCOUNTED}\n");
    let at = batch.first_received_at;
    let encoded = Encoded {
        first: batch.first,
        last: batch.last,
        frames: batch.frames,
        bytes: text.len() as u64,
        sha256: Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect(),
        named_at: at,
        first_received_at: at,
        last_received_at: at,
        encoder: format!("{}/6", "x".repeat(LONG)),
        next_received_at: None,
        hours: Vec::new(),
    };
    let (to, node_id, spool_id) = (location(name), log.node(), log.spool_id());
    let object = ObjectName {
        first_received_at: at,
        node: &node_id,
        spool_id: &spool_id,
        first_position: batch.first,
    };
    let key = ObjectKey::of_batch(&to.bucket, &batch.key.stream, &batch.key.source, batch.key.day, object);
    let seal = log.seal(&batch.key, &encoded, to, key).ok()?;
    log.commit(&seal, None).ok()
}
