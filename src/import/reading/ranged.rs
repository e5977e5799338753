//! Reads parts of an object in any order.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinError;

use super::ReadingError;
use super::s3::{Parts, RangeSettings, Request, read_range};
use super::s3_object::S3Object;
use crate::words::Told;

/// Reads ranges of an object in any order, for a blocking thread.
#[derive(Clone)]
pub struct Ranged {
    object: Arc<S3Object>,
    runtime: Handle,
    settings: RangeSettings,
}

impl Ranged {
    /// A reader of an object. Requests run on `runtime`.
    pub fn new(object: Arc<S3Object>, runtime: Handle, settings: RangeSettings) -> Self {
        Self { object, runtime, settings }
    }

    /// The object.
    pub fn object(&self) -> &S3Object {
        &self.object
    }

    /// How it is read.
    pub fn settings(&self) -> &RangeSettings {
        &self.settings
    }

    /// Reads these ranges, each from a byte and with a length. Long ones are asked for in parts, and a few
    /// requests are made at once. Errors: [`ReadingError`]: one cannot be read.
    pub fn ranges(&self, wanted: &[(u64, u64)]) -> Result<Vec<Bytes>, ReadingError> {
        let most = self.settings.range_bytes.max(1);
        let parts = wanted.iter().enumerate().flat_map(|(at, (from, len))| {
            let part = move |done: u64| (at, from + done, most.min(len - done));
            (0..*len).step_by(usize::try_from(most).unwrap_or(usize::MAX)).map(part)
        });
        let mut found = vec![Parts::default(); wanted.len()];
        let mut ahead: VecDeque<(usize, Request)> = VecDeque::new();
        let mut take = |(at, request): (usize, Request)| -> Result<(), ReadingError> {
            let stopped = |error: JoinError| Err(ReadingError::Refused(Told::plain(error.to_string())));
            let bytes = self.runtime.block_on(request).unwrap_or_else(stopped)?;
            if let Some(parts) = found.get_mut(at) {
                let left = wanted.get(at).map_or(0, |(_, len)| len.saturating_sub(parts.len()));
                parts.push(bytes, left);
            }
            Ok(())
        };
        for (at, from, len) in parts {
            if ahead.len() >= self.settings.ahead.max(1)
                && let Some(first) = ahead.pop_front()
            {
                take(first)?;
            }
            let (object, settings) = (Arc::clone(&self.object), self.settings.clone());
            let range = async move { read_range(&object, from, len, &settings).await };
            ahead.push_back((at, Request::new(self.runtime.spawn(range))));
        }
        ahead.into_iter().try_for_each(take)?;
        Ok(found.into_iter().map(Parts::whole).collect())
    }
}

debug_fields!(Ranged { object });
