//! Hands rows to a collector elsewhere, over its tracking API.
//!
//! Collectors know no imports: the progress is in a journal of this command. So rows may be sent twice if the
//! command is killed, and the collector recognises them by their messageIds within its dedupe window.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http_body_util::{BodyExt as _, Full, Limited};

use super::progress_keeper::ProgressKeeper;
use super::{Begin, Begun, Earlier, End, Rows, RowsTaken, Taken, Target, TargetError, Unusable, short_hash};
use crate::boxed_future::BoxFuture;
use crate::call::object_sets::OBJECTS_MAX;
use crate::import::envelope::{Envelope, head};
use crate::reach::client::{self, Names, WebClient};
use crate::sources::SourceId;
use crate::words::{Told, outside_text, with_causes};

/// The most bytes of one request: what the tracking API documents.
const BODY_MAX: usize = 490_000;
/// The time that a collector has to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most bytes of an answer.
const ANSWER_MAX: usize = 64 * 1_024;

/// A collector elsewhere.
#[derive(Clone, Debug)]
pub struct CollectorTarget {
    /// The collector's URL without a path.
    base: String,
    authorization: HeaderValue,
    client: WebClient,
    progress: Arc<dyn ProgressKeeper>,
}

/// The answer of a collector.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Said {
    success: bool,
    code: Option<String>,
    message: Option<String>,
}

impl CollectorTarget {
    /// The name of the progress of imports to a collector: each collector and write key has its own.
    pub fn id(url: &str, write_key: &str) -> String {
        short_hash(format!("{url}\0{write_key}").as_bytes())
    }

    /// A collector, with `progress` of the imports to it.
    /// Errors: [`Unusable`]: the system's certificates cannot be used, or the write key is not valid.
    pub fn with(url: &str, write_key: &str, progress: Arc<dyn ProgressKeeper>) -> Result<Self, Unusable> {
        let client = client::web(Names::Any, None).map_err(|error| Unusable::failed(&error))?;
        let token = STANDARD.encode(format!("{write_key}:"));
        let authorization = HeaderValue::try_from(format!("Basic {token}"));
        let mut authorization = authorization.map_err(|error| Unusable::failed(&error))?;
        authorization.set_sensitive(true);
        Ok(Self { base: url.to_owned(), authorization, client, progress })
    }

    /// This collector, with other progress.
    pub fn with_progress(&self, progress: Arc<dyn ProgressKeeper>) -> Self {
        Self { progress, ..self.clone() }
    }

    /// Whether anything there answers HTTP. The content of the answer does not matter: only calls show
    /// whether the collector takes them, and a busy collector is asked again later.
    /// Errors: why nothing answers, for a person.
    pub async fn answers(&self) -> Result<(), String> {
        let nobody = |why: String| {
            format!(
                "no collector answers at {}: {why}; check the URL, and whether the collector is running",
                self.base
            )
        };
        let request = Request::get(format!("{}/health", self.base)).body(Full::default());
        let request = request.map_err(|error| nobody(error.to_string()))?;
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(nobody(with_causes(&error))),
            Err(_) => Err(nobody("it does not answer".to_owned())),
        }
    }

    /// Sends calls in requests that the tracking API allows.
    async fn send(&self, envelope: &Envelope<'_>) -> Result<u64, TargetError> {
        let (path, items_max) = match envelope.collection {
            Some(_) => ("/v1/set", OBJECTS_MAX),
            None => ("/v1/batch", usize::MAX),
        };
        let url = format!("{}{path}", self.base);
        let (head, mut body, mut items) = (head(envelope.collection), Vec::new(), 0);
        for item in &envelope.batch {
            let is_full = body.len() + item.get().len() + 3 > BODY_MAX || items == items_max;
            if items > 0 && is_full {
                self.post(&url, std::mem::take(&mut body)).await?;
                items = 0;
            }
            body.extend_from_slice(if items == 0 { &head } else { b"," });
            body.extend_from_slice(item.get().as_bytes());
            items += 1;
        }
        if items > 0 {
            self.post(&url, body).await?;
        }
        Ok(envelope.batch.len() as u64)
    }

    async fn post(&self, url: &str, mut body: Vec<u8>) -> Result<(), TargetError> {
        body.extend_from_slice(b"]}");
        let later = TargetError::unanswered;
        let request = Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, self.authorization.clone())
            .body(Full::from(body))
            .map_err(|error| TargetError::Refused(error.to_string().into()))?;
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request))
            .await
            .map_err(|_| later(format!("{url} does not answer")))?
            .map_err(|error| later(format!("{url}: {}", with_causes(&error))))?;
        let (http::response::Parts { status, headers, .. }, text) = answer.into_parts();
        let text = Limited::new(text, ANSWER_MAX).collect().await;
        let text = text.map(|text| text.to_bytes()).map_err(|error| error.to_string());
        if status.is_success() {
            let text = text.map_err(|error| later(format!("{url}: {error}")))?;
            let said: Said = serde_json::from_slice(&text).unwrap_or_default();
            // Anything may answer 200 at a wrong address: a page for a login, or a load balancer.
            return if said.success {
                Ok(())
            } else {
                let what = format!("{url} answered {status}, but not as a collector does: check the URL");
                Err(TargetError::Refused(Told::plain(what)))
            };
        }
        // Only a collector's text is quoted: another server may send back the request, with its key and its
        // rows.
        let said: Said = serde_json::from_slice(&text.unwrap_or_default()).unwrap_or_default();
        let why = match (&said.code, &said.message) {
            (Some(code), Some(message)) => {
                // The text may also be of a server that imitates a collector, so it is private.
                let said = Told::word(code).and(&": ".into()).and(&Told::private(&**message));
                let said = said.map(|text| outside_text(text).to_string());
                Told::plain(format!("{url} answered {status}: ")).and(&said)
            }
            _ => Told::plain(format!("{url} answered {status}")),
        };
        Err(TargetError::of_answer(status, &headers, why))
    }
}

impl Target for CollectorTarget {
    fn earlier(&self, file: Begin) -> BoxFuture<'_, Result<Option<Earlier>, TargetError>> {
        Box::pin(async move { self.progress.earlier(file, source()?).await })
    }

    fn begin(&self, file: Begin) -> BoxFuture<'_, Result<Begun, TargetError>> {
        Box::pin(async move { self.progress.begin(file, source()?).await })
    }

    fn rows(&self, rows: Rows, calls: Bytes) -> BoxFuture<'_, Result<RowsTaken, TargetError>> {
        Box::pin(async move {
            let sent = envelope(&calls)?;
            if sent.hashes.is_some() {
                let (calls, taken) = self.progress.new_rows(rows, calls.clone()).await?;
                self.send(&envelope(&calls)?).await?;
                return self.progress.taken(rows, taken).await;
            }
            self.progress.may_take(rows).await?;
            let new = self.send(&sent).await?;
            self.progress.taken(rows, Taken { new, ..Taken::default() }).await
        })
    }

    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>> {
        Box::pin(self.progress.end(end))
    }
}

/// The source's name in reports: only the collector knows the source's id.
fn source() -> Result<SourceId, TargetError> {
    SourceId::new("collector").map_err(|error| TargetError::Refused(error.to_string().into()))
}

fn envelope(calls: &Bytes) -> Result<Envelope<'_>, TargetError> {
    Envelope::read(calls).map_err(|error| TargetError::Refused(error.to_string().into()))
}
