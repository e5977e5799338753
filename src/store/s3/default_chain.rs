//! The default credential chain, evaluated each time it is asked.
//!
//! The SDK's own chain reads profile files only once: credentials that are added or renewed later would need
//! a restart. Found credentials are cached by [`super::process::Process`].

use std::sync::Mutex;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as CredentialsResult, future};
use tokio::time::Instant;

use super::session::silence;

use crate::lock::lock;
use crate::words::with_causes;

/// The default chain.
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

/// The longest pause after failures. It is short so that credentials that appear later are soon used.
const SILENCE_MAX: Duration = Duration::from_secs(10);

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
        let mut loader = crate::reach::aws::sdk_of_environment();
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
