//! Requests that wait for their bodies: the [`Budget`] that all connections share, and each request's place in it.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::budget::{Budget, Client, Outcome, Place, Shares};

/// Bytes that a place in the budget takes itself.
const PLACE_BYTES: usize = 512;
/// A body makes progress when so many more bytes of it arrived. A byte now and then is none.
const PROGRESS_BYTES: usize = 4 * 1_024;

/// The bodies that all connections wait for.
///
/// A body that is there when it is asked for never comes here: as many of those are held as there are threads. So the lock
/// is taken only for bodies that come in pieces.
#[derive(Debug)]
pub(super) struct WaitingBodies {
    /// Dropping a sender says that its request has to go.
    budget: Mutex<Budget<oneshot::Sender<()>>>,
}

impl WaitingBodies {
    /// None yet.
    pub(super) fn new(shares: Shares) -> Self {
        Self { budget: Mutex::new(Budget::new(shares)) }
    }

    fn budget(&self) -> MutexGuard<'_, Budget<oneshot::Sender<()>>> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits, as the budget counts it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    /// Whose it is.
    pub(super) client: Client,
    /// Bytes that it holds besides its body.
    pub(super) own_bytes: usize,
}

/// What is there of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partial {
    /// Bytes that arrived.
    pub(super) arrived: usize,
    /// Bytes of memory that they hold.
    pub(super) held: usize,
}

/// One request that may have to wait for its body. Dropped, it holds nothing.
#[derive(Debug)]
pub(super) struct WaitingBody<'b> {
    all: &'b WaitingBodies,
    /// Whether it counts without a byte of a body too: in HTTP/2 one connection may have many such requests.
    counts_empty: bool,
    seat: Option<Seat>,
}

#[derive(Debug)]
struct Seat {
    place: Place,
    pushed_out: oneshot::Receiver<()>,
    own_bytes: usize,
    held: usize,
    /// Bytes that had arrived when it last made progress.
    arrived: usize,
}

impl<'b> WaitingBody<'b> {
    /// A request that does not wait yet.
    pub(super) fn new(all: &'b WaitingBodies, counts_empty: bool) -> Self {
        Self { all, counts_empty, seat: None }
    }

    /// The request waits for the rest of its body. Ready when it has to go. `waiter` is asked only for its first wait.
    pub(super) fn poll_pushed_out(
        &mut self,
        body: Partial,
        waiter: impl FnOnce() -> Waiter,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let counts = body.held > 0 || self.counts_empty;
        let stays = match &mut self.seat {
            None if !counts => return Poll::Pending,
            None => self.enter(body, waiter()),
            Some(seat) => seat.stay(self.all, body),
        };
        if !stays {
            self.seat = None;
            return Poll::Ready(());
        }
        match &mut self.seat {
            Some(seat) => Pin::new(&mut seat.pushed_out).poll(cx).map(|_| ()),
            None => Poll::Pending,
        }
    }

    /// The request waits no more.
    pub(super) fn leave(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.all.budget().leave(seat.place);
        }
    }

    fn enter(&mut self, body: Partial, waiter: Waiter) -> bool {
        let own_bytes = waiter.own_bytes + PLACE_BYTES;
        let (owner, pushed_out) = oneshot::channel();
        let outcome = self.all.budget().enter(waiter.client, own_bytes + body.held, owner);
        // The lock is free again: to drop who has to go wakes their tasks.
        let Outcome { place, gone } = outcome;
        drop(gone);
        self.seat =
            place.map(|place| Seat { place, pushed_out, own_bytes, held: body.held, arrived: body.arrived });
        self.seat.is_some()
    }
}

impl Seat {
    /// Whether the request may stay, with what is there of its body now.
    fn stay(&mut self, all: &WaitingBodies, body: Partial) -> bool {
        let progress = body.arrived - self.arrived >= PROGRESS_BYTES;
        if !progress && body.held == self.held {
            return true;
        }
        let mut budget = all.budget();
        let place = if progress { budget.progress(self.place) } else { Some(self.place) };
        let outcome = place.map(|place| budget.hold(place, self.own_bytes + body.held));
        drop(budget);
        let Some(Outcome { place, gone }) = outcome else { return false };
        drop(gone);
        let Some(place) = place else { return false };
        (self.place, self.held) = (place, body.held);
        if progress {
            self.arrived = body.arrived;
        }
        true
    }
}

impl Drop for WaitingBody<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
