//! One invocation: what it works with, and when it stops.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::csv_function::{CsvFunction, OfInvocation};
use super::timed_target::Limits;
use crate::lambda::Plan;
use crate::time::UnixMillis;

/// One invocation.
pub(super) struct Invocation {
    pub(super) function: Arc<CsvFunction>,
    pub(super) rows_go_to: OfInvocation,
    /// Whether an object is read only in the version that is named. A notification of a version that is gone means
    /// what is there now.
    pub(super) is_exact: bool,
    /// Cancelled when no further row is to be taken.
    pub(super) stop: CancellationToken,
    pub(super) limits: Limits,
    _timer: AbortOnDropHandle<()>,
}

impl Invocation {
    /// An invocation that ends before `deadline`.
    pub(super) fn new(
        function: Arc<CsvFunction>,
        rows_go_to: OfInvocation,
        (deadline, is_exact): (UnixMillis, bool),
    ) -> Self {
        let now = function.clock.wall();
        let plan = Plan::new(now, deadline, function.settings.stop_before);
        let (stop, limits) = (function.stop.child_token(), Limits::default());
        let after = [plan.stop, plan.cut, plan.answer].map(|at| at.since(now));
        let tokens = [stop.clone(), limits.cut.clone(), limits.answer.clone()];
        // The times are in order.
        let timer = tokio::spawn(async move {
            let began = tokio::time::Instant::now();
            for (after, token) in after.into_iter().zip(tokens) {
                tokio::time::sleep_until(began + after).await;
                token.cancel();
            }
        });
        Self { function, rows_go_to, is_exact, stop, limits, _timer: AbortOnDropHandle::new(timer) }
    }
}
