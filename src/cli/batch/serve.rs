//! `forebay batch serve`: the API of S3 Batch Operations.

use super::args::ServeJobsArgs;
use super::folder::below;
use super::run::STAGE_WORDS;
use crate::check::ports::here;
use crate::cli::failure::Failure;
use crate::config::Environment;
use crate::jobs::named_functions::NamedFunctions;
use crate::node::jobs::serve::{ServeSettings, keys, run as serve};
use crate::runtime::Shutdown;
use crate::runtime::say::say_beside;

/// Serves until a signal ends it.
/// Errors: [`Failure`].
pub(super) async fn run(args: &ServeJobsArgs) -> Result<(), Failure> {
    let keys = keys(args.listen, &Environment::of_process()).map_err(Failure::usage)?;
    let functions = NamedFunctions::new(args.functions.clone())
        .map_err(|what| Failure::usage(format!("--function: {what}")))?;
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen_saying(STAGE_WORDS)?;
    let settings = ServeSettings {
        listen: args.listen,
        keys,
        folder: below(args.state.as_ref())?,
        active_jobs: args.active_jobs.into(),
        functions,
        endpoint: args.endpoint_url.as_ref().map(|url| url.as_str().to_owned()),
        region: args.region.clone(),
    };
    let region = &args.region;
    let started = |addr| {
        let url = format!("http://{}", here(addr));
        say_beside(format!(
            "batch http://{addr}: HTTP_PROXY={url} aws s3control list-jobs --account-id 111122223333 --region {region} \
             --endpoint-url {url}"
        ));
    };
    Ok(serve(settings, &shutdown, started).await?)
}
