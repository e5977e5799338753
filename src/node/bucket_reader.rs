//! Reads buckets outside of a node, with the connection of a configuration. Options override parts of it.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::settings::store_settings;
use crate::admin::Status;
use crate::admin_client::{AdminClient, AdminToken, AdminUrl};
use crate::archive::Archive;
use crate::config::{Config, Endpoint, Environment};
use crate::object::{BucketString, Encryption, S3Location};
use crate::runtime::SystemRandom;
use crate::sources::SourceId;
use crate::store::s3::{S3Settings, S3Store};

/// How long a `forebay dev` of this machine may take to answer.
const DEV_PATIENCE: Duration = Duration::from_secs(2);
/// The endpoint of the environment, which the clients of AWS read, too.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_S3";
/// The access key id of the environment.
const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
/// What of the environment says that a store of AWS is meant.
const CREDENTIALS: [&str; 5] = [
    ACCESS_KEY_ID,
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
    /// Takes the endpoint of the environment, if neither an option nor the configuration names one.
    /// Errors: the variable names no address.
    pub fn or_endpoint_of_environment(self) -> Result<Self, String> {
        let has_own = |config: &Arc<Config>| config.s3.endpoint.is_some() || config.dev_s3.is_some();
        if self.endpoint_url.is_some() || self.config.as_ref().is_some_and(has_own) {
            return Ok(self);
        }
        let environment = Environment::of_process();
        let Some(url) = environment.text(ENDPOINT)? else { return Ok(self) };
        let url = Endpoint::parse(url).map_err(|what| format!("{ENDPOINT}: {what}"))?;
        Ok(Self { endpoint_url: Some(url), path_style: true, ..self })
    }

    /// Looks for a `forebay dev` that answers at this address, if neither the configuration, nor an option, nor
    /// the environment means another store: its S3 server is then used.
    pub async fn or_dev(self, admin: AdminUrl, token: Option<AdminToken>) -> Self {
        let is_configured = self.config.as_ref().is_some_and(|config| !config.sources.is_empty());
        if is_configured || has_credentials(&Environment::of_process()) {
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
        let is_meant = |url: &String| {
            self.endpoint_url.as_ref().is_none_or(|named| named.as_str() == url.trim_end_matches('/'))
        };
        Self { dev_s3: dev_s3.filter(is_meant), ..self }
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
        sources.iter().find(|known| known.id == *source)?.location.as_ref().map(|to| to.bucket.clone())
    }
}

/// Whether the environment has credentials. The keys of the S3 of dev mode are none: everybody knows them, and
/// the documentation has them exported. Keys in variables come before all other credentials.
fn has_credentials(environment: &Environment) -> bool {
    let value = |name: &str| environment.text(name).ok().flatten();
    #[cfg(feature = "dev")]
    if value(ACCESS_KEY_ID) == Some(crate::dev_s3::ACCESS_KEY_ID)
        && value("AWS_SECRET_ACCESS_KEY") == Some(crate::dev_s3::SECRET_ACCESS_KEY)
    {
        return false;
    }
    CREDENTIALS.iter().any(|name| value(name).is_some())
}

/// The location of a bucket: as configured for this source, or else for the first source that writes to the
/// bucket.
fn configured(bucket: &BucketString, source: Option<&SourceId>, config: &Config) -> S3Location {
    let of = |wanted: &dyn Fn(&S3Location) -> bool| {
        let all = config.sources.iter().filter_map(|known| Some((&known.id, known.location.as_ref()?)));
        let mut all = all.filter(|(_, to)| wanted(to));
        let asked = all.clone().find(|(id, _)| source == Some(id));
        asked.or_else(|| all.next()).map(|(_, to)| to.clone())
    };
    let known = of(&|known| known.bucket == *bucket)
        .or_else(|| of(&|known| known.bucket.bucket() == bucket.bucket()));
    match known {
        Some(known) => S3Location { bucket: bucket.clone(), ..known },
        None => S3Location::new(bucket.clone(), Encryption::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_dev_are_no_credentials() {
        let check = |variables: &[(&str, &str)], has: bool| {
            let environment = Environment::of(variables.iter().copied());
            assert_eq!(has_credentials(&environment), has, "{variables:?}");
        };
        check(&[], false);
        check(&[("AWS_PROFILE", "")], false);
        check(&[("AWS_PROFILE", "lake")], true);
        check(&[("AWS_ACCESS_KEY_ID", "forebay")], true);
        check(&[("AWS_ACCESS_KEY_ID", "forebay"), ("AWS_SECRET_ACCESS_KEY", "other")], true);
        #[cfg(feature = "dev")]
        for more in [("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_PROFILE", "lake")] {
            let keys = [("AWS_ACCESS_KEY_ID", "forebay"), ("AWS_SECRET_ACCESS_KEY", "forebay-secret"), more];
            check(&keys, false);
        }
    }
}
