//! `forebay dev`: everything on one machine, without set-up.

use super::args::DevArgs;
use super::failure::Failure;
use crate::admin::AccessSettings;
use crate::check::ports::here;
use crate::config::admin::is_loopback;
use crate::config::{self, Environment};
use crate::destinations::settings::DestinationSettings;
use crate::dev_s3;
use crate::live::Mode;
use crate::node::dev::{self, DevSettings};
use crate::node::running::Node;
use crate::runtime::Background;
use crate::runtime::say::say_beside;

/// Runs until a signal ends it.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &DevArgs, background: &Background) -> Result<(), Failure> {
    let environment = Environment::of_process();
    let settings = DevSettings {
        listen: args.listen,
        admin_listen: args.admin_listen,
        s3_listen: args.s3_listen,
        data_dir: args.data_dir.clone(),
        reset: args.reset,
        flush_age: args.flush_age,
        flush_bytes: args.flush_bytes,
        receipts: args.receipts,
        access: access(args, &environment)?,
        config: args.config.clone(),
        destinations: destinations(args, &environment)?,
        environment,
        demo: args.demo,
    };
    let say = |node: &Node, s3: &str| {
        let (public, console) = (node.public, &node.console);
        let welcome = welcome(args, node, s3);
        say_beside(format!("collector http://{public}\nconsole {console}\ns3 {s3}\n{welcome}"));
    };
    Ok(dev::run(settings, background, say).await?)
}

/// Who may use the admin listener: everybody on this machine, unless there is a token.
fn access(args: &DevArgs, environment: &Environment) -> Result<AccessSettings, Failure> {
    let token = environment.admin_token().map_err(|problem| Failure::usage(problem.to_string()))?;
    if token.is_none() && !is_loopback(args.admin_listen) {
        return Err(Failure::usage(format!(
            "--admin-listen {}: other machines can reach this address, so the admin listener needs a token: make one with \
             `openssl rand -hex 24` and set it as FOREBAY_ADMIN_TOKEN in the environment",
            args.admin_listen
        )));
    }
    Ok(AccessSettings { token, live_view: Mode::Full, dev: true, ..AccessSettings::default() })
}

/// The destinations of the file that `--config` names.
fn destinations(args: &DevArgs, environment: &Environment) -> Result<Vec<DestinationSettings>, Failure> {
    let Some(path) = &args.config else { return Ok(Vec::new()) };
    let (destinations, unused) =
        config::destinations_of(path, environment).map_err(|error| Failure::usage(error.to_string()))?;
    if !unused.is_empty() {
        let unused = unused.join(", ");
        tracing::warn!(file = %path.display(), unused, "dev uses only the [[destination]]s of a configuration file");
    }
    Ok(destinations)
}

/// The next steps, ready to paste.
fn welcome(args: &DevArgs, node: &Node, s3: &str) -> String {
    let (collector, console) = (here(node.public), here(node.admin_addr));
    let (id, secret, bucket) = (dev_s3::ACCESS_KEY_ID, dev_s3::SECRET_ACCESS_KEY, dev_s3::BUCKET);
    let age = &args.flush_age;
    format!(
        "
Send a first call:
  curl -u my-app: http://{collector}/v1/track -d '{{\"userId\":\"u1\",\"event\":\"Hello\",\"properties\":{{\"n\":1}}}}'

Point an SDK here (any write key is its own source):
  new Analytics({{ writeKey: 'my-app', host: 'http://{collector}' }})

After {age} (or now, with: forebay flush --admin http://{console}) the calls are objects. Download them:
  AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION={region} \\
    aws s3 sync s3://{bucket}/segment-logs ./segment-logs --endpoint-url {s3}
  find segment-logs -name '*.gz' | xargs zcat

Stop with Ctrl-C. The data stays in {data_dir}; to start empty, use --reset.",
        region = dev_s3::REGION,
        data_dir = args.data_dir.display(),
    )
}
