//! A target in an invocation, whose time is limited: requests under way are abandoned before the deadline,
//! and the end of an import is tried until then.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::boxed_future::BoxFuture;
use crate::import::{Begin, Begun, End, Rows, RowsTaken, Target, TargetError};
use crate::lock::lock;

/// How long to wait before the end of an import is recorded again.
const END_AGAIN: Duration = Duration::from_millis(200);

/// The two instants at which a target's requests are abandoned.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    /// When requests that take rows are abandoned.
    pub(super) cut: CancellationToken,
    /// When requests that record the end of an import are abandoned.
    pub(super) answer: CancellationToken,
}

/// A target whose requests end in time.
#[derive(Debug)]
pub(super) struct TimedTarget {
    inner: Arc<dyn Target>,
    limits: Limits,
    /// Why the last request failed, masked.
    why: Mutex<Option<String>>,
}

impl TimedTarget {
    pub(super) fn new(inner: Arc<dyn Target>, limits: Limits) -> Self {
        Self { inner, limits, why: Mutex::default() }
    }

    /// Why the last request failed, without what is private; `None` if it did not.
    pub(super) fn why(&self) -> Option<String> {
        lock(&self.why).clone()
    }

    /// An abandoned request is like a lost answer: the next invocation finds out what it did.
    async fn until_cut<T>(
        &self,
        request: impl Future<Output = Result<T, TargetError>>,
    ) -> Result<T, TargetError> {
        let cut = || {
            let why = "a request was not answered before the deadline".into();
            Err(TargetError::Later { after: Duration::ZERO, why })
        };
        let done = self.limits.cut.run_until_cancelled(request).await.unwrap_or_else(cut);
        *lock(&self.why) = match &done {
            Err(TargetError::Later { why, .. }) => Some(why.masked().to_owned()),
            _ => None,
        };
        done
    }
}

impl Target for TimedTarget {
    fn begin(&self, file: Begin) -> BoxFuture<'_, Result<Begun, TargetError>> {
        Box::pin(self.until_cut(self.inner.begin(file)))
    }

    fn rows(&self, rows: Rows, calls: Bytes) -> BoxFuture<'_, Result<RowsTaken, TargetError>> {
        Box::pin(self.until_cut(self.inner.rows(rows, calls)))
    }

    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>> {
        Box::pin(async move {
            let mut again = Ok(());
            let recorded = self.limits.answer.run_until_cancelled(async {
                loop {
                    match self.inner.end(end.clone()).await {
                        Err(later @ TargetError::Later { .. }) => again = Err(later),
                        done => return done,
                    }
                    tokio::time::sleep(END_AGAIN).await;
                }
            });
            let recorded = recorded.await;
            recorded.unwrap_or(again)
        })
    }
}
