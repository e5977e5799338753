//! The process's own AWS access: its credentials, region and STS client.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_sdk_s3::config::{IdentityCache, SharedIdentityCache};

use super::super::region::DEFAULT_REGION;

use crate::lock::lock;

/// Assuming a role changes nothing, so the client may retry by itself.
const ROLE_TRIES: u32 = 3;
const CONNECT: Duration = Duration::from_secs(3);
const TRY: Duration = Duration::from_secs(5);

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
