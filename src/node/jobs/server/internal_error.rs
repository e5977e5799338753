//! The answer to a request when the server itself fails.

use std::error::Error;

use crate::jobs::api::api_error::{ApiError, ApiErrorCode};
use crate::words::{outside_text, with_causes};

/// Something failed here: `InternalServiceException` with the cause.
pub(super) fn internal(error: impl Error + 'static) -> ApiError {
    let text = with_causes(&error);
    ApiError::new(ApiErrorCode::Internal, outside_text(&text).to_string())
}
