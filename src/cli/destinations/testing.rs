//! `forebay destinations test`: whether a destination's functions can be invoked from this machine.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use super::args::TestArgs;
use super::configured::{configured, named};
use super::example::{Event, example, new_id};
use crate::check::destination::TestCall;
use crate::check::{DestinationTest, TestedFunction, test_destination};
use crate::cli::check::{MARKS, node};
use crate::cli::failure::Failure;
use crate::cli::paint::painted;
use crate::config::{Config, Environment};
use crate::destinations::external_ids::ExternalIds;
use crate::destinations::invoke::Equipment as _;
use crate::destinations::request::Invocation;
use crate::destinations::select::TYPES;
use crate::destinations::settings::{DestinationSettings, Target};
use crate::node::equipment::NodeEquipment;
use crate::node::settings::store_settings;
use crate::object::{ExternalId, Role};
use crate::runtime::{SystemClock, SystemRandom, colour};
use crate::sources::SourceId;
use crate::store::s3::{S3Settings, S3Store};
use crate::time::Clock;

/// The source of a file that has none, as the first steps name it.
const DEV_SOURCE: &str = "my-app";

/// What the configuration says about the destination.
struct Found {
    settings: DestinationSettings,
    source: SourceId,
    role: Option<Role>,
    external_ids: BTreeSet<ExternalId>,
    /// How credentials are got.
    access: S3Settings,
}

/// Tests a destination and prints the findings.
///
/// # Errors
/// [`Failure`]: exit code 1 if something failed, 2 if the configuration or an argument cannot be used.
pub(super) async fn run(args: &TestArgs, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let found = find(args)?;
    let event = match &args.event {
        None => None,
        Some(path) => Some(
            Event::read(path, &SystemRandom)
                .map_err(|what| Failure::usage(format!("--event {}: {what}", path.display())))?,
        ),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let functions = functions(args, &found, event.as_ref(), &*clock)?;
    let session = found.access.session_name.clone();
    let store = Arc::new(S3Store::new(found.access).await);
    let equipment = NodeEquipment {
        store: Arc::clone(&store),
        environment: Environment::of_process(),
        clock: Arc::clone(&clock),
    };
    let invoke = equipment.invoker(&found.settings)?;
    let test = DestinationTest {
        #[cfg(feature = "lambda")]
        clients: match &found.settings.target {
            Target::Lambda(target) => {
                Some(crate::node::equipment::lambda::clients(&store, target, found.settings.timeout))
            }
            Target::Url(_) | Target::Forward { .. } => None,
        },
        settings: found.settings,
        source: found.source,
        role: found.role,
        external_ids: found.external_ids,
        session,
        functions,
        invoke: args.run.then_some(invoke),
    };
    let report = test_destination(&test, store, clock).await;
    let text = match args.json {
        true => format!("{}\n", report.json()?),
        false => painted(&report.text(), &MARKS, colour::wanted(&io::stdout())),
    };
    out.write_all(text.as_bytes())?;
    match report.summary().failed {
        0 => Ok(()),
        1 => Err(Failure::failed(format!("1 test of {} failed", args.name))),
        failed => Err(Failure::failed(format!("{failed} tests of {} failed", args.name))),
    }
}

/// Finds the destination in the configuration.
fn find(args: &TestArgs) -> Result<Found, Failure> {
    let (destinations, config) = configured(&args.config)?;
    let Some(config) = &config else { return found_in_dev(args, destinations) };
    let settings = tested(args, destinations)?;
    let source = source(args, &settings, config)?;
    let role = role(&settings, &source)?;
    let external_ids = role.as_ref().map(|role| external_ids(config, role)).unwrap_or_default();
    let access = store_settings(config, &node(config));
    Ok(Found { settings, source, role, external_ids, access })
}

fn found_in_dev(args: &TestArgs, destinations: Vec<DestinationSettings>) -> Result<Found, Failure> {
    let settings = tested(args, destinations)?;
    let first = settings.selection.sources.as_ref().and_then(|sources| sources.first());
    let source = match (&args.source, first, &settings.target) {
        (Some(source), ..) => {
            taken(args, &settings, source)?;
            source.clone()
        }
        (None, Some(first), _) => first.clone(),
        (None, None, Target::Lambda(target))
            if target.role.is_some() && matches!(target.external_ids, ExternalIds::OfSources(_)) =>
        {
            return Err(Failure::usage(format!(
                "the external id of {} depends on the source, and {} has none: add --source",
                settings.name,
                args.config.display()
            )));
        }
        _ => SourceId::new(DEV_SOURCE)?,
    };
    let role = role(&settings, &source)?;
    let external_ids = role.iter().map(|role| role.external_id.clone()).collect();
    Ok(Found { settings, source, role, external_ids, access: S3Settings::default() })
}

/// The destination to test. Its function is asked for the end of its log, where it has one.
fn tested(args: &TestArgs, destinations: Vec<DestinationSettings>) -> Result<DestinationSettings, Failure> {
    let mut settings = named(&args.config, &args.name, destinations)?;
    if let Target::Lambda(target) = &mut settings.target {
        target.log_tail |= target.invocation == Invocation::RequestResponse;
    }
    Ok(settings)
}

/// The source as whose calls the functions are tested.
fn source(args: &TestArgs, settings: &DestinationSettings, config: &Config) -> Result<SourceId, Failure> {
    let first = || settings.selection.sources.as_ref().and_then(|sources| sources.first());
    let id = args.source.as_ref().or_else(first).or_else(|| config.sources.first().map(|source| &source.id));
    let Some(id) = id.filter(|id| config.sources.iter().any(|source| source.id == **id)) else {
        let wanted = id.map_or("", SourceId::as_str);
        return Err(Failure::usage(format!("{} has no source {wanted}", args.config.display())));
    };
    taken(args, settings, id)?;
    Ok(id.clone())
}

fn taken(args: &TestArgs, settings: &DestinationSettings, source: &SourceId) -> Result<(), Failure> {
    if settings.selection.takes(source) {
        return Ok(());
    }
    Err(Failure::usage(format!("{} takes no calls of the source {source}", args.name)))
}

fn role(settings: &DestinationSettings, source: &SourceId) -> Result<Option<Role>, Failure> {
    match &settings.target {
        Target::Lambda(target) => target.role_for(source).map_err(Failure::usage),
        Target::Url(_) | Target::Forward { .. } => Ok(None),
    }
}

/// The external ids for a role: of every source of every destination that assumes it, and of buckets.
fn external_ids(config: &Config, role: &Role) -> BTreeSet<ExternalId> {
    let of_destination = |settings: &DestinationSettings| -> Vec<Role> {
        let Target::Lambda(target) = &settings.target else { return Vec::new() };
        let sources = config.sources.iter().map(|source| &source.id);
        let sources = sources.filter(|source| settings.selection.takes(source));
        sources.filter_map(|source| target.role_for(source).ok().flatten()).collect()
    };
    let of_buckets = config.sources.iter().filter_map(|source| source.destination.role.clone());
    let all = config.destinations.iter().flat_map(of_destination).chain(of_buckets);
    all.filter(|other| other.arn == role.arn).map(|other| other.external_id).collect()
}

/// The functions to test, each with a call.
fn functions(
    args: &TestArgs,
    found: &Found,
    event: Option<&Event>,
    clock: &dyn Clock,
) -> Result<Vec<TestedFunction>, Failure> {
    let Found { settings, source, .. } = found;
    let of_event = event.and_then(|event| event.kind.as_deref());
    let kind = match (args.kind.as_deref(), of_event) {
        (Some(asked), Some(has)) if asked != has => {
            return Err(Failure::usage(format!("--type {asked}: the call of --event has the type {has}")));
        }
        (asked, has) => asked.or(has),
    };
    let by_function = by_function(settings, kind);
    match (by_function.len(), kind) {
        (0, Some(kind)) => {
            return Err(Failure::usage(format!("{} has no function for {kind} calls", settings.name)));
        }
        (2.., None) if event.is_some() => {
            return Err(Failure::usage(
                "the call of --event has no type: say with --type whose function gets it",
            ));
        }
        _ => {}
    }
    let now = clock.wall();
    let tested = |(function, kinds): (String, Vec<&str>)| {
        let kind = kinds.first().copied().unwrap_or_default();
        let call: TestCall = match event {
            Some(event) => event.call(kind, source, &settings.selection),
            None => example(kind, &new_id(&SystemRandom), source, now, &SystemRandom)
                .ok_or_else(|| Failure::failed(format!("there is no example of a {kind} call")))?,
        };
        let gets = match kinds.len() == TYPES.len() {
            true => "every type".to_owned(),
            false => kinds.join(", "),
        };
        Ok(TestedFunction { function, gets, call })
    };
    by_function.into_iter().map(tested).collect()
}

/// Each function with the types that it gets, only of this type if there is one.
fn by_function<'t>(settings: &DestinationSettings, kind: Option<&'t str>) -> Vec<(String, Vec<&'t str>)> {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for known in TYPES.into_iter().filter(|known| kind.is_none_or(|kind| kind == *known)) {
        let selection = &settings.selection;
        let Some(function) = selection.functions.get(known).or(selection.function.as_ref()) else { continue };
        match all.iter_mut().find(|(other, _)| other == function) {
            Some((_, kinds)) => kinds.push(known),
            None => all.push((function.clone(), vec![known])),
        }
    }
    all
}
