//! What an import leaves to the one that goes on under its name with other settings: counts, the columns of its files,
//! and alarms. What still holds is neither cleared and raised again, nor forgotten.

use std::sync::Arc;

use super::notifications::SeenOfQueue;
use super::seen::Seen;
use super::since_start::SinceStart;
use crate::import::ColumnsMet;
use crate::import::bucket_import::OtherCompressions;

/// What an import leaves behind. The default is that of none.
#[derive(Debug, Default)]
pub(super) struct LeftBehind {
    pub(super) since_start: Arc<SinceStart>,
    pub(super) columns: Arc<ColumnsMet>,
    pub(super) other_compressions: Arc<OtherCompressions>,
    pub(super) seen: Seen,
    pub(super) of_queue: Option<SeenOfQueue>,
}
