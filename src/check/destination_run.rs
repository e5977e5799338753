//! The test of one destination: credentials, role, each function.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::access::{self, Identity};
use super::destination::{Invoking, TestCall, no_dry_run, no_role, not_sent};
use super::finding::CheckFinding;
use super::probe::aws::Aws;
use super::report::{CheckReport, Group};
use crate::destinations::invoke::{Carried, Invoke, Outgoing};
#[cfg(feature = "lambda")]
use crate::destinations::lambda_function::Clients;
use crate::destinations::outcome::Failure;
use crate::destinations::settings::{DestinationSettings, FunctionsAt};
use crate::object::{ExternalId, Role};
use crate::sources::SourceId;
use crate::store::s3::S3Store;
use crate::time::Clock;

/// How long one request to the token service may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// What to test.
#[derive(Debug)]
pub struct DestinationTest {
    /// The destination.
    pub settings: DestinationSettings,
    /// The source as whose calls its functions are tested.
    pub source: SourceId,
    /// The role for calls of this source.
    pub role: Option<Role>,
    /// The external ids for the role, of all sources.
    pub external_ids: BTreeSet<ExternalId>,
    /// The name of sessions of assumed roles.
    pub session: String,
    /// The functions to test.
    pub functions: Vec<TestedFunction>,
    /// The clients of AWS Lambda, if the functions are there.
    #[cfg(feature = "lambda")]
    pub clients: Option<Arc<dyn Clients>>,
    /// Sends a call to each function; `None`: no function runs.
    pub invoke: Option<Arc<dyn Invoke>>,
}

/// A function to test.
#[derive(Clone, Debug)]
pub struct TestedFunction {
    /// Its ARN, or what stands for it.
    pub function: String,
    /// The calls that it gets, in words.
    pub gets: String,
    /// The call that it is tested with.
    pub call: TestCall,
}

/// Tests a destination.
pub async fn test_destination(
    test: &DestinationTest,
    store: Arc<S3Store>,
    clock: Arc<dyn Clock>,
) -> CheckReport {
    let mut groups = Vec::new();
    let mut process = None;
    let mut ready = Ok(());
    if matches!(test.settings.functions_at, FunctionsAt::Lambda(_)) {
        let aws = Aws {
            store,
            clock: Arc::clone(&clock),
            timeout: TOKEN_TIMEOUT,
            kms_endpoint_url: None,
            request_payer: false,
        };
        let (findings, of_process, access) = access(test, &aws).await;
        groups.push(Group::new("access", findings));
        (process, ready) = (of_process, access);
    }
    let invoking = test.invoking(process.as_deref());
    for function in &test.functions {
        let findings = match ready {
            Ok(()) => one_function(test, &invoking, function, &*clock).await,
            Err(because) => {
                let TestedFunction { function, call, .. } = function;
                let unsent = test.invoke.as_ref().map(|_| not_sent(function, call, because));
                [no_dry_run(function, because)].into_iter().chain(unsent).collect()
            }
        };
        groups.push(Group {
            title: format!("{} for {}", test.place(&function.function), function.gets),
            subject: Some(test.settings.name.to_string()),
            sources: vec![test.source.to_string()],
            findings,
        });
    }
    CheckReport { groups, estimate: None }
}

impl DestinationTest {
    fn invoking<'a>(&'a self, process: Option<&'a str>) -> Invoking<'a> {
        let Self { settings, role, external_ids, .. } = self;
        Invoking { settings, role: role.as_ref(), external_ids, process }
    }

    /// The function in words. A web address may hold a secret, so it is not shown.
    fn place(&self, function: &str) -> String {
        match &self.settings.functions_at {
            FunctionsAt::Lambda(_) => function.to_owned(),
            FunctionsAt::Url(_) => format!("the web address of {}", self.settings.name),
            FunctionsAt::Forward { to, .. } => format!("the tracking endpoint {to}"),
        }
    }

    fn outgoing(&self, tested: &TestedFunction) -> Outgoing {
        Outgoing {
            destination: self.settings.name.as_str().into(),
            function: tested.function.as_str().into(),
            source: self.source.clone(),
            calls: vec![Carried {
                attempt: 1,
                message_id: tested.call.message_id.clone(),
                line: tested.call.line.clone(),
            }],
            batch: self.settings.batch.is_some(),
        }
    }
}

/// The findings about credentials and role, the identity of the process if it is known, and why no function
/// can be invoked, if none can.
async fn access(
    test: &DestinationTest,
    aws: &Aws,
) -> (Vec<CheckFinding>, Option<String>, Result<(), &'static str>) {
    let found = aws.credentials().await;
    let mut findings = vec![access::credentials(found.as_ref())];
    if found.is_err() {
        findings.extend(test.role.iter().flat_map(|_| no_role()));
        return (findings, None, Err("there are no credentials"));
    }
    let mut process = None;
    // AWS's own token service knows the process.
    let is_at_aws =
        matches!(&test.settings.functions_at, FunctionsAt::Lambda(at) if at.endpoint_url.is_none());
    if test.role.is_some() || is_at_aws {
        let identity = aws.identity().await;
        findings.push(access::identity(&identity, &aws.token_region(), test.role.is_some()));
        if let Identity::Is(arn) = identity {
            process = Some(arn);
        }
    }
    let Some(role) = &test.role else { return (findings, process, Ok(())) };
    let with = aws.assume(role, &test.session, true).await;
    let without = aws.assume(role, &test.session, false).await;
    let assumed = test.invoking(process.as_deref()).role_use(role);
    findings.push(access::role(&assumed, &aws.token_region(), &test.session, &with));
    findings.push(access::role_without_external_id(&assumed, &with, &without));
    (findings, process, with.map(drop).map_err(|_| "the role cannot be assumed"))
}

async fn one_function(
    test: &DestinationTest,
    invoking: &Invoking<'_>,
    tested: &TestedFunction,
    clock: &dyn Clock,
) -> Vec<CheckFinding> {
    let TestedFunction { function, call, .. } = tested;
    let mut findings = Vec::new();
    let mut because = call.not_taken.clone();
    match dry_run(test, function).await {
        Some(ended) => {
            if ended.is_err() {
                because = Some("the dry run failed".to_owned());
            }
            findings.push(invoking.dry_run(function, &ended));
        }
        None if test.invoke.is_none() => {
            let what = match test.settings.functions_at {
                FunctionsAt::Forward { .. } => "a tracking endpoint has no dry run; --run sends it this call",
                FunctionsAt::Url(_) | FunctionsAt::Lambda(_) => {
                    "a web address has no dry run, so nothing was tried; --run sends it this one call, which it handles as any other"
                }
            };
            findings.push(not_sent(function, call, what));
        }
        None => {}
    }
    let Some(invoke) = &test.invoke else { return findings };
    findings.push(match because {
        Some(because) => not_sent(function, call, &because),
        None => {
            let begun = clock.monotonic();
            let invoked = invoke.invoke(&test.outgoing(tested)).await;
            invoking.call(function, call, &invoked, clock.monotonic().saturating_sub(begun))
        }
    });
    findings
}

/// The status of a dry run; `None` if there is none of this destination.
#[cfg(feature = "lambda")]
async fn dry_run(test: &DestinationTest, function: &str) -> Option<Result<u16, Failure>> {
    let clients = test.clients.as_deref()?;
    Some(super::probe::lambda::dry_run(clients, &test.source, function, test.settings.timeout).await)
}

#[cfg(not(feature = "lambda"))]
#[expect(clippy::unused_async, reason = "with the feature `lambda` it sends a request")]
async fn dry_run(_test: &DestinationTest, _function: &str) -> Option<Result<u16, Failure>> {
    None
}
