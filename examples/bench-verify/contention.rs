//! Decisions of several threads at once, and while tokens change.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;
use tokenwright::verifier::{
    Code, Index,
    credential::{Credential, Presented},
};

use crate::{
    decide::{ask, cpu, requirements},
    tokens,
};

/// Changes a second, in the case where there are some.
const CHANGES: u64 = 10_000;

/// How many decisions threads made.
#[derive(Debug, Serialize)]
pub(crate) struct Contention {
    pub(crate) threads: usize,
    pub(crate) changes_per_second: u64,
    pub(crate) decisions_per_second: u64,
    /// What one decision took of a thread's CPU. Waiting for one another is not in it, spinning is.
    pub(crate) cpu_ns: u64,
    /// The longest that a decision took, by the wall clock, and so with all that the machine did meanwhile.
    pub(crate) longest_us: u64,
}

pub(crate) fn measure(index: &Index, size: u64, duration: Duration) -> Vec<Contention> {
    let known = tokens::known(size);
    let cases = [(1, false), (2, false), (1, true), (2, true)];
    let case = |(threads, changes)| measure_one(index, &known, threads, changes, duration);
    cases.into_iter().map(case).collect()
}

fn measure_one(index: &Index, known: &[String], threads: usize, changes: bool, duration: Duration) -> Contention {
    let (stop, changed) = (AtomicBool::new(false), AtomicU64::new(0));
    let (stop, changed, start) = (&stop, &changed, Instant::now());
    let readers: Vec<Reader> = thread::scope(|scope| {
        let readers: Vec<_> = (0..threads)
            .map(|seed| scope.spawn(move || Reader::read(index, known, seed as u64, stop)))
            .collect();
        if changes {
            scope.spawn(move || changed.store(change(index, stop), Ordering::Relaxed));
        }
        thread::sleep(duration);
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().filter_map(|reader| reader.join().ok()).collect()
    });
    let elapsed = start.elapsed().as_secs_f64();
    let decisions: u64 = readers.iter().map(|reader| reader.decisions).sum();
    let cpu: Duration = readers.iter().map(|reader| reader.cpu).sum();
    let longest = readers.iter().map(|reader| reader.longest).max().unwrap_or_default();
    Contention {
        threads,
        changes_per_second: (changed.load(Ordering::Relaxed) as f64 / elapsed) as u64,
        decisions_per_second: (decisions as f64 / elapsed) as u64,
        cpu_ns: cpu.as_nanos() as u64 / decisions.max(1),
        longest_us: longest.as_micros() as u64,
    }
}

/// What one thread did.
struct Reader {
    decisions: u64,
    cpu: Duration,
    longest: Duration,
}

impl Reader {
    fn read(index: &Index, known: &[String], seed: u64, stop: &AtomicBool) -> Self {
        let mut entropy = StdRng::seed_from_u64(seed);
        let requires = requirements();
        let (mut decisions, mut longest, begin) = (0, Duration::ZERO, cpu());
        while !stop.load(Ordering::Relaxed) {
            let secret = &known[entropy.random_range(0..known.len())];
            let start = Instant::now();
            let code = ask(index, &Presented::Credential(Credential::token(secret)), &requires);
            longest = longest.max(start.elapsed());
            // A token that was suspended a moment ago is one of the changes.
            assert!(matches!(code, Code::Valid | Code::Suspended), "{code:?}");
            decisions += 1;
        }
        let cpu = cpu() - begin;
        Self {
            decisions,
            cpu,
            longest,
        }
    }
}

/// Suspends tokens and lets them work again, at an even pace. Returns how often.
fn change(index: &Index, stop: &AtomicBool) -> u64 {
    // Made before, as making an object takes longer than entering it.
    let mut objects: Vec<_> = (0..CHANGES).map(tokens::object).collect();
    let start = Instant::now();
    let mut changed = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * CHANGES as f64) as u64;
        while changed < due {
            let object = &mut objects[(changed % CHANGES) as usize];
            object.spec.suspended = !object.spec.suspended;
            index.apply_token(object);
            changed += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    // As they were.
    objects.iter_mut().for_each(|object| {
        object.spec.suspended = false;
        index.apply_token(object);
    });
    changed
}
