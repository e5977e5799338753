//! Finds what the policies for AWS need to know of a configuration.

use crate::config::{After, Config, ImportSettings};
use crate::destinations::settings::{DestinationSettings, ExternalIds, FunctionsAt};
use crate::import::discovery::inputs::s3_folder;
use crate::object::{Role, S3Location};
use crate::policy::{
    Configured, PolicyAfter, PolicyBucket, PolicyDestination, PolicyImport, Template, Values,
};
use crate::random::Random as _;
use crate::runtime::SystemRandom;
use crate::sources::SourceId;

/// An external id that is in force.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ExternalIdInForce {
    /// The destination; `None`: the id is for delivery to the bucket.
    pub destination: Option<String>,
    /// The source.
    pub source: String,
    /// The external id.
    pub external_id: String,
    /// The role with which the id is sent.
    pub role_arn: String,
}

/// What a configuration has that policies are for.
pub fn configured(config: &Config) -> Configured {
    Configured { buckets: places(config), destinations: destinations(config), imports: imports(config) }
}

/// The buckets that a configuration delivers to, each once.
pub fn places(config: &Config) -> Vec<PolicyBucket> {
    let mut places = Vec::new();
    for location in config.locations() {
        let (tags, acl) = (config.s3.object_tags.any(), config.s3.bucket_owner_full_control);
        let place = PolicyBucket::of(location, tags, acl);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The destinations of a configuration that invoke functions of AWS Lambda.
pub fn destinations(config: &Config) -> Vec<PolicyDestination> {
    let lambda = |settings: &DestinationSettings| {
        let FunctionsAt::Lambda(target) = &settings.functions_at else { return None };
        let mut functions: Vec<String> = Vec::new();
        for function in settings.selection.functions.values().chain(&settings.selection.function) {
            if !functions.contains(function) {
                functions.push(function.clone());
            }
        }
        // The ids do not depend on the role, because the trust policy is often put before the role is
        // configured.
        let external_ids = match &target.external_ids {
            ExternalIds::OneForAll(id) => vec![id.to_string()],
            ids @ ExternalIds::OfSources(_) => sources_of(config, settings)
                .filter_map(|source| ids.of(source).ok())
                .map(|id| id.to_string())
                .collect(),
        };
        Some(PolicyDestination {
            name: settings.name.to_string(),
            functions,
            role: target.role.as_ref().map(|role| role.arn().clone()),
            external_ids,
        })
    };
    config.destinations.iter().filter_map(lambda).collect()
}

/// The imports of a configuration, whether they are enabled or not. An external id that is not set is not
/// there, although the import's name stands for it: others may guess the name.
pub fn imports(config: &Config) -> Vec<PolicyImport> {
    let import = |settings: &ImportSettings| PolicyImport {
        name: settings.name.to_string(),
        bucket: Some(settings.bucket.bucket().to_owned()),
        prefix: settings.prefix.clone(),
        region: settings.region.clone(),
        kms_key: None,
        role: settings.role.as_ref().map(|role| role.arn().clone()),
        external_id: settings
            .external_id
            .as_ref()
            .filter(|_| settings.has_own_external_id)
            .map(ToString::to_string),
        queue: settings.discovery.queue().and_then(|queue| queue.arn()?.parse().ok()),
        asks_queue: settings.discovery.queue().is_some_and(|queue| queue.arn().is_none()),
        after: policy_after(&settings.after),
        rejects: settings.rejects_bucket().map(|bucket| {
            let location = S3Location::new(bucket, config.s3.encryption.clone());
            PolicyBucket::of(&S3Location { region: config.s3.region.clone(), ..location }, false, false)
        }),
        journal: settings
            .journal
            .as_deref()
            .and_then(s3_folder)
            .map(|(bucket, prefix)| (bucket.to_owned(), prefix)),
    };
    config.imports.iter().map(import).collect()
}

/// What an import does with its files, for its policy.
pub(super) fn policy_after(after: &After) -> Option<PolicyAfter> {
    match after {
        After::Nothing => None,
        After::Tag => Some(PolicyAfter::Tag),
        After::Move(to) => Some(PolicyAfter::Move(to.clone())),
        After::Delete => Some(PolicyAfter::Delete),
    }
}

/// Gives an import without an external id a new one, for its trust policy. Returns it.
pub fn external_id_of_import(template: Template, values: &mut Values) -> Option<String> {
    let [import] = values.imports.as_mut_slice() else { return None };
    if template != Template::ImportTrust || import.external_id.is_some() {
        return None;
    }
    import.external_id = Some(new_external_id());
    import.external_id.clone()
}

/// An external id that nobody can guess.
pub fn new_external_id() -> String {
    format!("{:032x}", SystemRandom.next_u128())
}

/// The sources whose calls a destination gets.
pub(super) fn sources_of<'a>(
    config: &'a Config,
    destination: &'a DestinationSettings,
) -> impl Iterator<Item = &'a SourceId> {
    config.sources.iter().map(|source| &source.id).filter(|id| destination.selection.takes(id))
}

/// The external ids in force for the calls of each source: those for delivery to the bucket, and those for
/// each destination. `only` selects one destination.
/// Errors: why a source has no external id at a destination.
pub fn external_ids(config: &Config, only: Option<&str>) -> Result<Vec<ExternalIdInForce>, String> {
    let in_force = |destination: Option<&SourceId>, source: &SourceId, role: &Role| ExternalIdInForce {
        destination: destination.map(ToString::to_string),
        source: source.to_string(),
        external_id: role.external_id.to_string(),
        role_arn: role.arn.to_string(),
    };
    let mut ids = Vec::new();
    for source in config.sources.iter().filter(|_| only.is_none()) {
        let role = source.location.as_ref().and_then(|to| to.role.as_ref());
        ids.extend(role.map(|role| in_force(None, &source.id, role)));
    }
    for settings in
        config.destinations.iter().filter(|settings| only.is_none_or(|name| settings.name.as_str() == name))
    {
        let FunctionsAt::Lambda(target) = &settings.functions_at else { continue };
        for source in sources_of(config, settings) {
            ids.extend(target.role_for(source)?.map(|role| in_force(Some(&settings.name), source, &role)));
        }
    }
    Ok(ids)
}
