//! Requests that wait for their bodies: the [`Budget`] that all connections share, and the place of each
//! request in it.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::budget::{Budget, BudgetPermit, Client, Outcome, Shares};
use crate::lock::lock;

/// Bytes of memory that the record of a place in the budget takes.
const PLACE_BYTES: usize = 512;
/// A body makes progress when this many more bytes of it have arrived. An occasional byte is no progress.
const PROGRESS_BYTES: usize = 4 * 1_024;

/// The unfinished bodies of all connections.
///
/// A body that is complete when it is read is never registered here, because each thread holds at most one
/// such body. So the lock is taken only for bodies that arrive in pieces.
#[derive(Debug)]
pub(super) struct WaitingBodies {
    /// Dropping a sender pushes its request out.
    budget: Mutex<Budget<oneshot::Sender<()>>>,
}

impl WaitingBodies {
    /// No bodies.
    pub(super) fn new(shares: Shares) -> Self {
        Self { budget: Mutex::new(Budget::new(shares)) }
    }

    fn budget(&self) -> MutexGuard<'_, Budget<oneshot::Sender<()>>> {
        lock(&self.budget)
    }
}

/// A waiting request, as the budget counts it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    /// Whose request it is.
    pub(super) client: Client,
    /// Bytes that it holds besides its body.
    pub(super) own_bytes: usize,
}

/// The part of a body that has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partial {
    /// Bytes that arrived.
    pub(super) arrived: usize,
    /// Bytes of memory that they hold.
    pub(super) held: usize,
}

/// One request that may have to wait for its body. Dropping this gives up its place.
#[derive(Debug)]
pub(super) struct WaitingBody<'b> {
    all: &'b WaitingBodies,
    /// Whether it counts even before any byte of its body: one HTTP/2 connection may have many such requests.
    counts_empty: bool,
    seat: Option<Seat>,
}

#[derive(Debug)]
struct Seat {
    permit: BudgetPermit,
    pushed_out: oneshot::Receiver<()>,
    own_bytes: usize,
    held: usize,
    /// Bytes that had arrived at its last progress.
    arrived: usize,
}

impl<'b> WaitingBody<'b> {
    /// A request that does not wait yet.
    pub(super) fn new(all: &'b WaitingBodies, counts_empty: bool) -> Self {
        Self { all, counts_empty, seat: None }
    }

    /// The request waits for the rest of its body. Ready when the request must go. `waiter` is called only
    /// for the first wait.
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

    /// The request no longer waits.
    pub(super) fn leave(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.all.budget().leave(seat.permit);
        }
    }

    fn enter(&mut self, body: Partial, waiter: Waiter) -> bool {
        let own_bytes = waiter.own_bytes + PLACE_BYTES;
        let (owner, pushed_out) = oneshot::channel();
        let outcome = self.all.budget().enter(waiter.client, own_bytes + body.held, owner);
        // Drop them after the lock is released: dropping wakes the tasks of the requests that must go.
        let Outcome { permit, gone } = outcome;
        drop(gone);
        self.seat = permit.map(|permit| Seat {
            permit,
            pushed_out,
            own_bytes,
            held: body.held,
            arrived: body.arrived,
        });
        self.seat.is_some()
    }
}

impl Seat {
    /// Whether the request may stay, given what has arrived of its body.
    fn stay(&mut self, all: &WaitingBodies, body: Partial) -> bool {
        let progress = body.arrived - self.arrived >= PROGRESS_BYTES;
        if !progress && body.held == self.held {
            return true;
        }
        let mut budget = all.budget();
        let permit = if progress { budget.progress(self.permit) } else { Some(self.permit) };
        let outcome = permit.map(|permit| budget.hold(permit, self.own_bytes + body.held));
        drop(budget);
        let Some(Outcome { permit, gone }) = outcome else { return false };
        drop(gone);
        let Some(permit) = permit else { return false };
        (self.permit, self.held) = (permit, body.held);
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
