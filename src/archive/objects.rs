//! Lists the objects of one stream of one source, in the order of their keys.

use std::sync::Arc;

use super::bucket::{Archive, ArchiveError};
use super::listing::{Pages, Span};
use crate::object::{ParsedObjectKey, ParsedPartKey, Stream};
use crate::sources::SourceId;
use crate::store::reader::Listed;

/// The objects of one stream of one source: those that a spool delivered, and parts of imports. Other keys
/// are passed over.
#[derive(Debug)]
pub struct Objects {
    archive: Arc<Archive>,
    span: Span,
    pages: Pages,
}

impl Objects {
    /// The objects of the days in `span`.
    pub fn new(archive: &Arc<Archive>, stream: &Stream, source: &SourceId, span: Span) -> Self {
        let pages = Pages::new(archive, &format!("segment-logs/{}{source}/", stream.folder()), &span);
        Self { archive: Arc::clone(archive), span, pages }
    }

    /// The next object.
    pub async fn next(&mut self) -> Result<Option<Listed>, ArchiveError> {
        while let Some(listed) = self.pages.next().await? {
            let (bucket, key) = (self.archive.bucket(), listed.key.as_str());
            let of_part = || ParsedPartKey::of(bucket, key).map(|at| at.received_at.day());
            let day = ParsedObjectKey::of(bucket, key).map(|at| at.day).or_else(of_part);
            if day.is_some_and(|day| self.span.has(day)) {
                return Ok(Some(listed));
            }
        }
        Ok(None)
    }
}
