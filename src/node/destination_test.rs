//! Tests from this machine whether a destination's functions can be invoked.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::equipment::NodeEquipment;
use super::policies::sources_of;
use super::settings::{node_name, store_settings};
use crate::check::destination::TestCall;
use crate::check::example_call::{Event, example};
use crate::check::{CheckReport, DestinationTest, TestedFunction, test_destination};
use crate::config::{Config, Environment};
use crate::destinations::invoke::Equipment as _;
use crate::destinations::request::Invocation;
use crate::destinations::select::TYPES;
use crate::destinations::settings::{DestinationSettings, ExternalIds, FunctionsAt};
use crate::object::{ExternalId, Role};
use crate::runtime::{SystemClock, SystemRandom};
use crate::sources::SourceId;
use crate::store::s3::{S3Settings, S3Store};
use crate::time::Clock;

/// The source of a file without sources, as the first steps of the documentation name it.
const DEV_SOURCE: &str = "my-app";

/// The order of a test.
#[derive(Debug)]
pub struct TestOrder {
    /// The file with the destination.
    pub file: PathBuf,
    /// The source whose calls are imitated; `None`: the first one that the destination takes.
    pub source: Option<SourceId>,
    /// The type of calls whose function alone is tested.
    pub kind: Option<String>,
    /// The call to send; `None`: an example.
    pub event: Option<Event>,
    /// Whether each function gets a call. The function then really runs.
    pub run: bool,
}

/// Why a destination cannot be tested.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The order does not fit the configuration.
    #[error("{0}")]
    Wrong(String),
    /// The functions cannot be invoked.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Tests a destination. `config`: the destination's configuration; a file with nothing but destinations has
/// none. Errors: [`TestError`]: no test is possible. A failed test is in the report.
pub async fn test(
    settings: DestinationSettings,
    config: Option<&Config>,
    order: &TestOrder,
) -> Result<CheckReport, TestError> {
    let settings = tested(settings);
    // How credentials are obtained depends on the configuration, too.
    let (source, access) = match config {
        Some(config) => (source(order, &settings, config)?, store_settings(config, &node_name(config))),
        None => (source_in_dev(order, &settings)?, S3Settings::default()),
    };
    let role = role(&settings, &source)?;
    let external_ids = match (config, &role) {
        (Some(config), Some(role)) => external_ids(config, role),
        (_, role) => role.iter().map(|role| role.external_id.clone()).collect(),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let functions = functions(order, &settings, &source, &*clock)?;
    let session = access.session_name.clone();
    let store = Arc::new(S3Store::new(access).await);
    let equipment = NodeEquipment {
        store: Arc::clone(&store),
        environment: Environment::of_process(),
        clock: Arc::clone(&clock),
    };
    let invoke = equipment.invoker(&settings)?;
    let test = DestinationTest {
        #[cfg(feature = "lambda")]
        clients: match &settings.functions_at {
            FunctionsAt::Lambda(target) => {
                Some(super::equipment::lambda::clients(&store, target, settings.timeout))
            }
            FunctionsAt::Url(_) | FunctionsAt::Forward { .. } => None,
        },
        settings,
        source,
        role,
        external_ids,
        session,
        functions,
        invoke: order.run.then_some(invoke),
    };
    Ok(test_destination(&test, store, clock).await)
}

/// The source whose calls are imitated, if the file has none.
fn source_in_dev(order: &TestOrder, settings: &DestinationSettings) -> Result<SourceId, TestError> {
    let first = settings.selection.sources.as_ref().and_then(|sources| sources.first());
    match (&order.source, first, &settings.functions_at) {
        (Some(source), ..) => taken(settings, source).map(|()| source.clone()),
        (None, Some(first), _) => Ok(first.clone()),
        (None, None, FunctionsAt::Lambda(target))
            if target.role.is_some() && matches!(target.external_ids, ExternalIds::OfSources(_)) =>
        {
            let (name, file) = (&settings.name, order.file.display());
            Err(TestError::Wrong(format!(
                "the external id of {name} depends on the source, and {file} has none: add --source"
            )))
        }
        _ => SourceId::new(DEV_SOURCE).map_err(|error| TestError::Wrong(error.to_string())),
    }
}

/// The settings of the tested destination. A Lambda function that answers is also asked for the end of its
/// log.
fn tested(mut settings: DestinationSettings) -> DestinationSettings {
    if let FunctionsAt::Lambda(target) = &mut settings.functions_at {
        target.log_tail |= target.invocation == Invocation::RequestResponse;
    }
    settings
}

/// The source whose calls are imitated.
fn source(order: &TestOrder, settings: &DestinationSettings, config: &Config) -> Result<SourceId, TestError> {
    let first = || settings.selection.sources.as_ref().and_then(|sources| sources.first());
    let id = order.source.as_ref().or_else(first).or_else(|| config.sources.first().map(|source| &source.id));
    let Some(id) = id.filter(|id| config.sources.iter().any(|source| source.id == **id)) else {
        let wanted = id.map_or("", SourceId::as_str);
        return Err(TestError::Wrong(format!("{} has no source {wanted}", order.file.display())));
    };
    taken(settings, id)?;
    Ok(id.clone())
}

fn taken(settings: &DestinationSettings, source: &SourceId) -> Result<(), TestError> {
    if settings.selection.takes(source) {
        return Ok(());
    }
    Err(TestError::Wrong(format!("{} takes no calls of the source {source}", settings.name)))
}

fn role(settings: &DestinationSettings, source: &SourceId) -> Result<Option<Role>, TestError> {
    match &settings.functions_at {
        FunctionsAt::Lambda(target) => target.role_for(source).map_err(TestError::Wrong),
        FunctionsAt::Url(_) | FunctionsAt::Forward { .. } => Ok(None),
    }
}

/// The external ids for a role: of every source of every destination that assumes it, and of buckets.
fn external_ids(config: &Config, role: &Role) -> BTreeSet<ExternalId> {
    let of_destination = |settings: &DestinationSettings| -> Vec<Role> {
        let FunctionsAt::Lambda(target) = &settings.functions_at else { return Vec::new() };
        sources_of(config, settings).filter_map(|source| target.role_for(source).ok().flatten()).collect()
    };
    let of_buckets = config.locations().filter_map(|location| location.role.clone());
    let all = config.destinations.iter().flat_map(of_destination).chain(of_buckets);
    all.filter(|other| other.arn == role.arn).map(|other| other.external_id).collect()
}

/// The functions to test, each with a call.
fn functions(
    order: &TestOrder,
    settings: &DestinationSettings,
    source: &SourceId,
    clock: &dyn Clock,
) -> Result<Vec<TestedFunction>, TestError> {
    let event = order.event.as_ref();
    let of_event = event.and_then(|event| event.kind.as_deref());
    let kind = match (order.kind.as_deref(), of_event) {
        (Some(asked), Some(has)) if asked != has => {
            return Err(TestError::Wrong(format!("--type {asked}: the call of --event has the type {has}")));
        }
        (asked, has) => asked.or(has),
    };
    let by_function = by_function(settings, kind);
    match (by_function.len(), kind) {
        (0, Some(kind)) => {
            return Err(TestError::Wrong(format!("{} has no function for {kind} calls", settings.name)));
        }
        (2.., None) if event.is_some() => {
            return Err(TestError::Wrong(
                "the call of --event has no type: say with --type whose function gets it".to_owned(),
            ));
        }
        _ => {}
    }
    let now = clock.wall();
    let tested = |(function, kinds): (String, Vec<&str>)| {
        let kind = kinds.first().copied().unwrap_or_default();
        let call: TestCall = match event {
            Some(event) => event.call(kind, source, &settings.selection),
            None => example(kind, source, now, &SystemRandom)
                .ok_or_else(|| TestError::Wrong(format!("there is no example of a {kind} call")))?,
        };
        let gets = match kinds.len() == TYPES.len() {
            true => "every type".to_owned(),
            false => kinds.join(", "),
        };
        Ok(TestedFunction { function, gets, call })
    };
    by_function.into_iter().map(tested).collect()
}

/// Each function with the types of calls that it gets; only those of type `kind`, if one is named.
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
