//! The default chain of credentials, looked through anew each time it is asked.
//!
//! The client's own reads the files of profiles once: credentials that come late, or that somebody renews in the file,
//! would not be seen before a restart. What was found is kept by the cache of [`super::process::Process`].

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as CredentialsResult, future};

/// The default chain.
#[derive(Debug)]
pub(super) struct DefaultChain {
    surroundings: SdkConfig,
}

impl DefaultChain {
    /// With the region, the endpoints and the connections of `surroundings`.
    pub(super) fn new(surroundings: SdkConfig) -> Self {
        Self { surroundings }
    }

    async fn look(&self) -> CredentialsResult {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
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
        future::ProvideCredentials::new(self.look())
    }
}
