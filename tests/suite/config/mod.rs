//! Tests of the configuration, with files as a person would write them.

mod defaults;
mod destinations;
mod environment;
mod example;
mod imports;
mod in_force;
mod kafka;
mod problems;
mod reference;
mod reload;
mod watch;

use forebay::config::{Config, ConfigError, Environment, Loaded, Loader};

/// The smallest valid configuration.
pub(crate) const SMALLEST: &str = "[s3]\nbucket = \"b-1\"\n[[source]]\nid = \"web\"\nwrite_keys = [\"k\"]\n";

/// Loads `text` as `forebay.toml` with these environment variables.
pub(crate) fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    load_all(text, variables, &[])
}

/// Loads `text` beside these files.
pub(crate) fn load_with(text: &str, files: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    load_all(text, &[], files)
}

fn load_all(text: &str, variables: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.toml");
    std::fs::write(&path, text).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    Loader::new(path, Environment::of(variables.iter().copied())).load()
}

pub(crate) fn config(text: &str) -> Config {
    load(text, &[]).unwrap().config
}

/// The texts of all problems, in order.
pub(crate) fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let error = load(text, variables).map(|loaded| loaded.config).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}
