//! Keeps the progress of imports where no log does: rows go to a collector elsewhere, or become objects.

use std::fmt;
use std::future::ready;

use bytes::Bytes;

use super::end::End;
use super::row_hash::RowCount;
use super::target::{Begin, Begun, Earlier, Rows, RowsTaken, TargetError};
use crate::boxed_future::BoxFuture;
use crate::sources::SourceId;

/// The result of a step.
#[derive(Debug, Default)]
pub struct Taken {
    /// Calls that were taken.
    pub new: u64,
    /// Rows that were known.
    pub known: u64,
    /// How often the rows of the step are known now.
    pub counts: Vec<(u128, RowCount)>,
}

/// The progress of imports. Each method may end with a [`TargetError`], which says when to retry.
pub trait ProgressKeeper: Send + Sync + fmt::Debug {
    /// See [`super::Target::begin`].
    fn begin(&self, file: Begin, source: SourceId) -> BoxFuture<'_, Result<Begun, TargetError>>;

    /// See [`super::Target::earlier`]. `None` if the keeper knows nothing of what files begin with.
    fn earlier(&self, _: Begin, _: SourceId) -> BoxFuture<'_, Result<Option<Earlier>, TargetError>> {
        Box::pin(ready(Ok(None)))
    }

    /// The calls of a step that are not known by their content, and what to record once they are taken. A
    /// keeper that begins no import whose rows are known by their content answers [`TargetError::NotOpen`].
    fn new_rows(&self, _: Rows, _: Bytes) -> BoxFuture<'_, Result<(Bytes, Taken), TargetError>> {
        Box::pin(ready(Err(TargetError::NotOpen)))
    }

    /// Checks that these are the next rows, and that nobody else imports them now. A keeper that only this
    /// process uses refuses other rows when they are recorded.
    fn may_take(&self, _: Rows) -> BoxFuture<'_, Result<(), TargetError>> {
        Box::pin(ready(Ok(())))
    }

    /// Records rows that were taken.
    fn taken(&self, rows: Rows, taken: Taken) -> BoxFuture<'_, Result<RowsTaken, TargetError>>;

    /// See [`super::Target::end`].
    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>>;
}
