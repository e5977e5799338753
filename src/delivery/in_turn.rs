//! Slots that the logs of a process share. A free slot goes to the logs that wait in turn, however much each
//! has to do.
//!
//! Of each log, only the first that waits stands in the common queue; the others stand in a queue of their
//! log. So whoever is first in its log gets a slot after at most one of each other log, and a log alone has
//! one plain queue.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Slots of all logs.
#[derive(Debug)]
pub(super) struct Slots(Arc<Semaphore>);

/// The slots as one log takes them.
#[derive(Debug)]
pub(super) struct Turns {
    first: Semaphore,
    slots: Arc<Semaphore>,
}

impl Slots {
    pub(super) fn new(slots: usize) -> Self {
        Self(Arc::new(Semaphore::new(slots)))
    }

    /// For one more log.
    pub(super) fn turns(&self) -> Turns {
        Turns { first: Semaphore::new(1), slots: Arc::clone(&self.0) }
    }
}

impl Turns {
    /// Takes a slot, in its turn. `None` never comes: no semaphore is ever closed. Cancel-safe.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        let _first = self.first.acquire().await.ok()?;
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// Slots that no log has.
    pub(super) fn free(&self) -> usize {
        self.slots.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Waits<'t> = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + 't>>;

    fn poll(waits: &mut Waits<'_>) -> Option<OwnedSemaphorePermit> {
        match waits.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => taken,
            Poll::Pending => None,
        }
    }

    /// Who gets each of the slots that become free, by log, in order.
    fn order(logs: &[usize], slots: usize) -> Vec<usize> {
        let all = Slots::new(slots);
        let turns: Vec<Turns> = logs.iter().map(|_| all.turns()).collect();
        let mut held: Vec<OwnedSemaphorePermit> = Vec::new();
        let mut waiting: Vec<(usize, Waits<'_>)> = Vec::new();
        for (log, (turns, tasks)) in turns.iter().zip(logs).enumerate() {
            waiting.extend((0..*tasks).map(|_| (log, Box::pin(turns.take()) as Waits<'_>)));
        }
        let mut order = Vec::new();
        while !waiting.is_empty() {
            // Until nobody gets further, as tasks that are woken do.
            while let Some((at, slot)) =
                waiting.iter_mut().enumerate().find_map(|(at, (_, waits))| Some((at, poll(waits)?)))
            {
                order.push(waiting.remove(at).0);
                held.push(slot);
            }
            drop(held.remove(0));
        }
        assert_eq!(turns.first().map(Turns::free).map(|free| free + held.len()), Some(slots));
        order
    }

    #[test]
    fn a_slot_goes_to_the_logs_in_turn_however_much_each_has_to_do() {
        // All slots are taken by the first log, which has come first.
        let order = order(&[1_000, 3, 2], 4);
        assert_eq!(order[..4], [0; 4]);
        assert_eq!(order[4..12], [0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!(order[12..], [0; 993]);
    }

    #[test]
    fn a_log_alone_has_one_queue() {
        assert_eq!(order(&[50], 1), [0; 50]);
    }

    #[test]
    fn who_no_longer_waits_holds_up_nobody() {
        let all = Slots::new(1);
        let (one, other) = (all.turns(), all.turns());
        let slot = poll(&mut (Box::pin(one.take()) as Waits<'_>)).unwrap();
        let (mut first, mut second): (Waits<'_>, Waits<'_>) = (Box::pin(one.take()), Box::pin(one.take()));
        let mut third: Waits<'_> = Box::pin(other.take());
        assert!([&mut first, &mut second, &mut third].into_iter().all(|waits| poll(waits).is_none()));
        drop(first);
        assert!(poll(&mut second).is_none());
        drop(slot);
        let slot = poll(&mut third).unwrap();
        drop((slot, third));
        assert!(poll(&mut second).is_some());
    }
}
