//! `forebay lambda`: the program as a function of AWS Lambda. Notifications of S3 come in; the rows of the
//! files that they name go to a collector, or become objects.

mod settings;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use self::settings::FromEnvironment;
use super::failure::Failure;
use super::import::options::{opening, options_hash};
use crate::import::RowLimits;
use crate::import::discovery::files::temporary;
use crate::lambda::function::{CsvFunction, FileImport};
use crate::node::function::{self, FOLDER};

/// Serves invocations until the runtime ends the process.
/// Errors: [`Failure`]: the environment is wrong, or the runtime does not answer.
pub async fn run() -> Result<(), Failure> {
    let environment = function::environment().map_err(Failure::usage)?;
    function::with_scheme(&environment)?;
    match open(&environment).await {
        Ok(function) => function::serve(function).await.map_err(Failure::failed),
        Err(failure) => {
            function::report(&environment, &failure.to_string()).await;
            Err(failure)
        }
    }
}

/// The function that the environment describes.
async fn open(environment: &BTreeMap<String, String>) -> Result<CsvFunction, Failure> {
    let FromEnvironment { csv, settings, ignored } = FromEnvironment::of(environment)?;
    for name in &ignored {
        tracing::warn!(name, "this variable is unknown and ignored");
    }
    let opening = opening(&csv.format, temporary(Path::new(FOLDER)), false)?;
    let import = FileImport {
        options: options_hash(&csv.format, &opening),
        opening: Arc::new(opening),
        limits_hash: csv.on_row_error.limits_hash(csv.format.allow_expansion),
        limits: RowLimits {
            rows: csv.rows.unwrap_or(0..u64::MAX),
            on_row_error: csv.on_row_error,
            ..RowLimits::default()
        },
        rate: csv.to.rate.map(std::num::NonZeroU32::get),
        parallel: usize::from(csv.parallel),
        rejects: csv.to.rejects,
    };
    Ok(function::open(environment, settings, import, csv.to.endpoint_url.as_ref()).await?)
}
