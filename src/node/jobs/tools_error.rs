//! Why a job has nothing to work with.

use std::io;

use crate::config::ConfigError;
use crate::jobs::handlers::command::CommandError;
use crate::node::error::NodeError;

/// Why a job has nothing to work with. All of it is wrong usage, but for a way of rows that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    /// The command cannot be used.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The addresses cannot be reached by HTTPS.
    #[error("read the certificates that this system trusts")]
    Certificates(#[source] io::Error),
    /// The server that runs the job may not invoke its function.
    #[error("{0}")]
    NotNamed(String),
    /// This process imports nothing.
    #[error("jobs of this process cannot import: `forebay batch run --manifest PLACE --handler import` can")]
    NoImports,
    /// The write key is not kept with the job.
    #[error(
        "the write key with which the job was made is not kept with it: give the same one with --write-key or \
         FOREBAY_WRITE_KEY"
    )]
    WriteKey,
    /// The job was opened to be ended.
    #[error("the job was opened without what runs its tasks: a fault of this program")]
    NoTasks,
    /// An option has a wrong value.
    #[error("{0}: {1}")]
    Wrong(&'static str, String),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(Box<ConfigError>),
    /// The rows cannot go where they are to go.
    #[error(transparent)]
    Import(Box<NodeError>),
    /// The program lacks a part.
    #[error(
        "this program is built without the feature `lambda`: use cmd: or an address as --handler, or a program that has \
         it"
    )]
    NoLambda,
    /// No region is known.
    #[error("{0} names no region: give the ARN of the function, or set AWS_REGION")]
    NoRegion(String),
    /// The role has no external id.
    #[error("use the role: {0}")]
    Role(String),
}

impl From<NodeError> for ToolsError {
    fn from(error: NodeError) -> Self {
        Self::Import(Box::new(error))
    }
}
