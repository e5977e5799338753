//! Answers that clients leave unread: the memory that they hold in the whole process, and which connections
//! end when it is too much.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crate::lock::lock;

/// A client that read something within this time counts as reading, and keeps its connection when memory is
/// short: a burst of answers may exceed the bound for some milliseconds.
const READING: Duration = Duration::from_millis(20);
/// All connections are examined at most this often, even while the limit is exceeded: examining 20,000 of
/// them takes about a millisecond.
const CHECK_EVERY: Duration = Duration::from_millis(10);

/// What a client has not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    /// Bytes of memory.
    pub(super) bytes: usize,
    /// Since when it has read nothing.
    pub(super) since: Option<Duration>,
    /// Whether its connection must end.
    pub(super) ending: bool,
}

/// A connection whose client may leave answers unread.
pub(super) trait Connection: Send + Sync + fmt::Debug {
    /// What the client has not read yet.
    fn unread(&self) -> Unread;

    /// Ends the connection, because others need its memory.
    fn give_up(&self);
}

/// Unread answers in the whole process.
#[derive(Debug)]
pub(super) struct UnreadAnswers {
    bytes_max: usize,
    bytes: AtomicUsize,
    next_id: AtomicU64,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    open: HashMap<u64, Weak<dyn Connection>>,
    looked_at: Option<Duration>,
}

/// An entry of the list of connections; removed when dropped.
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
    /// Since when its client has read nothing.
    pub(super) since: Duration,
}

/// Which connections must go so that the others hold at most `bytes_max`: those whose clients have read
/// nothing for the longest time. Clients that read something after `reading_since` stay.
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
    /// A limit of `bytes_max` bytes of memory.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            connections: Mutex::default(),
        }
    }

    /// Adds a connection to the list.
    pub(super) fn list(self: &Arc<Self>, connection: Weak<dyn Connection>) -> Listed {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut connections = lock(&self.connections);
        connections.open.insert(id, connection);
        Listed { all: Arc::clone(self), id }
    }

    /// A connection now holds `after` bytes instead of `before`. Returns whether all together exceed the
    /// limit.
    pub(super) fn changed(&self, before: usize, after: usize) -> bool {
        if after <= before {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
            return false;
        }
        let more = after - before;
        self.bytes.fetch_add(more, Ordering::Relaxed) + more > self.bytes_max
    }

    /// If all together exceed the limit, ends connections, and returns when a waiting connection must check
    /// again: a client that was reading a moment ago may have stopped.
    pub(super) fn look_again(&self, now: Duration) -> Option<Duration> {
        if self.bytes.load(Ordering::Relaxed) <= self.bytes_max {
            return None;
        }
        self.make_room(now);
        Some(now + READING)
    }

    /// Ends the connections that must go at `now`.
    pub(super) fn make_room(&self, now: Duration) {
        // Only one task at a time needs to do this.
        let Ok(mut connections) = self.connections.try_lock() else { return };
        if connections.looked_at.is_some_and(|at| now < at + CHECK_EVERY) {
            return;
        }
        connections.looked_at = Some(now);
        let open: Vec<Arc<dyn Connection>> = connections.open.values().filter_map(Weak::upgrade).collect();
        drop(connections);
        let mut bytes = self.bytes.load(Ordering::Relaxed);
        let mut holders = Vec::new();
        for connection in open {
            let unread = connection.unread();
            if unread.ending {
                bytes = bytes.saturating_sub(unread.bytes);
            } else if let Some(since) = unread.since {
                holders.push(Holder { connection, bytes: unread.bytes, since });
            }
        }
        // Frees somewhat more than needed, so that the next answers cause no new search.
        let bytes_max = self.bytes_max / 4 * 3;
        for connection in to_end(holders, bytes, bytes_max, now.saturating_sub(READING)) {
            connection.give_up();
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut connections = lock(&self.all.connections);
        connections.open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_read_nothing_for_longest_have_to_go() {
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
