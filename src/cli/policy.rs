//! `forebay policy`: a policy for AWS, filled in from the configuration and from flags.

use std::path::{Path, PathBuf};

use crate::config::{Config, Environment, Loader};
use crate::object::BucketString;
use crate::policy::{self, Arn, Place, Template, Values};

use super::args::PolicyArgs;
use super::failure::Failure;
use super::say;

/// Where the configuration is unless it is named; it need not be there.
const CONFIG_FILE: &str = "forebay.toml";

/// Prints one policy, or the names of all.
///
/// # Errors
/// [`Failure`] with exit code 2 where something is missing: it names the flag or setting that gives it.
pub fn run(args: &PolicyArgs) -> Result<(), Failure> {
    let Some(template) = args.name.filter(|_| !args.list) else {
        say(&list());
        return Ok(());
    };
    let configured = configured(args.config.as_deref())?;
    let values = values(args, configured).map_err(Failure::usage)?;
    let text = policy::document(template, &values).map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(what) = policy::too_long(template, &text) {
        tracing::warn!("{what}: pick a part by --bucket or --role, or have sources share a prefix");
    }
    say(&text);
    Ok(())
}

/// Names and what they are, one to a line.
pub fn list() -> String {
    let width = Template::ALL.iter().map(|template| template.name().len()).max().unwrap_or_default();
    let line = |template: &Template| format!("{:width$}  {}", template.name(), template.about());
    Template::ALL.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The places that a configuration delivers to, each once.
pub fn places(config: &Config) -> Vec<Place> {
    let mut places = Vec::new();
    for source in &config.sources {
        let place = Place::of(&source.destination, config.s3.object_tags.any(), config.s3.acl.is_some());
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The places of the configuration file. One that is not named may be missing.
fn configured(named: Option<&Path>) -> Result<Vec<Place>, Failure> {
    let path = named.map_or_else(|| PathBuf::from(CONFIG_FILE), Path::to_owned);
    if named.is_none() && !path.exists() {
        return Ok(Vec::new());
    }
    // A policy says nothing of write keys, and whoever prints one need not have them.
    let loaded = Loader::new(&path, Environment::of_process()).without_write_keys().load();
    let loaded = loaded.map_err(|error| Failure::usage(error.to_string()))?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(places(&loaded.config))
}

/// What the flags make of the places of the configuration: a flag that names one of them picks it, another stands above
/// what is configured.
fn values(args: &PolicyArgs, configured: Vec<Place>) -> Result<Values, String> {
    let mut places = match &args.bucket {
        Some(bucket) => pick(configured, |place| is_meant(bucket, place.bucket.as_ref()))
            .unwrap_or_else(|_| vec![Place::plain(Some(bucket.clone()))]),
        None if configured.is_empty() => vec![Place::plain(None)],
        None => configured,
    };
    if let Some(role) = &args.role {
        let arn: Arn = role.as_str().parse().map_err(|error| format!("--role {role}: {error}"))?;
        places = pick(places, |place| place.role.as_ref() == Some(&arn)).unwrap_or_else(|mut places| {
            places.iter_mut().for_each(|place| place.role = Some(arn.clone()));
            places
        });
    }
    if let Some(key) = &args.kms_key {
        places = match pick(places, |place| place.kms_key.as_deref() == Some(key.as_str())) {
            Ok(picked) => picked,
            Err(places) => with_key(places, key.as_str())?,
        };
    }
    if !args.external_id.is_empty() {
        let with = |place: &Place| {
            let ids = args.external_id.iter().map(|id| Some(id.to_string()));
            ids.map(|external_id| Place { external_id, ..place.clone() }).collect::<Vec<_>>()
        };
        places = places.iter().flat_map(with).collect();
    }
    if args.region.is_some() {
        places.iter_mut().for_each(|place| place.region.clone_from(&args.region));
    }
    Ok(Values {
        places,
        principals: args.principal.clone(),
        readers: args.reader.clone(),
        account: args.account.as_ref().map(ToString::to_string),
        region: args.region.clone(),
    })
}

/// A bucket without a prefix means every prefix in it.
fn is_meant(bucket: &BucketString, other: Option<&BucketString>) -> bool {
    other.is_some_and(|other| {
        other == bucket || bucket.prefix().is_empty() && other.bucket() == bucket.bucket()
    })
}

/// The places that fit; all of them as an error where none does.
fn pick(places: Vec<Place>, fits: impl Fn(&Place) -> bool) -> Result<Vec<Place>, Vec<Place>> {
    if places.iter().any(&fits) { Ok(places.into_iter().filter(fits).collect()) } else { Err(places) }
}

/// The key in place of the one that is configured, which may be named by an alias; everywhere where none is.
fn with_key(mut places: Vec<Place>, key: &str) -> Result<Vec<Place>, String> {
    let mut named: Vec<&str> = places.iter().filter_map(|place| place.kms_key.as_deref()).collect();
    named.sort_unstable();
    named.dedup();
    if named.len() > 1 {
        return Err(format!(
            "--kms-key cannot stand for several keys ({}): name each by its ARN in the configuration, or pick with --bucket",
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
