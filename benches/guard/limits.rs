//! The stored figures, and how much today's may exceed them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// How much the instructions per call may grow. Another compiler or C library also changes them by some per
/// cent.
const INSTRUCTIONS_PERCENT: f64 = 5.0;
/// The same for gzip: valgrind's processor has no SHA instructions, so two thirds of the count is the hash.
const GZIP_PERCENT: f64 = 2.0;
/// How much the writes may grow. They depend only on the code.
const WRITTEN_PERCENT: f64 = 1.0;
const HEADER: &str = "# The stored figures of `tests/guard`. Written by `tests/guard --set`.\n";

/// The counts of a run.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Figures {
    /// Compiler, valgrind and machine.
    pub(crate) set_with: String,
    /// Instructions per call, by case. Empty if they were not counted.
    pub(crate) instructions_per_call: BTreeMap<String, f64>,
    /// Writes, by case.
    pub(crate) written: BTreeMap<String, f64>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instructions = self.instructions_per_call.iter();
        instructions
            .clone()
            .try_for_each(|(name, figure)| writeln!(f, "  {figure:9.1} instructions a call  {name}"))?;
        self.written.iter().try_for_each(|(name, figure)| writeln!(f, "  {figure:9.4} {name}"))
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/guard/limits.toml")
}

/// The stored figures.
pub(crate) fn last() -> Figures {
    let text = std::fs::read_to_string(file()).expect("benches/guard/limits.toml");
    toml::from_str(&text).expect("benches/guard/limits.toml in the form that `--set` writes")
}

/// Stores these figures for later runs.
pub(crate) fn set(figures: &Figures) {
    let round = |(name, figure): (&String, &f64)| (name.clone(), (figure * 1e4).round() / 1e4);
    let rounded = Figures {
        set_with: figures.set_with.clone(),
        instructions_per_call: figures.instructions_per_call.iter().map(round).collect(),
        written: figures.written.iter().map(round).collect(),
    };
    let text = toml::to_string(&rounded).expect("figures are TOML");
    std::fs::write(file(), format!("{HEADER}{text}")).expect("benches/guard/limits.toml can be written");
}

/// Describes what has grown beyond its limit, and the cases that only one side has.
pub(crate) fn grown(last: &Figures, today: &Figures) -> Vec<String> {
    let instructions = if today.instructions_per_call.is_empty() {
        Vec::new()
    } else {
        let allowed =
            |name: &str| if name.starts_with("gzip/") { GZIP_PERCENT } else { INSTRUCTIONS_PERCENT };
        compare(&last.instructions_per_call, &today.instructions_per_call, allowed)
    };
    let written = compare(&last.written, &today.written, |_| WRITTEN_PERCENT);
    instructions.into_iter().map(|grown| format!("instructions a call, {grown}")).chain(written).collect()
}

fn compare(
    last: &BTreeMap<String, f64>,
    today: &BTreeMap<String, f64>,
    allowed: impl Fn(&str) -> f64,
) -> Vec<String> {
    let gone = last.keys().filter(|name| !today.contains_key(*name));
    let gone = gone.map(|name| format!("{name}: it is in limits.toml but was not measured"));
    let grown = today.iter().filter_map(|(name, now)| {
        let Some(before) = last.get(name) else {
            return Some(format!("{name}: it is {now:.4} but has no figure in limits.toml"));
        };
        let (allowed, percent) = (allowed(name), (now / before - 1.0) * 100.0);
        if percent < -allowed {
            println!("  {name} has shrunk from {before:.4} to {now:.4}: `--set` makes this the new limit");
        }
        (percent > allowed).then(|| {
            format!("{name}: from {before:.4} to {now:.4}, {percent:.1} % more; {allowed} % are allowed")
        })
    });
    gone.chain(grown).collect()
}
