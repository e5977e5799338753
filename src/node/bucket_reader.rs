//! Reads buckets outside of a node, with the connection of a configuration. Options override parts of it.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::settings::store_settings;
use crate::admin::Status;
use crate::admin_client::{AdminClient, AdminToken, AdminUrl};
use crate::archive::Archive;
use crate::config::{Config, Endpoint};
use crate::object::{BucketString, Encryption, S3Location};
use crate::reach::aws::is_set;
use crate::runtime::SystemRandom;
use crate::sources::SourceId;
use crate::store::s3::{S3Settings, S3Store};

/// How long a `forebay dev` of this machine may take to answer.
const DEV_PATIENCE: Duration = Duration::from_secs(2);
/// What of the environment says that a store of AWS is meant.
const CREDENTIALS: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

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
    /// The address of the S3 server of dev mode, with whose keys buckets are read, if that was found.
    pub dev_s3: Option<String>,
    /// The most requests to a bucket at a time.
    pub requests: u16,
    /// The reader's name in the role's session.
    pub session: &'static str,
}

impl BucketReader {
    /// Looks for a `forebay dev` that answers at this address, if neither the configuration, nor an option, nor the
    /// environment says which store is meant: its S3 server is then used.
    pub async fn or_dev(self, admin: AdminUrl, token: Option<AdminToken>) -> Self {
        let is_configured = self.config.as_ref().is_some_and(|config| !config.sources.is_empty());
        if is_configured || self.endpoint_url.is_some() || CREDENTIALS.iter().any(|name| is_set(name)) {
            return self;
        }
        let client = AdminClient::new(admin, token);
        let status: Result<Status, _> = client.ask(Method::GET, "/api/status", DEV_PATIENCE).await;
        let dev_s3 = match status {
            Ok(status) => status.dev_s3,
            Err(error) => {
                tracing::debug!(%error, "no `forebay dev` answers");
                None
            }
        };
        Self { dev_s3, ..self }
    }

    /// The bucket of a `forebay dev` that was found.
    pub fn bucket_of_dev(&self) -> Option<BucketString> {
        #[cfg(feature = "dev")]
        return self.dev_s3.as_ref().and_then(|_| BucketString::parse(crate::dev_s3::BUCKET).ok());
        #[cfg(not(feature = "dev"))]
        None
    }

    /// The bucket, as an archive. `source`: the source whose configuration counts, if several write to the
    /// bucket.
    pub async fn open(&self, bucket: &BucketString, source: Option<&SourceId>) -> Archive {
        let store = self.store().await;
        self.archive(&store, bucket, source)
    }

    /// The store of all buckets.
    pub async fn store(&self) -> Arc<S3Store> {
        let mut settings = match (&self.config, &self.dev_s3) {
            #[cfg(feature = "dev")]
            (_, Some(url)) => super::settings::dev_store_settings(url.clone()),
            (Some(config), _) => store_settings(config, self.session),
            (None, _) => {
                S3Settings { session_name: format!("forebay-{}", self.session), ..S3Settings::default() }
            }
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
