//! Crates of other people: their edition, and the strictest lints that they may have.

use std::path::Path;
use std::process::Command;

use scope_tests::generated::Crate;

const SAMPLE: &str = include_str!("sample.rs");

fn has_clippy() -> bool {
    Command::new("cargo").args(["clippy", "--version"]).output().is_ok_and(|ran| ran.status.success())
}

#[test]
fn clippy_says_nothing_about_expansions() {
    if !has_clippy() {
        println!("SKIPPED: clippy is not installed, so nobody has looked at the expansions with its lints");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("callers");
    let told = |edition, code: &str| {
        let sample = Crate::new(folder.clone(), edition, code).unwrap();
        let ran = sample.cargo("clippy").output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    for edition in ["2021", "2024"] {
        let (passes, told) = told(edition, SAMPLE);
        assert!(passes && !told.contains("warning:"), "edition {edition}:\n{told}");
    }
    // The lints do look into the blocks: what the user does wrong there, they tell.
    let code = SAMPLE.replace("// a place for a mistake", "let _ = scope!({ vec![1_u64].len() as u8 });");
    let (passes, told) = told("2024", &code);
    assert!(!passes && told.contains("cast_possible_truncation"), "{told}");
}
