//! Sends stored calls of buckets to a destination again, without a running node.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::bucket_reader::BucketReader;
use super::equipment::NodeEquipment;
use crate::config::Environment;
use crate::destinations::invoke::Equipment as _;
use crate::destinations::replay::{Replay, ReplayDeps, ReplayError, ReplayFrom, ReplayOrder, Shelf};
use crate::destinations::settings::DestinationSettings;
use crate::object::{BucketString, Stream};
use crate::runtime::{SystemClock, SystemRandom};
use crate::sources::SourceId;
use crate::store::s3::S3Store;

/// Opens what a replay reads, and what invokes the functions. `bucket` is read instead of those of the
/// configuration's sources.
/// Errors: [`ReplayError`]: a bucket cannot be listed, there is no bucket, or the functions cannot be
/// invoked.
pub async fn open(
    settings: DestinationSettings,
    reader: &BucketReader,
    bucket: Option<&BucketString>,
    order: ReplayOrder,
    stop: &CancellationToken,
) -> Result<(Replay, Vec<Shelf>), ReplayError> {
    let clock = Arc::new(SystemClock::new());
    let store = reader.store().await;
    let shelves = match order.from {
        ReplayFrom::File(_) => Vec::new(),
        ReplayFrom::Dlq | ReplayFrom::Time(_) => shelves(&settings, (reader, &store), bucket, &order).await?,
    };
    let environment = Environment::of_process();
    let equipment = NodeEquipment { store, environment, clock: Arc::clone(&clock) as _ };
    let deps = ReplayDeps { invoke: equipment.invoker(&settings)?, clock, random: Arc::new(SystemRandom) };
    Ok((Replay::start(settings, order, deps, stop.clone()), shelves))
}

/// The streams of the sources that the destination takes.
async fn shelves(
    settings: &DestinationSettings,
    (reader, store): (&BucketReader, &Arc<S3Store>),
    bucket: Option<&BucketString>,
    order: &ReplayOrder,
) -> Result<Vec<Shelf>, ReplayError> {
    let only = order.source.as_ref();
    let taken =
        |source: &SourceId| settings.selection.takes(source) && only.is_none_or(|only| only == source);
    let archive = |bucket, source: Option<&SourceId>| Arc::new(reader.archive(store, bucket, source));
    let is_dlq = order.from == ReplayFrom::Dlq;
    let dead = || vec![Stream::Dead(settings.name.clone())];
    let mut shelves = Vec::new();
    if let Some(bucket) = bucket {
        let archive = archive(bucket, only);
        let found = archive.sources().await?;
        for source in found.sources.into_iter().filter(taken) {
            let named = found.streams.get(&source).into_iter().flatten().cloned();
            let streams = if is_dlq { dead() } else { of_calls(named) };
            shelves.push(Shelf { archive: Arc::clone(&archive), source, streams });
        }
        return Ok(shelves);
    }
    let config = reader.config.as_ref().ok_or(ReplayError::NoBucket)?;
    for source in config.sources.iter().filter(|source| taken(&source.id)) {
        let location = source.location.as_ref().ok_or(ReplayError::NoBucket)?;
        let archive = archive(&location.bucket, Some(&source.id));
        let streams = if is_dlq { dead() } else { of_calls(archive.streams().await?) };
        shelves.push(Shelf { archive, source: source.id.clone(), streams });
    }
    match only.filter(|_| shelves.is_empty()) {
        Some(source) => {
            Err(ReplayError::NotTaken { destination: settings.name.clone(), source_id: source.clone() })
        }
        None => Ok(shelves),
    }
}

/// The streams with calls or object sets, of these.
fn of_calls(streams: impl IntoIterator<Item = Stream>) -> Vec<Stream> {
    let objects = streams.into_iter().filter(|stream| matches!(stream, Stream::Objects(_)));
    [Stream::Calls].into_iter().chain(objects).collect()
}
