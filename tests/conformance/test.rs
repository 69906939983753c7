//! Every golden program, in every way in which the interpreter can run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use scope_tests::conformance::golden::{self, Golden, Verdict};
use scope_tests::conformance::interpret::Way;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/golden");

/// Further programs with their traces from Trio.
const MORE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/more");

#[test]
fn traces_agree_with_trio_as_they_are() {
    agree(Way::AsIs);
}

#[test]
fn traces_agree_with_trio_with_a_handle_in_every_scope() {
    agree(Way::Handles);
}

#[test]
fn traces_agree_with_trio_inside_a_sub_executor() {
    agree(Way::SubExecutor);
}

#[test]
fn traces_agree_with_trio_with_forks_instead_of_tasks() {
    agree(Way::Forks);
}

#[test]
fn traces_agree_with_trio_with_every_statement_in_a_race() {
    agree(Way::Races);
}

/// Its tag (R16) puts the program apart for libraries whose types rule such a spawn out. Ours don't.
#[test]
fn spawning_into_a_nursery_that_was_left_is_refused_as_in_trio() {
    agree_in_all_ways(&Path::new(GOLDEN).join("directed/spawn_into_closed.json"));
}

/// A scope that waits for a shield or a cleanup gives it up after 5 s if nobody polls it (rule U1a). These are
/// polled, if only by a sub-executor that nothing wakes for 20 s.
#[test]
fn shield_and_cleanup_that_last_longer_than_the_patience_of_u1a_are_not_given_up() {
    agree_in_all_ways(&Path::new(MORE).join("long_shield.json"));
    agree_in_all_ways(&Path::new(MORE).join("long_cleanup.json"));
}

/// A comparison that can't fail would prove nothing.
#[test]
fn command_prints_the_first_difference_and_fails() {
    let golden = fs::read_to_string(Path::new(GOLDEN).join("directed/deadline_basic.json")).unwrap();
    let moved = golden.replacen(r#"[0,"enter""#, r#"[1,"enter""#, 1);
    let (code, output) = command(&[&write("moved.json", &moved)]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains(r#"task main, entry 1: Trio has [1,"enter""#), "{output}");
    assert!(output.ends_with("0 passed, 1 failed\n"), "{output}");
}

#[test]
fn command_counts_a_hang_as_failed() {
    let hangs = r#"{ "name": "hangs", "tags": [], "tasks": {}, "program":
        { "body": [{ "op": "event_wait", "name": "never" }] } }"#;
    let (code, output) = command(&[&write("hangs.json", hangs)]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("hangs.json (as it is): hang: "), "{output}");
    assert!(output.ends_with("0 passed, 1 failed\n"), "{output}");
}

#[test]
fn command_counts_a_file_that_is_no_golden_as_failed() {
    let unknown =
        r#"{ "name": "unknown", "tags": [], "tasks": {}, "program": { "body": [{ "op": "jump" }] } }"#;
    let (code, output) = command(&[&write("unknown.json", unknown), &write("text.json", "text")]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("unknown.json: unknown statement `jump`"), "{output}");
    assert!(output.ends_with("0 passed, 2 failed\n"), "{output}");
}

#[test]
fn command_tells_apart_what_is_not_comparable() {
    let (code, output) = command(&[&Path::new(GOLDEN).join("directed/cleanup_raises.json")]);
    assert_eq!(
        (code, &*output),
        (0, "not comparable: 1 (R14 cleanup_raises: a cleanup has no error type here)\n0 passed, 0 failed\n")
    );
}

#[test]
fn command_without_a_path_is_a_usage_error() {
    assert_eq!(command(&[]).0, 2);
    assert_eq!(command(&[Path::new("no/such/path")]).0, 2);
}

/// Runs the command on these paths; its exit code, and what it printed.
fn command(paths: &[&Path]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_conformance")).args(paths).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn write(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

fn agree(way: Way) {
    let files = golden::files(Path::new(GOLDEN)).unwrap();
    let (mut agreeing, mut apart, mut disagreeing) = (0, 0, Vec::new());
    for file in &files {
        let golden = Golden::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        match golden.check(&[way]) {
            Verdict::Agrees => agreeing += 1,
            Verdict::Apart(_) => apart += 1,
            Verdict::Disagrees(_, disagreement) => {
                disagreeing.push(format!("{}: {disagreement}", golden.name))
            }
        }
    }
    assert!(disagreeing.is_empty(), "{} programs disagree:\n{}", disagreeing.len(), disagreeing.join("\n"));
    assert_eq!((agreeing, apart), (408, 5), "the corpus holds 413 programs");
}

fn agree_in_all_ways(file: &Path) {
    let golden = Golden::read(file).unwrap();
    for way in Way::ALL {
        if let Some(disagreement) = golden.compare(way) {
            panic!("{} ({way}): {disagreement}", golden.name);
        }
    }
}
