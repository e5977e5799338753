//! Passes over the log that build left objects again.

use std::collections::BTreeMap;

use forebay::log::{PendingSeal, Seal};
use forebay::partition::gone;
use forebay::partition::left::Pass;
use forebay::partition::reader::{Reader, Took};

use super::super::cache::Rebuild;
use super::super::env::Env;
use super::super::log_topic::{Consumer, Fetched};
use super::Live;

impl Live {
    /// The next record of the pass, or a new pass.
    pub(super) fn rebuild(&mut self, env: &mut Env) {
        let refuses = env.store.refuses.clone();
        let log = &env.log[self.partition as usize];
        let Some(rebuild) = &mut self.rebuild else {
            let takes = |seal: &Seal| !refuses.contains(seal.batch.source.as_str());
            let plan = Pass::plan(&self.state, |PendingSeal { seal, .. }| {
                takes(seal) && !self.built.contains_key(&seal.number)
            });
            let Some(pass) = plan else { return };
            let gone = pass.seals().find(|seal| gone::is_gone(seal, log.start)).cloned();
            if let Some(seal) = gone {
                return self.cannot_build(seal, env);
            }
            let cut_short = log.start > pass.from;
            let reader = Reader::of_left(&self.state, pass.from.max(log.start));
            let (consumer, lines) = (Consumer::default(), BTreeMap::new());
            self.rebuild = Some(Rebuild { pass, reader, consumer, lines, cut_short });
            return self.built_again(env);
        };
        if env.plan.faults > 0 && !env.healed && env.dice.chance(50) {
            return;
        }
        if rebuild.pass.is_over() {
            self.rebuild = None;
            return;
        }
        match log.fetch(rebuild.reader.next(), &mut rebuild.consumer) {
            Fetched::Record(offset, value) => match rebuild.reader.takes(offset, &value, &self.state) {
                Took::Block { frames, .. } => rebuild.pass.takes(&frames, &mut |seal, frame| {
                    let lines = rebuild.lines.entry(seal.number).or_default();
                    lines.push((frame.position, frame.line().to_vec()));
                }),
                Took::Copy(_) | Took::Nothing => {}
                Took::Unreadable(_) | Took::Newer(_) | Took::Cut => self.rebuild = None,
            },
            Fetched::End | Fetched::OutOfRange => self.rebuild = None,
        }
        self.built_again(env);
    }

    /// Takes the objects of which the pass has read all records.
    fn built_again(&mut self, env: &mut Env) {
        let Some(Rebuild { pass, reader, lines, cut_short, .. }) = &mut self.rebuild else { return };
        let cut_short = *cut_short;
        let ended = pass.ended(reader.next()).into_iter();
        let with_lines = ended
            .map(|built| (lines.remove(&built.seal.number).unwrap_or_default(), built))
            .collect::<Vec<_>>();
        for (lines, built) in with_lines {
            match built.is_sealed.then_some(lines) {
                Some(lines) => {
                    env.trace.count("objects built again");
                    self.built.insert(built.seal.number, lines);
                }
                None if cut_short && self.transaction.is_none() => self.cannot_build(built.seal, env),
                None if cut_short || env.log[self.partition as usize].was_cut() => {}
                None => env.is_wrong(format!("{} is built with other lines", built.seal.object_key.as_str())),
            }
        }
    }
}
