//! What an import needs of S3, as the command line says.

use std::sync::Arc;

use super::args::ToArgs;
use crate::cli::failure::Failure;
use crate::cli::serve;
use crate::config::Endpoint;
use crate::import::shared_place::SharedPlace;
use crate::node::settings::store_settings;
use crate::random::Random as _;
use crate::runtime::SystemRandom;
use crate::store::s3::{S3Settings, S3Store};

/// The store that `s3://` sources are read from: as configured, or as the environment says.
///
/// # Errors
/// [`Failure`]: the configuration cannot be used.
pub(super) async fn store(to: &ToArgs) -> Result<Arc<S3Store>, Failure> {
    let mut settings = match &to.way.config {
        Some(config) => store_settings(&serve::load(config)?.1.config, "import"),
        None => S3Settings::default(),
    };
    if let Some(url) = &to.endpoint_url {
        at_endpoint(&mut settings, url);
    }
    Ok(Arc::new(S3Store::new(settings).await))
}

#[cfg(feature = "lambda")]
/// The store of the environment, at an endpoint of its own if it is not AWS. An endpoint cannot be asked for the region
/// of a bucket, and Lambda names that of the function.
pub(in crate::cli) async fn store_at(endpoint: Option<&Endpoint>, region: Option<&str>) -> Arc<S3Store> {
    let mut settings = S3Settings::default();
    if let Some(url) = endpoint {
        at_endpoint(&mut settings, url);
        settings.region = region.map(str::to_owned);
    }
    Arc::new(S3Store::new(settings).await)
}

fn at_endpoint(settings: &mut S3Settings, url: &Endpoint) {
    settings.endpoint_url = Some(url.as_str().to_owned());
    settings.path_style = true;
}

/// The place that was named with `--journal`, if any.
///
/// # Errors
/// [`Failure`]: it is no place.
pub(super) async fn shared_place(to: &ToArgs) -> Result<Option<SharedPlace>, Failure> {
    let Some(named) = to.way.journal.as_deref() else { return Ok(None) };
    Ok(Some(SharedPlace::named("--journal", named, store(to).await?)?))
}

/// This process, told from all others.
pub(super) fn importer() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {} ({:016x})", std::process::id(), host.trim(), SystemRandom.next_u64())
}
