//! `forebay policy`: an AWS policy, filled in from the configuration and flags.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::arn::Identity;
use crate::config::Config;
#[cfg(feature = "kafka")]
use crate::node::kafka_setup::grants_of;
use crate::node::policies::{configured, external_id_of_import, external_ids};
use crate::policy::{self, Asked, CsvFunction, KafkaPolicy, PolicyName};
use crate::words::table::table;

use super::args::PolicyArgs;
use super::failure::Failure;
#[cfg(feature = "kafka")]
use super::kafka::failure;
use super::print_json::print_json;
use super::serve;

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
    let template = match args.name.filter(|_| !args.list) {
        Some(PolicyName::Aws(template)) => template,
        Some(PolicyName::Kafka(policy)) => return print_grants(args, policy, out),
        None => {
            match args.json {
                true => {
                    let listed = |one: PolicyName| Listed { name: one.name(), about: one.about() };
                    print_json(out, &PolicyName::all().into_iter().map(listed).collect::<Vec<_>>())?;
                }
                false => writeln!(out, "{}", list())?,
            }
            return Ok(());
        }
    };
    let loaded = if template.is_configured() { loaded(args.config.as_deref())? } else { None };
    let configured = loaded.as_ref().map(configured);
    let mut values =
        policy::values(&asked(args), template, configured.unwrap_or_default()).map_err(Failure::usage)?;
    let new_id = external_id_of_import(template, &mut values);
    let text = policy::document(template, &values)?;
    if let Some(what) = policy::too_long(template, &text) {
        tracing::warn!("{what}: {}", template.shorter());
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

/// The names of all policies with their descriptions, one per line.
pub fn list() -> String {
    let rows: Vec<_> =
        PolicyName::all().into_iter().map(|one| [one.name(), one.about()].map(str::to_owned)).collect();
    table(&rows, &[]).join("\n")
}

/// Prints the commands that give rights on the topics of a log in Kafka.
#[cfg(feature = "kafka")]
fn print_grants(args: &PolicyArgs, policy: KafkaPolicy, out: &mut dyn Write) -> Result<(), Failure> {
    let Some(config) = loaded(args.config.as_deref())? else {
        return Err(Failure::usage(format!("there is no {CONFIG_FILE}: give --config FILE")));
    };
    let grants = grants_of(&config, policy, args.kafka_principal.as_deref()).map_err(failure)?;
    Ok(out.write_all(grants.as_bytes())?)
}

/// Without the feature no argument has such a name.
#[cfg(not(feature = "kafka"))]
fn print_grants(_: &PolicyArgs, _: KafkaPolicy, _: &mut dyn Write) -> Result<(), Failure> {
    Err(Failure::usage("this build knows no Kafka"))
}

fn print_external_ids(args: &PolicyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let Some(config) = loaded(args.config.as_deref())? else {
        return Err(Failure::usage(format!("there is no {CONFIG_FILE}: give --config FILE")));
    };
    if let Some(name) = &args.destination {
        policy::known("destination", name, config.destinations.iter().map(|settings| settings.name.as_str()))
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

/// The configuration. The default file may be missing.
fn loaded(named: Option<&Path>) -> Result<Option<Config>, Failure> {
    let path = named.map_or_else(|| PathBuf::from(CONFIG_FILE), Path::to_owned);
    if named.is_none() && !path.exists() {
        return Ok(None);
    }
    serve::load_for_setup(&path).map(Some)
}

/// What the flags ask.
fn asked(args: &PolicyArgs) -> Asked {
    Asked {
        bucket: args.bucket.clone(),
        principals: args.principal.iter().map(Identity::arn).collect(),
        kms_key: args.kms_key.as_ref().map(ToString::to_string),
        role: args.role.as_ref().map(|role| role.arn().clone()),
        external_ids: args.external_id.iter().map(ToString::to_string).collect(),
        readers: args.reader.iter().map(Identity::arn).collect(),
        account: args.account.as_ref().map(ToString::to_string),
        region: args.region.clone(),
        destination: args.destination.clone(),
        import: args.import.clone(),
        function_arns: args.function_arn.clone(),
        function: CsvFunction {
            name: args.function.clone(),
            journal: args.journal.clone(),
            output: args.output.clone(),
            rejects: args.rejects.clone(),
            queue: args.queue.clone(),
            failures: args.failures.clone(),
            invokes_itself: args.self_invoke,
        },
        manifest: args.manifest.clone(),
        report: args.report.clone(),
    }
}
