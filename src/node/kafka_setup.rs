//! Sets up a log in Kafka, and checks it: what `forebay kafka` and `forebay policy kafka-*` do with a configuration.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};

use super::kafka_process::settings;
use crate::check::kafka::{KafkaAsked, change, judge_kafka};
use crate::check::{CheckReport, Load};
use crate::config::{Config, Kafka, KafkaRole};
use crate::kafka::create::{CreateDeps, NotCreated, Outcome, Step, Wanted, create};
use crate::kafka::probe::{ProbeDeps, probe};
use crate::kafka::settings::NoClient;
use crate::partition::topics::{Names, User, commands, grants};
use crate::policy::KafkaPolicy;
use crate::runtime::{SystemClock, SystemRandom};
use crate::words::counted;

/// What brokers call who shows no name.
const NOBODY: &str = "User:ANONYMOUS";

/// Why nothing was set up or checked.
#[derive(Debug, thiserror::Error)]
pub enum KafkaSetupError {
    /// The configuration has no log in Kafka.
    #[error("the configuration has no [kafka]: it needs kafka.role and kafka.brokers")]
    NoKafka,
    /// Topics or first notes were not made.
    #[error(transparent)]
    NotCreated(#[from] Box<NotCreated>),
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// The work panicked.
    #[error(transparent)]
    Task(#[from] JoinError),
}

impl KafkaSetupError {
    /// Whether the command line or the configuration is wrong.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NoKafka | Self::NoClient(_) => true,
            Self::NotCreated(error) => {
                matches!(
                    **error,
                    NotCreated::Fewer { .. } | NotCreated::OtherLog { .. } | NotCreated::NoClient(_)
                )
            }
            Self::Task(_) => false,
        }
    }
}

/// What was made.
#[derive(Clone, Debug)]
pub struct KafkaCreated {
    names: Names,
    steps: Vec<Step>,
    outcome: Outcome,
}

/// Makes the topics, or gives them more partitions, and writes first notes. `progress` is called with the number
/// of the partition whose notes were written, and that of all.
/// Errors: [`KafkaSetupError`]. What was made before stays, and the work can be done again.
pub async fn create_log(
    config: &Config,
    wanted: Wanted,
    mut progress: impl FnMut(u32, u32) + Send + 'static,
) -> Result<KafkaCreated, KafkaSetupError> {
    let settings = settings(kafka(config)?);
    let names = settings.names();
    let deps = CreateDeps { clock: Arc::new(SystemClock::new()), random: Arc::new(SystemRandom) };
    let made = spawn_blocking(move || {
        let mut steps = Vec::new();
        let outcome = create(&settings, wanted, deps, &mut |step| {
            if let Step::FirstNotes { partition, of } = step {
                progress(partition + 1, *of);
            }
            steps.push(step.clone());
        });
        outcome.map(|outcome| (steps, outcome))
    });
    let (steps, outcome) = made.await?.map_err(Box::new)?;
    Ok(KafkaCreated { names, steps, outcome })
}

impl KafkaCreated {
    /// What was done, for people.
    pub fn text(&self) -> String {
        let partitions = counted(u64::from(self.outcome.partitions), "partition", "partitions");
        let mut lines: Vec<String> = self.steps.iter().filter_map(|step| self.line(step)).collect();
        let notes = self.steps.iter().filter(|step| matches!(step, Step::FirstNotes { .. })).count();
        if notes > 0 {
            let of = counted(notes as u64, "partition", "partitions");
            lines.push(format!("wrote the first notes of {of} to {}", self.names.notes_topic));
        }
        if lines.is_empty() {
            lines.push("there was nothing to do".to_owned());
        }
        lines.push(format!(
            "the log {} has {partitions}, and the id {}",
            self.names.name, self.outcome.log_id
        ));
        for wrong in &self.outcome.differences {
            let name = wrong.topic.name(&self.names);
            lines.push(format!(
                "! {name} was there before, and {} is {}, not {}:",
                wrong.setting, wrong.found, wrong.expected
            ));
            lines.extend(change(&self.names, wrong).paste.map(|command| format!("  {command}")));
        }
        lines.push("test it with `forebay kafka check`".to_owned());
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn line(&self, step: &Step) -> Option<String> {
        let partitions = |count: u32| counted(u64::from(count), "partition", "partitions");
        match step {
            Step::Made { topic, partitions: count } => {
                Some(format!("made {topic} with {}", partitions(*count)))
            }
            Step::Grown { topic, partitions: count } => {
                Some(format!("{topic} has {} now", partitions(*count)))
            }
            Step::FirstNotes { .. } => None,
            Step::LogIdTold => Some(format!("told the group {} the log id", self.names.group)),
        }
    }
}

/// The commands of Kafka's own tools that make the topics and give rights. Nothing is done.
/// Errors: [`KafkaSetupError`]: there is no `[kafka]`.
pub fn create_commands(config: &Config, wanted: Wanted) -> Result<String, KafkaSetupError> {
    let names = settings(kafka(config)?).names();
    Ok(commands(&names, wanted.partitions, wanted.replication))
}

/// The commands that give the least rights to a principal, such as `User:forebay`; by default the one that the
/// configuration names.
/// Errors: [`KafkaSetupError`]: there is no `[kafka]`.
pub fn grants_of(
    config: &Config,
    policy: KafkaPolicy,
    principal: Option<&str>,
) -> Result<String, KafkaSetupError> {
    let kafka = kafka(config)?;
    let user = match policy {
        KafkaPolicy::Collector => User::Collector,
        KafkaPolicy::Writer => User::Writer,
    };
    let own = principal_of(kafka);
    let all = grants(&settings(kafka).names(), user, principal.unwrap_or(&own));
    Ok(all.iter().map(|command| format!("{command}\n")).collect())
}

/// Asks the brokers, and tries each right. `load` is the expected load, which `writers` share.
/// Errors: [`KafkaSetupError`]: nothing could be tried. What brokers refuse is in the report.
pub async fn check_log(config: &Config, load: Load, writers: u64) -> Result<CheckReport, KafkaSetupError> {
    let kafka = kafka(config)?;
    let settings = settings(kafka);
    let (user, cache_bytes) = match kafka.role {
        KafkaRole::Collector => (User::Collector, None),
        KafkaRole::Writer => (User::Writer, Some(kafka.cache_bytes)),
    };
    let asked = KafkaAsked {
        names: settings.names(),
        principal: principal_of(kafka),
        clear_password: kafka.security.sends_password_in_clear(),
        cache_bytes,
        writers,
        calls_per_second: load.calls_per_second,
        call_bytes: load.call_bytes,
        max_age: config.flush.max_age.max(Duration::from_secs(1)),
        object_bytes: config.flush.max_bytes,
    };
    let deps = ProbeDeps { clock: Arc::new(SystemClock::new()), random: Arc::new(SystemRandom) };
    let seen = spawn_blocking(move || probe(&settings, user, &deps)).await??;
    Ok(judge_kafka(&asked, &seen))
}

fn principal_of(kafka: &Kafka) -> String {
    let name = kafka.security.sasl.as_ref().map(|sasl| format!("User:{}", sasl.username));
    name.unwrap_or_else(|| NOBODY.to_owned())
}

fn kafka(config: &Config) -> Result<&Kafka, KafkaSetupError> {
    config.kafka.as_ref().ok_or(KafkaSetupError::NoKafka)
}
