//! The single-thread floor by stages, for requests of 1, 100 and 2,500 calls; and for comparison a floor
//! built from well-known means, `serde_json` in two passes, with the same encoder and level.
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
#[path = "path/raw_value.rs"]
mod raw_value;

use std::time::Duration;

use load::Bodies;
use path::Through;

const REPEATS: usize = 5;
const LASTING: Duration = Duration::from_millis(500);
/// The stages, run in turns. `None` is the floor by `serde_json`.
const STAGES: [(&str, Option<Through>); 5] = [
    ("parse and lines", Some(Through::Lines)),
    ("+ checksum", Some(Through::Checksum)),
    ("+ gzip = F", Some(Through::Gzip)),
    ("+ sha256", Some(Through::Sha256)),
    ("F by serde_json", None),
];

fn main() {
    for calls in [1, 100, 2_500] {
        let bodies = Bodies::new(calls);
        println!("floor/calls={calls}");
        let mut runs: Vec<Vec<path::Floor>> = vec![Vec::new(); STAGES.len()];
        for _ in 0..REPEATS {
            for ((_, through), runs) in STAGES.iter().zip(&mut runs) {
                runs.push(match through {
                    Some(through) => path::run(&bodies, *through, LASTING),
                    None => raw_value::run(&bodies, LASTING),
                });
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
