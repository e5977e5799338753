//! What is sent to a function: the stored line itself, and beside it where it comes from. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::sources::SourceId;

/// The most bytes of a payload whose answer is waited for (Lambda quotas: 6 MB).
pub const SYNC_BYTES_MAX: usize = 6 * 1_024 * 1_024;
/// The most bytes of a payload that the service only queues (Lambda quotas: 1 MB since October 2025).
pub const EVENT_BYTES_MAX: usize = 1_024 * 1_024;
/// The most bytes of a client context, in base64 (Lambda API Reference, `Invoke`, `X-Amz-Client-Context`).
const CONTEXT_BYTES_MAX: usize = 3_583;

/// How the service answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Invocation {
    /// After the function has run.
    #[default]
    RequestResponse,
    /// At once: the service queues the call, and tries it again by its own rules.
    Event,
}

impl Invocation {
    /// The most bytes of a payload.
    pub fn bytes_max(self) -> usize {
        match self {
            Self::RequestResponse => SYNC_BYTES_MAX,
            Self::Event => EVENT_BYTES_MAX,
        }
    }
}

/// Why a call cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload has {bytes} bytes, and an invocation takes at most {max}")]
pub struct TooLarge {
    /// The bytes.
    pub bytes: usize,
    /// The most that is taken.
    pub max: usize,
}

/// Checks the size of a payload. It is never cut or split.
pub fn check_size(payload: &[u8], max: usize) -> Result<(), TooLarge> {
    let bytes = payload.len();
    if bytes <= max { Ok(()) } else { Err(TooLarge { bytes, max }) }
}

#[derive(Serialize)]
struct Context<'a> {
    custom: Custom<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Custom<'a> {
    source_id: &'a str,
    destination: &'a str,
    attempt: String,
}

/// The client context, in base64: `{"custom":{"sourceId","destination","attempt"}}`. `None` if it would be
/// longer than the service takes. Its values are texts, as the service's own libraries require.
pub fn client_context(source: &SourceId, destination: &str, attempt: u32) -> Option<String> {
    let custom = Custom { source_id: source.as_str(), destination, attempt: attempt.to_string() };
    let json = serde_json::to_vec(&Context { custom }).ok()?;
    let text = STANDARD.encode(json);
    (text.len() <= CONTEXT_BYTES_MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_sent_whole_or_not_at_all() {
        assert_eq!(check_size(&vec![b'x'; SYNC_BYTES_MAX], Invocation::RequestResponse.bytes_max()), Ok(()));
        let error = check_size(&vec![b'x'; EVENT_BYTES_MAX + 1], Invocation::Event.bytes_max()).unwrap_err();
        assert_eq!(error, TooLarge { bytes: 1_048_577, max: 1_048_576 });
    }

    #[test]
    fn the_context_says_where_a_call_comes_from() {
        let source = SourceId::new("web").unwrap();
        let context = client_context(&source, "crm", 2).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&STANDARD.decode(context).unwrap()).unwrap();
        assert_eq!(
            json["custom"],
            serde_json::json!({ "sourceId": "web", "destination": "crm", "attempt": "2" })
        );
        assert_eq!(client_context(&source, &"x".repeat(4_000), 1), None);
    }
}
