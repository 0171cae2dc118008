//! The name of a worker in large letters.

use std::path::Path;

use figlet_rs::{FIGlet, Toilet};

/// The built-in fonts.
const FONTS: [&str; 9] = ["standard", "small", "big", "slant", "smblock", "mono12", "mono9", "future", "wideterm"];

/// Renders the text in this font, as lines; the error lists the valid fonts.
pub(crate) fn drawn(text: &str, font: &str) -> Result<String, String> {
    let drawn = match font {
        "standard" => with(FIGlet::standard(), text),
        "small" => with(FIGlet::small(), text),
        "big" => with(FIGlet::big(), text),
        "slant" => with(FIGlet::slant(), text),
        "smblock" => with_toilet(Toilet::smblock(), text),
        "mono12" => with_toilet(Toilet::mono12(), text),
        "mono9" => with_toilet(Toilet::mono9(), text),
        "future" => with_toilet(Toilet::future(), text),
        "wideterm" => with_toilet(Toilet::wideterm(), text),
        file if Path::new(file).extension().is_some_and(|extension| extension == "flf") => {
            with(FIGlet::from_file(file), text).map_err(|error| format!("a figlet font that can be read ({error})"))
        }
        _ => Err(format!("one of {}, or a file that ends in .flf", FONTS.join(", "))),
    }?;
    // If the font lacks a letter, show the text as it is.
    Ok(drawn.unwrap_or_else(|| text.to_owned()))
}

/// Checks that the font exists; the error lists the valid fonts.
pub(crate) fn check(font: &str) -> Result<(), String> {
    drawn("", font).map(drop)
}

fn with(font: Result<FIGlet, String>, text: &str) -> Result<Option<String>, String> {
    Ok(font?.convert(text).map(|drawn| drawn.as_str()))
}

fn with_toilet(font: Result<Toilet, String>, text: &str) -> Result<Option<String>, String> {
    Ok(font?.convert(text).map(|drawn| drawn.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_font_draws() {
        for font in FONTS {
            let drawn = drawn("shop", font).expect("a font");
            assert!(drawn.trim().chars().count() >= 4 && drawn.trim() != "shop", "{font}: {drawn}");
        }
    }

    #[test]
    fn an_unknown_font_is_answered_with_the_known_ones() {
        let error = drawn("shop", "gothic").expect_err("refused");
        assert!(FONTS.iter().all(|font| error.contains(font)), "{error}");
        assert!(drawn("shop", "/nowhere/gothic.flf").is_err());
    }
}
