//! One marked value in everything that a function, its service or a web server answers: it is in nothing that
//! is shown masked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use forebay::destinations::class::Class;
use forebay::destinations::forward::Forward;
use forebay::destinations::invoke::{Invoke as _, Invoked};
use forebay::destinations::settings::SecretText;
use forebay::destinations::web_function::WebFunction;
use forebay::runtime::SystemClock;
use forebay::words::Told;
use serde_json::json;

use super::lambda;
use super::outgoing;
use crate::support::scripted_http::{Reply, ScriptedHttp};

const MARK: &str = "jane.roe";
const MARKED: &str = "jane.roe@example.com";

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let said = ["x-request-id", "x-amzn-requestid", "x-amz-executed-version", "retry-after", "x-any"];
    let said = said.iter().map(|name| (*name, MARKED));
    let headers = headers.iter().copied().chain(said);
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Reply::Answer { status, headers, body: body.to_owned() }.because(MARKED)
}

/// What was met, and what is shown of it.
#[derive(Default)]
struct Shown {
    classes: BTreeSet<Class>,
    leaks: Vec<String>,
}

impl Shown {
    fn look(&mut self, invoked: &Invoked, said: &str) {
        let failure = invoked.result.as_ref().err();
        self.classes.extend(failure.map(|failure| failure.class));
        let texts = failure.iter().map(|failure| &failure.what);
        let texts = texts.chain(&invoked.request_id).chain(&invoked.version);
        let texts: Vec<&Told> = texts.chain(invoked.refused.iter().map(|(_, why)| why)).collect();
        for text in &texts {
            let shown = [text.masked().to_owned(), format!("{text:?}")];
            self.leaks.extend(shown.into_iter().filter(|text| text.contains(MARK)));
        }
        // An owner sees what was said.
        assert!(
            said.is_empty() || texts.iter().any(|text| text.full().contains(said)),
            "{said}: {invoked:?}"
        );
    }
}

async fn web(reply: Reply) -> Invoked {
    let server = ScriptedHttp::elsewhere(move |_| reply.clone()).await;
    let function = WebFunction::new(format!("{}/in", server.url()), Duration::from_millis(500)).unwrap();
    function.invoke(&outgoing("url", [("m", r#"{"type":"track"}"#.into())], false)).await
}

async fn forwarded(body: String) -> Invoked {
    let server = ScriptedHttp::elsewhere(move |_| answer(200, &[], &body)).await;
    let key = SecretText("a-write-key".to_owned());
    let to = Forward::new(&server.url(), &key, Duration::from_secs(5), Arc::new(SystemClock::new())).unwrap();
    to.invoke(&outgoing("forward", [("m", r#"{"type":"track"}"#.into())], true)).await
}

#[tokio::test]
async fn nothing_that_others_answer_is_shown_masked() {
    let mut shown = Shown::default();
    let thrown = json!({"errorType": MARKED, "errorMessage": MARKED}).to_string();
    for status in [400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503] {
        shown.look(&web(answer(status, &[], MARKED)).await, MARKED);
        shown.look(&web(answer(status, &[], &thrown)).await, MARKED);
    }
    for kind in ["Unhandled", "Handled", MARKED] {
        shown.look(&web(answer(200, &[("x-amz-function-error", kind)], &thrown)).await, MARKED);
        shown.look(&web(answer(200, &[("x-amz-function-error", kind)], MARKED)).await, MARKED);
    }
    shown.look(&web(answer(200, &[], MARKED)).await, "");
    // The first line of an answer alone.
    for status in [302, 400, 403, 404, 429, 500, 502, 503, 999] {
        shown.look(&web(Reply::status(status).because(MARKED)).await, "");
        shown.look(&lambda::answered(Reply::status(status).because(MARKED)).await.0, "");
    }
    for (to, said) in [
        ("https://jane.roe.example.com/a", "https://jane.roe.example.com/…"),
        ("https://jane.roe@example.com/jane.roe?jane.roe#jane.roe", "https://example.com/…"),
        ("/jane.roe", "another path"),
        ("jane.roe", ""),
    ] {
        shown.look(&web(answer(302, &[("location", to)], MARKED)).await, said);
    }
    shown.look(&web(Reply::Close).await, "");
    shown.look(&web(Reply::Half).await, "");
    shown.look(&web(Reply::Hang).await, "");
    let nowhere = WebFunction::new("http://127.0.0.1:1/in".to_owned(), Duration::from_millis(500)).unwrap();
    shown.look(&nowhere.invoke(&outgoing("url", [("m", "{}".into())], false)).await, "");

    shown.look(&forwarded(json!({"success": false, "message": MARKED}).to_string()).await, MARKED);
    let refused = json!([{"index": 0, "reason": MARKED, "message": MARKED}]);
    shown.look(&forwarded(json!({"success": true, "rejected": refused}).to_string()).await, MARKED);

    let said = json!({"message": MARKED, "Type": MARKED}).to_string();
    for (status, code) in [
        (403, "AccessDeniedException"),
        (403, "UnrecognizedClientException"),
        (404, "ResourceNotFoundException"),
        (429, "TooManyRequestsException"),
        (502, "EC2AccessDeniedException"),
        (413, "RequestTooLargeException"),
        (400, "InvalidRequestContentException"),
        (400, "RecursiveInvocationException"),
        (400, MARKED),
    ] {
        let reply = answer(status, &[("x-amzn-errortype", code)], &said);
        shown.look(&lambda::answered(reply).await.0, MARKED);
    }
    for kind in ["Unhandled", "Handled", MARKED] {
        let reply = answer(200, &[("x-amz-function-error", kind)], &thrown);
        shown.look(&lambda::answered(reply).await.0, MARKED);
    }
    shown.look(&lambda::answered(answer(200, &[], MARKED)).await.0, "");
    assert!(shown.leaks.is_empty(), "{:#?}", shown.leaks);
    let missing: Vec<_> = Class::ALL.iter().filter(|class| !shown.classes.contains(class)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
