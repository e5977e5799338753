//! A queue in memory that hides, shows and forgets messages as SQS does, and fails when it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Asked, LONG_POLL, Queue, QueueError, QueueFacts, QueueFault, QueueMessage};
use crate::lock::lock;
use crate::words::Told;

/// A request of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Messages were asked for: at most so many.
    Receive(usize),
    /// A message was hidden for this time, by its id.
    Hide(String, Duration),
    /// A message was deleted, by its id.
    Delete(String),
}

#[derive(Clone, Debug)]
struct Kept {
    id: String,
    body: String,
    receives: u32,
    shows_at: Instant,
}

#[derive(Debug, Default)]
struct State {
    kept: Vec<Kept>,
    requests: Vec<Request>,
    failures: VecDeque<QueueFault>,
    /// What each request is refused with, until it is changed.
    refuses: Option<QueueFault>,
    numbered: u64,
}

/// A queue in memory. A clone is the same queue.
#[derive(Clone, Debug, Default)]
pub struct FakeQueue {
    state: Arc<Mutex<State>>,
    sent: Arc<Notify>,
}

impl FakeQueue {
    /// Sends a message. Returns its id.
    pub fn send(&self, body: impl Into<String>) -> String {
        let mut state = lock(&self.state);
        state.numbered += 1;
        let id = format!("m{}", state.numbered);
        let kept = Kept { id: id.clone(), body: body.into(), receives: 0, shows_at: Instant::now() };
        state.kept.push(kept);
        drop(state);
        self.sent.notify_waiters();
        id
    }

    /// Shows every message now, as if the times for which they are hidden were over.
    pub fn show_all(&self) {
        lock(&self.state).kept.iter_mut().for_each(|kept| kept.shows_at = Instant::now());
        self.sent.notify_waiters();
    }

    /// The next request fails with this; those after it with what is pushed next.
    pub fn fail_next(&self, fault: QueueFault) {
        lock(&self.state).failures.push_back(fault);
    }

    /// Every request fails with this, until it is `None` again.
    pub fn refuse(&self, fault: Option<QueueFault>) {
        lock(&self.state).refuses = fault;
        self.sent.notify_waiters();
    }

    /// The requests so far, without those that failed.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state).requests.clone()
    }

    /// The ids of the messages that are not deleted.
    pub fn left(&self) -> Vec<String> {
        lock(&self.state).kept.iter().map(|kept| kept.id.clone()).collect()
    }

    fn refused(state: &mut State) -> Option<QueueError> {
        let fault = state.refuses.or_else(|| state.failures.pop_front())?;
        Some(QueueError { fault, message: Told::plain("the fake refuses") })
    }

    fn taken(&self, most: usize, hidden: Duration) -> Result<Vec<QueueMessage>, QueueError> {
        let mut state = lock(&self.state);
        if let Some(error) = Self::refused(&mut state) {
            return Err(error);
        }
        let now = Instant::now();
        let mut taken = Vec::new();
        for kept in state.kept.iter_mut().filter(|kept| kept.shows_at <= now).take(most) {
            kept.receives += 1;
            kept.shows_at = now + hidden;
            taken.push(QueueMessage {
                id: kept.id.clone(),
                receipt: format!("{}/{}", kept.id, kept.receives),
                body: kept.body.clone(),
                sent: None,
            });
        }
        Ok(taken)
    }

    /// Changes the message of a receipt. A receipt ends when the message shows again and is received anew.
    fn with_receipt(
        &self,
        receipt: &str,
        change: impl FnOnce(&mut State, usize) -> Request,
    ) -> Result<(), QueueError> {
        let mut state = lock(&self.state);
        if let Some(error) = Self::refused(&mut state) {
            return Err(error);
        }
        let is_it = |kept: &Kept| format!("{}/{}", kept.id, kept.receives) == receipt;
        let Some(at) = state.kept.iter().position(is_it) else {
            let message = Told::plain("the receipt has ended");
            return Err(QueueError { fault: QueueFault::ReceiptEnded, message });
        };
        let request = change(&mut state, at);
        state.requests.push(request);
        Ok(())
    }
}

impl Queue for FakeQueue {
    fn receive(&self, most: usize, hidden: Duration) -> Asked<'_, Vec<QueueMessage>> {
        Box::pin(async move {
            let until = Instant::now() + LONG_POLL;
            loop {
                let sent = self.sent.notified();
                let taken = self.taken(most, hidden)?;
                if !taken.is_empty() || Instant::now() >= until {
                    lock(&self.state).requests.push(Request::Receive(most));
                    return Ok(taken);
                }
                let shows = lock(&self.state).kept.iter().map(|kept| kept.shows_at).min();
                let next = shows.unwrap_or(until).min(until).max(Instant::now() + Duration::from_millis(1));
                tokio::select! {
                    () = sent => {}
                    () = tokio::time::sleep_until(next) => {}
                }
            }
        })
    }

    fn hide<'q>(&'q self, receipt: &'q str, hidden: Duration) -> Asked<'q, ()> {
        let done = self.with_receipt(receipt, |state, at| {
            let id = state.kept.get_mut(at).map_or_else(String::new, |kept| {
                kept.shows_at = Instant::now() + hidden;
                kept.id.clone()
            });
            Request::Hide(id, hidden)
        });
        self.sent.notify_waiters();
        Box::pin(async move { done })
    }

    fn delete<'q>(&'q self, receipt: &'q str) -> Asked<'q, ()> {
        let done = self.with_receipt(receipt, |state, at| Request::Delete(state.kept.remove(at).id));
        Box::pin(async move { done })
    }

    fn facts(&self) -> Asked<'_, QueueFacts> {
        let mut state = lock(&self.state);
        let now = Instant::now();
        let waiting = state.kept.iter().filter(|kept| kept.shows_at <= now).count();
        let in_flight = u64::try_from(state.kept.len() - waiting).ok();
        let facts = QueueFacts { waiting: u64::try_from(waiting).ok(), in_flight, ..QueueFacts::default() };
        let answer = Self::refused(&mut state).map_or(Ok(facts), Err);
        Box::pin(async move { answer })
    }
}
