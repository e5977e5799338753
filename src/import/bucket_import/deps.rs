//! What a pass over a bucket uses.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::other_compression::OtherCompressions;
use super::scan::Scan;
use crate::import::column_names::ColumnsMet;
use crate::import::counters::Counters;
use crate::import::importer::Importer;
use crate::import::journal::Journal;
use crate::import::target::Target;
use crate::random::Random;
use crate::store::changer::StoreChanger;
use crate::store::reader::StoreReader;
use crate::time::Clock;

/// What a pass uses.
#[derive(Clone, Debug)]
pub struct PassDeps {
    /// Reads the bucket.
    pub store: Arc<dyn StoreReader>,
    /// Changes imported objects in the bucket; `None`: they stay as they are, whatever the import says.
    pub changer: Option<Arc<dyn StoreChanger>>,
    /// Takes the rows. It must keep the progress of files in `journal`.
    pub target: Arc<dyn Target>,
    /// Remembers names, objects and files.
    pub journal: Arc<dyn Journal>,
    /// Knows how far files are: more than `journal` as long as their imports have not ended.
    pub importer: Arc<Importer>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Makes the ids of imports, and spreads retries over time.
    pub random: Arc<dyn Random>,
    /// The counts of rows.
    pub counters: Counters,
    /// Remembers objects that are compressed in another way than the converter says.
    pub other_compressions: Arc<OtherCompressions>,
    /// Remembers the columns of files.
    pub columns: Arc<ColumnsMet>,
    /// Whether objects that are done are imported again, from their first row.
    pub again: bool,
    /// Which keys are listed.
    pub scan: Scan,
    /// Whether a pass over all keys sees all of them: a person may have asked for some.
    pub whole: bool,
    /// How long after its listing a pass lists its bucket again, if objects are still being read then and there is place
    /// for more. `None`: it never does.
    pub list_again: Option<Duration>,
    /// How long a listing is retried that the store does not answer. `None`: as long as it takes.
    pub patience: Option<Duration>,
    /// Stops the pass after a step.
    pub stop: CancellationToken,
    /// Bytes of calls after which a step is handed over. `None`: steps are as large as a request.
    pub step_bytes: Option<usize>,
}
