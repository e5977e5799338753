//! A writer as a process would run it: in a group, with terms that begin and end.

use std::path::Path;
use std::sync::Arc;

use forebay::delivery::DeliverySettings;
use forebay::kafka::owner::Wanted;
use forebay::node::writer::{Writer, WriterDeps};
use forebay::partition::days::GRACE;
use forebay::runtime::SystemRandom;
use forebay::store::ObjectStore;

use crate::delivered::{process, runtime};
use crate::partition::Partition;

/// Starts a writer.
pub(crate) fn start(
    partition: &Partition,
    store: Arc<dyn ObjectStore>,
    settings: DeliverySettings,
    wanted: Wanted,
    (cache_dir, cache_bytes): (&Path, u64),
) -> Writer {
    let process = process(store, settings, &partition.clock);
    Writer::start(WriterDeps {
        settings: partition.settings.clone(),
        equipment: process.equipment,
        instance: None,
        day_grace: GRACE,
        wanted,
        cache_dir: cache_dir.to_owned(),
        cache_bytes,
        clock: Arc::clone(&partition.clock),
        random: Arc::new(SystemRandom),
        metrics: process.metrics,
        alarms: process.alarms,
        version: "test".into(),
        host: std::process::id().to_string(),
        runtime: runtime().handle().clone(),
    })
    .unwrap()
}
