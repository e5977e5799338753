//! Why a request is refused, more exactly than the code in its answer says, and what to change.

use super::auth::AuthError;
use super::decode::DecodeError;
use super::reply::Refusal;
use crate::call::BodyError;
use crate::log::AppendError;

/// Nothing is wrong with the request.
const SENDS_AGAIN: &str = "nothing in the client: SDKs send the same calls again";
/// What keeps calls is slow: a disk, or brokers.
const SLOW: &str =
    "look at the latency of the spool's disk, or of the brokers; SDKs send the same calls again";
const SMALLER: &str = "send fewer calls in a request (the SDK's flush size), or raise `collector.max_body`";
const WRITE_KEY: &str = "send the write key of a source as the user of Basic authorization, as `writeKey` in the body, or as \
     `X-Write-Key`";

impl Refusal {
    /// The cause, from a closed list, and what to change. There is no wildcard arm: a new refusal must choose.
    pub(super) fn cause(&self) -> (&'static str, &'static str) {
        match self {
            Self::NotFound(_) => (
                "not_found",
                "send to a route that there is; to an SDK give this collector's address alone, as `docs/sdks.md` does for \
                 each; behind a proxy that adds a path set `collector.path_prefix`",
            ),
            Self::Method(_) => {
                ("method_not_allowed", "send calls with POST; settings and pixels are read with GET")
            }
            Self::UriTooLong(_) => ("uri_too_long", "send the call in a body: POST /v1/track"),
            Self::HeadTooLarge(_) => {
                ("headers_too_large", "send fewer headers: no SDK needs the cookies of a page here")
            }
            Self::UnknownCoding => (
                "unsupported_encoding",
                "send the body as it is, or with gzip once (`Content-Encoding: gzip`)",
            ),
            Self::BodyTooLarge(_) | Self::Decode(DecodeError::TooLarge) => ("body_too_large", SMALLER),
            Self::Decode(DecodeError::BadGzip) => (
                "damaged_gzip",
                "compress the body with gzip, or leave out `Content-Encoding`; a proxy may have unpacked the body and \
                 left the header",
            ),
            Self::Decode(DecodeError::TruncatedGzip) => {
                ("truncated_gzip", "finish the gzip stream before the request is sent")
            }
            Self::Decode(DecodeError::DoubleGzip) => {
                ("double_gzip", "compress once: the SDK or the proxy, not both")
            }
            Self::BodyTimeout => {
                ("body_timeout", "look at the network and the proxy in front: the body came too slowly")
            }
            Self::BodyBroken => (
                "incomplete_body",
                "look at the time limits of the client and of the proxy in front: one of them ended the request",
            ),
            Self::Body(error) => of_body(error),
            Self::Authorization(error) => match error {
                AuthError::Malformed => (
                    "damaged_authorization",
                    "send `Authorization: Basic` with base64 of the write key and a colon",
                ),
                AuthError::Scheme => (
                    "other_authorization",
                    "send `Authorization: Basic` with base64 of the write key and a colon, or no such header",
                ),
                AuthError::Bearer => (
                    "bearer_token",
                    "send the write key with `Authorization: Basic`; or set `collector.accept_bearer`, and the write key \
                     in the body counts",
                ),
            },
            Self::NoWriteKey => ("no_write_key", WRITE_KEY),
            Self::UnreadablePixel => (
                "bad_pixel_data",
                "put the call into the query, or as base64 of its JSON into `data`, with its `writeKey`",
            ),
            Self::UnknownWriteKey(_) => (
                "unknown_write_key",
                "compare the key in the SDK with the write keys of the sources: correct it, or add it to a `[[source]]`",
            ),
            Self::SourceIdAsKey(..) => (
                "source_id_as_key",
                "the key is the id of this source, and its write keys are others: give the SDK one of them",
            ),
            Self::TooManySources(_) => (
                "too_many_sources",
                "use fewer write keys with `forebay dev`, or `forebay serve` with configured sources",
            ),
            Self::UnknownSettingsKey(_) => (
                "unknown_settings_key",
                "compare the key that the page or app loads the SDK with: correct it, or add it to a `[[source]]`",
            ),
            Self::TooManyBytes => (
                "overloaded",
                "give the collector more memory or a second node if this lasts; SDKs send the same calls again",
            ),
            Self::Append(error) => of_append(error),
            Self::TooFast(_) => (
                "rate_limited",
                "send fewer calls a second from this source, or raise `collector.calls_per_second`",
            ),
            Self::TooSlow => ("too_slow", SLOW),
            Self::Draining => ("draining", SENDS_AGAIN),
        }
    }
}

fn of_body(error: &BodyError) -> (&'static str, &'static str) {
    match error {
        BodyError::InvalidJson { .. } | BodyError::InvalidUtf8 { .. } => {
            ("invalid_json", "send one JSON object in UTF-8; the message names the byte")
        }
        BodyError::TooDeep { .. } => ("invalid_json", "nest arrays and objects less deeply"),
        BodyError::NoBatch => (
            "invalid_batch",
            "send `{\"batch\": [...]}` to this route, or a single call to the route of its type, such as /v1/track",
        ),
        BodyError::NoObjects => ("invalid_objects", "send `{\"collection\": \"...\", \"objects\": [...]}`"),
        BodyError::NoCollection | BodyError::Collection(_) => (
            "invalid_collection",
            "send a name of a-z and _ as `collection`, beginning and ending with a letter",
        ),
        BodyError::EventTooLarge { .. } => {
            ("call_too_large", "send smaller calls, or raise `collector.max_event`")
        }
    }
}

fn of_append(error: &AppendError) -> (&'static str, &'static str) {
    match error {
        AppendError::TooLarge => ("lines_too_large", SMALLER),
        AppendError::Busy => ("busy", SLOW),
        AppendError::NoBroker => (
            "no_broker",
            "look at `forebay status`: it says what brokers answer, or that none does; SDKs send the same calls again",
        ),
        AppendError::Full => (
            "spool_full",
            "fix what keeps objects from the store (`forebay status` says what), or raise `spool.max_bytes`",
        ),
        AppendError::LocationFull => {
            ("destination_full", "fix the bucket of this source: `forebay status` says what it refuses")
        }
        // Only imports are appended in steps.
        AppendError::OtherRow { .. } => ("other_row", SENDS_AGAIN),
        AppendError::Known { .. } => ("id_taken", SENDS_AGAIN),
        AppendError::DayOver => ("day_over", SENDS_AGAIN),
        AppendError::TooManyStreams => ("too_many_collections", "use fewer collections of object sets"),
        AppendError::Unknown => (
            "outcome_unknown",
            "look at the spool's disk (or the brokers) and the log; SDKs send the same calls again",
        ),
        AppendError::Stopped => {
            ("spool_stopped", "look at the log for why the spool stopped, and restart the node")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sources::{KeyBeginning, SourceId};

    #[test]
    fn causes_tell_apart_what_a_code_merges() {
        let check = |refusal: Refusal, cause: &str| {
            assert_eq!(refusal.cause().0, cause);
            assert!(
                include_str!("../../docs/errors.md").contains(&format!("`{cause}`")),
                "{cause} has no line"
            );
        };
        check(Refusal::Authorization(AuthError::Bearer), "bearer_token");
        check(Refusal::Authorization(AuthError::Scheme), "other_authorization");
        check(Refusal::Authorization(AuthError::Malformed), "damaged_authorization");
        check(Refusal::NoWriteKey, "no_write_key");
        check(Refusal::UnknownWriteKey(KeyBeginning::of("")), "unknown_write_key");
        let id = SourceId::new("web").unwrap();
        check(Refusal::SourceIdAsKey(id, KeyBeginning::of("")), "source_id_as_key");
        check(Refusal::UnknownSettingsKey(KeyBeginning::of("")), "unknown_settings_key");
        check(Refusal::Decode(DecodeError::BadGzip), "damaged_gzip");
        check(Refusal::Decode(DecodeError::TruncatedGzip), "truncated_gzip");
        check(Refusal::Decode(DecodeError::DoubleGzip), "double_gzip");
        check(Refusal::BodyTooLarge(1), "body_too_large");
        check(Refusal::Body(BodyError::EventTooLarge { len: 2, limit: 1 }), "call_too_large");
        check(Refusal::Append(AppendError::TooLarge), "lines_too_large");
    }

    /// Causes without a finer one have the name of their code.
    #[test]
    fn a_cause_alone_has_the_name_of_its_code() {
        let refusals = [
            Refusal::NotFound(None),
            Refusal::Method("POST"),
            Refusal::UriTooLong(1),
            Refusal::HeadTooLarge(1),
            Refusal::UnknownCoding,
            Refusal::BodyTimeout,
            Refusal::BodyBroken,
            Refusal::Body(BodyError::NoBatch),
            Refusal::Body(BodyError::NoObjects),
            Refusal::Body(BodyError::NoCollection),
            Refusal::UnreadablePixel,
            Refusal::TooManySources(KeyBeginning::of("")),
            Refusal::TooManyBytes,
            Refusal::TooFast(Duration::ZERO),
            Refusal::TooSlow,
            Refusal::Draining,
            Refusal::Append(AppendError::Busy),
            Refusal::Append(AppendError::NoBroker),
            Refusal::Append(AppendError::Full),
            Refusal::Append(AppendError::LocationFull),
            Refusal::Append(AppendError::DayOver),
            Refusal::Append(AppendError::TooManyStreams),
            Refusal::Append(AppendError::Unknown),
            Refusal::Append(AppendError::Stopped),
        ];
        for refusal in refusals {
            assert_eq!(refusal.cause().0, refusal.answer().code);
        }
    }
}
