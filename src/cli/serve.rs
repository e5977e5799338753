//! `forebay serve`: runs the collector with forebay.toml.

use std::net::SocketAddr;
use std::path::Path;

use super::args::ServeArgs;
use super::failure::Failure;
use crate::config::{Config, Environment, Loaded, Loader};
use crate::node::serve;
use crate::runtime::Background;
use crate::runtime::say::say_beside;

/// The hint if the configuration file is missing.
const NO_FILE: &str = "\n  use --config for another file, such as that of `dev --config`; to try Forebay without a configuration: forebay dev";

/// Runs until a signal ends it. Errors: [`Failure`]: the configuration cannot be used, or the node failed.
pub async fn run(args: &ServeArgs, background: &Background) -> Result<(), Failure> {
    let loaded = Loader::new(&args.config, Environment::of_process()).with_loaded();
    let loaded = loaded.map_err(|error| with_hint(error.into(), &args.config))?;
    let say = |public: Option<SocketAddr>, console: &str| {
        let collector = public.map(|public| format!("collector http://{public}\n")).unwrap_or_default();
        say_beside(format!("{collector}console {console}"));
    };
    Ok(serve::run(loaded, background, say).await?)
}

/// Reads the configuration, and logs its warnings. If the file is missing, the error says what to do.
/// Errors: [`Failure`] with all problems: exit code 2.
pub(super) fn load(path: &Path) -> Result<Loaded, Failure> {
    loaded(path).map_err(|failure| with_hint(failure, path))
}

fn with_hint(failure: Failure, path: &Path) -> Failure {
    if path.exists() { failure } else { Failure::usage(format!("{failure}{NO_FILE}")) }
}

/// The configuration of a command about imports. It may be a file that only `forebay dev` takes.
/// Errors: [`Failure`] with all problems: exit code 2.
pub(super) fn load_for_imports(path: &Path) -> Result<Config, Failure> {
    let config = config_of(&Loader::new(path, Environment::of_process()).with_dev_files());
    config.map_err(|failure| with_hint(failure, path))
}

/// The same for a command that sets something up: the person who does that need have neither write keys nor a
/// converter. Errors: [`Failure`] with all problems: exit code 2.
pub(super) fn load_for_setup(path: &Path) -> Result<Config, Failure> {
    let loader = Loader::new(path, Environment::of_process()).with_dev_files();
    config_of(&loader.without_secrets().without_converters())
}

/// The same for a machine that has none of the secrets. Errors: [`Failure`] with all problems: exit code 2.
pub(super) fn load_for_ci(path: &Path) -> Result<Config, Failure> {
    let loader = Loader::new(path, Environment::of_process()).without_secrets();
    config_of(&loader).map_err(|failure| with_hint(failure, path))
}

fn config_of(loader: &Loader) -> Result<Config, Failure> {
    let loaded = loader.load()?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(loaded.config)
}

/// Reads the configuration, and logs its warnings, for a command that cannot do without a configuration.
/// Errors: [`Failure`] with all problems: exit code 2.
pub(super) fn loaded(path: &Path) -> Result<Loaded, Failure> {
    let loaded = Loader::new(path, Environment::of_process()).load()?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(loaded)
}
