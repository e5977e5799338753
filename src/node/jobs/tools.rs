//! What a job works with: its store, and the handler that invokes its function.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::for_imports::ForImports;
pub use super::tools_error::ToolsError;
use crate::boxed_future::BoxFuture;
use crate::config::{Endpoint, Environment};
use crate::jobs::handlers::Handler;
use crate::jobs::handlers::command::{CommandHandler, Surroundings, to_log};
use crate::jobs::handlers::web::WebHandler;
use crate::jobs::job::id::JobId;
use crate::jobs::job::import_way::ImportWay;
use crate::jobs::job::operation::Operation;
use crate::jobs::job::spec::{Endpoints, JobSpec};
use crate::object::bucket_string::BucketStringError;
use crate::object::{BucketString, Encryption, ExternalId, Role, RoleArn, S3Location};
use crate::store::reader::Store;
use crate::store::s3::{S3Settings, S3Store};

/// The name of the sessions of assumed roles, and the external id with which they are assumed: a trust policy
/// without a condition on it takes any.
const SESSION: &str = "forebay-batch";

/// Where the manifest of a job is read and its report put.
#[derive(Clone, Debug)]
pub struct JobStore {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The role with which it is reached; `None`: as the store is by itself.
    pub role: Option<RoleArn>,
}

/// What a job works with.
#[derive(Clone, Debug)]
pub struct JobTools {
    /// The store of manifest and report.
    pub store: Arc<dyn Store>,
    /// Invokes the function.
    pub handler: Arc<dyn Handler>,
    /// The role with which manifest and report are reached; `None`: as the store is by itself.
    pub role: Option<RoleArn>,
}

/// Makes what jobs work with, as the process was started: it knows `--function`.
pub trait MakeTools: Send + Sync + fmt::Debug {
    /// What invokes the function of a job: [`Operation::Command`] or [`Operation::Web`] where `--function`
    /// names one, else the function itself. It decides how many invocations are in flight at once unless
    /// somebody says so, and is not kept: a later start may have others.
    /// Errors: the job may not use it, and what to do (`BadRequestException`).
    fn check(&self, spec: &JobSpec) -> Result<Operation, String>;

    /// The store of a job's manifest and report. A job whose function is gone can still be ended.
    fn store(&self, spec: &JobSpec) -> JobStore;

    /// The tools of a job. They are made when its tasks are to run, and dropped while it waits: programs of waiting
    /// jobs do not run.
    /// Errors: [`ToolsError`]. It is tried again later, and the job shows why.
    fn tools<'a>(&'a self, spec: &'a JobSpec, job: JobId) -> BoxFuture<'a, Result<JobTools, ToolsError>>;
}

/// Where a job has its tools from.
#[derive(Clone, Debug)]
pub enum ToolsFrom {
    /// They were made before it.
    Given(JobTools),
    /// They are made when they are needed.
    Made(Arc<dyn MakeTools>),
    /// No task runs any more: the job needs nothing but its store.
    None(JobStore),
}

impl ToolsFrom {
    /// The tools that were made before the job: it closes their handler at its end.
    pub fn given(&self) -> Option<&JobTools> {
        match self {
            Self::Given(tools) => Some(tools),
            Self::Made(_) | Self::None(_) => None,
        }
    }

    /// The store of the job's manifest and report.
    pub fn store(&self, spec: &JobSpec) -> JobStore {
        match self {
            Self::Given(tools) => JobStore { store: Arc::clone(&tools.store), role: tools.role.clone() },
            Self::Made(maker) => maker.store(spec),
            Self::None(store) => store.clone(),
        }
    }

    /// The tools of a job. Errors: [`ToolsError`].
    pub async fn tools(&self, spec: &JobSpec, job: JobId) -> Result<JobTools, ToolsError> {
        match self {
            Self::Given(tools) => Ok(tools.clone()),
            Self::Made(maker) => maker.tools(spec, job).await,
            Self::None(_) => Err(ToolsError::NoTasks),
        }
    }
}

impl From<JobTools> for ToolsFrom {
    fn from(tools: JobTools) -> Self {
        Self::Given(tools)
    }
}

impl JobStore {
    /// The store of a job of `batch run`.
    pub async fn of(spec: &JobSpec) -> Self {
        Self { store: store_of(&spec.endpoints).await, role: spec.role.clone() }
    }
}

impl JobTools {
    /// The tools of a job that does not import. A command is started, so that a wrong one is known before the first
    /// task. Errors: [`ToolsError`].
    pub async fn of(spec: &JobSpec, job: JobId) -> Result<Self, ToolsError> {
        let store = store_of(&spec.endpoints).await;
        let variables = spec.endpoints.store.as_deref().map_or_else(Vec::new, variables_at);
        let handler = handler(spec, job, &store, variables)?;
        Ok(Self { store, handler, role: spec.role.clone() })
    }

    /// The same, also of a job that imports. The way of its rows is opened; close the handler at the end.
    /// Errors: [`ToolsError`].
    pub async fn with_imports(
        spec: &JobSpec,
        job: JobId,
        process: &ForImports<'_>,
    ) -> Result<Self, ToolsError> {
        let (Operation::Import(name), Some(way)) = (&spec.operation, &spec.import) else {
            return Self::of(spec, job).await;
        };
        let handler = import_handler(name.as_deref(), spec, way, process).await?;
        let store = store_of(&spec.endpoints).await;
        Ok(Self { store, handler, role: spec.role.clone() })
    }
}

/// The variables of programs whose S3 has this address: they reach the store of their job.
pub(super) fn variables_at(url: &str) -> Vec<(&'static str, Option<String>)> {
    vec![("AWS_ENDPOINT_URL_S3", Some(url.to_owned())), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", None)]
}

/// The endpoint that was named, or the one of all services in the environment, as the SDKs of AWS have it.
/// Errors: the variable names no address.
pub fn endpoint(named: Option<&Endpoint>, environment: &Environment) -> Result<Option<String>, String> {
    const OF_ALL: &str = "AWS_ENDPOINT_URL";
    let of_environment = || -> Result<Option<Endpoint>, String> {
        let text = environment.text(OF_ALL)?;
        text.map(Endpoint::parse).transpose().map_err(|error| format!("{OF_ALL}: {error}"))
    };
    let endpoint = named.cloned().map_or_else(of_environment, |named| Ok(Some(named)))?;
    Ok(endpoint.map(|url| url.as_str().to_owned()))
}

/// The store of the environment, or the one at this endpoint.
pub async fn store_at(endpoint: Option<&str>) -> Arc<S3Store> {
    let store = endpoint.map(str::to_owned);
    store_of(&Endpoints { store, ..Endpoints::default() }).await
}

/// The store of a job, whose roles are assumed at its token service.
pub async fn store_of(endpoints: &Endpoints) -> Arc<S3Store> {
    let settings = S3Settings {
        endpoint_url: endpoints.store.clone(),
        sts_endpoint_url: endpoints.tokens.clone(),
        path_style: endpoints.store.is_some(),
        region_of_environment: true,
        session_name: SESSION.to_owned(),
        ..S3Settings::default()
    };
    Arc::new(S3Store::new(settings).await)
}

/// A bucket as a job with this role reaches it. Objects that are put there are encrypted with SSE-S3.
/// Errors: it is no bucket.
pub fn location(bucket: &str, role: Option<&RoleArn>) -> Result<S3Location, BucketStringError> {
    let mut location = S3Location::new(BucketString::parse(bucket)?, Encryption::SseS3);
    location.role = role.and_then(|role| with_external_id(role).ok());
    Ok(location)
}

fn with_external_id(role: &RoleArn) -> Result<Role, String> {
    Ok(Role { arn: role.clone(), external_id: ExternalId::parse(SESSION)? })
}

/// What invokes the function of a job. A program gets these variables ([`Surroundings::variables`]).
pub(super) fn handler(
    spec: &JobSpec,
    job: JobId,
    store: &Arc<S3Store>,
    variables: Vec<(&'static str, Option<String>)>,
) -> Result<Arc<dyn Handler>, ToolsError> {
    let timeout = Duration::from_millis(spec.task_timeout_ms);
    Ok(match &spec.operation {
        Operation::Command(line) => {
            let around = Surroundings { folder: spec.folder.as_ref().map(PathBuf::from), variables };
            let programs = usize::try_from(spec.concurrency).unwrap_or(usize::MAX);
            Arc::new(CommandHandler::start(line, around, programs, timeout, to_log(&job.to_string()))?)
        }
        Operation::Web(url) => {
            Arc::new(WebHandler::new(url.clone(), timeout).map_err(ToolsError::Certificates)?)
        }
        Operation::Import(_) => return Err(ToolsError::NoImports),
        Operation::Function(function) => function_handler(spec, function, store, timeout)?,
    })
}

#[cfg(not(feature = "lambda"))]
async fn import_handler(
    _: Option<&str>,
    _: &JobSpec,
    _: &ImportWay,
    _: &ForImports<'_>,
) -> Result<Arc<dyn Handler>, ToolsError> {
    std::future::ready(Err(ToolsError::NoLambda)).await
}

#[cfg(feature = "lambda")]
async fn import_handler(
    name: Option<&str>,
    spec: &JobSpec,
    way: &ImportWay,
    process: &ForImports<'_>,
) -> Result<Arc<dyn Handler>, ToolsError> {
    use super::imports::files::FileImports;
    use super::imports::named::NamedImports;

    Ok(match name {
        None => Arc::new(FileImports::open(spec, way, process).await?),
        Some(name) => Arc::new(NamedImports::open(name, spec, way, process).await?),
    })
}

#[cfg(not(feature = "lambda"))]
fn function_handler(
    _: &JobSpec,
    _: &str,
    _: &Arc<S3Store>,
    _: Duration,
) -> Result<Arc<dyn Handler>, ToolsError> {
    Err(ToolsError::NoLambda)
}

#[cfg(feature = "lambda")]
fn function_handler(
    spec: &JobSpec,
    function: &str,
    store: &Arc<S3Store>,
    timeout: Duration,
) -> Result<Arc<dyn Handler>, ToolsError> {
    use crate::arn::ArnParts;
    use crate::jobs::handlers::lambda::LambdaHandler;
    use crate::node::equipment::lambda::client_in;

    let of_arn = ArnParts::of(function).map(|arn| arn.region.to_owned()).filter(|region| !region.is_empty());
    let of_environment = || store.sdk().region().map(|region| region.as_ref().to_owned());
    let region = of_arn.or_else(of_environment).ok_or_else(|| ToolsError::NoRegion(function.to_owned()))?;
    let role = spec.role.as_ref().map(with_external_id).transpose().map_err(ToolsError::Role)?;
    let at_store = spec.endpoints.store.clone().filter(|_| spec.endpoints.functions.is_none());
    let endpoint = spec.endpoints.functions.clone().or_else(|| at_store.clone());
    let client = client_in(store, role.as_ref(), &region, endpoint, timeout);
    Ok(Arc::new(LambdaHandler::new(client, function.to_owned(), timeout, spec.role.clone(), at_store)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_of_its_own_goes_before_that_of_all_services() {
        let of = |named: Option<&str>, variables: &[(&str, &str)]| {
            let named = named.map(|url| Endpoint::parse(url).unwrap());
            endpoint(named.as_ref(), &Environment::of(variables.iter().copied()))
        };
        let all = [("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")];
        assert_eq!(of(None, &[]), Ok(None));
        assert_eq!(of(None, &all).unwrap().unwrap().trim_end_matches('/'), "http://127.0.0.1:4566");
        let own = of(Some("http://127.0.0.1:9000"), &all).unwrap().unwrap();
        assert_eq!(own.trim_end_matches('/'), "http://127.0.0.1:9000");
        assert!(
            of(None, &[("AWS_ENDPOINT_URL", "localstack")]).unwrap_err().starts_with("AWS_ENDPOINT_URL: ")
        );
    }
}
