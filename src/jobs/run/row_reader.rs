//! Reads rows of a manifest's copy: new rows ahead, and single ones again for another try.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Rows, RunError};
use crate::jobs::task::Task;

/// Rows that are read at once. Each has a key of at most 1,024 characters, and up to ten arguments.
const ROWS_AHEAD: usize = 512;

#[derive(Debug)]
pub(super) struct RowReader {
    rows: Arc<dyn Rows>,
    /// The row of the first task that was read ahead. Rows before it were asked for, or left out.
    first: u64,
    ahead: VecDeque<Task>,
}

impl RowReader {
    pub(super) fn new(rows: Arc<dyn Rows>) -> Self {
        Self { rows, first: 0, ahead: VecDeque::new() }
    }

    /// The task on this row. New rows are asked for in their order, so they are read ahead.
    pub(super) async fn task(&mut self, row: u64) -> Result<Task, RunError> {
        let Some(skipped) = row.checked_sub(self.first) else {
            return self.read(row, 1).await?.pop_front().ok_or(RunError::NoRow { row });
        };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX).min(self.ahead.len());
        self.ahead.drain(..skipped);
        if self.ahead.is_empty() {
            self.ahead = self.read(row, ROWS_AHEAD).await?;
        }
        self.first = row.saturating_add(1);
        self.ahead.pop_front().ok_or(RunError::NoRow { row })
    }

    async fn read(&self, row: u64, most: usize) -> Result<VecDeque<Task>, RunError> {
        let tasks = self.rows.read(row, most).await;
        Ok(tasks.map_err(|cause| RunError::Rows { row, cause })?.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;
    use crate::boxed_future::BoxFuture;
    use crate::lock::lock;

    #[derive(Debug, Default)]
    struct Numbered(Mutex<Vec<(u64, usize)>>);

    impl Rows for Numbered {
        fn read(&self, first: u64, most: usize) -> BoxFuture<'_, io::Result<Vec<Task>>> {
            lock(&self.0).push((first, most));
            let last = 1_500.min(first + u64::try_from(most).unwrap());
            let task =
                |row: u64| Task { bucket: "b".into(), key: row.to_string(), version: None, args: vec![] };
            Box::pin(async move { Ok((first..last).map(task).collect()) })
        }
    }

    #[tokio::test]
    async fn each_row_is_that_which_was_asked_for() {
        let rows = Arc::new(Numbered::default());
        let mut reader = RowReader::new(Arc::<Numbered>::clone(&rows));
        let asked = (0..600).chain([3, 599, 0]).chain([700, 1_400, 2, 1_401, 1_499]);
        for row in asked {
            assert_eq!(reader.task(row).await.unwrap().key, row.to_string());
        }
        assert!(matches!(reader.task(1_500).await, Err(RunError::NoRow { row: 1_500 })));
        let reads = lock(&rows.0).clone();
        assert_eq!(
            reads,
            [(0, 512), (512, 512), (3, 1), (599, 1), (0, 1), (1_400, 512), (2, 1), (1_500, 512)]
        );
    }
}
