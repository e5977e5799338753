//! Hands rows to a running node, over its admin listener.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::{AdminClient, AskError, RefusedBody};
use crate::admin::import_code;
use crate::boxed_future::BoxFuture;
use crate::import::{Begin, Begun, Earlier, End, NoSource, Rows, RowsTaken, Target, TargetError};
use crate::words::{Told, outside_message};

/// How long a node may take to answer: longer than an append waits for the disk's queue.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a node refuses a path that it does not know.
const UNKNOWN_PATH: &str = "not_found";

/// A running node, whose admin listener this client asks.
#[derive(Debug)]
pub struct NodeTarget(pub AdminClient);

/// Why a node takes no import.
#[derive(Debug)]
pub enum NoNode {
    /// Nothing answers there like a node.
    NoAnswer(String),
    /// There is a node, and it wants another token.
    Denied(String),
}

impl NodeTarget {
    /// Whether something listens at the URL that answers like a node.
    pub async fn answers(&self) -> Result<(), NoNode> {
        let url = self.0.url();
        let answer = self.0.exchange(Method::GET, "/api/status", None, PATIENCE).await;
        let answer = answer.map_err(|error| NoNode::NoAnswer(unanswered(&error)))?;
        match self.0.refusal(answer.status(), answer.body()) {
            _ if answer.status() == StatusCode::OK => Ok(()),
            denied if denied.wants_other_token() => Err(NoNode::Denied(denied.to_string())),
            _ if answer.status() == StatusCode::NOT_FOUND => Err(NoNode::NoAnswer(format!(
                "{url} is not an admin listener (the port of `admin.listen`; `dev` prints it as console)"
            ))),
            _ => Err(NoNode::NoAnswer(format!("{url} answered {}", answer.status()))),
        }
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: Bytes) -> Result<T, TargetError> {
        self.read(&self.exchange(path, body).await?)
    }

    async fn exchange(&self, path: &str, body: Bytes) -> Result<Response<Bytes>, TargetError> {
        let answer = self.0.exchange(Method::POST, path, Some(body), PATIENCE).await;
        answer.map_err(|error| TargetError::unanswered(unanswered(&error)))
    }

    fn read<T: DeserializeOwned>(&self, answer: &Response<Bytes>) -> Result<T, TargetError> {
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer));
        }
        serde_json::from_slice(answer.body()).map_err(|error| {
            let what = Told::plain(format!("{} did not answer like a node: ", self.0.url()));
            TargetError::Refused(what.and(&error.to_string().into()))
        })
    }

    fn refusal(&self, answer: &Response<Bytes>) -> TargetError {
        let (status, headers) = (answer.status(), answer.headers());
        let denied = self.0.refusal(status, answer.body());
        if denied.wants_other_token() {
            return TargetError::Denied(Told::plain(denied.to_string()));
        }
        let body = serde_json::from_slice::<RefusedBody>(answer.body()).ok();
        // What stands before a node, such as a gateway, has no code in its answers.
        let of_node = |body: &RefusedBody| !body.code.is_empty() && !body.message.is_empty();
        let Some(RefusedBody { code, message, call }) = body.filter(of_node) else {
            let why = Told::plain(format!("{} answered {status}", self.0.url()));
            return TargetError::of_answer(status, headers, why);
        };
        let message = outside_message(&message).to_string();
        let call = call.as_u64().and_then(|call| u32::try_from(call).ok());
        if let Some(call) = call.filter(|_| code == import_code::ID_TAKEN) {
            return TargetError::IdTaken(call);
        }
        match code.as_str() {
            import_code::OTHER_ROW => TargetError::OtherRow,
            import_code::NOT_OPEN => TargetError::NotOpen,
            import_code::OTHER_OPTIONS => TargetError::OtherOptions,
            import_code::LATER => TargetError::asked_later(headers, Told::plain(message)),
            import_code::NO_SOURCE => TargetError::NoSource(NoSource::Other(message)),
            import_code::DENIED => TargetError::Denied(Told::plain(message)),
            _ if status.is_server_error() => TargetError::asked_later(headers, Told::plain(message)),
            // It may quote the file: why an earlier import of it failed.
            _ => TargetError::Refused(Told::private(message)),
        }
    }
}

/// Why there is no whole answer.
fn unanswered(error: &AskError) -> String {
    match error {
        AskError::Unreachable(url, _) => format!("no node answers at {url}"),
        AskError::TimedOut(url, _) => format!("{url} does not answer"),
        AskError::Broken(url, _) => format!("the connection to {url} broke"),
        other => other.to_string(),
    }
}

fn json(value: &impl serde::Serialize) -> Result<Bytes, TargetError> {
    let json = serde_json::to_vec(value).map_err(|error| TargetError::Refused(error.to_string().into()))?;
    Ok(json.into())
}

impl Target for NodeTarget {
    fn earlier(&self, file: Begin) -> BoxFuture<'_, Result<Option<Earlier>, TargetError>> {
        Box::pin(async move {
            let answer = self.exchange("/api/import/earlier", json(&file)?).await?;
            match serde_json::from_slice::<RefusedBody>(answer.body()) {
                // An older node.
                Ok(refused) if refused.code == UNKNOWN_PATH => Ok(None),
                _ => self.read(&answer),
            }
        })
    }

    fn begin(&self, file: Begin) -> BoxFuture<'_, Result<Begun, TargetError>> {
        Box::pin(async move { self.post("/api/import/begin", json(&file)?).await })
    }

    fn rows(&self, rows: Rows, calls: Bytes) -> BoxFuture<'_, Result<RowsTaken, TargetError>> {
        let Rows { import, first, rows, rejected, repeats, prefix } = rows;
        let mut path = format!("/api/import?import={import}&first={first}&rows={rows}&rejected={rejected}");
        // An older node knows it not, and refuses no file without such rows.
        if repeats > 0 {
            path += &format!("&repeats={repeats}");
        }
        if let Some(prefix) = prefix {
            path += &format!("&prefix={}", prefix.in_query());
        }
        Box::pin(async move { self.post(&path, calls).await })
    }

    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>> {
        Box::pin(async move { self.post("/api/import/end", json(&end)?).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> TargetError {
        let node = NodeTarget(AdminClient::new("http://127.0.0.1:1".parse().unwrap(), None));
        let answer = Response::builder().status(status).body(Bytes::copy_from_slice(body.as_bytes()));
        node.refusal(&answer.unwrap())
    }

    #[test]
    fn what_stands_before_a_node_is_not_taken_for_it() {
        for body in ["", "<html>", r#"{"message":"Too Many Requests"}"#, r#"{"code":"other_row"}"#] {
            assert!(matches!(refusal(429, body), TargetError::Later { .. }), "{body}");
            assert!(matches!(refusal(403, body), TargetError::Denied(_)), "{body}");
            assert!(matches!(refusal(404, body), TargetError::Refused(_)), "{body}");
        }
    }

    #[test]
    fn a_refusal_is_what_the_node_says() {
        let of = |code: &str, call: &str| format!(r#"{{"code":"{code}","message":"m","call":{call}}}"#);
        assert!(matches!(refusal(409, &of(import_code::OTHER_ROW, "null")), TargetError::OtherRow));
        assert!(matches!(refusal(409, &of(import_code::ID_TAKEN, "7")), TargetError::IdTaken(7)));
        assert!(matches!(refusal(409, &of(import_code::ID_TAKEN, "\"7\"")), TargetError::Refused(_)));
        assert!(matches!(refusal(403, &of(import_code::DENIED, "null")), TargetError::Denied(_)));
    }
}
