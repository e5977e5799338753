//! `forebay batch serve`: the API of S3 Batch Operations.

use super::args::ServeJobsArgs;
use super::folder::{below, endpoint};
use super::run::STAGE_WORDS;
use crate::check::ports::here;
use crate::cli::failure::Failure;
use crate::config::Environment;
use crate::jobs::named_functions::{NamedFunction, NamedFunctions};
use crate::node::jobs::serve::{ServeSettings, keys, run as serve};
use crate::node::jobs::served_tools::try_programs;
use crate::runtime::Shutdown;
use crate::runtime::say::say_beside;

/// What `--function` names. Errors: [`Failure`]: one is given twice, or its program cannot be started.
pub(in crate::cli) fn named(functions: &[NamedFunction]) -> Result<NamedFunctions, Failure> {
    let named = NamedFunctions::new(functions.to_vec());
    let tried = named.and_then(|named| match try_programs(&named) {
        Ok(()) => Ok(named),
        Err(error) => Err(error.to_string()),
    });
    tried.map_err(|what| Failure::usage(format!("--function: {what}")))
}

/// Serves until a signal ends it.
/// Errors: [`Failure`].
pub(super) async fn run(args: &ServeJobsArgs) -> Result<(), Failure> {
    let keys = keys(args.listen, &Environment::of_process()).map_err(Failure::usage)?;
    let functions = named(&args.functions)?;
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen_saying(STAGE_WORDS)?;
    let settings = ServeSettings {
        listen: args.listen,
        metrics_listen: args.metrics_listen,
        keys,
        folder: below(args.state.as_ref())?,
        active_jobs: args.active_jobs.into(),
        functions,
        endpoint: endpoint(args.endpoint_url.as_ref())?,
        region: args.region.clone(),
    };
    let region = &args.region;
    let started = |addr, metrics: Option<_>| {
        let url = format!("http://{}", here(addr));
        let metrics = metrics.map_or_else(String::new, |addr| format!("\nmetrics http://{addr}/metrics"));
        say_beside(format!(
            "batch http://{addr}: HTTP_PROXY={url} aws s3control list-jobs --account-id 111122223333 --region {region} \
             --endpoint-url {url}{metrics}"
        ));
    };
    Ok(serve(settings, &shutdown, started).await?)
}
