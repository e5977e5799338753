//! Functions of AWS Lambda.

use std::time::Duration;

use aws_sdk_lambda::Client;
use bytes::Bytes;

use super::{Ended, Failure, FailureKind, Handler, Refusal};
use crate::arn::ArnParts;
use crate::boxed_future::BoxFuture;
use crate::destinations::class::Class;
use crate::destinations::lambda_function::{Asking, Unanswered};
use crate::destinations::outcome;
use crate::destinations::request::Invocation as Kind;
use crate::jobs::answer::ANSWER_MAX;
use crate::jobs::invocation::Invocation;
use crate::object::RoleArn;
use crate::words::url::without_userinfo;

/// A function that is invoked by its ARN as it was given: unqualified, or with a version or an alias.
#[derive(Clone, Debug)]
pub struct LambdaHandler {
    client: Client,
    function: String,
    timeout: Duration,
    role: Option<RoleArn>,
    at_store: Option<String>,
}

impl LambdaHandler {
    /// The client must not retry, and has the role if there is one. Answers are waited for as long as
    /// `timeout`. `at_store`: the endpoint of the store, if functions are invoked there for want of one of
    /// their own.
    pub fn new(
        client: Client,
        function: String,
        timeout: Duration,
        role: Option<RoleArn>,
        at_store: Option<String>,
    ) -> Self {
        Self { client, function, timeout, role, at_store }
    }

    fn arn(&self) -> String {
        let region = self.client.config().region().map_or("*", AsRef::as_ref);
        arn_of(&self.function, region, self.role.as_ref())
    }

    /// The end with what explains it if the endpoint is no service of functions.
    fn explained(&self, ended: Ended) -> Ended {
        let Some(url) = &self.at_store else { return ended };
        let hint = format!(
            "; the function was invoked at {}, the endpoint of the store: if no functions are there, name the endpoint of \
             their service with --lambda-endpoint-url of `batch run`, or what is invoked with --function of `batch serve`",
            without_userinfo(url)
        );
        match ended {
            Ended::Refused(Refusal { class, what, remedy }) => {
                Ended::Refused(Refusal { class, what, remedy: remedy + &hint })
            }
            Ended::NotTaken(failure) => Ended::NotTaken(Failure { what: failure.what + &hint, ..failure }),
            Ended::Failed(failure) if failure.kind == FailureKind::Unavailable => {
                Ended::Failed(Failure { what: failure.what + &hint, ..failure })
            }
            ended => ended,
        }
    }

    async fn send(&self, body: Bytes) -> Ended {
        let asking = Asking {
            function: &self.function,
            invocation: Kind::RequestResponse,
            log_tail: false,
            context: None,
            timeout: self.timeout,
        };
        match asking.send(&self.client, body).await {
            Ok(answer) => {
                let status = u16::try_from(answer.status_code()).unwrap_or(200);
                let has_failed = answer.function_error().is_some();
                let body =
                    answer.payload.map(|payload| Bytes::from(payload.into_inner())).unwrap_or_default();
                match (has_failed, body.len() > ANSWER_MAX) {
                    (true, _) => Ended::Failed(Failure {
                        kind: FailureKind::Function,
                        status: Some(status),
                        what: String::from_utf8_lossy(&body).into_owned(),
                    }),
                    (false, true) => Ended::TooLarge { status },
                    (false, false) => Ended::Answered { status, body },
                }
            }
            Err(Unanswered { lacks_handle: true, .. }) => Ended::Starved,
            Err(Unanswered { failure, status, .. }) => self.explained(ended(&failure, status, &self.arn())),
        }
    }
}

impl Handler for LambdaHandler {
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended> {
        Box::pin(self.send(invocation.body.clone()))
    }
}

/// What a request without a usable answer means.
fn ended(failure: &outcome::Failure, status: Option<u16>, function: &str) -> Ended {
    let what = failure.what.full();
    let failure_of = |kind, remedy: &str| Failure { kind, status, what: format!("{what}; {remedy}") };
    let failed = |kind, remedy: &str| Ended::Failed(failure_of(kind, remedy));
    match failure.class {
        Class::Throttled => Ended::Throttled { pause: failure.pause() },
        Class::AccessDenied | Class::InvalidCredentials | Class::NotFound | Class::Recursive => {
            let remedy = refusal_remedy(failure.class, function);
            Ended::Refused(Refusal { class: failure.class, what: what.to_owned(), remedy })
        }
        Class::Timeout => failed(FailureKind::Timeout, "make the function faster, or raise --task-timeout"),
        Class::Network => {
            failed(FailureKind::Network, "check the network between this machine and AWS, and --endpoint-url")
        }
        Class::Unanswered => {
            failed(FailureKind::Network, "see what ends connections before they are answered")
        }
        Class::Unavailable | Class::ExecutionError => {
            failed(FailureKind::Unavailable, "see the function's configuration if it lasts")
        }
        Class::TooLarge | Class::BadRequest | Class::Redirected => {
            Ended::NotTaken(failure_of(FailureKind::Refused, "see what the service says of this request"))
        }
    }
}

/// The ARN of a function that may be given by its name, or by the end of its ARN: a policy takes nothing
/// else. The account is that of the role, and `*` if nobody knows it.
fn arn_of(function: &str, region: &str, role: Option<&RoleArn>) -> String {
    if ArnParts::of(function).is_some() {
        return function.to_owned();
    }
    let role = role.and_then(|role| ArnParts::of(role.as_str())).unwrap_or_default();
    let partition = match role.partition {
        "" if region.starts_with("cn-") => "aws-cn",
        "" if region.starts_with("us-gov-") => "aws-us-gov",
        "" => "aws",
        of_role => of_role,
    };
    let of_role = if role.account.is_empty() { "*" } else { role.account };
    let (account, name) = function.split_once(":function:").unwrap_or((of_role, function));
    format!("arn:{partition}:lambda:{region}:{account}:function:{name}")
}

fn refusal_remedy(class: Class, function: &str) -> String {
    match class {
        Class::NotFound => {
            format!("give the ARN of a function that exists; {function} names none, or a version or alias that is not published")
        }
        Class::InvalidCredentials => {
            "give credentials that AWS accepts; if the job has a role, its trust policy must let them assume it: \
             `forebay policy batch-trust --account ID --region REGION` prints one"
                .to_owned()
        }
        Class::Recursive => "let the function not start jobs on what it writes itself".to_owned(),
        _ => format!(
            r#"add this statement to the policy of the job's role, or without a role of these credentials: {{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"{function}"}}"#
        ),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::config::retry::RetryConfig;
    use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};

    use super::super::test_server::{Server, Step};
    use super::*;

    const ARN: &str = "arn:aws:lambda:eu-west-1:111122223333:function:copy:live";

    async fn invoke(step: Step) -> (Ended, Vec<(String, String)>) {
        invoke_at(step, None).await
    }

    async fn invoke_at(step: Step, at_store: Option<String>) -> (Ended, Vec<(String, String)>) {
        let server = Server::start(vec![step]).await;
        let config = aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(server.url(""))
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::for_tests())
            .retry_config(RetryConfig::disabled());
        let client = Client::from_conf(config.build());
        let handler = LambdaHandler::new(client, ARN.into(), Duration::from_secs(2), None, at_store);
        let invocation = Invocation { id: "i".into(), task_id: "t".into(), body: "{\"a\":1}".into() };
        (handler.invoke(&invocation).await, server.requests())
    }

    fn refused(status: u16, code: &str) -> Step {
        Step::reply(status, &format!(r#"{{"Type":"User","Message":"no {code}"}}"#))
            .with("x-amzn-errortype", code)
    }

    #[tokio::test]
    async fn the_function_is_invoked_by_its_arn_and_its_answer_kept() {
        let (ended, requests) = invoke(Step::reply(200, "{\"b\":2}")).await;
        assert_eq!(ended, Ended::Answered { status: 200, body: "{\"b\":2}".into() });
        let path = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A111122223333%3Afunction%3Acopy%3Alive/invocations";
        assert_eq!(requests, [(path.to_owned(), "{\"a\":1}".to_owned())]);
    }

    #[tokio::test]
    async fn a_store_that_is_no_service_of_functions_is_named() {
        let hint = "the function was invoked at http://s3.example:9000, the endpoint of the store";
        let at_store = || Some("http://s3.example:9000".to_owned());
        for status in [404, 405, 501, 400] {
            let what = match invoke_at(Step::reply(status, ""), at_store()).await.0 {
                Ended::Refused(refusal) => refusal.to_string(),
                Ended::NotTaken(failure) | Ended::Failed(failure) => failure.what,
                other => panic!("{status}: {other:?}"),
            };
            assert!(what.contains(hint) && what.contains("--lambda-endpoint-url"), "{status}: {what}");
        }
        assert!(matches!(invoke_at(Step::reply(200, "{}"), at_store()).await.0, Ended::Answered { .. }));
    }

    #[tokio::test]
    async fn a_function_error_keeps_its_payload() {
        let body = r#"{"errorType":"KeyError","errorMessage":"'a'","stackTrace":[]}"#;
        let (ended, _) = invoke(Step::reply(200, body).with("x-amz-function-error", "Unhandled")).await;
        let failure = Failure { kind: FailureKind::Function, status: Some(200), what: body.into() };
        assert_eq!(ended, Ended::Failed(failure));
    }

    #[tokio::test]
    async fn missing_rights_and_functions_fail_the_job_and_say_what_is_missing() {
        let check =
            async |status, code: &str, class, remedy: &str| match invoke(refused(status, code)).await.0 {
                Ended::Refused(refusal) => {
                    assert_eq!(refusal.class, class);
                    assert!(refusal.what.contains(code), "{refusal}");
                    assert!(refusal.remedy.contains(remedy), "{refusal}");
                }
                other => panic!("{code}: {other:?}"),
            };
        let statement = format!(r#""Action":"lambda:InvokeFunction","Resource":"{ARN}""#);
        check(403, "AccessDeniedException", Class::AccessDenied, &statement).await;
        check(404, "ResourceNotFoundException", Class::NotFound, ARN).await;
        check(403, "UnrecognizedClientException", Class::InvalidCredentials, "batch-trust").await;
    }

    #[tokio::test]
    async fn other_failures_are_of_the_task_or_pass() {
        let throttled = refused(429, "TooManyRequestsException").with("retry-after", "3");
        assert_eq!(invoke(throttled).await.0, Ended::Throttled { pause: Some(Duration::from_secs(3)) });
        let kind = async |step| match invoke(step).await.0 {
            Ended::Failed(failure) => (true, failure.kind, failure.status),
            Ended::NotTaken(failure) => (false, failure.kind, failure.status),
            other => panic!("{other:?}"),
        };
        for (status, code, expected) in [
            (500, "ServiceException", (true, FailureKind::Unavailable)),
            (409, "ResourceConflictException", (true, FailureKind::Unavailable)),
            (400, "InvalidRequestContentException", (false, FailureKind::Refused)),
            (413, "RequestTooLargeException", (false, FailureKind::Refused)),
        ] {
            let (is_tried_again, kind, found) = kind(refused(status, code)).await;
            assert_eq!(((is_tried_again, kind), found), (expected, Some(status)), "{code}");
        }
        assert_eq!(kind(Step::Reset).await, (true, FailureKind::Network, None));
        assert_eq!(kind(Step::Hang).await, (true, FailureKind::Timeout, None));
    }

    #[test]
    fn the_statement_of_a_function_has_its_arn_however_it_is_given() {
        let role = RoleArn::parse("arn:aws:iam::999999999999:role/batch").unwrap();
        let china = RoleArn::parse("arn:aws-cn:iam::999999999999:role/batch").unwrap();
        for (function, region, role, arn) in [
            (ARN, "us-east-1", None, ARN),
            ("copy:live", "eu-west-1", None, "arn:aws:lambda:eu-west-1:*:function:copy:live"),
            ("copy", "cn-north-1", None, "arn:aws-cn:lambda:cn-north-1:*:function:copy"),
            ("copy", "us-gov-west-1", None, "arn:aws-us-gov:lambda:us-gov-west-1:*:function:copy"),
            ("copy", "eu-west-1", Some(&role), "arn:aws:lambda:eu-west-1:999999999999:function:copy"),
            (
                "copy:7",
                "cn-north-1",
                Some(&china),
                "arn:aws-cn:lambda:cn-north-1:999999999999:function:copy:7",
            ),
            (
                "111122223333:function:copy",
                "eu-west-1",
                Some(&role),
                "arn:aws:lambda:eu-west-1:111122223333:function:copy",
            ),
        ] {
            assert_eq!(arn_of(function, region, role), arn);
            assert!(ArnParts::of(arn).is_some() || arn.contains(":*:"));
        }
    }
}
