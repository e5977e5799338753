//! Seats: how many connections a listener has open at once, and which one leaves when a new one needs its
//! seat.
//!
//! A connection *waits* while it has no request in flight: before its first byte, while a head comes in,
//! between requests. Its owner may also declare it waiting while the rest of a request is missing. A new
//! connection gets the seat of the one that has waited longest. So sockets that send nothing, or heads that
//! never end, keep no one out. A connection with a request in flight keeps its seat, and so does one whose
//! waiting counts only from a later time.
//!
//! A request costs one atomic store at its beginning and one at its end. The order of waiting connections is
//! updated only when a seat is needed, for a few connections at a time. Each is filed under the time at which
//! it began to wait, or under an earlier one, so the first entry whose time is still right has waited longest
//! of all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use crate::lock::lock;

/// A request is in flight.
const BUSY: u64 = u64::MAX;
/// The connection must give up its seat.
const LEAVING: u64 = u64::MAX - 1;

/// The seats of one listener.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    looks: usize,
    order: Mutex<Order>,
    news: Arc<News>,
}

#[derive(Debug, Default)]
struct Order {
    taken: usize,
    /// Taken seats whose connections must give them up and have not done so yet.
    leaving: usize,
    next_id: u64,
    /// All other taken seats, by the time at which waiting began, or an earlier one.
    filed: BTreeMap<(u64, u64), Arc<Standing>>,
}

/// Wakes the tasks that need a seat.
#[derive(Debug, Default)]
struct News {
    seat: Notify,
    /// A task needs a seat as soon as a request ends.
    wanted: AtomicBool,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Standing {
    /// Since when it waits, in nanoseconds; or [`BUSY`], or [`LEAVING`].
    since: AtomicU64,
    /// The time under which it is filed. Changed only while the order is locked.
    filed: AtomicU64,
    leave: Notify,
    news: Arc<News>,
}

/// One connection's seat. Dropping it frees the seat.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    id: u64,
    standing: Arc<Standing>,
}

/// The answer to a task that needs a seat.
enum Asked {
    Taken(Seat),
    /// A connection is giving up its seat.
    Soon,
    /// None of the examined connections is waiting.
    AllBusy,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(LEAVING - 1)
}

impl Seats {
    /// So many seats. `looks` is the number of connections to examine at most for each one that needs a seat.
    pub fn new(most: usize, looks: usize) -> Arc<Self> {
        Arc::new(Self { most, looks, order: Mutex::default(), news: Arc::default() })
    }

    /// A seat for a connection that arrives `now` (monotonic time). If all seats are taken, the connection
    /// that has waited longest must give up its seat. `None`: none of the examined connections is waiting.
    ///
    /// Cancel-safe: no seat is lost.
    pub async fn take(self: &Arc<Self>, now: impl Fn() -> Duration) -> Option<Seat> {
        let mut told = false;
        loop {
            match self.ask(&now, told) {
                Asked::Taken(seat) => return Some(seat),
                Asked::Soon => told = true,
                Asked::AllBusy => return None,
            }
            self.news.seat.notified().await;
        }
    }

    /// Like [`Self::take`], but waits if all connections have a request in flight: for a listener that
    /// refuses no one.
    pub async fn take_in_time(self: &Arc<Self>, now: impl Fn() -> Duration) -> Seat {
        loop {
            if let Some(seat) = self.take(&now).await {
                return seat;
            }
            self.news.wanted.store(true, Ordering::SeqCst);
            // A request may have ended before `wanted` was set.
            let seat = self.take(&now).await;
            if seat.is_none() {
                self.news.seat.notified().await;
            }
            self.news.wanted.store(false, Ordering::SeqCst);
            if let Some(seat) = seat {
                return seat;
            }
        }
    }

    fn ask(self: &Arc<Self>, now: impl Fn() -> Duration, told: bool) -> Asked {
        let mut order = self.order();
        // Read under the lock, so that it is later than the times of all seats.
        let now = nanos(now());
        if order.taken < self.most {
            let seat = order.seat(self, now);
            if order.taken < self.most {
                self.news.seat.notify_one();
            }
            return Asked::Taken(seat);
        }
        if (told && order.leaving > 0) || order.tell_one_to_leave(now, self.looks) {
            Asked::Soon
        } else {
            Asked::AllBusy
        }
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        lock(&self.order)
    }
}

impl Order {
    fn seat(&mut self, seats: &Arc<Seats>, now: u64) -> Seat {
        let (id, news) = (self.next_id, Arc::clone(&seats.news));
        let (since, filed) = (AtomicU64::new(now), AtomicU64::new(now));
        let standing = Arc::new(Standing { since, filed, leave: Notify::new(), news });
        self.next_id += 1;
        self.taken += 1;
        self.filed.insert((now, id), Arc::clone(&standing));
        Seat { seats: Arc::clone(seats), id, standing }
    }

    /// Tells the connection that has waited longest to leave. Examines at most `looks` connections.
    fn tell_one_to_leave(&mut self, now: u64, looks: usize) -> bool {
        let (mut busy, mut told) = (Vec::new(), false);
        for _ in 0..looks {
            let Some(((filed, id), standing)) = self.filed.pop_first() else { break };
            let since = standing.since.load(Ordering::Acquire);
            if since == BUSY {
                busy.push((filed, id, standing));
            } else if since > filed {
                self.file(since, id, standing);
            } else if since > now {
                // The same holds for all that are filed after it.
                self.file(since, id, standing);
                break;
            } else if standing.tell_to_leave(since) {
                self.leaving += 1;
                told = true;
                break;
            } else {
                busy.push((filed, id, standing));
            }
        }
        for (filed, id, standing) in busy {
            // It cannot begin to wait before now.
            self.file(now.max(filed), id, standing);
        }
        told
    }

    fn file(&mut self, under: u64, id: u64, standing: Arc<Standing>) {
        standing.filed.store(under, Ordering::Relaxed);
        self.filed.insert((under, id), standing);
    }
}

impl Standing {
    /// A request begins. `false`: the connection must give up its seat, and must not take the request.
    pub fn request_began(&self) -> bool {
        let before = self.since.load(Ordering::Acquire);
        // In the meantime only `tell_to_leave` changes it.
        before != LEAVING
            && self.since.compare_exchange(before, BUSY, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// No request is in flight any more. The connection counts as waiting from `since` on, which may be later
    /// than now.
    pub fn waits(&self, since: Duration) {
        let kept = |before: u64| (before != LEAVING).then(|| nanos(since));
        if self.since.fetch_update(Ordering::SeqCst, Ordering::SeqCst, kept).is_err() {
            return;
        }
        if self.news.wanted.load(Ordering::SeqCst) {
            self.news.seat.notify_one();
        }
    }

    /// The client of a waiting connection was still active at `now`.
    pub fn still_active(&self, now: Duration) {
        let before = self.since.load(Ordering::Acquire);
        let renewed = || self.since.compare_exchange(before, nanos(now), Ordering::AcqRel, Ordering::Acquire);
        if before < LEAVING && renewed().is_err() {
            tracing::trace!("a connection had to give up its seat while its client was active");
        }
    }

    /// Resolves when the connection must leave. Then it must be dropped at once, because another one waits
    /// for its seat.
    pub async fn told_to_leave(&self) {
        self.leave.notified().await;
    }

    fn tell_to_leave(&self, since: u64) -> bool {
        let told = self.since.compare_exchange(since, LEAVING, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if told {
            self.leave.notify_one();
        }
        told
    }
}

impl Seat {
    /// The state of the connection in this seat.
    pub fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut order = self.seats.order();
        let filed = self.standing.filed.load(Ordering::Relaxed);
        if order.filed.remove(&(filed, self.id)).is_none() {
            order.leaving -= 1;
        }
        order.taken -= 1;
        drop(order);
        self.seats.news.seat.notify_one();
    }
}

#[cfg(test)]
mod tests;
