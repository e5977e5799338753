//! Reads buckets outside of a node, with the connection of a configuration. Options override parts of it.

use std::sync::Arc;

use super::settings::store_settings;
use crate::archive::Archive;
use crate::config::{Config, Endpoint};
use crate::object::{BucketString, Encryption, S3Location};
use crate::runtime::SystemRandom;
use crate::sources::SourceId;
use crate::store::s3::{S3Settings, S3Store};

/// How buckets are read.
#[derive(Clone, Debug)]
pub struct BucketReader {
    /// The configuration with region, endpoint, role and owner, if there is one.
    pub config: Option<Arc<Config>>,
    /// An endpoint other than that of the configuration.
    pub endpoint_url: Option<Endpoint>,
    /// A region other than that of the configuration.
    pub region: Option<String>,
    /// Whether URLs have the form endpoint/bucket/key, whatever the configuration says.
    pub path_style: bool,
    /// The most requests to a bucket at a time.
    pub requests: u16,
    /// The reader's name in the role's session.
    pub session: &'static str,
}

impl BucketReader {
    /// The bucket, as an archive. `source`: the source whose configuration counts, if several write to the
    /// bucket.
    pub async fn open(&self, bucket: &BucketString, source: Option<&SourceId>) -> Archive {
        let store = self.store().await;
        self.archive(&store, bucket, source)
    }

    /// The store of all buckets.
    pub async fn store(&self) -> Arc<S3Store> {
        let mut settings = match &self.config {
            Some(config) => store_settings(config, self.session),
            None => S3Settings { session_name: format!("forebay-{}", self.session), ..S3Settings::default() },
        };
        if let Some(endpoint) = &self.endpoint_url {
            settings.endpoint_url = Some(endpoint.as_str().to_owned());
        }
        if let Some(region) = &self.region {
            settings.region = Some(region.clone());
        }
        settings.path_style |= self.path_style;
        Arc::new(S3Store::new(settings).await)
    }

    /// A bucket of the store.
    pub fn archive(&self, store: &Arc<S3Store>, bucket: &BucketString, source: Option<&SourceId>) -> Archive {
        let mut location = match &self.config {
            Some(config) => configured(bucket, source, config),
            None => S3Location::new(bucket.clone(), Encryption::None),
        };
        if let Some(region) = &self.region {
            location.region = Some(region.clone());
        }
        let requests = usize::from(self.requests);
        Archive::new(Arc::clone(store) as _, location, requests, Arc::new(SystemRandom))
    }

    /// The bucket of a source, if the configuration has it.
    pub fn bucket_of(&self, source: &SourceId) -> Option<BucketString> {
        let sources = &self.config.as_ref()?.sources;
        sources.iter().find(|known| known.id == *source).map(|known| known.location.bucket.clone())
    }
}

/// The location of a bucket: as configured for this source, or else for the first source that writes to the
/// bucket.
fn configured(bucket: &BucketString, source: Option<&SourceId>, config: &Config) -> S3Location {
    let of = |wanted: &dyn Fn(&S3Location) -> bool| {
        let mut sources = config.sources.iter();
        let asked = sources.clone().find(|known| source == Some(&known.id) && wanted(&known.location));
        asked.or_else(|| sources.find(|known| wanted(&known.location))).map(|known| known.location.clone())
    };
    let known = of(&|known| known.bucket == *bucket)
        .or_else(|| of(&|known| known.bucket.bucket() == bucket.bucket()));
    match known {
        Some(known) => S3Location { bucket: bucket.clone(), ..known },
        None => S3Location::new(bucket.clone(), Encryption::None),
    }
}
