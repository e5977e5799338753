//! `forebay dev`: everything on one machine, without set-up.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::batch::serve::named;
use super::failure::Failure;
use crate::admin::AccessSettings;
use crate::check::ports::here;
use crate::config::admin::is_loopback;
use crate::config::checked::FLUSH_BYTES_MAX;
use crate::config::units::{UnitError, within};
use crate::config::{ByteSize, DevFile, Environment, Period};
use crate::dev_s3;
use crate::jobs::named_functions::NamedFunction;
use crate::live::Mode;
use crate::node::dev::{self, DevSettings, Started};
#[cfg(feature = "kafka")]
use crate::node::dev_kafka;
use crate::runtime::Background;
use crate::runtime::say::say_beside;

/// `forebay dev`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Any write key is accepted, and each is its own source. The S3 server has the bucket `forebay`, the region
us-east-1, the access key `forebay` and the secret key `forebay-secret`. Port 0 selects any free port; the
addresses in use are printed. Jobs of S3 Batch Operations run there, too (`aws s3control create-job`):
--function says what they invoke; a program finds this S3 in its environment.

Examples:
  forebay dev
  forebay dev --demo --reset
  forebay dev --function 'copy=cmd:python3 f.py'
  forebay dev --listen 127.0.0.1:8081 --data-dir /tmp/forebay --flush-age 1s")]
pub struct DevArgs {
    /// Address for calls
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Address of the console, and for status, flush, readiness and metrics
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9180")]
    pub admin_listen: SocketAddr,

    /// Address of the S3 server
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    pub s3_listen: SocketAddr,

    /// Directory of the spool and the objects; both survive a restart
    #[arg(long, value_name = "DIR", default_value = "./forebay-data")]
    pub data_dir: PathBuf,

    /// Deliver a batch when its first call is this old ("10 s", "1 h")
    #[arg(long, value_name = "DURATION", default_value = "10 s")]
    pub flush_age: Period,

    /// Deliver a batch when its object reaches this size ("100 MB", "64 KiB")
    #[arg(long, value_name = "SIZE", default_value = "100 MB", value_parser = flush_bytes)]
    pub flush_bytes: ByteSize,

    /// Add receipts to answers and positions to lines, for `forebay receipt`
    #[arg(long)]
    pub receipts: bool,

    /// Send calls also to the destinations of this configuration file, import the buckets that it names, and
    /// follow its changes; the rest of the file is not used
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Delete the data of earlier runs of `dev` from the data directory, and start empty
    #[arg(long)]
    pub reset: bool,

    /// Send realistic calls from several sources, as sample data
    #[arg(long)]
    pub demo: bool,

    /// What jobs invoke in place of a Lambda function: its name or ARN, =, and cmd:PROGRAM ARGUMENTS or an http:// or
    /// https:// address; repeatable
    #[arg(long = "function", value_name = "NAME=HANDLER", value_parser = NamedFunction::parse)]
    pub functions: Vec<NamedFunction>,

    /// Keep calls in Kafka at these brokers (host:port, separated by commas) in place of a spool: a collector and two
    /// writers, as they run on several machines
    #[cfg(feature = "kafka")]
    #[arg(long, value_name = "BROKERS", conflicts_with_all = ["config", "functions", "reset"])]
    pub kafka: Option<String>,
}

/// A size within the bounds of `flush.max_bytes`. They also apply to dev mode, because an object is always
/// one put.
fn flush_bytes(text: &str) -> Result<ByteSize, String> {
    let size = text.parse().map_err(|error: UnitError| error.to_string())?;
    within("a size", size, &(ByteSize(1_000)..=FLUSH_BYTES_MAX))
}

/// Runs until a signal ends it. Errors: [`Failure`]: the arguments cannot be used, or the node failed.
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
        file: file(args, &environment)?,
        environment,
        demo: args.demo,
        functions: named(&args.functions)?,
    };
    let say = |at: &Started<'_>| {
        let Started { public, console, s3, .. } = at;
        let welcome = welcome(args, at);
        say_beside(format!("collector http://{public}\nconsole {console}\ns3 {s3}\n{welcome}"));
    };
    #[cfg(feature = "kafka")]
    if let Some(brokers) = &args.kafka {
        return Ok(dev_kafka::run(settings, brokers.clone(), background, say).await?);
    }
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

/// The file that `--config` names.
fn file(args: &DevArgs, environment: &Environment) -> Result<DevFile, Failure> {
    let Some(path) = &args.config else { return Ok(DevFile::default()) };
    let (file, unused) = DevFile::read(path, environment)?;
    if !unused.is_empty() {
        let unused = unused.join(", ");
        tracing::warn!(file = %path.display(), unused, "dev uses only the [[destination]]s and [[import]]s of a configuration file");
    }
    Ok(file)
}

/// The next steps, ready to paste.
fn welcome(args: &DevArgs, at: &Started<'_>) -> String {
    let (collector, console, s3) = (here(at.public), here(at.admin), at.s3);
    let (id, secret, bucket) = (dev_s3::ACCESS_KEY_ID, dev_s3::SECRET_ACCESS_KEY, dev_s3::BUCKET);
    let age = &args.flush_age;
    format!(
        "
Send a first call:
  curl -u my-app: http://{collector}/v1/track -d '{{\"userId\":\"u1\",\"event\":\"Hello\",\"properties\":{{\"n\":1}}}}'

Point an SDK here (any write key is its own source):
  new Analytics({{ writeKey: 'my-app', host: 'http://{collector}' }})

After {age} (or now, with `forebay flush --admin http://{console}`) the calls are objects. Download them:
  AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION={region} \\
    aws s3 sync s3://{bucket}/segment-logs ./segment-logs --endpoint-url {s3}
  find segment-logs -name '*.gz' | xargs zcat

Stop with Ctrl-C. The data stays in {data_dir}{beside}.",
        region = dev_s3::REGION,
        data_dir = args.data_dir.display(),
        beside = at.beside_data,
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, Command};

    #[test]
    fn dev_has_the_documented_defaults() {
        let Command::Dev(dev) = Cli::try_parse_from(["forebay", "dev"]).unwrap().command else {
            panic!("not dev")
        };
        assert_eq!(dev.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(dev.admin_listen, "127.0.0.1:9180".parse().unwrap());
        assert_eq!(dev.s3_listen, "127.0.0.1:9000".parse().unwrap());
        assert_eq!(dev.data_dir, PathBuf::from("./forebay-data"));
        assert_eq!(dev.flush_age, Period::from_secs(10));
        assert_eq!(dev.flush_bytes, ByteSize(100_000_000));
        assert!(!dev.reset && !dev.demo && !dev.receipts);
    }
}
