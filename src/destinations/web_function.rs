//! Functions behind a web address: one line is posted, or an array of lines, and the endpoint answers as a
//! function would. So a handler can be tried on a laptop.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use super::batch_answer::not_taken;
use super::class::Class;
use super::invoke::{Invoke, Invoked, Outgoing};
use super::request::{SYNC_BYTES_MAX, check_size, client_context};
use super::secrets::Secrets;
use super::web_post::{BEGINNING, NAMES, WebPost};
use crate::boxed_future::BoxFuture;
use crate::words::Told;

/// The header that the service has for functions: a handler on a laptop reads the same.
const CONTEXT: HeaderName = HeaderName::from_static("x-amz-client-context");

/// A web address that calls are posted to. It may hold a secret, so it is never shown.
#[derive(Clone)]
pub struct WebFunction {
    to: String,
    post: WebPost,
}

debug_fields!(WebFunction { post });

impl WebFunction {
    /// Certificates are checked against those that the system trusts. Answers are waited for as long as
    /// `timeout`. Errors: the system's trusted certificates cannot be read.
    pub fn new(to: String, timeout: Duration) -> std::io::Result<Self> {
        let post = WebPost::new(timeout, Secrets::of_address(&to))?;
        Ok(Self { to, post })
    }

    async fn send(&self, outgoing: &Outgoing) -> Invoked {
        let payload = outgoing.payload();
        if let Err(error) = check_size(&payload, SYNC_BYTES_MAX) {
            return Invoked::failed(Class::TooLarge, Told::plain(error.to_string()));
        }
        let context = client_context(&outgoing.source, &outgoing.destination, outgoing.attempt())
            .and_then(|context| HeaderValue::try_from(context).ok());
        let most = if outgoing.batch { NAMES } else { BEGINNING };
        let (mut invoked, body) =
            self.post.send(&self.to, context.map(|context| (CONTEXT, context)), payload, most).await;
        if outgoing.batch && invoked.result.is_ok() {
            // An answer that is cut may have named any call of the batch.
            let all = || (0..outgoing.calls.len()).collect();
            invoked.not_taken = body.map_or_else(all, |body| not_taken(&body, outgoing));
        }
        invoked
    }
}

impl Invoke for WebFunction {
    fn invoke<'a>(&'a self, outgoing: &'a Outgoing) -> BoxFuture<'a, Invoked> {
        Box::pin(self.send(outgoing))
    }
}
