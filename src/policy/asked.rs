//! What a policy is for: what a person asks, and what the configuration has.

use super::template::Template;
use super::values::{CsvFunction, PolicyBucket, PolicyDestination, PolicyImport, Values};
use crate::arn::Arn;
use crate::object::BucketString;

/// What a person asks of a policy.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The bucket: one that is configured, or another.
    pub bucket: Option<BucketString>,
    /// Who the collector runs as.
    pub principals: Vec<Arn>,
    /// The ARN of the KMS key: one that is configured, or another.
    pub kms_key: Option<String>,
    /// The role that is assumed: one that is configured, or another.
    pub role: Option<Arn>,
    /// With which external ids.
    pub external_ids: Vec<String>,
    /// Who reads the objects.
    pub readers: Vec<Arn>,
    /// The account of the key or of the function.
    pub account: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The name of a destination.
    pub destination: Option<String>,
    /// The name of an import.
    pub import: Option<String>,
    /// Functions in place of those of the destination.
    pub function_arns: Vec<String>,
    /// The function that imports CSV files.
    pub function: CsvFunction,
}

/// What the configuration has.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// The buckets of sources.
    pub buckets: Vec<PolicyBucket>,
    /// The destinations.
    pub destinations: Vec<PolicyDestination>,
    /// The imports of buckets.
    pub imports: Vec<PolicyImport>,
}

/// The configured buckets, destinations and imports, as changed by what is asked: a value that matches
/// configured ones selects them; another value overrides theirs.
/// Errors: a message that names the flag.
pub fn values(asked: &Asked, template: Template, configured: Configured) -> Result<Values, String> {
    let Configured { buckets: configured, destinations, imports } = configured;
    let destinations = chosen_destinations(asked, template, destinations)?;
    let imports = chosen_imports(asked, template, imports, &configured)?;
    let of_another = |arn: &Arn| {
        let roles = destinations.iter().filter_map(|one| one.role.as_ref());
        roles.chain(imports.iter().filter_map(|one| one.role.as_ref())).any(|role| role == arn)
    };
    let mut places = match &asked.bucket {
        Some(bucket) => pick(configured, |place| is_meant(bucket, place.bucket.as_ref()))
            .unwrap_or_else(|_| vec![PolicyBucket::plain(Some(bucket.clone()))]),
        None if configured.is_empty() => vec![PolicyBucket::plain(None)],
        None => configured,
    };
    if let Some(arn) = &asked.role {
        places = pick(places, |place| place.role.as_ref() == Some(arn)).unwrap_or_else(|mut places| {
            // The role of a destination or an import is not one for writing to the buckets.
            if !of_another(arn) {
                places.iter_mut().for_each(|place| place.role = Some(arn.clone()));
            }
            places
        });
    }
    if let Some(key) = &asked.kms_key {
        places = match pick(places, |place| place.kms_key.as_ref() == Some(key)) {
            Ok(picked) => picked,
            Err(places) => with_key(places, key)?,
        };
    }
    if !asked.external_ids.is_empty() {
        let with = |place: &PolicyBucket| {
            let ids = asked.external_ids.iter().cloned().map(Some);
            ids.map(|external_id| PolicyBucket { external_id, ..place.clone() }).collect::<Vec<_>>()
        };
        places = places.iter().flat_map(with).collect();
    }
    if asked.region.is_some() {
        places.iter_mut().for_each(|place| place.region.clone_from(&asked.region));
    }
    Ok(Values {
        places,
        principals: asked.principals.clone(),
        readers: asked.readers.clone(),
        account: asked.account.clone(),
        region: asked.region.clone(),
        function: Some(asked.function.clone()),
        destinations,
        imports,
    })
}

/// The key of rejected rows if this one is asked for. It selects among those that are configured, or stands
/// for the one that is not: an alias, or the bucket's default.
fn set_key_of_rejects(place: &mut PolicyBucket, key: &str, configured: &[PolicyBucket]) {
    let is_selected = configured.iter().any(|other| other.kms_key.as_deref() == Some(key));
    match &place.kms_key {
        Some(own) if own == key => {}
        Some(_) if is_selected => place.kms_key = None,
        None if place.sse_s3 => {}
        _ => place.kms_key = Some(key.to_owned()),
    }
}

/// The imports that the policy is for.
fn chosen_imports(
    asked: &Asked,
    template: Template,
    mut imports: Vec<PolicyImport>,
    configured: &[PolicyBucket],
) -> Result<Vec<PolicyImport>, String> {
    let role = asked.role.as_ref();
    if !template.is_of_import() {
        // A policy for one bucket or another role has nothing for imports.
        imports.retain(|one| asked.bucket.is_none() && (role.is_none() || one.role.as_ref() == role));
        let places = imports.iter_mut().filter_map(|one| one.rejects.as_mut());
        if let Some(key) = &asked.kms_key {
            places.for_each(|place| set_key_of_rejects(place, key, configured));
        }
        return Ok(imports);
    }
    if let Some(name) = &asked.import {
        known("import", name, imports.iter().map(|one| one.name.as_str()))?;
        imports.retain(|one| one.name == *name);
    }
    if role.is_some() && imports.iter().any(|one| one.role.as_ref() == role) {
        imports.retain(|one| one.role.as_ref() == role);
    }
    // A prefix that is a flag is a folder, as that of a bucket.
    let folder = |bucket: &BucketString| bucket.below("");
    let is_meant = |bucket: &BucketString, one: &PolicyImport| {
        let is_whole = bucket.prefix().is_empty();
        one.bucket.as_deref() == Some(bucket.bucket()) && (is_whole || one.prefix == folder(bucket))
    };
    if let Some(bucket) = asked.bucket.as_ref().filter(|_| asked.import.is_none()) {
        imports.retain(|one| is_meant(bucket, one));
    }
    if imports.is_empty() {
        imports.push(PolicyImport::default());
    }
    let external_id = match asked.external_ids.as_slice() {
        [] => None,
        [id] => Some(id.clone()),
        _ => return Err("--external-id: an import has one external id".to_owned()),
    };
    for one in &mut imports {
        if let Some(bucket) = asked.bucket.as_ref().filter(|bucket| !is_meant(bucket, one)) {
            (one.bucket, one.prefix) = (Some(bucket.bucket().to_owned()), folder(bucket));
        }
        one.role = role.cloned().or(one.role.take());
        one.kms_key.clone_from(&asked.kms_key);
        one.external_id = external_id.clone().or(one.external_id.take());
        one.region = asked.region.clone().or(one.region.take());
        one.asks_queue |= asked.function.queue.is_some();
        one.queue = asked.function.queue.clone().or(one.queue.take());
    }
    Ok(imports)
}

/// The destinations that the policy is for.
fn chosen_destinations(
    asked: &Asked,
    template: Template,
    mut destinations: Vec<PolicyDestination>,
) -> Result<Vec<PolicyDestination>, String> {
    if let Some(name) = &asked.destination {
        known("destination", name, destinations.iter().map(|one| one.name.as_str()))?;
        destinations.retain(|one| one.name == *name);
    }
    let role = asked.role.as_ref();
    let has_role = |one: &PolicyDestination| one.role.as_ref() == role;
    if role.is_some() && destinations.iter().any(has_role) {
        destinations.retain(has_role);
    } else if role.is_some() && !template.is_of_destination() {
        // The flag names another role, which writes to a bucket.
        destinations.clear();
    }
    if !template.is_of_destination() {
        // A policy for one bucket has nothing for destinations.
        return Ok(if asked.bucket.is_some() { Vec::new() } else { destinations });
    }
    if destinations.is_empty() {
        destinations.push(PolicyDestination::default());
    }
    for one in &mut destinations {
        if let Some(role) = role {
            one.role = Some(role.clone());
        }
        if !asked.function_arns.is_empty() {
            one.functions.clone_from(&asked.function_arns);
        }
        if !asked.external_ids.is_empty() {
            one.external_ids.clone_from(&asked.external_ids);
        }
    }
    Ok(destinations)
}

/// A bucket without a prefix matches every prefix in it.
fn is_meant(bucket: &BucketString, other: Option<&BucketString>) -> bool {
    other.is_some_and(|other| {
        other == bucket || bucket.prefix().is_empty() && other.bucket() == bucket.bucket()
    })
}

/// The buckets that match. If none matches, the error has all buckets.
fn pick(
    places: Vec<PolicyBucket>,
    fits: impl Fn(&PolicyBucket) -> bool,
) -> Result<Vec<PolicyBucket>, Vec<PolicyBucket>> {
    if places.iter().any(&fits) { Ok(places.into_iter().filter(fits).collect()) } else { Err(places) }
}

/// Replaces the configured key, which may be an alias. If no key is configured, sets the key everywhere.
fn with_key(mut places: Vec<PolicyBucket>, key: &str) -> Result<Vec<PolicyBucket>, String> {
    let mut named: Vec<&str> = places.iter().filter_map(|place| place.kms_key.as_deref()).collect();
    named.sort_unstable();
    named.dedup();
    if named.len() > 1 {
        return Err(format!(
            "--kms-key cannot replace several keys ({}): configure each by its ARN, or select one with --bucket",
            named.join(", ")
        ));
    }
    let none = named.is_empty();
    for place in places.iter_mut().filter(|place| none || place.kms_key.is_some()) {
        place.kms_key = Some(key.to_owned());
        place.sse_s3 = false;
    }
    Ok(places)
}

/// Refuses a destination or an import that is not configured.
/// Errors: a message with the names that there are.
pub fn known<'a>(what: &str, name: &str, among: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let among: Vec<&str> = among.collect();
    if among.contains(&name) {
        return Ok(());
    }
    let others =
        if among.is_empty() { "and no other one".to_owned() } else { format!("but {}", among.join(", ")) };
    Err(format!("--{what} {name}: the configuration has no such {what}, {others}"))
}
