//! An error and its causes as one line.

/// The error and its causes, from the outside in, each told once: many errors, of crates above all, tell
/// their cause in their own words and hand it over as well. Of libtorch's texts the sentence that matters.
pub(crate) fn in_words(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    wan_alpha_core::plain_words(&text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;

    use anyhow::{Context, Error, anyhow};
    use wan_alpha_take::models::ModelRoots;

    use super::in_words;

    /// How often a text holds another.
    fn times(text: &str, words: &str) -> usize {
        text.matches(words).count()
    }

    #[test]
    fn causes_are_joined_from_the_outside_in() {
        let error = anyhow!("it is cut off").context("a.png").context("row 3");
        assert_eq!(in_words(&error), "row 3: a.png: it is cut off");
        let error = Error::new(io::Error::other("x")).context("cannot read a: x; free space");
        assert_eq!(in_words(&error), "cannot read a: x; free space");
    }

    /// Errors of every crate that reads files for us, and of our own libraries.
    #[test]
    fn no_reason_is_told_twice_whoever_tells_it() {
        let folder = tempfile::tempdir().unwrap();
        let broken = folder.path().join("broken");
        fs::write(&broken, "no picture, no table, no record").unwrap();
        let cut = folder.path().join("cut.png");
        let picture = image::RgbImage::new(8, 8);
        picture.save(&cut).unwrap();
        let bytes = fs::read(&cut).unwrap();
        fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();

        let record = folder.path().join("models/m/wan-alpha.json");
        fs::create_dir_all(&record).unwrap();
        let roots =
            ModelRoots { roots: vec![folder.path().join("models")], ..ModelRoots::default() };
        let png = png::Decoder::new(io::BufReader::new(fs::File::open(&cut).unwrap()));
        let png = png.read_info().and_then(|mut reader| {
            let mut pixels = vec![0; 8 * 8 * 3];
            reader.next_frame(&mut pixels)
        });
        let errors: Vec<Error> = vec![
            roots.find("m").unwrap_err().into(),
            image::ImageReader::open(&cut).unwrap().decode().unwrap_err().into(),
            png.unwrap_err().into(),
            exr::prelude::read_first_flat_layer_from_file(&broken).unwrap_err().into(),
            serde_json::from_str::<u32>("{").unwrap_err().into(),
            csv::Reader::from_path(folder.path().join("none")).unwrap_err().into(),
            wan_alpha_core::weights::TensorFile::open(&folder.path().join("none"))
                .unwrap_err()
                .into(),
        ];
        for error in errors {
            let plain = in_words(&error);
            for cause in error.chain().map(ToString::to_string) {
                assert_eq!(times(&plain, &cause), 1, "`{cause}` in `{plain}`");
            }
            let context = Err::<(), _>(error).context("row 3").unwrap_err();
            assert_eq!(in_words(&context), format!("row 3: {plain}"));
        }
    }
}
