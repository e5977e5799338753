//! Which call a request is, by its method, path and query.

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use super::api_error::{ApiError, ApiErrorCode};
use super::{ACCOUNT_HEADER, PATH_PREFIX};
use crate::object::AccountId;
use crate::words::outside_text;

/// The most jobs on a page of a list.
pub const PAGE_MAX: usize = 1_000;
/// The longest reason of a status change, in characters.
const REASON_MAX: usize = 256;

/// A call, with what its path and query say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiCall {
    /// Makes a job, from the body.
    CreateJob,
    /// Everything about a job.
    DescribeJob(String),
    /// A page of jobs.
    ListJobs(ListJobs),
    /// Cancels or confirms a job.
    UpdateJobStatus {
        /// The job's id.
        id: String,
        /// What is asked for.
        to: RequestedStatus,
        /// Why, in the words of the person who asked.
        reason: Option<String>,
    },
    /// Changes a job's priority.
    UpdateJobPriority {
        /// The job's id.
        id: String,
        /// From 0 to 2,147,483,647.
        priority: u32,
    },
    /// The tags that a job was made with.
    GetJobTagging(String),
}

/// A page of jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListJobs {
    /// Only jobs with one of these statuses, as typed; all if empty.
    pub statuses: Vec<String>,
    /// The most jobs of the page; at least one.
    pub most: usize,
    /// Where the page begins.
    pub next_token: Option<String>,
}

/// What a status change asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedStatus {
    /// The job is cancelled.
    Cancelled,
    /// The job is confirmed.
    Ready,
}

/// Whether a path belongs to the API.
pub fn is_of_api(path: &str) -> bool {
    path.strip_prefix(PATH_PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl ApiCall {
    /// The call of a request. Errors: no such call, a call that is not offered, or a wrong value, named.
    pub fn of(method: &Method, path: &str, query: Option<&str>) -> Result<Self, ApiError> {
        if !is_of_api(path) {
            return Err(not_offered(method, path));
        }
        let query = Query::read(query.unwrap_or_default());
        let rest = path.strip_prefix(PATH_PREFIX).unwrap_or_default();
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        match (method, parts.as_slice()) {
            (&Method::POST, []) => Ok(Self::CreateJob),
            (&Method::GET, []) => list(&query).map(Self::ListJobs),
            (&Method::GET, [id]) => job_id(id).map(Self::DescribeJob),
            (&Method::POST, [id, "status"]) => {
                let (to, reason) = (requested_status(&query)?, reason(&query)?);
                Ok(Self::UpdateJobStatus { id: job_id(id)?, to, reason })
            }
            (&Method::POST, [id, "priority"]) => {
                Ok(Self::UpdateJobPriority { id: job_id(id)?, priority: priority(&query)? })
            }
            (&Method::GET, [id, "tagging"]) => job_id(id).map(Self::GetJobTagging),
            (&Method::PUT | &Method::DELETE, [_, "tagging"]) => Err(ApiError::bad(
                "put-job-tagging and delete-job-tagging are not offered here: give the tags to create-job",
            )),
            _ => Err(not_offered(method, path)),
        }
    }
}

fn not_offered(method: &Method, path: &str) -> ApiError {
    let (method, path) = (outside_text(method.as_str()), outside_text(path));
    let what = format!(
        "{method} {path} is not offered here; of S3 Control there are create-job, describe-job, list-jobs, \
         update-job-status, update-job-priority and get-job-tagging"
    );
    ApiError::new(ApiErrorCode::MethodNotAllowed, what)
}

/// The account of a request. Errors: it has none, or not 12 digits.
pub fn account(headers: &HeaderMap) -> Result<&str, ApiError> {
    let typed = headers.get(ACCOUNT_HEADER).and_then(|account| account.to_str().ok());
    typed.filter(|account| AccountId::parse(account).is_ok()).ok_or_else(|| {
        ApiError::bad("x-amz-account-id must have 12 digits; any will do, such as 111122223333")
    })
}

/// The parameters of a request's query.
struct Query(Vec<(String, String)>);

impl Query {
    fn read(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn all<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn one(&self, name: &'static str) -> Result<Option<&str>, ApiError> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (_, Some(_)) => Err(ApiError::bad(format!("{name} is given twice"))),
            (first, None) => Ok(first),
        }
    }
}

/// A job's id, as far as its form goes: 5 to 36 letters, digits, `-` and `_`. Another one names no job.
fn job_id(part: &str) -> Result<String, ApiError> {
    let id = percent_decode_str(part).decode_utf8().map_err(|_| ApiError::no_such_job())?;
    let is_of_form = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match (5..=36).contains(&id.len()) && id.bytes().all(is_of_form) {
        true => Ok(id.into_owned()),
        false => Err(ApiError::no_such_job()),
    }
}

fn list(query: &Query) -> Result<ListJobs, ApiError> {
    let most = match query.one("maxResults")? {
        None => PAGE_MAX,
        Some(text) => text.parse().ok().filter(|most| *most <= PAGE_MAX).ok_or_else(|| {
            let text = outside_text(text);
            ApiError::new(
                ApiErrorCode::InvalidRequest,
                format!("maxResults is \"{text}\"; it must be a number from 0 to 1000"),
            )
        })?,
    };
    Ok(ListJobs {
        statuses: query.all("jobStatuses").map(str::to_owned).collect(),
        // A page of no jobs would never end.
        most: if most == 0 { PAGE_MAX } else { most },
        next_token: query.one("nextToken")?.map(str::to_owned),
    })
}

fn requested_status(query: &Query) -> Result<RequestedStatus, ApiError> {
    match query.one("requestedJobStatus")? {
        Some("Cancelled") => Ok(RequestedStatus::Cancelled),
        Some("Ready") => Ok(RequestedStatus::Ready),
        Some(other) => {
            let other = outside_text(other);
            let what = format!("requestedJobStatus is \"{other}\"; it must be Ready or Cancelled");
            Err(ApiError::bad(what))
        }
        None => Err(ApiError::bad("requestedJobStatus is missing; it must be Ready or Cancelled")),
    }
}

fn reason(query: &Query) -> Result<Option<String>, ApiError> {
    let reason = query.one("statusUpdateReason")?.filter(|reason| !reason.is_empty());
    match reason {
        Some(reason) if reason.chars().count() > REASON_MAX => {
            Err(ApiError::bad("statusUpdateReason has more than 256 characters"))
        }
        Some(reason) if reason.chars().any(char::is_control) => {
            let reason = outside_text(reason);
            Err(ApiError::bad(format!("statusUpdateReason has a control character: \"{reason}\"")))
        }
        reason => Ok(reason.map(str::to_owned)),
    }
}

fn priority(query: &Query) -> Result<u32, ApiError> {
    let typed = query.one("priority")?.ok_or_else(|| ApiError::bad("priority is missing"))?;
    let priority = typed.parse::<i32>().ok().and_then(|priority| u32::try_from(priority).ok());
    priority.ok_or_else(|| {
        let typed = outside_text(typed);
        ApiError::bad(format!("priority is \"{typed}\"; it must be a number from 0 to 2147483647"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, target: &str) -> Result<ApiCall, ApiError> {
        let uri: http::Uri = target.parse().unwrap();
        ApiCall::of(&method.parse().unwrap(), uri.path(), uri.query())
    }

    #[test]
    fn each_call_is_known_by_method_path_and_query() {
        let id = "00e123a4-c0d8-41f4-a0eb-b46f9ba5b07c";
        let base = "/v20180820/jobs";
        assert_eq!(of("POST", base).unwrap(), ApiCall::CreateJob);
        // What a client sends to a proxy.
        let absolute = format!("http://123456789012.127.0.0.1:9000{base}/{id}");
        assert_eq!(of("GET", &absolute).unwrap(), ApiCall::DescribeJob(id.to_owned()));
        let listed = ListJobs {
            statuses: vec!["Active".into(), "Ready".into()],
            most: 2,
            next_token: Some("a+b".into()),
        };
        let target = format!("{base}?jobStatuses=Active&jobStatuses=Ready&maxResults=2&nextToken=a%2Bb");
        assert_eq!(of("GET", &target).unwrap(), ApiCall::ListJobs(listed));
        let changed = ApiCall::UpdateJobStatus {
            id: id.to_owned(),
            to: RequestedStatus::Ready,
            reason: Some("all is well".into()),
        };
        let target =
            format!("{base}/{id}/status?requestedJobStatus=Ready&statusUpdateReason=all%20is%20well");
        assert_eq!(of("POST", &target).unwrap(), changed);
        let changed = ApiCall::UpdateJobPriority { id: id.to_owned(), priority: 2_147_483_647 };
        assert_eq!(of("POST", &format!("{base}/{id}/priority?priority=2147483647")).unwrap(), changed);
        assert_eq!(
            of("GET", &format!("{base}/{id}/tagging")).unwrap(),
            ApiCall::GetJobTagging(id.to_owned())
        );
        assert!(is_of_api(base) && is_of_api("/v20180820/jobs/x") && !is_of_api("/v20180820/jobsx"));
    }

    #[test]
    fn an_account_has_12_digits() {
        let of = |typed: &'static str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(ACCOUNT_HEADER),
                http::HeaderValue::from_static(typed),
            )]);
            account(&headers).map(str::to_owned)
        };
        assert_eq!(of("012345678901").as_deref(), Ok("012345678901"));
        for wrong in ["", "12345678901", "1234567890123", "12345678901a"] {
            assert!(of(wrong).unwrap_err().message.contains("12 digits"), "{wrong}");
        }
        assert!(account(&HeaderMap::new()).is_err());
    }

    #[test]
    fn wrong_requests_name_the_value() {
        for (method, target, code, words) in [
            ("POST", "/v20180820/jobs/abcdef/status", 400, "requestedJobStatus is missing"),
            ("POST", "/v20180820/jobs/abcdef/status?requestedJobStatus=Paused", 400, "\"Paused\""),
            (
                "POST",
                "/v20180820/jobs/abcdef/status?requestedJobStatus=Ready&statusUpdateReason=a%1Bb",
                400,
                "statusUpdateReason has a control character: \"a\\u{1b}b\"",
            ),
            ("POST", "/v20180820/jobs/abcdef/priority", 400, "priority is missing"),
            ("POST", "/v20180820/jobs/abcdef/priority?priority=-1", 400, "\"-1\""),
            ("POST", "/v20180820/jobs/abcdef/priority?priority=2147483648", 400, "2147483647"),
            ("POST", "/v20180820/jobs/abcdef/priority?priority=1&priority=2", 400, "twice"),
            ("GET", "/v20180820/jobs?maxResults=1001", 400, "0 to 1000"),
            ("GET", "/v20180820/jobs/a%2Fb..", 404, "No such job"),
            ("GET", "/v20180820/jobs/%FF%FF%FF%FF%FF", 404, "No such job"),
            ("PUT", "/v20180820/jobs/abcdef/tagging", 400, "put-job-tagging"),
            ("DELETE", "/v20180820/jobs/abcdef/tagging", 400, "delete-job-tagging"),
            ("DELETE", "/v20180820/jobs/abcdef", 405, "DELETE /v20180820/jobs/abcdef is not offered here"),
            ("POST", "/v20180820/jobs/abcdef/status/x", 405, "is not offered here"),
            // None of the API, so never a create-job or a list-jobs.
            ("POST", "/v20180820/accesspoint", 405, "POST /v20180820/accesspoint is not offered here"),
            ("GET", "/v20180820/configuration/publicAccessBlock", 405, "is not offered here"),
            ("GET", "/v20180820/jobsx", 405, "is not offered here"),
        ] {
            let error = of(method, target).unwrap_err();
            assert_eq!(error.code.status(), code, "{target}: {error}");
            assert!(error.message.contains(words), "{target}: {error}");
        }
    }
}
