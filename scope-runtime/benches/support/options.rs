//! The command line.

use std::process::exit;

use super::measure::Effort;

/// What to do.
#[derive(Default)]
pub(crate) struct Options {
    /// Only these; all if it is empty.
    pub(crate) jobs: Vec<String>,
    /// One object per line instead of tables.
    pub(crate) json: bool,
    /// In a minute.
    pub(crate) quick: bool,
    /// Every case once: `cargo test --benches` wants to know whether it runs, and `cargo bench` alone passes `--bench`.
    pub(crate) smoke: bool,
    /// Count the instructions of `jobs`.
    pub(crate) callgrind: bool,
    /// Do nothing but this: of this job, this case, so many times.
    pub(crate) once: Option<(String, String, usize)>,
}

impl Options {
    /// Reads the arguments of the process. Help and mistakes end it; `known` are the jobs that there are.
    pub(crate) fn read(help: &str, known: &[&str]) -> Self {
        let mut options = Self { smoke: true, ..Self::default() };
        let mut arguments = std::env::args().skip(1);
        let mut unknown = None;
        while let Some(argument) = arguments.next() {
            let mut next = || arguments.next().unwrap_or_else(|| usage(help, &format!("{argument} what?")));
            match &argument[..] {
                "--bench" => options.smoke = false,
                "--test" => options.smoke = true,
                "--json" => options.json = true,
                "--quick" => options.quick = true,
                "--jobs" => options.jobs = names(&next()),
                "--callgrind" => (options.callgrind, options.jobs) = (true, names(&next())),
                "--once" => {
                    let (job, case, count) = (next(), next(), next());
                    let count = count.parse().unwrap_or_else(|_| usage(help, "--once JOB CASE COUNT"));
                    options.once = Some((job, case, count));
                    options.smoke = false;
                }
                "--help" | "-h" => {
                    print!("{help}");
                    exit(0)
                }
                _ => unknown = Some(argument),
            }
        }
        if options.smoke {
            // `cargo test` passes on what is meant for the test harness.
            return Self { smoke: true, ..Self::default() };
        }
        if let Some(argument) = unknown {
            usage(help, &format!("unknown option `{argument}`"));
        }
        if let Some(job) = options.jobs.iter().find(|job| !known.contains(&job.as_str())) {
            usage(help, &format!("unknown job `{job}`"));
        }
        options
    }

    /// Whether the job is wanted; `g` stands for `g2`, too.
    pub(crate) fn wants(&self, job: &str) -> bool {
        let family = job.trim_end_matches(|c: char| c.is_ascii_digit());
        self.jobs.is_empty() || self.jobs.iter().any(|wanted| wanted == job || wanted == family)
    }

    /// How long to measure.
    pub(crate) fn effort(&self) -> Effort {
        match self {
            Self { smoke: true, .. } => Effort::SMOKE,
            Self { quick: true, .. } => Effort::QUICK,
            _ => Effort::FULL,
        }
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}

fn usage(help: &str, problem: &str) -> ! {
    eprint!("{problem}\n\n{help}");
    exit(2)
}
