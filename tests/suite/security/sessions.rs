//! Sessions of assumed roles that expire, and an STS in trouble, with answers as AWS documents them. No local
//! server does that on demand.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Site, alarmed, alarms, all_arrive, all_clear, fleet, most_requests, source_status};
use crate::serve::support::{Caller, PATIENCE};
use crate::support::aws_double::{AwsDouble, Misdirected, TokenService, World};
use crate::support::forebay::Forebay;
use crate::support::wait;

const ROLE: &str = "arn:aws:iam::111122223333:role/forebay-writer";
/// A source that has calls only after the trouble. Its put shows the others that deliveries work again.
const LATE: &str = "late";

async fn double() -> AwsDouble {
    let double = AwsDouble::start().await;
    double.world(|world| {
        world.make_bucket("lake", "us-east-1", Misdirected::PermanentRedirect);
        world.roles.insert(ROLE.to_owned(), BTreeSet::from(["shared".to_owned()]));
    });
    double
}

/// Many sources with one role and external id, so that they share a session and have a large backlog without
/// it.
fn site(double: &AwsDouble) -> Site {
    let fleet = fleet();
    let sources: Vec<&str> = fleet.iter().map(String::as_str).chain([LATE]).collect();
    let mut site = Site::new(&double.url(), &sources, &AwsDouble::CREDENTIALS);
    let url = double.url();
    site.all(&format!("role_arn = \"{ROLE}\"\nexternal_id = \"shared\"\nsts_endpoint_url = \"{url}\""));
    site
}

/// The running program, serving the fleet.
async fn serving() -> (AwsDouble, Site, Forebay, Caller) {
    let double = double().await;
    let site = site(&double);
    let forebay = site.serve().await;
    (double, site, forebay, Caller::new())
}

/// Sends calls for the whole fleet.
async fn send(forebay: &Forebay, caller: &mut Caller) {
    for source in fleet() {
        caller.send(forebay, &source, 2, 0).await;
    }
}

async fn all_have_arrived(double: &AwsDouble, caller: &Caller) {
    for source in fleet() {
        all_arrive(double, caller, "lake", &source).await;
    }
    all_arrive(double, caller, "lake", LATE).await;
}

/// Waits until all sources with calls have failed with this text.
async fn waiting(forebay: &Forebay, text: &str) {
    for source in fleet() {
        wait::until(&format!("{source} to wait because of {text:?}"), PATIENCE, async || {
            let said = source_status(forebay, &source).await["last_error"].to_string();
            said.contains(text).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn sessions_are_renewed_before_they_end() {
    const LENGTH: Duration = Duration::from_secs(21);
    let double = double().await;
    double.world(|world| world.session_length = LENGTH);
    let site = site(&double);
    let forebay = site.serve().await;
    let mut caller = Caller::new();
    wait::until("a third session", PATIENCE, async || {
        caller.send(&forebay, LATE, 1, 0).await;
        let used: BTreeSet<String> = double.signers("lake").into_iter().map(|(signer, _)| signer).collect();
        (used.len() >= 3).then_some(())
    })
    .await;
    all_have_arrived(&double, &caller).await;
    assert_eq!(double.world(|world| world.expired_answers), 0, "no session was used to its end");
    assert_eq!(alarms(&forebay, "refused").await, [""; 0]);
    let node = crate::serve::support::status(&forebay).await["node"].as_str().unwrap().to_owned();
    double.world(|world| {
        for session in world.sessions.values() {
            assert_eq!(
                (session.external_id.as_str(), session.name.clone()),
                ("shared", format!("forebay-{node}"))
            );
        }
    });
    let signers: BTreeSet<String> = double.signers("lake").into_iter().map(|(signer, _)| signer).collect();
    assert!(!signers.contains(AwsDouble::PROCESS), "the process's own credentials put nothing");
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_token_that_expires_during_a_run_is_replaced_at_once() {
    let (double, _site, forebay, mut caller) = serving().await;
    for revoked in 0..3 {
        send(&forebay, &mut caller).await;
        all_have_arrived(&double, &caller).await;
        assert_eq!(double.assume_requests(), revoked + 1, "one session for all, until it expires");
        double.world(World::revoke_sessions);
    }
    assert!(double.world(|world| world.expired_answers) > 0);
    assert!(!forebay.log().contains("alarm: "), "{}", forebay.log());
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn sessions_that_are_always_refused_raise_an_alarm_until_accepted() {
    let (double, _site, forebay, mut caller) = serving().await;
    send(&forebay, &mut caller).await;
    all_have_arrived(&double, &caller).await;

    double.world(|world| {
        world.revoke_sessions();
        world.sessions_are_void = true;
    });
    send(&forebay, &mut caller).await;
    let alarm = alarmed(&forebay, "refused", "400 ExpiredToken").await;
    assert!(alarm.contains(ROLE) && alarm.contains("shared"), "{alarm}");
    let (asked, tried) = (double.assume_requests(), double.world(|world| world.expired_answers));
    assert!(asked <= tried + 1, "at most one session per attempt: {asked} for {tried}");

    double.world(|world| world.sessions_are_void = false);
    double.world(World::revoke_sessions);
    caller.send(&forebay, LATE, 5, 0).await;
    all_have_arrived(&double, &caller).await;
    all_clear(&forebay, "refused").await;
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn deliveries_wait_for_sts_without_a_refusal_alarm() {
    let (double, _site, forebay, mut caller) = serving().await;
    for (trouble, said) in [(TokenService::Fails, "500"), (TokenService::Unreachable, "assume the role")] {
        send(&forebay, &mut caller).await;
        all_have_arrived(&double, &caller).await;
        double.world(|world| {
            world.revoke_sessions();
            world.token_service = trouble;
        });
        send(&forebay, &mut caller).await;
        waiting(&forebay, said).await;
        double.world(|world| world.token_service = TokenService::Up);
        caller.send(&forebay, LATE, 5, 0).await;
        all_have_arrived(&double, &caller).await;
    }
    assert!(!forebay.log().contains("alarm: "), "{}", forebay.log());
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_role_refused_during_a_run_is_requested_rarely_and_the_backlog_drains() {
    let (double, _site, forebay, mut caller) = serving().await;
    send(&forebay, &mut caller).await;
    all_have_arrived(&double, &caller).await;

    let before = double.assume_requests();
    let began = tokio::time::Instant::now();
    double.world(|world| {
        world.revoke_sessions();
        world.token_service = TokenService::Refuses;
    });
    send(&forebay, &mut caller).await;
    let alarm = alarmed(&forebay, "refused", "403 AccessDenied").await;
    assert!(alarm.contains("and allow sts:AssumeRole in the policy"), "{alarm}");
    let asked = double.assume_requests() - before;
    assert!(asked <= most_requests(began.elapsed()), "{asked} requests for the role");

    double.world(|world| world.token_service = TokenService::Up);
    caller.send(&forebay, LATE, 5, 0).await;
    all_have_arrived(&double, &caller).await;
    all_clear(&forebay, "refused").await;
    assert!(forebay.terminate().await.success());
}
