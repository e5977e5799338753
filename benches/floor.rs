//! The single-thread floor by stages, for requests of 1, 100 and 2,500 calls.
//!
//! `cargo bench --bench floor`

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "corpus/mod.rs"]
mod corpus;
#[path = "load/mod.rs"]
#[expect(dead_code, reason = "only its bodies are needed here")]
mod load;
#[path = "path/mod.rs"]
mod path;

use std::time::Duration;

use load::Bodies;
use path::Through;

const REPEATS: usize = 5;
const LASTING: Duration = Duration::from_millis(500);
const STAGES: [(&str, Through); 4] = [
    ("parse and lines", Through::Lines),
    ("+ checksum", Through::Checksum),
    ("+ gzip = F", Through::Gzip),
    ("+ sha256", Through::Sha256),
];

fn main() {
    for calls in [1, 100, 2_500] {
        let bodies = Bodies::new(calls);
        println!("floor/calls={calls}");
        let mut runs: Vec<Vec<path::Floor>> = vec![Vec::new(); STAGES.len()];
        for _ in 0..REPEATS {
            for ((_, through), runs) in STAGES.iter().zip(&mut runs) {
                runs.push(path::run(&bodies, *through, LASTING));
            }
        }
        for ((name, _), mut runs) in STAGES.iter().zip(runs) {
            runs.sort_by(|a, b| a.cpu_us().total_cmp(&b.cpu_us()));
            let Some(median) = runs.get(REPEATS / 2) else { continue };
            println!(
                "  {name:<16} {:6.2} us CPU a call, {:9.0} calls/s",
                median.cpu_us(),
                median.calls_per_second()
            );
            if median.gzip_bytes > 100 {
                #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes")]
                let ratio = median.line_bytes as f64 / median.gzip_bytes as f64;
                println!(
                    "  {:<16} {:6} bytes a line, ratio {ratio:.2}",
                    "",
                    median.line_bytes / median.calls
                );
            }
        }
    }
}
