//! The policy engine: `tests/policies/node/evaluate.cjs`, in a separate process.

use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::printed::project;
use crate::support::tools::{on_path, require, stdout_of};

/// A request, and the policies in force for it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Request {
    pub(super) identity: Vec<Value>,
    pub(super) resource: Option<Value>,
    pub(super) principal: String,
    pub(super) action: String,
    pub(super) on: String,
    pub(super) account: String,
    pub(super) context: Value,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Answer {
    /// The engine's result, and the Sids of the statements that decided.
    Decided { result: String, identity: Vec<String>, resource: Vec<String> },
    /// The engine rejects the policy or the request.
    Wrong { error: String },
}

/// The answer to each request; `None` if the engine is not installed.
pub(super) async fn evaluate(requests: &[Request]) -> Option<Vec<Answer>> {
    let (node, packages) = (on_path("node")?, require("policies/node_modules")?);
    let file = tempfile::NamedTempFile::new().unwrap();
    serde_json::to_writer(&file, requests).unwrap();
    let mut command = Command::new(node);
    command.arg(project("tests/policies/node/evaluate.cjs")).arg(file.path()).env("NODE_PATH", packages);
    let answers: Vec<Answer> = serde_json::from_str(&stdout_of(command).await).unwrap();
    assert_eq!(answers.len(), requests.len());
    Some(answers)
}
