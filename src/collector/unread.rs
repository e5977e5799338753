//! Answers that clients leave unread: what they hold in the whole process, and whose connection ends when it is too much.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::peer::Peer;

/// A client that took something within this time is reading. Only others have to go for want of room: a burst of answers
/// may hold more than is allowed for some milliseconds.
const READING: Duration = Duration::from_millis(20);
/// All connections are looked at no more often than this, however full it is: 20,000 of them take about a millisecond.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Answers that wait for their clients, in the whole process.
#[derive(Debug)]
pub(super) struct UnreadAnswers {
    bytes_max: usize,
    bytes: AtomicUsize,
    next_id: AtomicU64,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    open: HashMap<u64, Weak<Peer>>,
    looked_at: Option<Duration>,
}

/// A connection in the list of all; removed when dropped.
#[derive(Debug)]
pub(super) struct Listed {
    all: Arc<UnreadAnswers>,
    id: u64,
}

/// What one connection holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder<T> {
    pub(super) connection: T,
    pub(super) bytes: usize,
    /// Since when its client takes nothing.
    pub(super) since: Duration,
}

/// Which connections have to go, so that the others hold no more than `bytes_max`: those that have taken nothing for
/// longest. Those that took something after `reading_since` stay.
fn to_end<T>(
    mut holders: Vec<Holder<T>>,
    bytes: usize,
    bytes_max: usize,
    reading_since: Duration,
) -> impl Iterator<Item = T> {
    holders.sort_by_key(|holder| holder.since);
    let mut left = bytes;
    holders
        .into_iter()
        .take_while(move |holder| {
            let goes = left > bytes_max && holder.since <= reading_since;
            left = left.saturating_sub(holder.bytes);
            goes
        })
        .map(|holder| holder.connection)
}

impl UnreadAnswers {
    /// Up to `bytes_max` bytes of memory.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            connections: Mutex::default(),
        }
    }

    /// Takes a connection into the list.
    pub(super) fn list(self: &Arc<Self>, peer: &Arc<Peer>) -> Listed {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.open.insert(id, Arc::downgrade(peer));
        Listed { all: Arc::clone(self), id }
    }

    /// A connection holds `after` bytes where it held `before`. Returns whether that is too much for all together.
    pub(super) fn changed(&self, before: usize, after: usize) -> bool {
        if after <= before {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
            return false;
        }
        let more = after - before;
        self.bytes.fetch_add(more, Ordering::Relaxed) + more > self.bytes_max
    }

    /// Where it is too much for all together, makes room, and says when a connection that waits has to look again: whoever
    /// was reading a moment ago may not be now.
    pub(super) fn look_again(&self, now: Duration) -> Option<Duration> {
        if self.bytes.load(Ordering::Relaxed) <= self.bytes_max {
            return None;
        }
        self.make_room(now);
        Some(now + READING)
    }

    /// Ends the connections that have to go at `now`.
    pub(super) fn make_room(&self, now: Duration) {
        // Who cannot have the lock leaves it to whoever has it.
        let Ok(mut connections) = self.connections.try_lock() else { return };
        if connections.looked_at.is_some_and(|at| now < at + LOOK_EVERY) {
            return;
        }
        connections.looked_at = Some(now);
        let peers: Vec<Arc<Peer>> = connections.open.values().filter_map(Weak::upgrade).collect();
        drop(connections);
        let mut bytes = self.bytes.load(Ordering::Relaxed);
        let mut holders = Vec::new();
        for peer in peers {
            let unread = peer.unread();
            if unread.ending {
                bytes = bytes.saturating_sub(unread.bytes);
            } else if let Some(since) = unread.since {
                holders.push(Holder { connection: peer, bytes: unread.bytes, since });
            }
        }
        // Some room more, so that the next answers need no look.
        let bytes_max = self.bytes_max / 4 * 3;
        for peer in to_end(holders, bytes, bytes_max, now.saturating_sub(READING)) {
            peer.give_up();
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut connections = self.all.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_took_nothing_for_longest_have_to_go() {
        let check = |bytes: usize, expected: &[&str]| {
            let second = Duration::from_secs;
            let holders = vec![
                Holder { connection: "b", bytes: 20, since: second(2) },
                Holder { connection: "reads", bytes: 50, since: second(9) },
                Holder { connection: "a", bytes: 10, since: second(1) },
                Holder { connection: "c", bytes: 30, since: second(3) },
            ];
            let gone: Vec<_> = to_end(holders, bytes, 100, second(8)).collect();
            assert_eq!(gone, expected, "{bytes}");
        };
        check(100, &[]);
        check(101, &["a"]);
        check(110, &["a"]);
        check(111, &["a", "b"]);
        check(131, &["a", "b", "c"]);
        check(500, &["a", "b", "c"]);
    }
}
