//! Checks without requests: settings that work but need attention.

use super::finding::{CheckFinding, Remedy, Trial};
use super::subject::{Reach, Subject};
use crate::store::s3::is_loopback;

/// Whether requests can be read in transit. Not reported for AWS's own endpoints, which always use https.
pub fn transport(reach: &Reach) -> Option<CheckFinding> {
    let url = reach.endpoint_url.as_deref()?;
    let trial = Trial::new("transport", format!("s3.endpoint_url {url}"));
    if !url.starts_with("http://") {
        return Some(trial.passed("https"));
    }
    if is_loopback(url) {
        return Some(trial.passed("http, which does not leave this machine"));
    }
    Some(trial.warning(
        "http: calls and signatures are sent unencrypted",
        vec![Remedy::say("set an https:// URL in s3.endpoint_url")],
    ))
}

/// A proxy in the environment is easily overlooked, and every request goes through it. `connected`: the
/// result of connecting.
pub fn proxy(proxy: &str, connected: &Result<(), String>) -> CheckFinding {
    let trial = Trial::new("proxy", format!("connect to {proxy}"));
    match connected {
        Ok(()) => trial.passed(format!(
            "S3 is reached through the proxy {proxy} from the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY)"
        )),
        Err(why) => trial.failed(
            format!("requests to S3 go to the proxy {proxy} from the environment, but it cannot be reached: {why}"),
            vec![
                Remedy::say("fix HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or start the proxy"),
                Remedy::paste("or bypass the proxy: add the store's host to NO_PROXY", "export NO_PROXY=…"),
            ],
        ),
    }
}

/// Whether stored objects can be read without restoring them first.
pub fn storage_class(subject: &Subject<'_>) -> Option<CheckFinding> {
    let class = subject.destination.storage_class?;
    let trial = Trial::new("storage_class", format!("storage class {class}"));
    if class.is_archive() {
        return Some(trial.warning(
            format!("{class}: objects cannot be read or synced before they are restored, and `forebay verify` cannot read \
                     them either"),
            vec![Remedy::paste("GLACIER_IR costs little more and can be read at once", "storage_class = \"GLACIER_IR\"")],
        ));
    }
    Some(trial.passed(format!("{class} can be read at once")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unencrypted_transport_is_a_warning() {
        use super::super::finding::Outcome;
        let check = |url: Option<&str>, outcome| {
            let reach = Reach::of_test(url);
            assert_eq!(transport(&reach).map(|finding| finding.outcome), outcome, "{url:?}");
        };
        check(None, None);
        check(Some("https://s3.example.com"), Some(Outcome::Passed));
        check(Some("http://127.0.0.1:9000"), Some(Outcome::Passed));
        check(Some("http://minio:9000"), Some(Outcome::Warning));
    }
}
