//! Threads that cancel and move what others run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::books::Place;
use super::plan::Chance;

/// A program, as troublemakers know it.
#[derive(Clone)]
pub(super) struct Victim {
    pub(super) place: Place,
    /// One that may be aborted.
    pub(super) abort: Option<AbortHandle>,
}

pub(super) struct Troublemakers {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

const THREADS: usize = 2;

impl Troublemakers {
    pub(super) fn start(victims: Vec<Victim>, chance: &mut Chance) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let threads = (0..THREADS).map(|_| {
            let (victims, over, chance) = (victims.clone(), Arc::clone(&over), Chance(chance.next()));
            thread::spawn(move || make_trouble(victims, chance, &over))
        });
        Self { threads: threads.collect(), over }
    }

    pub(super) fn end(self) {
        self.over.store(true, SeqCst);
        for thread in self.threads {
            thread.join().expect("a troublemaker does not panic");
        }
    }
}

fn make_trouble(mut victims: Vec<Victim>, mut chance: Chance, over: &AtomicBool) {
    for _ in 0..victims.len() {
        linger(&mut chance);
        if over.load(SeqCst) {
            return;
        }
        let at = chance.below(victims.len() as u64) as usize;
        let Victim { place, abort } = &mut victims[at];
        if let Some(abort) = abort
            && chance.one_in(3)
        {
            abort.abort();
            continue;
        }
        place.chance = Chance(chance.next());
        let Some(scope) = place.any_scope() else { continue };
        match chance.below(8) {
            0 => drop(scope.cancel_now()),
            1 => scope.set_deadline(Instant::now() + chance.time()),
            2 => scope.set_deadline(None),
            3 => scope.set_shield(chance.one_in(2)),
            4 => place.any_token().trigger(),
            _ => drop(scope.cancel_with("trouble")),
        }
    }
}

/// Waits: not at all, for some instructions, or for some microseconds.
fn linger(chance: &mut Chance) {
    match chance.below(4) {
        0 => {}
        1 => (0..chance.below(3_000)).for_each(|_| std::hint::spin_loop()),
        2 => thread::yield_now(),
        _ => thread::sleep(Duration::from_micros(chance.below(300))),
    }
}
