//! The destinations of a configuration file.

use std::path::Path;

use crate::cli::failure::Failure;
use crate::cli::serve::load;
use crate::config::{Config, Environment, destinations_alone};
use crate::destinations::settings::DestinationSettings;
use crate::sources::SourceId;

/// The destinations of a file, and the whole configuration. A file with nothing but destinations, as
/// `dev --config` takes it, has no whole configuration. Errors: [`Failure`]: what is wrong with the file.
pub(super) fn configured(file: &Path) -> Result<(Vec<DestinationSettings>, Option<Config>), Failure> {
    // The environment may have the settings that the file lacks.
    match load(file) {
        Ok(loaded) => Ok((loaded.config.destinations.clone(), Some(loaded.config))),
        Err(failure) => match destinations_alone(file, &Environment::of_process()) {
            Some(Ok(destinations)) => Ok((destinations, None)),
            Some(Err(error)) => Err(error.into()),
            None => Err(failure),
        },
    }
}

/// The destination of this name in a configuration.
/// Errors: [`Failure`]: no destination has this name; the message lists those that the file has.
pub(super) fn named(
    config: &Path,
    name: &SourceId,
    destinations: Vec<DestinationSettings>,
) -> Result<DestinationSettings, Failure> {
    let names: Vec<String> = destinations.iter().map(|known| known.name.to_string()).collect();
    destinations.into_iter().find(|known| known.name == *name).ok_or_else(|| {
        let known = match names.is_empty() {
            true => "it has no enabled [[destination]]".to_owned(),
            false => format!("it has {}", names.join(", ")),
        };
        Failure::usage(format!("{} has no enabled destination {name}: {known}", config.display()))
    })
}
