//! A future that runs to its end even when its caller drops it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::task::TaskTracker;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs inside the task that awaits it. If that task drops it early (the client hung up), it moves to its own
/// task, so that the work is finished and counted. `tasks` tracks that task.
pub(super) struct FinishAnyway<T: Send + 'static> {
    future: Option<Boxed<T>>,
    tasks: TaskTracker,
}

impl<T: Send + 'static> FinishAnyway<T> {
    /// Wraps `future`. Must be awaited and dropped inside the runtime.
    pub(super) fn new(tasks: &TaskTracker, future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { future: Some(Box::pin(future)), tasks: tasks.clone() }
    }
}

impl<T: Send + 'static> Future for FinishAnyway<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.future else {
            return Poll::Pending;
        };
        let done = future.as_mut().poll(cx);
        if done.is_ready() {
            self.future = None;
        }
        done
    }
}

impl<T: Send + 'static> Drop for FinishAnyway<T> {
    fn drop(&mut self) {
        if let (Some(future), Ok(runtime)) = (self.future.take(), tokio::runtime::Handle::try_current()) {
            self.tasks.spawn_on(future, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_dropped_future_still_runs_to_its_end_and_is_tracked() {
        let tasks = TaskTracker::new();
        let (go, wait) = oneshot::channel::<u32>();
        let (done, result) = oneshot::channel();
        let mut future = FinishAnyway::new(&tasks, async move {
            let got = wait.await.unwrap();
            done.send(got).unwrap();
        });
        let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut future).poll(cx))).await;
        assert!(polled.is_pending());
        drop(future);
        go.send(7).unwrap();
        assert_eq!(result.await, Ok(7));
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn an_awaited_future_starts_no_task() {
        let tasks = TaskTracker::new();
        assert_eq!(FinishAnyway::new(&tasks, std::future::ready(3)).await, 3);
        assert!(tasks.is_empty());
    }
}
