//! The function that the environment describes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::settings::{Settings, Unfinished};
use crate::cli::failure::Failure;
use crate::cli::import::shared::{hash, limits_hash, opening, store_at};
use crate::config::Endpoint;
use crate::config::units::ByteSize;
use crate::import::discovery::files::temporary;
use crate::import::{RowLimits, short_hash};
use crate::lambda::function::self_invoke::SelfInvoke;
use crate::lambda::function::{Function, FunctionSettings, To};
use crate::runtime::{SystemClock, SystemRandom};

/// The only folder of a function that can be written.
const FOLDER: &str = "/tmp/forebay";

/// Reads the environment, and opens what it names.
///
/// # Errors
/// [`Failure`] that says which variable is wrong.
pub(super) async fn start(environment: &BTreeMap<String, String>) -> Result<Function, Failure> {
    let settings = Settings::of(environment)?;
    for name in &settings.ignored {
        tracing::warn!(name, "this variable is unknown and ignored");
    }
    let endpoint = match (&settings.csv.to.endpoint_url, environment.get("AWS_ENDPOINT_URL")) {
        (Some(url), _) => Some(url.clone()),
        (None, Some(url)) => {
            let url = Endpoint::parse(url);
            Some(url.map_err(|error| Failure::usage(format!("AWS_ENDPOINT_URL: {error}")))?)
        }
        (None, None) => None,
    };
    let store = store_at(endpoint.as_ref(), environment.get("AWS_REGION").map(String::as_str)).await;
    let self_invoke = match settings.unfinished {
        Unfinished::SelfInvoke => Some(SelfInvoke::new(environment).await),
        Unfinished::Retry => None,
    };
    let outside = (Arc::new(SystemClock::new()) as _, Arc::new(SystemRandom) as _);
    Ok(Function::open(function_settings(settings)?, store, self_invoke, outside).await?)
}

fn function_settings(settings: Settings) -> Result<FunctionSettings, Failure> {
    let Settings { csv, to, journal, unfinished: _, stop_before, missing_fails, ignored: _ } = settings;
    let mut options = hash(&csv.given, &csv.format);
    if let To::Objects { part_bytes, .. } = &to {
        // A file that is half imported is continued with parts of the same size.
        let part = ByteSize(*part_bytes as u64);
        options = short_hash(format!("{options} {part}").as_bytes());
    }
    Ok(FunctionSettings {
        opening: Arc::new(opening(&csv.given, &csv.format, temporary(&PathBuf::from(FOLDER)), false)?),
        options,
        limits_hash: limits_hash(csv.on_row_error, csv.format.allow_expansion),
        limits: RowLimits { rows: csv.rows.unwrap_or(0..u64::MAX), on_row_error: csv.on_row_error },
        rate: csv.to.rate.map(std::num::NonZeroU32::get),
        parallel: usize::from(csv.parallel),
        to,
        journal,
        rejects: csv.to.rejects,
        stop_before,
        missing_fails,
    })
}
