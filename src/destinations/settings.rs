//! What a destination is set to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::request::Invocation;
use super::select::Selection;
use crate::object::{ExternalId, Role, RoleArn};
use crate::sources::SourceId;

/// The function's name in positions and dead letters if it is behind a web address, which may hold a secret.
pub const URL: &str = "url";
/// The name that stands for an endpoint that calls are forwarded to.
pub const FORWARD: &str = "forward";

/// Whether a function of this name is behind a web address.
pub fn is_web(function: &str) -> bool {
    [URL, FORWARD].contains(&function)
}

/// How long an answer is waited for, unless it is set.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// The age at which a call becomes a dead letter, unless it is set.
pub const MAX_AGE: Duration = Duration::from_secs(4 * 3_600);

/// The most that a destination may queue, unless it is set.
pub const MAX_QUEUE: u64 = 8_000_000_000;

/// Handles that a function takes beside those of its invocations: a file of its queue, and a connection for
/// its role.
const HANDLES_BESIDE: usize = 2;

/// How many invocations of each function may run at once, if `functions` of them have `handles` together. At
/// least one: an equal part for each, so that a function that hangs takes nothing from the others.
pub fn concurrency_max(handles: usize, functions: usize) -> usize {
    (handles / functions.max(1)).saturating_sub(HANDLES_BESIDE).max(1)
}

/// The bytes of a spool of `max_bytes` that the log may keep for destinations only. Beyond that, lines that
/// wait are copied into queues.
pub fn share(max_bytes: u64) -> u64 {
    max_bytes / 10
}

/// The bytes of a spool of `max_bytes` that all destinations together may queue.
pub fn queues_max(max_bytes: u64) -> u64 {
    max_bytes / 2
}

/// A destination, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSettings {
    /// The name.
    pub name: SourceId,
    /// Which calls go to which of its functions.
    pub selection: Selection,
    /// Where its functions are.
    pub functions_at: FunctionsAt,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// Invocations of each function at once.
    pub concurrency: usize,
    /// The age at which a call becomes a dead letter.
    pub max_age: Duration,
    /// The bytes of its lines that may wait; beyond that the oldest calls become dead letters.
    pub max_queue: u64,
    /// Retries of a call whose function failed.
    pub retry_execution_errors: u32,
    /// Whether calls of one user are sent one after another.
    pub in_order: bool,
    /// Several calls in one invocation.
    pub batch: Option<BatchBounds>,
    /// The TOML that it was read from. Secrets are in it by reference if the file has them by reference.
    pub typed: String,
}

impl DestinationSettings {
    /// The settings of a destination of which only the name is known.
    pub fn of_no_function(name: SourceId) -> Self {
        Self {
            selection: Selection { name: name.as_str().to_owned(), ..Selection::default() },
            name,
            functions_at: FunctionsAt::Url(SecretText(String::new())),
            timeout: TIMEOUT,
            concurrency: 1,
            max_age: MAX_AGE,
            max_queue: u64::MAX,
            retry_execution_errors: 0,
            in_order: false,
            batch: None,
            typed: String::new(),
        }
    }
}

/// How many calls are sent in one invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchBounds {
    /// Calls.
    pub calls: usize,
    /// Bytes of their lines.
    pub bytes: usize,
}

/// Where the functions of a destination are, and how they are invoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionsAt {
    /// AWS Lambda.
    Lambda(AtLambda),
    /// A web address that answers as a function would.
    Url(SecretText),
    /// Another tracking endpoint.
    Forward {
        /// The address, without `/v1/batch`.
        to: String,
        /// The write key that calls are sent with.
        write_key: SecretText,
    },
}

impl FunctionsAt {
    /// Whether this function can be invoked there. Calls that waited while the type changed may have another.
    pub fn serves(&self, function: &str) -> bool {
        match self {
            Self::Lambda(_) => !is_web(function),
            Self::Url(_) => function == URL,
            Self::Forward { .. } => function == FORWARD,
        }
    }

    /// The kind as in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lambda(_) => "lambda",
            Self::Url(_) | Self::Forward { .. } => "http",
        }
    }
}

/// How functions of AWS Lambda are invoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtLambda {
    /// Their region, unless their ARNs name it.
    pub region: Option<String>,
    /// The role that may invoke them; without one, the process's own credentials are used.
    pub role: Option<RoleArn>,
    /// The external ids in the role's trust policy.
    pub external_ids: ExternalIds,
    /// Whether the end of the function's log is asked for.
    pub log_tail: bool,
    /// Whether the function's answer is waited for.
    pub invocation: Invocation,
    /// The most bytes of a payload.
    pub payload_max: usize,
    /// An endpoint other than AWS's own.
    pub endpoint_url: Option<String>,
}

impl AtLambda {
    /// The role for calls of a source. `None`: the process's own credentials.
    /// Errors: the source's id cannot be an external id.
    pub fn role_for(&self, source: &SourceId) -> Result<Option<Role>, String> {
        let Some(arn) = self.role.clone() else { return Ok(None) };
        Ok(Some(Role { arn, external_id: self.external_ids.of(source)? }))
    }

    /// The region of a function.
    pub fn region_of<'a>(&'a self, function: &'a str) -> Option<&'a str> {
        let of_arn = || crate::arn::ArnParts::of(function).map(|arn| arn.region);
        self.region.as_deref().or_else(of_arn).filter(|region| !region.is_empty())
    }
}

/// The external ids that the trust policy of a destination's role asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalIds {
    /// One external id for the calls of every source.
    OneForAll(ExternalId),
    /// An external id for each source. A source that is not listed uses its own id.
    OfSources(BTreeMap<SourceId, ExternalId>),
}

impl Default for ExternalIds {
    fn default() -> Self {
        Self::OfSources(BTreeMap::new())
    }
}

impl ExternalIds {
    /// The external id for calls of a source.
    /// Errors: the source's own id would be used, and cannot be an external id.
    pub fn of(&self, source: &SourceId) -> Result<ExternalId, String> {
        match self {
            Self::OneForAll(id) => Ok(id.clone()),
            Self::OfSources(listed) => match listed.get(source) {
                Some(id) => Ok(id.clone()),
                None => ExternalId::parse(source.as_str())
                    .map_err(|what| format!("the source id {source} cannot be the external id: {what}")),
            },
        }
    }
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A destination whose functions are these, by type.
    pub(crate) fn settings(name: &str, functions: &[(&str, &str)]) -> DestinationSettings {
        DestinationSettings {
            name: SourceId::new(name).unwrap(),
            selection: Selection {
                functions: functions
                    .iter()
                    .map(|(kind, arn)| ((*kind).to_owned(), (*arn).to_owned()))
                    .collect(),
                respect_integrations: true,
                name: name.to_owned(),
                ..Selection::default()
            },
            functions_at: FunctionsAt::Url(SecretText("http://127.0.0.1:9/".to_owned())),
            timeout: Duration::from_secs(5),
            concurrency: 8,
            max_age: Duration::from_secs(3_600),
            max_queue: 1 << 30,
            retry_execution_errors: 0,
            in_order: false,
            batch: None,
            typed: String::new(),
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let functions_at = settings("crm", &[]).functions_at;
        assert_eq!(format!("{functions_at:?}"), "Url(SecretText(…))");
    }

    #[test]
    fn a_source_has_the_external_id_that_is_listed_for_it_else_its_own_id() {
        let source = |id: &str| SourceId::new(id).unwrap();
        let id = |text: &str| ExternalId::parse(text).unwrap();
        let of = |ids: &ExternalIds, of: &str| ids.of(&source(of)).map(|id| id.to_string());
        assert_eq!(of(&ExternalIds::default(), "web"), Ok("web".to_owned()));
        let listed = ExternalIds::OfSources(BTreeMap::from([(source("web"), id("shop-7"))]));
        assert_eq!((of(&listed, "web"), of(&listed, "ios")), (Ok("shop-7".to_owned()), Ok("ios".to_owned())));
        assert!(
            of(&listed, "w").unwrap_err().starts_with("the source id w cannot be the external id: expected")
        );
        assert_eq!(of(&ExternalIds::OneForAll(id("crm-1")), "w"), Ok("crm-1".to_owned()));
    }
}
