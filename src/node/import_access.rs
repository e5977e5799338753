//! Tests from this machine whether an import can read its bucket.

use std::sync::Arc;

use super::bucket_imports::{ImportStores, plans, tried_journal};
use super::policies::new_external_id;
use super::settings::{node_name, store_settings};
use crate::admin::BucketImportError;
use crate::check::report::Group;
use crate::check::{AccessEnd, ImportQueue, ImportTest, ImportTested, Reach, test_import, test_journal};
use crate::config::Config;
use crate::object::ExternalId;
use crate::runtime::SystemClock;
use crate::sources::SourceId;
use crate::store::s3::S3Store;

/// Tests whether an import can read its bucket. It may be without a converter.
/// Errors: there is no such import, or its settings cannot be used. A failed test is in the result.
pub async fn test_access(config: &Config, name: &SourceId) -> Result<ImportTested, String> {
    let plan = plans(config).into_iter().find(|plan| plan.settings.name == *name).ok_or_else(|| {
        let known = config.imports.iter().map(|import| import.name.to_string()).collect();
        BucketImportError::Unknown(name.to_string(), known).to_string()
    })?;
    let settings = store_settings(config, &node_name(config));
    let stores =
        ImportStores { own: Arc::new(S3Store::new(settings.clone()).await), settings: settings.clone() };
    let test = ImportTest {
        reader: plan.reader()?,
        session: settings.session_name.clone(),
        queue: match plan.settings.discovery.queue() {
            Some(address) => {
                let queue = stores.queue_of(&plan, address).await;
                Some(ImportQueue { address: address.clone(), queue })
            }
            None => None,
        },
        wrong_external_id: ExternalId::parse(&new_external_id())?,
        has_token_service: has_token_service(
            plan.settings.endpoint.as_ref().map(|endpoint| endpoint.as_str()),
            settings.sts_endpoint_url.as_deref(),
        ),
    };
    let store = stores.client_of(&plan).await;
    let wants = |listed: &_| plan.wants(listed);
    let mut tested = test_import(&test, store, Arc::new(SystemClock::new()), &wants).await;
    if let Some(tried) = tried_journal(&plan, &stores.own).await? {
        let (findings, end) = test_journal(&tried);
        tested.report.groups.push(Group::new(&format!("{} for import {name}", tried.url), findings));
        if let Some(end) = end.filter(|_| tested.end == AccessEnd::Sound) {
            tested.end = end;
        }
    }
    Ok(tested)
}

/// Whether a token service can be asked for the identity of the process.
fn has_token_service(endpoint: Option<&str>, sts_endpoint: Option<&str>) -> bool {
    sts_endpoint.is_some() || endpoint.is_none_or(Reach::is_of_aws)
}
