//! What a task works on, and how it ended.

/// One row of a manifest: what one task works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The bucket's name.
    pub bucket: String,
    /// The object key as the manifest has it: URL-encoded.
    pub key: String,
    /// The version, where the manifest names one.
    pub version: Option<String>,
    /// Arguments of this task alone, laid over those of the job: names and values, in the manifest's order.
    pub args: Vec<(String, String)>,
}

/// How a task ended for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskResult {
    /// The row of the manifest, from 0.
    pub row: u64,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// The HTTP status of the last answer; 200 for an answer of a program, `None` without an answer.
    pub http_status: Option<u16>,
    /// Why it failed, in the words of the report (`PermanentFailure`, …). Empty if it succeeded.
    pub error_code: String,
    /// The function's result, or what went wrong: at most [`MESSAGE_MAX`] bytes, whole characters. A longer one was cut,
    /// and says so at its end.
    pub message: String,
}

/// The most arguments of a task: those of its job and its own together.
pub const ARGUMENTS_MAX: usize = 10;
/// The longest name of an argument, in characters.
pub const ARGUMENT_NAME_MAX: usize = 64;
/// The longest value of an argument, in characters.
pub const ARGUMENT_VALUE_MAX: usize = 1_024;

/// The longest message of a task that is kept, in bytes.
pub const MESSAGE_MAX: usize = 1_024;
