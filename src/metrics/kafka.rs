//! What a process in front of or behind a log over Kafka counts. Only such a process has these.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::{Registry, Unit};

use super::{Metrics, Seconds, Timing};

/// A partition of the log. It has at most a few hundred.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabel {
    /// Its number.
    pub partition: u32,
}

macro_rules! kafka_metrics {
    ($(#[$of:meta])* $name:ident { $($(#[$more:meta])* $field:ident: $type:ty = $metric:literal $(in $unit:ident)? $(over $buckets:expr)?, $help:literal;)* }) => {
        $(#[$of])*
        #[derive(Clone)]
        pub struct $name {
            $(
                #[doc = $help]
                #[doc = "."]
                $(#[$more])*
                pub $field: $type,
            )*
        }

        impl $name {
            /// All at zero, and shown with `metrics`. Once for each `metrics`.
            pub fn shown_with(metrics: &Metrics) -> Self {
                let mut registry = Registry::with_prefix("forebay");
                let made = Self {
                    $($field: register!(registry, $type, $metric, $help $(, in $unit)? $(, over $buckets)?),)*
                };
                metrics.show_more(registry);
                made
            }
        }

        debug_fields!($name {});
    };
}

kafka_metrics! {
    /// What a collector counts.
    CollectorMetrics {
        /// 1 ms to 32 s: from brokers nearby to a change of leaders.
        produce_seconds: Timing = "kafka_produce" over exponential_buckets(1e-3, 2.0, 16), "Time from sending a block until all replicas have it";
        blocks: Counter = "kafka_blocks", "Blocks that brokers have acknowledged";
        /// Divided by the blocks: frames a block.
        frames: Counter = "kafka_frames", "Frames in acknowledged blocks";
        waiting_bytes: Gauge = "kafka_waiting" in Bytes, "Bytes of frames that have no report of a broker yet";
        /// Their clients send them again.
        unknown: Counter = "kafka_unknown", "Requests answered 503 although their calls may be stored";
        refused: Counter = "kafka_refused", "Requests of which nothing was sent, because there was no room or an owner refuses the source";
        producers_failed: Counter = "kafka_producers_failed", "Producers that failed and were replaced";
        silent: Gauge = "kafka_silent_partitions", "Partitions of which a block is without a report for longer than a request may wait";
    }
}

kafka_metrics! {
    /// What a writer counts. Gauges of a partition exist while this process delivers it; its last takeover and its time left,
    /// while it owns it.
    WriterMetrics {
        owned: Gauge = "kafka_partitions_owned", "Partitions that this process delivers";
        stopped: Gauge = "kafka_partitions_stopped", "Partitions of this process that are stopped or wait for a person";
        terms: Family<PartitionLabel, Counter> = "kafka_terms", "Terms of a partition that began in this process";
        terms_ended: Family<PartitionLabel, Counter> = "kafka_terms_ended", "Terms of a partition that the brokers ended, because another process has taken it over or a transaction failed";
        takeover_seconds: Family<PartitionLabel, Seconds> = "kafka_takeover" in Seconds, "Duration of the last takeover of a partition, until everything was read that the log had then";
        lag_records: Family<PartitionLabel, Gauge> = "kafka_lag_records", "Records of a partition that are not read yet";
        lag_seconds: Family<PartitionLabel, Seconds> = "kafka_lag" in Seconds, "Age of the last record that was read, while more is to be read";
        /// Infinite if nothing waits or the log deletes nothing.
        time_left_seconds: Family<PartitionLabel, Seconds> = "kafka_time_left" in Seconds, "Time until the log deletes calls that are not delivered";
        left_objects: Family<PartitionLabel, Gauge> = "kafka_left_objects", "Objects that stay in the log because their buckets refuse them";
        cut_early: Family<PartitionLabel, Counter> = "kafka_cut_early", "Batches that were due before their time because the cache was full to 70 %";
        second_copies: Family<PartitionLabel, Counter> = "kafka_second_copies", "Blocks that were read and stand in the log twice";
        late: Family<PartitionLabel, Counter> = "kafka_late_frames", "Frames that were read and came after the end of their day";
        /// Above zero, the log may hold a second copy that is not found.
        forgotten: Family<PartitionLabel, Gauge> = "kafka_forgotten_producers", "Producers of a partition whose last block is not known any more, because there were too many";
        cache_bytes: Family<PartitionLabel, Gauge> = "kafka_cache" in Bytes, "Bytes of the cache in use";
    }
}

impl WriterMetrics {
    /// Removes the gauges of a partition that another process delivers now.
    pub fn forget(&self, partition: u32) {
        self.pause(partition);
        let label = PartitionLabel { partition };
        for gauge in [&self.takeover_seconds, &self.time_left_seconds] {
            gauge.remove(&label);
        }
    }

    /// Removes the gauges of a partition that nobody delivers now: what they showed last is not true any more.
    pub fn pause(&self, partition: u32) {
        let label = PartitionLabel { partition };
        for gauge in [&self.lag_records, &self.left_objects, &self.forgotten, &self.cache_bytes] {
            gauge.remove(&label);
        }
        self.lag_seconds.remove(&label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_shown_with_the_others_and_gauges_go_with_the_partition() {
        let metrics = Metrics::new();
        assert!(!metrics.render().unwrap().contains("forebay_kafka"));
        let of_writer = WriterMetrics::shown_with(&metrics);
        let label = PartitionLabel { partition: 3 };
        of_writer.terms.get_or_create(&label).inc();
        of_writer.lag_records.get_or_create(&label).set(7);
        of_writer.time_left_seconds.get_or_create(&label).set(f64::INFINITY);
        let text = metrics.render().unwrap();
        for line in [
            "forebay_kafka_terms_total{partition=\"3\"} 1",
            "forebay_kafka_lag_records{partition=\"3\"} 7",
            "forebay_kafka_time_left_seconds{partition=\"3\"} inf",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
        of_writer.pause(3);
        let text = metrics.render().unwrap();
        assert!(!text.contains("lag_records{") && text.contains("time_left_seconds{"), "{text}");
        of_writer.forget(3);
        let text = metrics.render().unwrap();
        assert!(!text.contains("time_left_seconds{") && text.contains("terms_total{"), "{text}");
    }
}
