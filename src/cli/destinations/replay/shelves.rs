//! What a replay reads: the streams of sources in their buckets.

use std::sync::Arc;

use crate::archive::Archive;
use crate::cli::args::ReachArgs;
use crate::cli::destinations::args::{ReplayArgs, ReplayFrom};
use crate::cli::failure::Failure;
use crate::cli::verify::{access_settings, destination_of};
use crate::config::Config;
use crate::destinations::settings::DestinationSettings;
use crate::object::Stream;
use crate::runtime::SystemRandom;
use crate::sources::SourceId;
use crate::store::s3::S3Store;

/// The reader's name in the role's session.
const SESSION: &str = "replay";
/// Requests to a bucket at a time.
const REQUESTS: u16 = 4;

/// Where stored calls are.
#[derive(Debug)]
pub(super) struct Shelves {
    /// The store of all buckets.
    pub(super) store: Arc<S3Store>,
    /// The streams of each source, with its bucket.
    pub(super) shelves: Vec<(Arc<Archive>, SourceId, Vec<Stream>)>,
}

impl Shelves {
    /// Finds what a replay reads.
    ///
    /// # Errors
    /// [`Failure`]: a bucket cannot be listed, or there is none.
    pub(super) async fn open(
        args: &ReplayArgs,
        settings: &DestinationSettings,
        config: Option<&Config>,
    ) -> Result<Self, Failure> {
        let reach = ReachArgs {
            config: None,
            endpoint_url: args.endpoint_url.clone(),
            region: None,
            path_style: args.path_style,
            concurrency: REQUESTS,
        };
        let taken = |source: &SourceId| {
            settings.selection.takes(source) && args.source.as_ref().is_none_or(|only| only == source)
        };
        let store = Arc::new(S3Store::new(access_settings(&reach, config, SESSION)).await);
        let archive = |bucket, source: Option<&SourceId>| {
            let destination = destination_of(&reach, bucket, source, config);
            let (store, requests) = (Arc::clone(&store), usize::from(REQUESTS));
            Arc::new(Archive::new(store, destination, requests, Arc::new(SystemRandom)))
        };
        let mut shelves = Vec::new();
        let dead = || vec![Stream::Dead(settings.name.clone())];
        let is_dlq = args.from == ReplayFrom::Dlq;
        match (&args.from, &args.bucket, config) {
            (ReplayFrom::File(_), ..) => {}
            (_, Some(bucket), _) => {
                let all = archive(bucket, args.source.as_ref());
                let found = all.sources().await?;
                for source in found.sources.into_iter().filter(taken) {
                    let named = found.streams.get(&source).into_iter().flatten().cloned();
                    let streams = if is_dlq { dead() } else { of_calls(named) };
                    shelves.push((Arc::clone(&all), source, streams));
                }
            }
            (_, None, Some(config)) => {
                for source in config.sources.iter().filter(|source| taken(&source.id)) {
                    let of_it = archive(&source.destination.bucket, Some(&source.id));
                    let streams = if is_dlq { dead() } else { of_calls(of_it.streams().await?) };
                    shelves.push((of_it, source.id.clone(), streams));
                }
                if let (true, Some(source)) = (shelves.is_empty(), &args.source) {
                    let what = format!("{} takes no calls of a source {source}", settings.name);
                    return Err(Failure::usage(what));
                }
            }
            (_, None, None) => {
                return Err(Failure::usage(format!(
                    "{} names no bucket: add --bucket, and --endpoint-url for a store other than AWS",
                    args.config.display()
                )));
            }
        }
        Ok(Self { store, shelves })
    }
}

/// The streams with calls and objects, of those that there may be.
fn of_calls(streams: impl IntoIterator<Item = Stream>) -> Vec<Stream> {
    let objects = streams.into_iter().filter(|stream| matches!(stream, Stream::Objects(_)));
    [Stream::Calls].into_iter().chain(objects).collect()
}
