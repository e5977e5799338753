//! Jobs that import the objects of their tasks: `files` as `import csv` does, `named` by the rules of an `[[import]]`
//! and with its history. Both read the events and answer as `forebay lambda` does in a job of AWS.

mod answering;
pub(super) mod files;
pub(super) mod named;

use std::path::{Path, PathBuf};

use super::tools_error::ToolsError;
use crate::admin_client::AdminUrl;
use crate::config::{Config, Environment, Loader};
use crate::jobs::job::import_way::ImportWay;

/// The node of a way.
struct NodeOf {
    admin: Option<AdminUrl>,
    token_file: Option<PathBuf>,
    config: Option<Config>,
}

impl NodeOf {
    /// The node that a way names. Reads the configuration.
    /// Errors: [`ToolsError`]: what is wrong with it.
    fn of(way: &ImportWay) -> Result<Self, ToolsError> {
        let wrong = |what: &'static str| ToolsError::Wrong("--admin", what.to_owned());
        let admin = way.admin.as_deref().map(str::parse).transpose().map_err(wrong)?;
        let config = way.config.as_deref().map(|path| config(Path::new(path))).transpose()?;
        Ok(Self { admin, token_file: way.token_file.as_ref().map(PathBuf::from), config })
    }
}

fn config(path: &Path) -> Result<Config, ToolsError> {
    let loaded = Loader::new(path, Environment::of_process()).with_dev_files().load();
    let loaded = loaded.map_err(|error| ToolsError::Config(Box::new(error)))?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(loaded.config)
}
