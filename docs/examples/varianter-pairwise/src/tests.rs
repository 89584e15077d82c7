use super::*;

const SIZES: [&[usize]; 8] = [
    &[3, 3, 3, 3],
    &[2, 2, 2],
    &[2, 3],
    &[5, 1, 4, 1],
    &[1, 1, 1],
    &[2; 20],
    &[7, 2, 5, 3, 4, 2],
    &[10, 10, 10, 10, 10],
];

#[test]
fn every_pair_is_in_a_row() {
    for sizes in SIZES {
        let mut missing = pairs(sizes);
        for row in cover(sizes) {
            assert_eq!(row.len(), sizes.len());
            let all: Vec<_> = row.iter().copied().enumerate().collect();
            for one in &all {
                for other in all.iter().filter(|other| other.0 > one.0) {
                    missing.remove(&[*one, *other]);
                }
            }
        }
        assert!(missing.is_empty(), "{sizes:?} lacks {missing:?}");
    }
}

#[test]
fn rows_are_distinct_and_fewer_than_all_combinations() {
    for sizes in SIZES {
        let rows = cover(sizes);
        assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len());
        assert_eq!(rows, cover(sizes), "the same axes give the same rows");
        let product: usize = sizes.iter().product();
        // With two axes of several values, every combination is a pair.
        let several = sizes.iter().filter(|size| **size > 1).count();
        assert_eq!(
            rows.len() < product,
            several > 2,
            "{sizes:?}: {}",
            rows.len()
        );
    }
    // There are 81 combinations, and a million.
    assert!(cover(&[3, 3, 3, 3]).len() <= 12);
    assert!(cover(&[2; 20]).len() <= 20);
}

#[test]
fn one_axis_gives_a_row_for_each_value() {
    assert_eq!(cover(&[3]), [[0], [1], [2]]);
}

fn ask(axes: &str) -> Result<Vec<Variation>, Error> {
    let request = VaryRequest::new(Runnable::new("exec-test").uri("./t.sh"));
    Pairwise::vary(&request.parameter("axes", Value::json(axes)))
}

#[test]
fn values_keep_their_kind() {
    let variations = ask(r#"{"a": ["x"], "b": [1], "c": [0.5], "d": [true]}"#).unwrap();
    let expected = Variation::new()
        .parameter("a", "x")
        .parameter("b", 1)
        .parameter("c", 0.5)
        .parameter("d", true);
    assert_eq!(variations, [expected]);
}

#[test]
fn invalid_axes_are_an_error() {
    for axes in ["{}", r#"{"a": []}"#, r#"{"a": 3}"#, "[]"] {
        assert_eq!(ask(axes).unwrap_err().code, "invalid");
    }
    let request = VaryRequest::default().parameter("only", Value::json("[]"));
    let error = Pairwise::vary(&request).unwrap_err();
    assert_eq!(
        error.message,
        "unknown parameter `only`; this varianter takes `axes`"
    );
}
