//! Runs the shop for its three seconds.

use pulpo_tests::program::Sandbox;

#[test]
fn the_shop_calculates_once_and_asks_in_measure() {
    let place = Sandbox::new();
    let said = place.run(env!("CARGO_BIN_EXE_shop"), &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    let lines: Vec<_> = said.out.lines().collect();
    assert_eq!(lines[0], "100 changes of baskets: 5 calculations wait, 95 changes went into them");
    // The last change counts.
    let totals: Vec<_> = lines.iter().filter(|line| line.contains("in the basket")).collect();
    assert_eq!(totals.len(), 5, "{}", said.out);
    assert!(totals.iter().all(|line| line.ends_with("has 20 items in the basket")), "{}", said.out);
    // Each price once, although the supplier asked for patience in between.
    assert_eq!(lines.iter().filter(|line| line.ends_with(" cents")).count(), 25, "{}", said.out);
    assert_eq!(lines.iter().filter(|line| **line == "the supplier asks for patience").count(), 1);
    assert_eq!(lines.iter().filter(|line| line.starts_with("report of ")).count(), 1, "{}", said.out);
    let packed: Vec<_> = lines.iter().filter(|line| line.ends_with("is packed")).collect();
    assert_eq!(packed.len(), 6, "{}", said.out);
    // 26 requests at ten a second take at least two seconds.
    let last = lines[lines.len() - 1];
    let seconds: f64 = last.split(' ').nth(3).and_then(|text| text.parse().ok()).expect("seconds");
    assert!(last.starts_with("37 jobs in ") && seconds >= 2.0, "{last}");
}
