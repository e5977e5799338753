//! A console on all addresses: a token opens it, a read-only token changes nothing.

use serde_json::json;

use super::browser::Browser;
use crate::serve::support::{CREDENTIALS, Rig};
use crate::support::forebay::Forebay;

const ADMIN: &str = "admin-token-of-the-tests-0123456789";
const READ: &str = "read-token-of-the-tests-01234567890";

#[tokio::test]
async fn a_token_opens_the_page_and_a_read_only_one_changes_nothing() {
    let Some(mut page) = Browser::start() else { return };
    let rig = Rig::start(&["lake"]).await;
    let settings = rig.settings(&["web"]);
    let file = settings.write();
    let text = std::fs::read_to_string(file).unwrap();
    let open = "[admin]\nlisten = \"127.0.0.1:0\"";
    let guarded = format!("[admin]\nlisten = \"0.0.0.0:0\"\ntoken = \"{ADMIN}\"\nread_token = \"{READ}\"");
    assert!(text.contains(open));
    std::fs::write(file, text.replace(open, &guarded)).unwrap();
    let forebay = Forebay::serve(file, &CREDENTIALS).await;
    let console = forebay.console.replace("0.0.0.0", "127.0.0.1");

    page.open(&format!("{console}/#/deliveries")).await;
    // A refused token is an error of the network by intention.
    page.act("expect", json!({ "error": "401" })).await;
    page.see("Sign in").await;
    page.accessible("the login").await;
    page.act("fill", json!({ "label": "Token", "value": "a-wrong-token-of-enough-letters" })).await;
    page.press("Sign in").await;
    page.see("does not know this token").await;
    page.accessible("a refused token").await;
    page.act("fill", json!({ "label": "Token", "value": READ })).await;
    page.press("Sign in").await;
    page.see("Needs the admin token").await;
    assert_eq!(page.act("enabled", json!({ "role": "button", "name": "Flush now" })).await, false);
    page.press("Sign out").await;
    page.act("fill", json!({ "label": "Token", "value": ADMIN })).await;
    page.press("Sign in").await;
    page.press("Flush now").await;
    page.see("Nothing was waiting").await;

    let cookies = page.act("cookies", json!({})).await;
    let cookie = &cookies[0];
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&true.into(), &"Strict".into()), "{cookies}");
    assert!(!cookies.to_string().contains(ADMIN), "the cookie is no token");
    page.act("reload", json!({})).await;
    page.see("Flush now").await;
    page.nothing_wrong().await;
    assert!(!forebay.log().contains(ADMIN) && !forebay.log().contains(READ));
}
