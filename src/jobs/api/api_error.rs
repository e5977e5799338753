//! Errors of the API: AWS's codes, and a message that names the field.

use std::fmt;

closed_list! {
    /// The code of an error.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ApiErrorCode by as_str {
        /// A value is missing, wrong or not offered here.
        BadRequest = "BadRequestException",
        /// The token of another request with another body.
        Idempotency = "IdempotencyException",
        /// There is no such job. AWS answers this code, although its model says NotFoundException.
        NoSuchJob = "NoSuchJobException",
        /// The job's state does not allow the change.
        JobStatus = "JobStatusException",
        /// The token of a page is none of this list.
        InvalidNextToken = "InvalidNextTokenException",
        /// A value of a listing is wrong.
        InvalidRequest = "InvalidRequestException",
        /// More jobs than are kept at once.
        TooManyRequests = "TooManyRequestsException",
        /// Something failed here.
        Internal = "InternalServiceException",
        /// The server is starting or stopping. Clients try again.
        Unavailable = "ServiceUnavailable",
        /// The path has no such call.
        MethodNotAllowed = "MethodNotAllowed",
    }
}

impl ApiErrorCode {
    /// The HTTP status of an answer with this code.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::Idempotency | Self::InvalidNextToken | Self::InvalidRequest => 400,
            Self::NoSuchJob => 404,
            Self::MethodNotAllowed => 405,
            Self::JobStatus => 409,
            Self::TooManyRequests => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

/// Why a request got no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The code.
    pub code: ApiErrorCode,
    /// What was wrong, where, and what to do.
    pub message: String,
}

impl ApiError {
    /// An error with this code.
    pub fn new(code: ApiErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A wrong value: `BadRequestException`.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(ApiErrorCode::BadRequest, message)
    }

    /// There is no job with this id.
    pub fn no_such_job() -> Self {
        Self::new(ApiErrorCode::NoSuchJob, "No such job")
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for ApiError {}
