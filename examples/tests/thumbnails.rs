//! Makes thumbnails of the pictures that ship with the example.

use image::{GenericImageView as _, ImageReader};
use pulpo_tests::program::Sandbox;

const PROGRAM: &str = env!("CARGO_BIN_EXE_thumbnails");

#[test]
fn each_picture_is_shrunk_and_other_files_are_buried() {
    let place = Sandbox::new();
    let said = place.run(PROGRAM, &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("published  4 pictures\ndone       3 of them in 3 sizes, "), "{}", said.out);
    assert!(said.out.contains("buried     1:\n") && said.out.contains("torn.jpg is not a picture: "), "{}", said.out);
    for (name, width, height) in [("sunset", 320, 240), ("octopus", 320, 320), ("lighthouse", 180, 320)] {
        for (size, part) in [(320, 1), (160, 2)] {
            let file = place.path(&format!("thumbnails-output/{size}/{name}.png"));
            let image = ImageReader::open(&file).expect("a file").decode().expect("a picture");
            assert_eq!(image.dimensions(), (width / part, height / part), "{name}");
        }
        // It shows the picture, and is not blank.
        let image = image::open(place.path(&format!("thumbnails-output/64/{name}.png"))).expect("a picture");
        let colours: std::collections::BTreeSet<_> = image.pixels().map(|(_, _, colour)| colour.0).collect();
        assert!(colours.len() > 50, "{name} has {} colours", colours.len());
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let place = Sandbox::new();
    let said = place.run(PROGRAM, &["nowhere"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("cannot read the folder nowhere"), "{}", said.err);
}
