//! The process's own credentials: a web identity that expires, and credentials that appear late.

use std::fs;
use std::time::Duration;

use forebay::runtime::SystemClock;
use forebay::time::Clock;

use super::{Site, TRIO, alarmed, all_arrive, all_clear};
use crate::serve::support::{Caller, PATIENCE};
use crate::support::aws_double::{AwsDouble, Misdirected, Session, TokenService, World};
use crate::support::wait;

const ROLE: &str = "arn:aws:iam::111122223333:role/forebay";

async fn double() -> AwsDouble {
    let double = AwsDouble::start().await;
    double.world(|world| world.make_bucket("lake", "us-east-1", Misdirected::PermanentRedirect));
    double
}

#[tokio::test]
async fn a_web_identity_is_exchanged_again_after_expiry_and_after_an_sts_outage() {
    let double = double().await;
    double.world(|world| world.web_identities.insert(ROLE.to_owned(), "the-token".to_owned()));
    let mut site = Site::new(&double.url(), &["web", "ios"], &[]);
    let token = site.path().join("token");
    fs::write(&token, "the-token").unwrap();
    site.environment("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap());
    site.environment("AWS_ROLE_ARN", ROLE);
    site.environment("AWS_ENDPOINT_URL_STS", &double.url());
    site.environment("AWS_EC2_METADATA_DISABLED", "true");
    let forebay = site.serve().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 5, 0).await;
    all_arrive(&double, &caller, "lake", "web").await;

    // The session expired early: the next attempt has a new one.
    double.world(World::revoke_sessions);
    caller.send(&forebay, "web", 5, 0).await;
    all_arrive(&double, &caller, "lake", "web").await;
    assert_eq!(double.assume_requests(), 2);

    for trouble in [TokenService::Fails, TokenService::Unreachable] {
        double.world(|world| {
            world.revoke_sessions();
            world.token_service = trouble;
        });
        let before = double.assume_requests();
        for source in ["web", "ios"] {
            caller.send(&forebay, source, 5, 0).await;
        }
        wait::until("attempts in the outage", PATIENCE, async || {
            (double.assume_requests() > before).then_some(())
        })
        .await;
        double.world(|world| world.token_service = TokenService::Up);
        for source in ["web", "ios"] {
            all_arrive(&double, &caller, "lake", source).await;
        }
    }
    all_clear(&forebay, "refused").await;
    let signers = double.signers("lake");
    assert!(signers.iter().all(|(signer, _)| signer.starts_with("ASIASESSION")), "{signers:?}");
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn late_or_renewed_credentials_in_a_file_deliver_the_backlog() {
    let double = double().await;
    let mut site = Site::new(&double.url(), &TRIO, &[]);
    let file = site.path().join("credentials");
    site.environment("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap());
    site.environment("AWS_CONFIG_FILE", site.path().join("none").to_str().unwrap());
    site.environment("AWS_EC2_METADATA_DISABLED", "true");
    let renew = |id: &str| {
        let ends = SystemClock::new().wall().plus(Duration::from_secs(3_600));
        let token = format!("token-of-{id}");
        let text = format!(
            "[default]\naws_access_key_id = {id}\naws_secret_access_key = s\naws_session_token = {token}\n"
        );
        fs::write(&file, text).unwrap();
        let (external_id, name) = (String::new(), String::new());
        let session = Session { external_id, name, token, ends, revoked: false };
        double.world(|world| world.sessions.insert(id.to_owned(), session));
    };
    let forebay = site.serve().await;
    let mut caller = Caller::new();
    for source in TRIO {
        caller.send(&forebay, source, 5, 0).await;
    }
    alarmed(&forebay, "refused", "credential").await;
    assert_eq!(double.requests().len(), 0, "nothing is sent without credentials");
    renew("ASIAFIRST");
    for source in TRIO {
        all_arrive(&double, &caller, "lake", source).await;
    }
    all_clear(&forebay, "refused").await;

    double.world(World::revoke_sessions);
    for source in TRIO {
        caller.send(&forebay, source, 5, 0).await;
    }
    alarmed(&forebay, "refused", "400 ExpiredToken").await;
    renew("ASIASECOND");
    for source in TRIO {
        all_arrive(&double, &caller, "lake", source).await;
    }
    all_clear(&forebay, "refused").await;
    assert!(forebay.terminate().await.success());
}
