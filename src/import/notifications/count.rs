//! Asks a queue now and then how many messages it has.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::queue::{Queue, QueueError, QueueFacts};

/// How often a queue is asked. SQS itself is about a minute behind.
pub const COUNT_EVERY: Duration = Duration::from_secs(30);

/// Asks a queue how many messages it has, now and each [`COUNT_EVERY`], until it is stopped, and passes each
/// answer on.
pub async fn count(
    queue: &dyn Queue,
    mut counted: impl FnMut(Result<QueueFacts, QueueError>),
    stop: &CancellationToken,
) {
    while let Some(answer) = stop.run_until_cancelled(queue.facts()).await {
        counted(answer);
        if stop.run_until_cancelled(sleep(COUNT_EVERY)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::QueueFault;
    use crate::queue::fake::FakeQueue;

    /// What the queue answered, in order.
    async fn counts(queue: &FakeQueue, within: Duration) -> Vec<Result<(u64, u64), QueueFault>> {
        let (stop, mut answers) = (CancellationToken::new(), Vec::new());
        let counted = |answer: Result<QueueFacts, QueueError>| {
            let numbers = answer.map(|facts| facts.waiting.zip(facts.in_flight).unwrap());
            answers.push(numbers.map_err(|error| error.fault));
        };
        let ends = async {
            sleep(within).await;
            stop.cancel();
        };
        tokio::join!(count(queue, counted, &stop), ends);
        answers
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_asked_at_a_bounded_rate_also_while_it_refuses() {
        let queue = FakeQueue::default();
        (0..5).for_each(|_| drop(queue.send("{}")));
        let soon = Duration::from_secs(1);
        assert_eq!(counts(&queue, soon).await, [Ok((5, 0))]);
        queue.receive(2, 10 * COUNT_EVERY).await.unwrap();
        assert_eq!(counts(&queue, soon).await, [Ok((3, 2))]);
        queue.refuse(Some(QueueFault::Denied));
        assert_eq!(counts(&queue, 3 * COUNT_EVERY + soon).await, [Err(QueueFault::Denied); 4]);
        queue.refuse(None);
        assert_eq!(counts(&queue, COUNT_EVERY + soon).await, [Ok((3, 2)); 2]);
    }
}
