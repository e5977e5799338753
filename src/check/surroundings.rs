//! What needs no request: settings that work and that somebody should know of.

use super::finding::{Finding, Remedy, Trial};
use super::subject::{Reach, Subject};
use crate::store::s3::is_loopback;

/// Whether what is sent can be read on the way. Nothing is said of AWS's own endpoints: they are all https.
pub fn transport(reach: &Reach) -> Option<Finding> {
    let url = reach.endpoint_url.as_deref()?;
    let trial = Trial::new("transport", format!("s3.endpoint_url {url}"));
    if !url.starts_with("http://") {
        return Some(trial.passed("https"));
    }
    if is_loopback(url) {
        return Some(trial.passed("http, which does not leave this machine"));
    }
    Some(trial.warning(
        "http: calls travel in clear, and so does what signs them",
        vec![Remedy::say("set an https:// URL in s3.endpoint_url")],
    ))
}

/// A proxy of the environment is easily forgotten, and every request goes through it. `connected`: what came of a connection.
pub fn proxy(proxy: &str, connected: &Result<(), String>) -> Finding {
    let trial = Trial::new("proxy", format!("connect to {proxy}"));
    match connected {
        Ok(()) => trial.passed(format!(
            "S3 is asked through the proxy {proxy} of the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY)"
        )),
        Err(why) => trial.failed(
            format!("S3 would be asked through the proxy {proxy} of the environment, and nobody answers there: {why}"),
            vec![
                Remedy::say("correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or start the proxy"),
                Remedy::paste("or ask the store without a proxy: name its host in NO_PROXY", "export NO_PROXY=…"),
            ],
        ),
    }
}

/// Whether people can read what is stored without restoring it first.
pub fn storage_class(subject: &Subject<'_>) -> Option<Finding> {
    let class = subject.destination.storage_class?;
    let trial = Trial::new("storage_class", format!("storage class {class}"));
    if class.is_archive() {
        return Some(trial.warning(
            format!("{class}: nobody can read or sync an object before it is restored, and `forebay verify` cannot \
                     either"),
            vec![Remedy::paste("GLACIER_IR costs little more and is read at once", "storage_class = \"GLACIER_IR\"")],
        ));
    }
    Some(trial.passed(format!("{class} can be read at once")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_in_clear_is_a_warning() {
        use super::super::finding::Outcome;
        let check = |url: Option<&str>, outcome| {
            let reach = Reach {
                endpoint_url: url.map(str::to_owned),
                sts_endpoint_url: None,
                kms_endpoint_url: None,
                put: crate::store::PutMode::CreateOnly,
                content_encoding: true,
                tags: crate::object::ObjectTags::default(),
                acl: false,
            };
            assert_eq!(transport(&reach).map(|finding| finding.outcome), outcome, "{url:?}");
        };
        check(None, None);
        check(Some("https://s3.example.com"), Some(Outcome::Passed));
        check(Some("http://127.0.0.1:9000"), Some(Outcome::Passed));
        check(Some("http://minio:9000"), Some(Outcome::Warning));
    }
}
