//! A log that does not say what became of an append.

use std::sync::{Arc, Mutex};

use forebay::boxed_future::BoxFuture;
use forebay::log::{Append, AppendError, Appended, RequestFrames};
use forebay::time::UnixMillis;

/// What became of an append whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    Stored,
    NotStored,
}

/// Appends to a log, and answers [`AppendError::Unknown`] when a test says so.
#[derive(Debug)]
pub(crate) struct Doubtful {
    appender: Arc<dyn Append>,
    next: Mutex<Option<Doubt>>,
}

impl Doubtful {
    pub(crate) fn new(appender: Arc<dyn Append>) -> Arc<Self> {
        Arc::new(Self { appender, next: Mutex::default() })
    }

    /// The outcome of the next append is unknown.
    pub(crate) fn next(&self, doubt: Doubt) {
        *self.next.lock().unwrap() = Some(doubt);
    }
}

impl Append for Doubtful {
    fn not_before(&self) -> UnixMillis {
        self.appender.not_before()
    }

    fn append(&self, frames: RequestFrames) -> BoxFuture<'_, Result<Appended, AppendError>> {
        let doubt = self.next.lock().unwrap().take();
        Box::pin(async move {
            match doubt {
                None => return self.appender.append(frames).await,
                Some(Doubt::Stored) => drop(self.appender.append(frames).await?),
                Some(Doubt::NotStored) => {}
            }
            Err(AppendError::Unknown)
        })
    }
}
