//! `forebay policy`: an AWS policy, filled in from the configuration and flags.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::arn::Arn;
use crate::config::{Config, Environment, Loader};
use crate::node::policies::{destinations, external_ids, imports, new_external_id, places};
use crate::object::BucketString;
use crate::policy::{self, CsvFunction, PolicyBucket, PolicyDestination, PolicyImport, Template, Values};
use crate::words::table::table;

use super::args::PolicyArgs;
use super::failure::Failure;
use super::print_json::print_json;

/// The configuration file if none is named; it may be missing.
const CONFIG_FILE: &str = "forebay.toml";

/// A policy in the list, as JSON.
#[derive(serde::Serialize)]
struct Listed {
    name: &'static str,
    about: &'static str,
}

/// Prints one policy, or lists all, or lists the external ids.
/// Errors: [`Failure`] with exit code 2 if a value is missing: it names the flag or setting for the value.
pub fn run(args: &PolicyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if args.external_ids {
        return print_external_ids(args, out);
    }
    let Some(template) = args.name.filter(|_| !args.list) else {
        match args.json {
            true => {
                let listed = |template: Template| Listed { name: template.name(), about: template.about() };
                print_json(out, &Template::ALL.map(listed))?;
            }
            false => writeln!(out, "{}", list())?,
        }
        return Ok(());
    };
    // The configuration names the buckets that a collector writes to, not those that CSV files are in.
    let of_function = template.is_of_function();
    let loaded = if of_function { None } else { loaded(args.config.as_deref())? };
    let configured = loaded.map(|config| (places(&config), destinations(&config), imports(&config)));
    let mut values = values(args, template, configured.unwrap_or_default()).map_err(Failure::usage)?;
    let new_id = external_id_of_import(template, &mut values);
    let text = policy::document(template, &values)?;
    if let Some(what) = policy::too_long(template, &text) {
        let how = if template.is_of_destination() {
            "select a destination with --destination, and give it a role of its own"
        } else if template.is_of_import() {
            "give fewer values of --principal"
        } else {
            "select a part with --bucket or --role, or let sources share a prefix"
        };
        tracing::warn!("{what}: {how}");
    }
    writeln!(out, "{text}")?;
    if let Some(id) = new_id {
        tracing::warn!(
            "the import has no external_id, so this policy has a new one: write external_id = \"{id}\" into its \
             [[import]], beside role_arn"
        );
    }
    Ok(())
}

/// Gives an import without an external id a new one, for its trust policy. Returns it.
fn external_id_of_import(template: Template, values: &mut Values) -> Option<String> {
    let [import] = values.imports.as_mut_slice() else { return None };
    if template != Template::ImportTrust || import.external_id.is_some() {
        return None;
    }
    import.external_id = Some(new_external_id());
    import.external_id.clone()
}

/// The names of all policies with their descriptions, one per line.
pub fn list() -> String {
    let rows = Template::ALL.map(|template| [template.name(), template.about()].map(str::to_owned));
    table(&rows, &[]).join("\n")
}

fn print_external_ids(args: &PolicyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let Some(config) = loaded(args.config.as_deref())? else {
        return Err(Failure::usage(format!("there is no {CONFIG_FILE}: give --config FILE")));
    };
    if let Some(name) = &args.destination {
        known("destination", name, config.destinations.iter().map(|settings| settings.name.as_str()))
            .map_err(Failure::usage)?;
    }
    let ids = external_ids(&config, args.destination.as_deref()).map_err(Failure::usage)?;
    if args.json {
        return Ok(print_json(out, &ids)?);
    }
    if ids.is_empty() {
        writeln!(out, "no role is assumed, so no external id is sent")?;
        return Ok(());
    }
    let head = ["destination", "source", "external id", "role"].map(str::to_owned);
    let rows = ids.into_iter().map(|id| {
        [id.destination.unwrap_or_else(|| "the bucket".to_owned()), id.source, id.external_id, id.role_arn]
    });
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(rows).collect();
    writeln!(out, "{}", table(&rows, &[]).join("\n"))?;
    Ok(())
}

/// Refuses a destination or an import that is not configured.
fn known<'a>(what: &str, name: &str, among: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let among: Vec<&str> = among.collect();
    if among.contains(&name) {
        return Ok(());
    }
    let others =
        if among.is_empty() { "and no other one".to_owned() } else { format!("but {}", among.join(", ")) };
    Err(format!("--{what} {name}: the configuration has no such {what}, {others}"))
}

/// The configuration. The default file may be missing.
fn loaded(named: Option<&Path>) -> Result<Option<Config>, Failure> {
    let path = named.map_or_else(|| PathBuf::from(CONFIG_FILE), Path::to_owned);
    if named.is_none() && !path.exists() {
        return Ok(None);
    }
    // A policy contains no write keys, and the person who prints one need not have them, nor a converter yet.
    let loaded =
        Loader::new(&path, Environment::of_process()).without_secrets().without_converters().load()?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(Some(loaded.config))
}

/// The configured buckets, destinations and imports, as changed by the flags: a flag that matches configured ones
/// selects them; another value overrides theirs.
fn values(
    args: &PolicyArgs,
    template: Template,
    (configured, destinations, imports): (Vec<PolicyBucket>, Vec<PolicyDestination>, Vec<PolicyImport>),
) -> Result<Values, String> {
    let destinations = chosen_destinations(args, template, destinations)?;
    let imports = chosen_imports(args, template, imports)?;
    let of_another = |arn: &Arn| {
        let roles = destinations.iter().filter_map(|one| one.role.as_ref());
        roles.chain(imports.iter().filter_map(|one| one.role.as_ref())).any(|role| role == arn)
    };
    let mut places = match &args.bucket {
        Some(bucket) => pick(configured, |place| is_meant(bucket, place.bucket.as_ref()))
            .unwrap_or_else(|_| vec![PolicyBucket::plain(Some(bucket.clone()))]),
        None if configured.is_empty() => vec![PolicyBucket::plain(None)],
        None => configured,
    };
    if let Some(role) = &args.role {
        let arn: &Arn = role.arn();
        places = pick(places, |place| place.role.as_ref() == Some(arn)).unwrap_or_else(|mut places| {
            // The role of a destination or an import is not one for writing to the buckets.
            if !of_another(arn) {
                places.iter_mut().for_each(|place| place.role = Some(arn.clone()));
            }
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
        let with = |place: &PolicyBucket| {
            let ids = args.external_id.iter().map(|id| Some(id.to_string()));
            ids.map(|external_id| PolicyBucket { external_id, ..place.clone() }).collect::<Vec<_>>()
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
        destinations,
        imports,
    })
}

/// The imports that the policy is for.
fn chosen_imports(
    args: &PolicyArgs,
    template: Template,
    mut imports: Vec<PolicyImport>,
) -> Result<Vec<PolicyImport>, String> {
    let role = args.role.as_ref().map(|role| role.arn());
    if !template.is_of_import() {
        // A policy for one bucket or another role has nothing for imports.
        imports.retain(|one| args.bucket.is_none() && (role.is_none() || one.role.as_ref() == role));
        return Ok(imports);
    }
    if let Some(name) = &args.import {
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
    if let Some(bucket) = args.bucket.as_ref().filter(|_| args.import.is_none()) {
        imports.retain(|one| is_meant(bucket, one));
    }
    if imports.is_empty() {
        imports.push(PolicyImport::default());
    }
    let external_id = match args.external_id.as_slice() {
        [] => None,
        [id] => Some(id.to_string()),
        _ => return Err("--external-id: an import has one external id".to_owned()),
    };
    for one in &mut imports {
        if let Some(bucket) = args.bucket.as_ref().filter(|bucket| !is_meant(bucket, one)) {
            (one.bucket, one.prefix) = (Some(bucket.bucket().to_owned()), folder(bucket));
        }
        one.role = role.cloned().or(one.role.take());
        one.kms_key = args.kms_key.as_ref().map(ToString::to_string);
        one.external_id = external_id.clone().or(one.external_id.take());
        one.region = args.region.clone().or(one.region.take());
    }
    Ok(imports)
}

/// The destinations that the policy is for.
fn chosen_destinations(
    args: &PolicyArgs,
    template: Template,
    mut destinations: Vec<PolicyDestination>,
) -> Result<Vec<PolicyDestination>, String> {
    if let Some(name) = &args.destination {
        known("destination", name, destinations.iter().map(|one| one.name.as_str()))?;
        destinations.retain(|one| one.name == *name);
    }
    let role = args.role.as_ref().map(|role| role.arn());
    let has_role = |one: &PolicyDestination| one.role.as_ref() == role;
    if role.is_some() && destinations.iter().any(has_role) {
        destinations.retain(has_role);
    } else if role.is_some() && !template.is_of_destination() {
        // The flag names another role, which writes to a bucket.
        destinations.clear();
    }
    if !template.is_of_destination() {
        // A policy for one bucket has nothing for destinations.
        return Ok(if args.bucket.is_some() { Vec::new() } else { destinations });
    }
    if destinations.is_empty() {
        destinations.push(PolicyDestination::default());
    }
    for one in &mut destinations {
        if let Some(role) = role {
            one.role = Some(role.clone());
        }
        if !args.function_arn.is_empty() {
            one.functions.clone_from(&args.function_arn);
        }
        if !args.external_id.is_empty() {
            one.external_ids = args.external_id.iter().map(ToString::to_string).collect();
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
