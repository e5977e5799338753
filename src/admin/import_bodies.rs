//! The bodies of imports that are in memory at once. A body that comes in slowly keeps no other one out.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lock::lock;

/// Bodies in memory at once: those that come in, and those whose rows are being stored.
pub(super) const BODIES_MAX: usize = 8;
/// How long a body may take to come in while others wait for a permit.
pub(super) const YIELDS_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct ImportBodies {
    permits: Semaphore,
    incoming: Mutex<Incoming>,
}

/// The bodies that are not complete, in the order in which they began.
#[derive(Debug, Default)]
struct Incoming {
    next: u64,
    bodies: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// A body's permit to come in, until the permit is dropped.
#[derive(Debug)]
pub(super) struct BodyPermit<'a> {
    bodies: &'a ImportBodies,
    _permit: SemaphorePermit<'a>,
    number: u64,
    must_leave: CancellationToken,
}

impl ImportBodies {
    pub(super) fn new() -> Self {
        Self { permits: Semaphore::new(BODIES_MAX), incoming: Mutex::default() }
    }

    /// Waits for a permit for a body that is about to come in. If none is free, the body that has been coming
    /// in for longest leaves, once it has had [`YIELDS_AFTER`].
    pub(super) async fn permit(&self) -> BodyPermit<'_> {
        let permit = loop {
            let oldest = self.oldest();
            // A body that has left frees its permit soon. Bodies also end by themselves, so a later look can
            // find other ones.
            let look_again = oldest.as_ref().map_or(YIELDS_AFTER, |(since, _)| {
                (*since + YIELDS_AFTER).saturating_duration_since(Instant::now())
            });
            match tokio::time::timeout(look_again, self.permits.acquire()).await {
                Ok(Ok(permit)) => break permit,
                // Nobody closes the semaphore.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => {
                    if let Some((_, number)) = oldest
                        && let Some((_, leaves)) = lock(&self.incoming).bodies.remove(&number)
                    {
                        leaves.cancel();
                    }
                }
            }
        };
        let mut incoming = lock(&self.incoming);
        let (number, must_leave) = (incoming.next, CancellationToken::new());
        incoming.next += 1;
        incoming.bodies.insert(number, (Instant::now(), must_leave.clone()));
        BodyPermit { bodies: self, _permit: permit, number, must_leave }
    }

    fn oldest(&self) -> Option<(Instant, u64)> {
        lock(&self.incoming).bodies.iter().next().map(|(number, (since, _))| (*since, *number))
    }
}

impl BodyPermit<'_> {
    /// Waits for the body of this permit. `None`: the body was too slow, and had to make room for another
    /// one.
    pub(super) async fn filled<T>(&self, body: impl Future<Output = T>) -> Option<T> {
        let read = tokio::select! {
            biased;
            read = body => Some(read),
            () = self.must_leave.cancelled() => None,
        };
        lock(&self.bodies.incoming).bodies.remove(&self.number);
        read
    }
}

impl Drop for BodyPermit<'_> {
    fn drop(&mut self) {
        lock(&self.bodies.incoming).bodies.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slow_bodies_leave_for_others_and_complete_ones_stay() {
        let bodies = ImportBodies::new();
        let began = Instant::now();
        let mut slow = Vec::new();
        for _ in 0..BODIES_MAX {
            slow.push(bodies.permit().await);
        }
        // The first body is complete: its rows are being stored.
        assert_eq!(slow[0].filled(async { 7 }).await, Some(7));
        let (first, second) = tokio::join!(
            async {
                let left = slow[1].filled(std::future::pending::<()>()).await;
                (left, drop(slow.remove(1)))
            },
            async {
                let permit = bodies.permit().await;
                assert_eq!(permit.filled(async { 8 }).await, Some(8));
                began.elapsed()
            }
        );
        assert_eq!((first.0, second), (None, YIELDS_AFTER));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_leaves_while_there_is_a_place() {
        let bodies = ImportBodies::new();
        let slow = bodies.permit().await;
        let others = async {
            for _ in 0..100 {
                let permit = bodies.permit().await;
                permit.filled(tokio::time::sleep(YIELDS_AFTER)).await.unwrap();
            }
        };
        let (kept, ()) = tokio::join!(slow.filled(tokio::time::sleep(YIELDS_AFTER * 101)), others);
        kept.unwrap();
    }
}
