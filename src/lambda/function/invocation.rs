//! One invocation: what it works with, and when it stops.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::csv_function::CsvFunction;
use super::timed_target::Limits;
use crate::import::ProgressKeeper;
use crate::lambda::Plan;
use crate::time::UnixMillis;

/// One invocation.
pub(super) struct Invocation {
    pub(super) function: Arc<CsvFunction>,
    pub(super) progress: Arc<dyn ProgressKeeper>,
    /// Cancelled when no further row is to be taken.
    pub(super) stop: CancellationToken,
    pub(super) limits: Limits,
    _timer: AbortOnDropHandle<()>,
}

impl Invocation {
    /// An invocation that ends before `deadline`.
    pub(super) fn new(
        function: Arc<CsvFunction>,
        progress: Arc<dyn ProgressKeeper>,
        deadline: UnixMillis,
    ) -> Self {
        let now = function.clock.wall();
        let plan = Plan::new(now, deadline, function.settings.stop_before);
        let (stop, limits) = (CancellationToken::new(), Limits::default());
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
        Self { function, progress, stop, limits, _timer: AbortOnDropHandle::new(timer) }
    }
}
