//! Sources of the program's own credentials besides the environment.

use std::fs;
use std::time::Duration;

use forebay::runtime::SystemClock;
use forebay::time::Clock;
use forebay::words::rfc3339;

use super::support::{Caller, PATIENCE, Rig};
use crate::support::forebay::Forebay;
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::wait;

#[tokio::test]
async fn a_web_identity_is_exchanged_for_a_session() {
    let rig = Rig::start(&[]).await;
    let server = ScriptedHttp::start(|request| {
        if request.method == "PUT" {
            return Reply::status(200)
                .with("etag", "\"1\"")
                .with("x-amz-server-side-encryption", "AES256");
        }
        let body = String::from_utf8(request.body.clone()).unwrap();
        assert!(body.starts_with("Action=AssumeRoleWithWebIdentity&"), "{body}");
        assert!(body.contains("WebIdentityToken=the-token&") || body.ends_with("WebIdentityToken=the-token"), "{body}");
        let ends = rfc3339(SystemClock::new().wall().plus(Duration::from_secs(3_600)));
        let body = format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>WEBSESSION</AccessKeyId><SecretAccessKey>s\
             </SecretAccessKey><SessionToken>t</SessionToken><Expiration>{ends}</Expiration></Credentials>\
             </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        );
        Reply::Answer { status: 200, headers: vec![("content-type".into(), "text/xml".into())], body }
    })
    .await;
    let token = rig.folder.path().join("token");
    fs::write(&token, "the-token").unwrap();
    let mut settings = rig.settings(&["web"]);
    settings.s3 = format!("bucket = \"lake\"\nendpoint_url = \"{}\"", server.url());
    let environment = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/forebay"),
        ("AWS_ENDPOINT_URL_STS", &server.url()),
    ];
    let forebay = Forebay::serve(settings.write(), &environment).await;
    Caller::new().send(&forebay, "web", 3, 0).await;
    let put = wait::until("a put", PATIENCE, async || {
        server.requests().into_iter().find(|request| request.method == "PUT")
    })
    .await;
    assert!(put.header("authorization").unwrap().contains("Credential=WEBSESSION/"), "{put:?}");
    assert_eq!(put.header("x-amz-security-token"), Some("t"));
    assert!(forebay.terminate().await.success());
    let asked = server.requests().iter().filter(|request| request.method == "POST").count();
    assert_eq!(asked, 1, "one session serves all");
}
