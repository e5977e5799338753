//! Opens the store that imported files are read from.

use std::sync::Arc;

use super::settings::store_settings;
use crate::config::{Config, Endpoint};
use crate::store::reader::Store;
use crate::store::s3::{S3Settings, S3Store};

/// A store that files are read from.
pub type ImportStore = Arc<dyn Store>;

/// The store that files are read from: as in the configuration, or else as in the environment. `endpoint`
/// overrides the endpoint.
pub async fn import_store(config: Option<&Config>, endpoint: Option<&Endpoint>) -> ImportStore {
    let settings = config.map_or_else(S3Settings::default, |config| store_settings(config, "import"));
    opened(settings, endpoint).await
}

/// The store of the environment, at `endpoint` if there is one. Such an endpoint cannot be asked for the
/// region of a bucket, so it gets `region`, which AWS Lambda sets for the function.
#[cfg(feature = "lambda")]
pub(super) async fn store_at(endpoint: Option<&Endpoint>, region: Option<&str>) -> ImportStore {
    let region = region.filter(|_| endpoint.is_some()).map(str::to_owned);
    opened(S3Settings { region, ..S3Settings::default() }, endpoint).await
}

async fn opened(mut settings: S3Settings, endpoint: Option<&Endpoint>) -> ImportStore {
    if let Some(url) = endpoint {
        settings.endpoint_url = Some(url.as_str().to_owned());
        settings.path_style = true;
    }
    Arc::new(S3Store::new(settings).await)
}
