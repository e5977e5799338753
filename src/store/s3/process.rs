//! The process's own AWS access: its credentials and their chain, region and STS client.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as CredentialsResult, future};
use aws_sdk_s3::config::{IdentityCache, SharedIdentityCache};
use tokio::time::Instant;

use super::super::region::DEFAULT_REGION;
use super::session::silence;
use crate::lock::lock;
use crate::reach::aws::sdk_of_environment;
use crate::words::with_causes;

/// Assuming a role changes nothing, so the client may retry by itself.
const ROLE_TRIES: u32 = 3;
const CONNECT: Duration = Duration::from_secs(3);
const TRY: Duration = Duration::from_secs(5);
/// The longest pause after failures. It is short so that credentials that appear later are soon used.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The process's own AWS access.
#[derive(Debug)]
pub(super) struct Process {
    sdk: SdkConfig,
    sts_endpoint_url: Option<String>,
    cache: Mutex<SharedIdentityCache>,
    /// How often credentials were discarded before their expiry.
    generation: AtomicU64,
}

impl Process {
    pub(super) fn new(sdk: SdkConfig, sts_endpoint_url: Option<String>) -> Self {
        Self { sdk, sts_endpoint_url, cache: Mutex::new(new_cache()), generation: AtomicU64::new(0) }
    }

    pub(super) fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// The region of the environment, else the default region.
    pub(super) fn home(&self) -> &str {
        self.sdk.region().map_or(DEFAULT_REGION, AsRef::as_ref)
    }

    pub(super) fn now(&self) -> SystemTime {
        self.sdk.time_source().unwrap_or_default().now()
    }

    pub(super) fn cache(&self) -> SharedIdentityCache {
        lock(&self.cache).clone()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Discards the credentials of `generation`, which ended early: the next request gets new ones.
    pub(super) fn expired(&self, generation: u64) {
        let next = generation.wrapping_add(1);
        // Another request may already have reported it.
        if self.generation.compare_exchange(generation, next, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            *lock(&self.cache) = new_cache();
        }
    }

    /// An STS client. Created each time, because a role is assumed only about once an hour.
    pub(super) fn token_service(&self) -> aws_sdk_sts::Client {
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(TRY).build();
        let mut builder = aws_sdk_sts::config::Builder::from(&self.sdk);
        builder.set_endpoint_url(self.sts_endpoint_url.clone());
        let config = builder
            .region(Region::new(self.home().to_owned()))
            .identity_cache(self.cache())
            .retry_config(RetryConfig::standard().with_max_attempts(ROLE_TRIES))
            .timeout_config(timeouts)
            .build();
        aws_sdk_sts::Client::from_conf(config)
    }
}

fn new_cache() -> SharedIdentityCache {
    IdentityCache::lazy().build()
}

/// The default credential chain, evaluated each time it is asked. The SDK's own chain reads profile files
/// only once: credentials that are added or renewed later would need a restart. Found credentials are cached
/// by [`Process`].
#[derive(Debug)]
pub(super) struct DefaultChain {
    surroundings: SdkConfig,
    failed: Mutex<Failed>,
}

/// Failures in a row, and until when no attempt is made after the last one.
#[derive(Debug, Default)]
struct Failed {
    count: u32,
    silent: Option<(Instant, String)>,
}

impl DefaultChain {
    /// Uses the region, endpoint options and HTTP client of `surroundings`.
    pub(super) fn new(surroundings: SdkConfig) -> Self {
        Self { surroundings, failed: Mutex::default() }
    }

    /// The credentials of the chain. During the pause after a failure, the same error for all requests.
    async fn provide(&self) -> CredentialsResult {
        let lock = || lock(&self.failed);
        if let Some((until, why)) = &lock().silent
            && Instant::now() < *until
        {
            return Err(CredentialsError::not_loaded(why.clone()));
        }
        let found = self.look().await;
        let mut failed = lock();
        *failed = match &found {
            Ok(_) => Failed::default(),
            Err(error) => {
                let count = failed.count.saturating_add(1);
                let until = Instant::now() + silence(count).min(SILENCE_MAX);
                Failed { count, silent: Some((until, with_causes(error))) }
            }
        };
        found
    }

    async fn look(&self) -> CredentialsResult {
        let mut loader = sdk_of_environment();
        if let Some(region) = self.surroundings.region() {
            loader = loader.region(region.clone());
        }
        if let Some(client) = self.surroundings.http_client() {
            loader = loader.http_client(client);
        }
        if self.surroundings.use_fips() == Some(true) {
            loader = loader.use_fips(true);
        }
        if self.surroundings.use_dual_stack() == Some(true) {
            loader = loader.use_dual_stack(true);
        }
        match loader.load().await.credentials_provider() {
            Some(chain) => chain.provide_credentials().await,
            None => Err(CredentialsError::not_loaded("the default credential chain is empty")),
        }
    }
}

impl ProvideCredentials for DefaultChain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}
