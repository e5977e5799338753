//! Tests from this machine whether an import can read its bucket, and whether the collector can use what it
//! keeps beside it: a shared journal, and rejected rows.

use std::sync::Arc;

use super::bucket_imports::{ImportPlan, ImportStores, plans, seen_rules, tried_journal};
use super::policies::{self, new_external_id};
use super::settings::node_name;
use crate::admin::BucketImportError;
use crate::check::finding::CheckFinding;
use crate::check::report::Group;
use crate::check::{
    AccessEnd, ImportQueue, ImportTest, ImportTested, Reach, TriedRejects, test_import, test_journal,
    test_notifications, test_rejects,
};
use crate::config::Config;
use crate::object::ExternalId;
use crate::runtime::SystemClock;
use crate::sources::SourceId;

/// Tests whether an import can read its bucket. It may be without a converter.
/// Errors: there is no such import, or its settings cannot be used. A failed test is in the result.
pub async fn test_access(config: &Config, name: &SourceId) -> Result<ImportTested, String> {
    let plan = plans(config).into_iter().find(|plan| plan.settings.name == *name).ok_or_else(|| {
        let known = config.imports.iter().map(|import| import.name.to_string()).collect();
        BucketImportError::Unknown(name.to_string(), known).to_string()
    })?;
    let stores = ImportStores::of(config, &node_name(config)).await;
    let own = &plan.settings.endpoint;
    let endpoint = own.as_ref().or(config.dev_s3.as_ref());
    let test = ImportTest {
        reader: plan.reader()?,
        session: stores.settings.session_name.clone(),
        queue: match plan.settings.discovery.queue() {
            Some(address) => {
                let queue = stores.queue_of(&plan, address).await;
                Some(ImportQueue { address: address.clone(), queue })
            }
            None => None,
        },
        wrong_external_id: ExternalId::parse(&new_external_id())?,
        has_token_service: has_token_service(
            endpoint.map(|endpoint| endpoint.as_str()),
            stores.settings.sts_endpoint_url.as_deref(),
        ),
        has_policies: own.is_some() || config.dev_s3.is_none(),
    };
    let store = stores.client_of(&plan).await;
    let wants = |listed: &_| plan.wants(listed);
    let mut tested = test_import(&test, store, Arc::new(SystemClock::new()), &wants).await;
    if let Some(seen) = seen_rules(config, &plan, &stores).await? {
        let bucket = plan.settings.bucket.bucket();
        let finding = test_notifications(name.as_str(), bucket, seen);
        add(&mut tested, &format!("notifications of {bucket} for import {name}"), (vec![finding], None));
    }
    if let Some(tried) = tried_journal(&plan, &stores.own).await? {
        add(&mut tested, &format!("{} for import {name}", tried.url), test_journal(&tried));
    }
    if let Some(tried) = tried_rejects(config, &plan, &stores).await? {
        add(&mut tested, &format!("{} for import {name}", tried.url), test_rejects(&tried));
    }
    Ok(tested)
}

/// Adds findings. The test ends as the first of them that failed, unless another one failed before.
fn add(tested: &mut ImportTested, title: &str, (findings, end): (Vec<CheckFinding>, Option<AccessEnd>)) {
    tested.report.groups.push(Group::new(title, findings));
    if let Some(end) = end.filter(|_| tested.end == AccessEnd::Sound) {
        tested.end = end;
    }
}

/// Tries the rights that rejected rows need; `None`: they go to no bucket.
/// Errors: the settings cannot be used; the text says what to do.
async fn tried_rejects(
    config: &Config,
    plan: &ImportPlan,
    stores: &ImportStores,
) -> Result<Option<TriedRejects>, String> {
    let Some(place) = plan.rejects_in_store(stores)? else { return Ok(None) };
    let name = plan.settings.name.as_str();
    let import = policies::imports(config).into_iter().find(|import| import.name == name).unwrap_or_default();
    let (put, get) = place.try_rights().await;
    Ok(Some(TriedRejects { import, url: place.text(), put, get }))
}

/// Whether a token service can be asked for the identity of the process.
fn has_token_service(endpoint: Option<&str>, sts_endpoint: Option<&str>) -> bool {
    sts_endpoint.is_some() || endpoint.is_none_or(Reach::is_of_aws)
}
