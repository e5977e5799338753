//! The default chain of credentials, looked through anew each time it is asked.
//!
//! The client's own reads the files of profiles once: credentials that come late, or that somebody renews in the file,
//! would not be seen before a restart. What was found is kept by the cache of [`super::process::Process`].

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as CredentialsResult, future};
use tokio::time::Instant;

use super::error::causes;
use super::session::silence;

/// The default chain.
#[derive(Debug)]
pub(super) struct DefaultChain {
    surroundings: SdkConfig,
    failed: Mutex<Failed>,
}

/// Failures in a row, and until when nothing is asked after the last of them.
#[derive(Debug, Default)]
struct Failed {
    count: u32,
    silent: Option<(Instant, String)>,
}

/// The longest time that nothing is asked: credentials that come late are not to wait for long.
const SILENCE_MAX: Duration = Duration::from_secs(10);

impl DefaultChain {
    /// With the region, the endpoints and the connections of `surroundings`.
    pub(super) fn new(surroundings: SdkConfig) -> Self {
        Self { surroundings, failed: Mutex::default() }
    }

    /// What the chain finds; what it failed with a moment ago, however many requests ask.
    async fn provide(&self) -> CredentialsResult {
        let lock = || self.failed.lock().unwrap_or_else(PoisonError::into_inner);
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
                Failed { count, silent: Some((until, causes(error))) }
            }
        };
        found
    }

    async fn look(&self) -> CredentialsResult {
        let mut loader = super::surroundings_of_sdk();
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
            None => Err(CredentialsError::not_loaded("the default chain is empty")),
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
