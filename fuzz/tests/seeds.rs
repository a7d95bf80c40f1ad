//! Replays what the fuzzers start from, and what they have found.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use natsbridge_fuzz::{run, targets};

#[test]
fn every_seed_of_every_target_holds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (target, _) in targets() {
        let folder =
            fs::read_dir(seeds.join(target)).unwrap_or_else(|error| panic!("{target} has no seeds: {error}"));
        let mut count = 0;
        for entry in folder {
            let path = entry.expect("the folder can be read").path();
            let bytes = fs::read(&path).expect("the seed can be read");
            println!("{}", path.display()); // shown where one fails
            run(target, &bytes);
            count += 1;
        }
        assert!(count > 0, "{target} has no seeds");
    }
}

#[test]
fn folders_of_seeds_targets_and_programs_have_the_same_names() {
    let names = |folder: &str| -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = fs::read_dir(folder).expect("the folder can be read");
        entries
            .map(|entry| entry.expect("the folder can be read").path())
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect()
    };
    let targets: BTreeSet<String> = targets().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names("seeds"), targets);
    assert_eq!(names("fuzz_targets"), targets);
}
