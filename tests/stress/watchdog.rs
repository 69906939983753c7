//! Says what a round waits for that does not end.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use scope_runtime::testing::{describe, live_nodes};

use super::books::Books;

/// What is being run.
struct Watched {
    name: String,
    since: Instant,
    books: Vec<Arc<Books>>,
}

#[derive(Clone)]
pub(super) struct Watchdog(Arc<Mutex<Option<Watched>>>);

impl Watchdog {
    /// Starts to look; what takes longer than `patience` ends the process.
    pub(super) fn start(patience: Duration) -> Self {
        let watchdog = Self(Arc::default());
        let dog = Self(Arc::clone(&watchdog.0));
        thread::spawn(move || {
            // Until nobody else knows it.
            while Arc::strong_count(&dog.0) > 1 {
                thread::sleep(Duration::from_millis(200));
                if let Some(watched) = &*dog.lock()
                    && watched.since.elapsed() > patience
                {
                    watched.tell();
                    std::process::exit(3);
                }
            }
        });
        watchdog
    }

    fn lock(&self) -> MutexGuard<'_, Option<Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn watch(&self, name: &str, books: &[Arc<Books>]) {
        let watched = Watched { name: name.to_owned(), since: Instant::now(), books: books.to_vec() };
        drop(self.lock().replace(watched));
    }

    pub(super) fn forget(&self) {
        let gone = self.lock().take();
        drop(gone);
    }
}

impl Watched {
    fn tell(&self) {
        println!("{} hangs since {:?}; there are {} nodes", self.name, self.since.elapsed(), live_nodes());
        for (number, books) in self.books.iter().enumerate() {
            let ended = books.ended.load(SeqCst);
            let open: Vec<_> = books.scopes().iter().filter(|scope| !scope.is_closed()).cloned().collect();
            if ended && books.are_balanced() && open.is_empty() {
                continue;
            }
            println!("program {number}: {} scopes are open", open.len());
            for kind in super::books::Kind::ALL {
                println!("  {kind:?}: {}", books.counts[kind as usize]);
            }
            for scope in open {
                println!("{}", describe(&scope));
            }
        }
    }
}
