//! `forebay policy`: an AWS policy, filled in from the configuration and flags.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::arn::Arn;
use crate::config::{Config, Environment, Loader};
use crate::object::BucketString;
use crate::policy::{self, CsvFunction, PolicyPlace, Template, Values};
use crate::words::table::table;

use super::args::PolicyArgs;
use super::failure::Failure;
use super::print_json::print_json;

/// The configuration file if none is given; it may be missing.
const CONFIG_FILE: &str = "forebay.toml";

/// A policy in the list, as JSON.
#[derive(serde::Serialize)]
struct Listed {
    name: &'static str,
    about: &'static str,
}

impl Listed {
    fn of(template: Template) -> Self {
        Self { name: template.name(), about: template.about() }
    }
}

/// Prints one policy, or lists all.
///
/// # Errors
/// [`Failure`] with exit code 2 if a value is missing: it names the flag or setting for the value.
pub fn run(args: &PolicyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let Some(template) = args.name.filter(|_| !args.list) else {
        match args.json {
            true => print_json(out, &Template::ALL.map(Listed::of))?,
            false => writeln!(out, "{}", list())?,
        }
        return Ok(());
    };
    // The configuration names the buckets that a collector writes to, not those that CSV files are in.
    let of_function = template.is_of_function();
    let configured = if of_function { Vec::new() } else { configured(args.config.as_deref())? };
    let values = values(args, configured).map_err(Failure::usage)?;
    let text = policy::document(template, &values).map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(what) = policy::too_long(template, &text) {
        tracing::warn!("{what}: select a part with --bucket or --role, or let sources share a prefix");
    }
    writeln!(out, "{text}")?;
    Ok(())
}

/// The names of all policies with their descriptions, one per line.
pub fn list() -> String {
    let rows = Template::ALL.map(|template| [template.name(), template.about()].map(str::to_owned));
    table(&rows, &[]).join("\n")
}

/// The places that a configuration delivers to, each once.
pub fn places(config: &Config) -> Vec<PolicyPlace> {
    let mut places = Vec::new();
    for source in &config.sources {
        let place =
            PolicyPlace::of(&source.destination, config.s3.object_tags.any(), config.s3.acl.is_some());
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The places in the configuration file. The default file may be missing.
fn configured(named: Option<&Path>) -> Result<Vec<PolicyPlace>, Failure> {
    let path = named.map_or_else(|| PathBuf::from(CONFIG_FILE), Path::to_owned);
    if named.is_none() && !path.exists() {
        return Ok(Vec::new());
    }
    // A policy contains no write keys, and the person who prints one need not have them.
    let loaded = Loader::new(&path, Environment::of_process()).without_secrets().load();
    let loaded = loaded.map_err(|error| Failure::usage(error.to_string()))?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(places(&loaded.config))
}

/// The configured places, as changed by the flags: a flag that matches configured places selects them;
/// another value overrides the configured ones.
fn values(args: &PolicyArgs, configured: Vec<PolicyPlace>) -> Result<Values, String> {
    let mut places = match &args.bucket {
        Some(bucket) => pick(configured, |place| is_meant(bucket, place.bucket.as_ref()))
            .unwrap_or_else(|_| vec![PolicyPlace::plain(Some(bucket.clone()))]),
        None if configured.is_empty() => vec![PolicyPlace::plain(None)],
        None => configured,
    };
    if let Some(role) = &args.role {
        let arn: &Arn = role.arn();
        places = pick(places, |place| place.role.as_ref() == Some(arn)).unwrap_or_else(|mut places| {
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
        let with = |place: &PolicyPlace| {
            let ids = args.external_id.iter().map(|id| Some(id.to_string()));
            ids.map(|external_id| PolicyPlace { external_id, ..place.clone() }).collect::<Vec<_>>()
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
        function: Some(CsvFunction {
            name: args.function.clone(),
            journal: args.journal.clone(),
            output: args.output.clone(),
            rejects: args.rejects.clone(),
            queue: args.queue.clone(),
            failures: args.failures.clone(),
            invokes_itself: args.self_invoke,
        }),
    })
}

/// A bucket without a prefix matches every prefix in it.
fn is_meant(bucket: &BucketString, other: Option<&BucketString>) -> bool {
    other.is_some_and(|other| {
        other == bucket || bucket.prefix().is_empty() && other.bucket() == bucket.bucket()
    })
}

/// The places that match. If none matches, the error lists all places.
fn pick(
    places: Vec<PolicyPlace>,
    fits: impl Fn(&PolicyPlace) -> bool,
) -> Result<Vec<PolicyPlace>, Vec<PolicyPlace>> {
    if places.iter().any(&fits) { Ok(places.into_iter().filter(fits).collect()) } else { Err(places) }
}

/// Replaces the configured key, which may be an alias; if no key is configured, sets it everywhere.
fn with_key(mut places: Vec<PolicyPlace>, key: &str) -> Result<Vec<PolicyPlace>, String> {
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
