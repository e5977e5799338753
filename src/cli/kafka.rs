//! `forebay kafka`: makes the topics of a log in Kafka, and checks them.

pub mod args;

use std::io::Write;

use super::check::print_report;
use http::Method;

use super::failure::Failure;
use super::print_json::print_either;
use super::serve::load;
use crate::admin::{AskedDecision, RESOLVE_WAIT, Resolved};
use crate::check::Load;
use crate::kafka::create::Wanted;
use crate::node::chosen_target::admin_of;
use crate::node::kafka_setup::{KafkaSetupError, check_log, create_commands, create_log};
use crate::runtime::meter::Meter;
use args::{KafkaCommand, KafkaCreateArgs};

/// Runs one command. Errors: [`Failure`].
pub async fn run(command: &KafkaCommand, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    match command {
        KafkaCommand::Create(args) => {
            let config = load(&args.config)?.config;
            let KafkaCreateArgs { partitions, replication, new_log, .. } = *args;
            let wanted = Wanted { partitions, replication, new_log };
            let text = if args.print {
                create_commands(&config, wanted).map_err(failure)?
            } else {
                let mut meter = Meter::new("notes");
                let shows =
                    move |done, all| meter.show(&format!("first notes of {done} of {all} partitions"));
                create_log(&config, wanted, shows).await.map_err(failure)?.text()
            };
            Ok(out.write_all(text.as_bytes())?)
        }
        KafkaCommand::Check(args) => {
            let config = load(&args.config)?.config;
            let (calls_per_second, call_bytes) = (args.rate, args.call_bytes.0);
            let load = Load { calls_per_second, call_bytes, outage_seconds: 0 };
            print_report(&check_log(&config, load, args.writers).await.map_err(failure)?, args.json, out)
        }
        KafkaCommand::Resolve(args) => {
            let mut admin = args.admin.clone();
            if let Some(file) = &args.config {
                admin.url = admin_of(&load(file)?.config)?;
            }
            let (partition, seal, action) = (args.partition, args.seal, args.action.decision());
            let asked = AskedDecision { partition, seal, action };
            let resolved: Resolved = admin.client()?.ask(Method::POST, &asked.path(), RESOLVE_WAIT).await?;
            Ok(print_either(out, args.json, &resolved, || resolved.text())?)
        }
    }
}

/// The failure of a set-up.
pub(super) fn failure(error: KafkaSetupError) -> Failure {
    if error.is_usage() { Failure::usage(Failure::from(error).to_string()) } else { error.into() }
}
