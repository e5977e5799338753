//! The actions that the templates under `policies/` grant to the writer, and to the role that invokes
//! functions: every request of Forebay must be among them.

use std::collections::BTreeSet;

use serde_json::Value;

/// Requests that AWS allows without any policy: the query for the identity of the credentials
/// ("GetCallerIdentity" in the STS API reference: no permissions are required), and a web identity's
/// exchange, which is unsigned.
pub(crate) const NEED_NO_GRANT: [&str; 2] = ["sts:GetCallerIdentity", "sts:AssumeRoleWithWebIdentity"];

/// The actions that the identity policies `collector.json` and `role.json` allow, such as `s3:PutObject`.
/// Read from the files, so including the statements that `forebay policy` omits if nothing needs them.
pub(crate) fn actions() -> BTreeSet<String> {
    ["collector", "role"].iter().flat_map(|template| actions_of(template)).collect()
}

/// The actions that the policy of the role of a Lambda destination allows.
pub(crate) fn of_destinations() -> BTreeSet<String> {
    actions_of("lambda-destination-invoke")
}

/// The actions that the policies of who reads the bucket of an import and its queue, changes its files,
/// and sets up its notifications, allow.
pub(crate) fn of_imports() -> BTreeSet<String> {
    ["import-read", "import-read-prefix", "import-after", "import-sqs", "import-notify"]
        .iter()
        .flat_map(|template| actions_of(template))
        .collect()
}

/// The actions that the statements of one template allow.
///
/// # Panics
///
/// If there is no such template, or it is not a policy.
pub(crate) fn actions_of(template: &str) -> BTreeSet<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/{template}.json"));
    let policy: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let allowed = policy["Statement"].as_array().unwrap().iter().filter(|it| it["Effect"] == "Allow");
    let actions = allowed.flat_map(|statement| match &statement["Action"] {
        Value::Array(several) => several.clone(),
        one => vec![one.clone()],
    });
    let actions: BTreeSet<String> = actions.map(|action| action.as_str().unwrap().to_owned()).collect();
    assert!(
        !actions.is_empty() && actions.iter().all(|action| !action.contains('*')),
        "{template}: {actions:?}"
    );
    actions
}
