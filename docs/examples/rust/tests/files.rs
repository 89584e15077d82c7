//! Counts the words of files.

#[test]
fn own_source_has_words() {
    let source = std::fs::read_to_string("src/lib.rs").unwrap();
    assert!(words::count(&source) > 10);
}

#[test]
#[ignore = "reads all of /usr"]
fn every_file_has_words() {
    panic!("it does not");
}
