//! A client for each region and role, created when first needed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    IdentityCache, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
};

use super::assumed_role::AssumedRole;
use super::process::Process;
use super::settings::{Checksums, S3Settings};
use crate::lock::lock;
use crate::object::Role;

/// The most clients kept. At the limit all are dropped and created again when needed.
const CLIENTS_MAX: usize = 1_024;
/// The most roles whose sessions are kept. At the limit all are dropped and assumed again when needed.
const ROLES_MAX: usize = 16_384;

/// All clients of a store.
pub(super) struct Clients {
    settings: S3Settings,
    process: Arc<Process>,
    roles: Mutex<BTreeMap<Role, Arc<AssumedRole>>>,
    made: Mutex<BTreeMap<(Option<Role>, String), Made>>,
}

struct Made {
    client: Client,
    /// The generation of the process's credentials; a client keeps those it was created with.
    generation: u64,
}

/// The credentials that sign a request.
pub(super) enum Access {
    Process(Arc<Process>),
    Role(Arc<AssumedRole>),
}

impl Access {
    /// The generation of the credentials that sign the next request.
    pub(super) async fn generation(&self) -> u64 {
        match self {
            Self::Process(process) => process.generation(),
            Self::Role(role) => {
                // A failure is ignored here, because the following request meets and reports it.
                drop(role.credentials().await);
                role.generation()
            }
        }
    }

    /// The store refused a request signed with the credentials of `generation`: their session may be revoked.
    pub(super) fn refused(&self, generation: u64) {
        if let Self::Role(role) = self {
            role.refused(generation);
        }
    }

    /// The credentials of `generation` have expired according to the store.
    pub(super) fn expired(&self, generation: u64) {
        match self {
            Self::Process(process) => process.expired(generation),
            Self::Role(role) => role.expired(generation),
        }
    }
}

/// An endpoint as the client needs it: it appends the bucket to a path as it is.
fn base_of(endpoint: &str) -> String {
    let has_path = endpoint.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if has_path && !endpoint.ends_with('/') { format!("{endpoint}/") } else { endpoint.to_owned() }
}

impl Clients {
    pub(super) fn new(settings: S3Settings, process: Process) -> Self {
        let process = Arc::new(process);
        Self { settings, process, roles: Mutex::default(), made: Mutex::default() }
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    pub(super) fn access(&self, role: Option<&Role>) -> Access {
        match role {
            None => Access::Process(Arc::clone(&self.process)),
            Some(role) => Access::Role(self.assumed(role)),
        }
    }

    /// The client for a region that uses `role`, or the process's own credentials.
    pub(super) fn client(&self, role: Option<&Role>, region: &str) -> Client {
        let generation = if role.is_none() { self.process.generation() } else { 0 };
        let mut made = lock(&self.made);
        let key = (role.cloned(), region.to_owned());
        if let Some(known) = made.get(&key).filter(|known| known.generation == generation) {
            return known.client.clone();
        }
        if made.len() >= CLIENTS_MAX {
            made.clear();
        }
        let client = Client::from_conf(self.config(role, region));
        made.insert(key, Made { client: client.clone(), generation });
        client
    }

    pub(super) fn assumed(&self, role: &Role) -> Arc<AssumedRole> {
        let mut roles = lock(&self.roles);
        if let Some(known) = roles.get(role) {
            return Arc::clone(known);
        }
        if roles.len() >= ROLES_MAX {
            roles.clear();
        }
        let name = self.settings.session_name.clone();
        let new = Arc::new(AssumedRole::new(role.clone(), name, Arc::clone(&self.process)));
        roles.insert(role.clone(), Arc::clone(&new));
        new
    }

    /// What clients of any service in a region are made from. They use `role`, or the process's own
    /// credentials, and try once: what follows from a failure is decided by its class.
    pub(super) fn sdk(&self, role: Option<&Role>, region: &str) -> SdkConfig {
        let sdk = self.process.sdk().to_builder();
        let sdk = sdk.region(Region::new(region.to_owned())).retry_config(RetryConfig::disabled());
        match role {
            None => sdk.identity_cache(self.process.cache()),
            // A role caches its session itself.
            Some(role) => {
                let role: Arc<dyn ProvideCredentials> = self.assumed(role);
                let role = SharedCredentialsProvider::new(role);
                sdk.identity_cache(IdentityCache::no_cache()).credentials_provider(role)
            }
        }
        .build()
    }

    fn config(&self, role: Option<&Role>, region: &str) -> aws_sdk_s3::Config {
        let settings = &self.settings;
        let mut builder = aws_sdk_s3::config::Builder::from(&self.sdk(role, region));
        builder.set_endpoint_url(settings.endpoint_url.as_deref().map(base_of));
        builder
            .force_path_style(settings.path_style)
            .timeout_config(settings.timeouts.of_body(0))
            // With `Auto`, put_once sends the checksum; a checksum added by the client would be a trailer.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            // Applies only to GETs: a HEAD requests no checksum, for which S3 may require kms:Decrypt.
            .response_checksum_validation(match settings.checksums {
                Checksums::Auto => ResponseChecksumValidation::WhenSupported,
                Checksums::WhenRequired => ResponseChecksumValidation::WhenRequired,
            })
            .build()
    }
}
