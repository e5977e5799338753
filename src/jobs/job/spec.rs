//! What a job was asked to do. It is written once and never changes: priority and status are in the job's
//! state.

use serde::{Deserialize, Serialize};

use super::import_way::ImportWay;
use super::operation::Operation;
use super::state::Priority;
use crate::jobs::invocation::Schema;
use crate::object::{AccountId, RoleArn};
use crate::time::UnixMillis;

/// Everything that a job was asked to do. The order of the members is that of its canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Whom it invokes.
    pub operation: Operation,
    /// The form of the invocations.
    pub schema: Schema,
    /// Arguments of every invocation, in the order in which they were given. They need schema 2.0.
    pub user_arguments: Vec<(String, String)>,
    /// The list of objects.
    pub manifest: ManifestSpec,
    /// Where the completion report goes; `None`: there is none.
    pub report: Option<ReportSpec>,
    /// The priority with which it begins.
    pub priority: Priority,
    /// The role for manifest, report and invocations.
    pub role: Option<RoleArn>,
    /// A text for people.
    pub description: Option<String>,
    /// Whether a person must confirm it before it runs.
    pub confirmation_required: bool,
    /// By which a repeated request is known.
    pub client_request_token: Option<String>,
    /// Names and values.
    pub tags: Vec<(String, String)>,
    /// Invocations in flight at once.
    pub concurrency: u32,
    /// Attempts of each task in all.
    pub max_attempts: u32,
    /// How long an invocation may take, in milliseconds.
    pub task_timeout_ms: u64,
    /// The job fails if more than this part of its executed tasks failed, in per cent.
    pub failure_percent: u32,
    /// Executed tasks below which the job does not fail by that.
    pub failure_min_tasks: u64,
    /// The folder in which a program runs; `None`: that of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Where the rows of imported objects go; `None`: it imports nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportWay>,
    /// Services that are not AWS's own.
    #[serde(default, skip_serializing_if = "Endpoints::are_of_aws")]
    pub endpoints: Endpoints,
    /// Who made it.
    pub made_by: MadeBy,
    /// When.
    pub made_at: UnixMillis,
}

impl JobSpec {
    /// The canonical JSON: without spaces, the members in their order, those without a value as `null`.
    /// Errors: never with values that passed the checks.
    pub fn canonical_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Whether two requests ask for the same: all but the time is equal.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        Self { made_at: other.made_at, ..self.clone() } == *other
    }
}

/// Where the services are that a job uses. `None`: at AWS, as the environment says. They are kept, so that a
/// job goes on with its id alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// The store's.
    pub store: Option<String>,
    /// That of the service which invokes functions.
    pub functions: Option<String>,
    /// That of the token service, which gives the session of a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<String>,
}

impl Endpoints {
    /// Whether none is named.
    pub fn are_of_aws(&self) -> bool {
        *self == Self::default()
    }
}

/// The list of objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestSpec {
    /// Where it is.
    pub place: ManifestPlace,
    /// Its ETag, without quotes, where one was given: it must match.
    pub etag: Option<String>,
    /// Its form; `None`: its first bytes decide.
    pub format: Option<ManifestFormat>,
    /// The columns of a CSV file, by their names in the API; `None`: by the number of columns.
    pub fields: Option<Vec<String>>,
}

/// Where a manifest is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManifestPlace {
    /// An object.
    Object {
        /// The bucket's name.
        bucket: String,
        /// The object key.
        key: String,
        /// The version, where one was given.
        version: Option<String>,
    },
    /// A file of the machine on which the job was made.
    File(String),
    /// Standard input of the command that made the job.
    StandardInput,
}

/// The form of a manifest, by its name in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ManifestFormat {
    /// `S3BatchOperations_CSV_20180820`.
    #[serde(rename = "S3BatchOperations_CSV_20180820")]
    Csv,
    /// `S3InventoryReport_CSV_20161130`.
    #[serde(rename = "S3InventoryReport_CSV_20161130")]
    Inventory,
}

impl ManifestFormat {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "S3BatchOperations_CSV_20180820",
            Self::Inventory => "S3InventoryReport_CSV_20161130",
        }
    }

    /// Parses a name. Errors: the names that there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            let shown = crate::words::outside_text(text);
            format!("expected {} or {}, not \"{shown}\"", Self::Csv.as_str(), Self::Inventory.as_str())
        };
        [Self::Csv, Self::Inventory].into_iter().find(|format| format.as_str() == text).ok_or_else(expected)
    }
}

shown_as_text!(ManifestFormat);

/// Where the completion report goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportSpec {
    /// The bucket's name.
    pub bucket: String,
    /// The beginning of its keys; may be empty.
    pub prefix: String,
    /// The tasks in it.
    pub scope: ReportScope,
}

/// The tasks in a report (`ReportScope`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportScope {
    /// All tasks that ended.
    AllTasks,
    /// Those that failed.
    FailedTasksOnly,
}

impl ReportScope {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllTasks => "AllTasks",
            Self::FailedTasksOnly => "FailedTasksOnly",
        }
    }

    /// Parses a name. Errors: the names that there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "AllTasks" => Ok(Self::AllTasks),
            "FailedTasksOnly" => Ok(Self::FailedTasksOnly),
            _ => Err(format!(
                "expected AllTasks or FailedTasksOnly, not \"{}\"",
                crate::words::outside_text(text)
            )),
        }
    }
}

shown_as_text!(ReportScope);

/// Who made a job. Jobs of the API go on by themselves when their server starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MadeBy {
    /// `batch run`.
    Run,
    /// A request to the API.
    Api {
        /// The account of the request, for the job's ARN.
        account: AccountId,
        /// The region of the request.
        region: String,
    },
}
