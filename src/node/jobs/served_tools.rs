//! What the jobs of a server work with. Which programs and addresses are invoked is said at its start alone, by
//! `--function`, and never by a request.

use std::sync::Arc;
use std::time::Duration;

use super::tools::{JobStore, JobTools, MakeTools, ToolsError, handler, store_at, variables_at};
use crate::boxed_future::BoxFuture;
use crate::dev_s3;
use crate::jobs::handlers::command::{CommandError, CommandHandler, Surroundings};
use crate::jobs::job::id::JobId;
use crate::jobs::job::operation::{Operation, function_name, is_function_arn};
use crate::jobs::job::spec::{Endpoints, JobSpec};
use crate::jobs::named_functions::NamedFunctions;
use crate::store::s3::S3Store;
use crate::words::outside_text;

/// Makes the tools of the jobs of `batch serve` and `dev`.
#[derive(Debug)]
pub struct ServedTools {
    functions: NamedFunctions,
    others: Others,
    store: Arc<S3Store>,
    /// Those of programs, so that they reach the same store.
    variables: Vec<(&'static str, Option<String>)>,
}

/// Where functions are invoked that `--function` does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Others {
    /// In AWS, with the role of the job.
    InAws,
    /// At the service that has this address, without the role: it is a stand-in for AWS.
    At(String),
    /// Nowhere: such a job is refused.
    Nowhere,
}

impl ServedTools {
    /// Those of `batch serve`: with AWS, or with the services at `endpoint`.
    pub async fn of_serve(functions: NamedFunctions, endpoint: Option<String>) -> Self {
        let store = store_at(endpoint.as_deref()).await;
        let variables = endpoint.as_deref().map_or_else(Vec::new, variables_at);
        Self { functions, others: endpoint.map_or(Others::InAws, Others::At), store, variables }
    }

    /// Those of `dev`, whose store is this one, at this address.
    pub fn of_dev(functions: NamedFunctions, store: Arc<S3Store>, url: &str) -> Self {
        Self { functions, others: Others::Nowhere, store, variables: variables_of_dev(url) }
    }
}

/// The variables of programs of `dev`. With the credentials and the region of the shell a program would work
/// in somebody's real bucket.
fn variables_of_dev(url: &str) -> Vec<(&'static str, Option<String>)> {
    let mut variables = variables_at(url);
    let (id, secret, region) = (dev_s3::ACCESS_KEY_ID, dev_s3::SECRET_ACCESS_KEY, dev_s3::REGION);
    let set = [
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
    ];
    variables.extend(set.map(|(name, value)| (name, Some(value.to_owned()))));
    variables.extend(["AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"].map(|name| (name, None)));
    variables
}

/// Tries the programs of functions: each is started and ended, so that a wrong one is known before a job needs it.
/// Errors: the first one that cannot be used.
pub fn try_programs(functions: &NamedFunctions) -> Result<(), CommandError> {
    functions.operations().try_for_each(|operation| match operation {
        Operation::Command(line) => {
            let around = Surroundings::default();
            CommandHandler::start(line, around, 1, Duration::ZERO, Arc::new(|_| {})).map(drop)
        }
        _ => Ok(()),
    })
}

impl MakeTools for ServedTools {
    fn check(&self, spec: &JobSpec) -> Result<Operation, String> {
        operation(&self.functions, &self.others, &spec.operation)
    }

    fn store(&self, spec: &JobSpec) -> JobStore {
        let role = spec.role.clone().filter(|_| self.others == Others::InAws);
        JobStore { store: Arc::clone(&self.store) as _, role }
    }

    fn tools<'a>(&'a self, spec: &'a JobSpec, job: JobId) -> BoxFuture<'a, Result<JobTools, ToolsError>> {
        Box::pin(async move {
            let operation = self.check(spec).map_err(ToolsError::NotNamed)?;
            let JobStore { store: of_job, role } = self.store(spec);
            let store = match &self.others {
                Others::At(url) => Some(url.clone()),
                Others::InAws | Others::Nowhere => None,
            };
            let endpoints = Endpoints { store, ..Endpoints::default() };
            // Programs run in the folder of this process.
            let used = JobSpec { operation, role: role.clone(), endpoints, folder: None, ..spec.clone() };
            let handler = handler(&used, job, &self.store, self.variables.clone())?;
            Ok(JobTools { store: of_job, handler, role })
        })
    }
}

/// What is invoked for the operation of a job.
fn operation(functions: &NamedFunctions, others: &Others, of_job: &Operation) -> Result<Operation, String> {
    let Operation::Function(function) = of_job else { return Ok(of_job.clone()) };
    if let Some(named) = functions.in_place_of(function) {
        return Ok(named.clone());
    }
    // AWS refuses it, too: a job that is tried here must be taken there.
    if !is_function_arn(function) {
        let (shown, name) = (outside_text(function), function_name(function).unwrap_or("NAME"));
        return Err(format!(
            "Operation.LambdaInvoke.FunctionArn is \"{shown}\": it must be the whole ARN of a function, such as \
             arn:aws:lambda:us-east-1:111122223333:function:{name}; a name alone is taken where --function {name}=… names \
             what is invoked"
        ));
    }
    match others {
        Others::Nowhere => {
            let name = function_name(function).unwrap_or("NAME");
            Err(format!(
                "no --function names {}, and `forebay dev` invokes nothing in AWS: start it with \
                 --function '{name}=cmd:PROGRAM ARGUMENTS' or --function {name}=http://ADDRESS",
                outside_text(function)
            ))
        }
        Others::InAws | Others::At(_) if cfg!(feature = "lambda") => Ok(of_job.clone()),
        Others::InAws | Others::At(_) => Err(format!(
            "no --function names {}, and this program is built without the feature `lambda`",
            outside_text(function)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::named_functions::NamedFunction;

    const ARN: &str = "arn:aws:lambda:us-east-1:111122223333:function:copy:live";

    #[tokio::test]
    async fn a_program_that_cannot_be_started_is_known_at_once() {
        let named = |handler: &str| {
            NamedFunctions::new([NamedFunction::parse(&format!("copy={handler}")).unwrap()]).unwrap()
        };
        try_programs(&named("cmd:cat")).unwrap();
        try_programs(&named("http://127.0.0.1:1")).unwrap();
        for (handler, says) in
            [("cmd:/no/such/program a", "cannot start /no/such/program"), ("cmd:cat 'a", "quote")]
        {
            let error = try_programs(&named(handler)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn programs_reach_the_store_of_their_server() {
        let of = |variables: &[(&'static str, Option<String>)], name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        };
        let url = "http://127.0.0.1:9000";
        let (dev, serve) = (variables_of_dev(url), variables_at(url));
        for variables in [&dev, &serve] {
            assert_eq!(of(variables, "AWS_ENDPOINT_URL_S3"), Some(Some(url.to_owned())));
        }
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", Some("forebay")),
            ("AWS_SECRET_ACCESS_KEY", Some("forebay-secret")),
            ("AWS_REGION", Some("us-east-1")),
            ("AWS_DEFAULT_REGION", Some("us-east-1")),
            ("AWS_SESSION_TOKEN", None),
            ("AWS_PROFILE", None),
        ] {
            assert_eq!(of(&dev, name), Some(value.map(str::to_owned)), "{name}");
            assert_eq!(of(&serve, name), None, "{name} is the user's");
        }
    }

    #[test]
    fn what_is_named_goes_first_and_only_aws_has_the_others() {
        let named = NamedFunctions::new([NamedFunction::parse("copy=cmd:cat").unwrap()]).unwrap();
        let none = NamedFunctions::default();
        let function = Operation::Function(ARN.to_owned());
        let command = Operation::Command("cat".to_owned());
        for others in [Others::InAws, Others::At("http://127.0.0.1:1".to_owned()), Others::Nowhere] {
            assert_eq!(operation(&named, &others, &function), Ok(command.clone()), "{others:?}");
        }
        let refused = operation(&none, &Others::Nowhere, &function).unwrap_err();
        for says in [ARN, "--function 'copy=cmd:PROGRAM", "--function copy=http://"] {
            assert!(refused.contains(says), "{refused}");
        }
        if cfg!(feature = "lambda") {
            assert_eq!(operation(&none, &Others::InAws, &function), Ok(function));
        }
        let bare = Operation::Function("copy".to_owned());
        for others in [Others::InAws, Others::At("http://127.0.0.1:1".to_owned()), Others::Nowhere] {
            assert_eq!(operation(&named, &others, &bare), Ok(command.clone()), "{others:?}");
            let refused = operation(&none, &others, &bare).unwrap_err();
            assert!(
                refused.contains("FunctionArn is \"copy\"") && refused.contains("--function copy="),
                "{refused}"
            );
        }
    }
}
