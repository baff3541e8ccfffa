//! Parts, layers and channels of an EXR file by name: which of them are a picture, which an alpha or a
//! mask, and which of several is meant.
//!
//! A layer is what comes before the last dot of a channel's name, within one part. Without `--layer`
//! the picture is the first with red, green and blue, those before others that programs call their
//! main one; where there are several, that is said.

use anyhow::{Result, bail};
use exr::meta::header::Header;
use exr::prelude::Text;

/// A channel of a file, by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::media) struct ExrChannel {
    pub(in crate::media) part: usize,
    /// Its place among the channels of its part.
    pub(in crate::media) index: usize,
    /// Its whole name, as the file has it.
    pub(in crate::media) name: String,
    /// What follows the last dot.
    base: String,
}

/// Channels that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExrLayer {
    /// As people call it; the part's name, or what its channels begin with.
    name: String,
    /// Whether its channels begin with its name.
    prefixed: bool,
    channels: Vec<ExrChannel>,
}

/// All layers of a file, in its order.
#[derive(Debug)]
pub(super) struct ExrLayers {
    all: Vec<ExrLayer>,
    /// The names of parts of deep data, which are not read.
    deep: Vec<String>,
}

/// The channels of a picture. Alpha may be elsewhere, or nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::media) struct ColorChannels {
    pub(in crate::media) color: [ExrChannel; 3],
    pub(in crate::media) alpha: Option<ExrChannel>,
    /// That there are other pictures, in words.
    pub(in crate::media) others: Option<String>,
}

/// The channels of what may be a mask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::media) struct MaskChannels {
    /// An alpha, or a channel of a mask's name.
    pub(in crate::media) alpha: Option<ExrChannel>,
    /// Gray, or red, green and blue.
    pub(in crate::media) luma: Vec<ExrChannel>,
    /// That there are other pictures, in words.
    pub(in crate::media) others: Option<String>,
}

/// A channel, and the layer that it is of.
type FoundChannel<'a> = (&'a ExrLayer, &'a ExrChannel);

/// What programs call the layer that is the picture: Nuke, Blender, renderers.
const MAIN: [&str; 9] =
    ["", "rgba", "rgb", "beauty", "main", "combined", "composite", "color", "default"];
/// What the words in the names of masks are, begin or end with.
const MASK_WORDS: [&str; 7] = ["alpha", "mask", "matte", "opacity", "coverage", "roto", "holdout"];
/// What stands in the names of Cryptomatte's (`CryptoObject00`, `VRayCryptomatte00`), which are neither
/// pictures nor masks before they are decoded.
const CRYPTOMATTE: &str = "crypto";
/// Channels that hold numbers of another kind, whatever stands before their dot.
const DATA_NAMES: [&str; 10] = ["z", "zback", "depth", "u", "v", "n", "id", "x", "p", "w"];

impl ExrChannel {
    fn is(&self, name: &str) -> bool {
        self.base.eq_ignore_ascii_case(name)
    }

    /// Whether its name says alpha or mask.
    fn is_mask(&self) -> bool {
        let base = self.base.to_ascii_lowercase();
        if DATA_NAMES.contains(&base.as_str()) {
            return false;
        }
        let name = self.name.to_ascii_lowercase();
        let words = || name.split(|c: char| !c.is_ascii_alphabetic());
        let says = |word: &str| {
            MASK_WORDS.iter().any(|known| word.starts_with(known) || word.ends_with(known))
        };
        !is_cryptomatte(&self.name) && (base == "a" || words().any(says))
    }
}

/// Whether a name is that of Cryptomatte's, whose channels hold names of objects and their coverage.
fn is_cryptomatte(name: &str) -> bool {
    name.to_ascii_lowercase().contains(CRYPTOMATTE)
}

impl ExrLayer {
    fn find(&self, names: [&str; 2]) -> Option<&ExrChannel> {
        if is_cryptomatte(&self.name) {
            return None;
        }
        self.channels.iter().find(|channel| names.iter().any(|name| channel.is(name)))
    }

    fn color(&self) -> Option<[ExrChannel; 3]> {
        let [red, green, blue] =
            [["R", "red"], ["G", "green"], ["B", "blue"]].map(|names| self.find(names).cloned());
        Some([red?, green?, blue?])
    }

    /// The one channel of a gray picture; Y beside X is a place or a direction.
    fn gray(&self) -> Option<&ExrChannel> {
        let other = self.find(["X", "Z"]).is_some() || self.has_chroma();
        self.find(["Y", "luminance"]).filter(|_| !other)
    }

    /// Whether its color is apart from its brightness.
    fn has_chroma(&self) -> bool {
        self.find(["RY", "BY"]).is_some()
    }

    fn alpha(&self) -> Option<&ExrChannel> {
        self.find(["A", "alpha"])
    }

    /// The channel of a picture without colors.
    fn gray_or_red(&self) -> Option<&ExrChannel> {
        self.gray().or_else(|| self.find(["R", "red"]))
    }

    /// Whether its name is one of those that programs give to the picture.
    fn is_main(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        // Nuke: `rgba.left`; Blender: `ViewLayer.Combined`; renderers: `rgba_main`.
        let mut words = name.split(['.', '_', '-', ' ']);
        name.is_empty() || words.any(|word| !word.is_empty() && MAIN.contains(&word))
    }

    /// A channel of it as `--layer` finds it.
    fn full_name(&self, channel: &ExrChannel) -> String {
        if self.prefixed || self.name.is_empty() { channel.name.clone() } else { self.name.clone() }
    }

    /// How surely it is the picture, 0 first.
    fn rank(&self) -> usize {
        match (self.prefixed, self.is_main()) {
            (false, true) => 0,
            (false, false) => 1,
            (true, true) => 2,
            (true, false) => 3,
        }
    }

    fn named(&self) -> String {
        let name = if self.name.is_empty() { "(no name)" } else { &self.name };
        let channels: Vec<_> = self.channels.iter().map(|channel| channel.base.as_str()).collect();
        format!("{name}: {}", channels.join(", "))
    }
}

impl ExrLayers {
    pub(super) fn of(headers: &[Header]) -> Self {
        let mut all: Vec<ExrLayer> = Vec::new();
        for (part, header) in headers.iter().enumerate() {
            if header.deep {
                continue;
            }
            let part_name = header.own_attributes.layer_name.as_ref().map(text);
            for (index, channel) in header.channels.list.iter().enumerate() {
                let name = text(&channel.name);
                let (prefix, base) = name.rsplit_once('.').unwrap_or(("", &name));
                let prefixed = !prefix.is_empty();
                let layer =
                    if prefixed { prefix } else { part_name.as_deref().unwrap_or_default() };
                let base = base.to_owned();
                let layer = layer.to_owned();
                let channel = ExrChannel { part, index, name, base };
                let known = all.iter_mut().find(|known| {
                    known.name == layer
                        && known.prefixed == prefixed
                        && known.channels.first().is_some_and(|first| first.part == part)
                });
                match known {
                    Some(known) => known.channels.push(channel),
                    None => all.push(ExrLayer { name: layer, prefixed, channels: vec![channel] }),
                }
            }
        }
        let deep = headers.iter().filter(|header| header.deep);
        let name = |header: &Header| header.own_attributes.layer_name.as_ref().map(text);
        Self { all, deep: deep.map(|header| name(header).unwrap_or_default()).collect() }
    }

    /// Red, green and blue, and their alpha: of the layer that a person names, or of the picture. Where
    /// there is none of colors a gray one is it.
    pub(super) fn color(&self, named: Option<&str>) -> Result<ColorChannels> {
        let gray = |layer: &ExrLayer| {
            let colors = [["R", "G"], ["B", "C"]].iter().any(|names| layer.find(*names).is_some());
            layer.gray().filter(|_| !colors).map(|gray| [(); 3].map(|()| gray.clone()))
        };
        self.pictures(named, ExrLayer::color)
            .or_else(|error| self.pictures(named, gray).map_err(|_| error))
    }

    /// Of all that a person may mean, that of which `channels` finds a picture's.
    fn pictures(
        &self,
        named: Option<&str>,
        channels: impl Fn(&ExrLayer) -> Option<[ExrChannel; 3]>,
    ) -> Result<ColorChannels> {
        let layers = self.meant(named)?;
        let mut pictures: Vec<(&ExrLayer, [ExrChannel; 3])> =
            layers.iter().filter_map(|layer| Some((*layer, channels(layer)?))).collect();
        pictures.sort_by_key(|(layer, _)| layer.rank());
        let Some((layer, color)) = pictures.first().cloned() else {
            return self.no_channels("no red, green and blue (R, G, B)", named);
        };
        let others: Vec<_> =
            pictures.iter().skip(1).map(|(layer, _)| layer.name.as_str()).collect();
        let others =
            (named.is_none() && !others.is_empty()).then(|| others_in_words(layer, &others));
        let alpha = match layer.alpha() {
            Some(alpha) => Some(alpha),
            None => self.alpha_apart(layer, named)?,
        };
        Ok(ColorChannels { color, alpha: alpha.cloned(), others })
    }

    /// Alpha and what may stand in for it, of the layer that a person names, or of the picture, or of
    /// the only mask. Of several that may be meant none is taken.
    pub(super) fn mask(&self, named: Option<&str>) -> Result<MaskChannels> {
        if let Some(channel) = named.and_then(|named| self.channel(named)) {
            return Ok(MaskChannels { luma: vec![channel.clone()], ..MaskChannels::default() });
        }
        if let Ok(ColorChannels { color, alpha, others }) = self.pictures(named, ExrLayer::color) {
            let y = self.meant(named)?.iter().find_map(|layer| layer.gray()).cloned();
            let luma = y.map_or_else(|| color.to_vec(), |y| vec![y]);
            let alpha = match (alpha, named) {
                (None, None) => self.only_mask(&self.all)?.cloned(),
                (alpha, _) => alpha,
            };
            return Ok(MaskChannels { alpha, luma, others });
        }
        let (alpha, others) = self.one_of(named, ExrLayer::alpha)?;
        let (gray, gray_others) = match &alpha {
            // What stands in for an alpha that says nothing is beside it.
            Some((layer, _)) => (layer.gray_or_red().map(|gray| (*layer, gray)), None),
            None => self.one_of(named, ExrLayer::gray_or_red)?,
        };
        if alpha.is_some() || gray.is_some() {
            let [alpha, gray] =
                [alpha, gray].map(|found| found.map(|(_, channel)| channel.clone()));
            let others = others.or(gray_others);
            return Ok(MaskChannels { alpha, luma: gray.into_iter().collect(), others });
        }
        match self.only_mask(self.meant(named)?)? {
            Some(one) => Ok(MaskChannels { luma: vec![one.clone()], ..MaskChannels::default() }),
            None => self.no_channels(
                "none of the channels A, Y and R, and none that is called alpha, mask or matte",
                named,
            ),
        }
    }

    /// The one layer that has a channel of a kind, or the main one of several, with what is to be said of
    /// the others. Of others than the main one none is the likeliest.
    fn one_of(
        &self,
        named: Option<&str>,
        channel: impl Fn(&ExrLayer) -> Option<&ExrChannel>,
    ) -> Result<(Option<FoundChannel<'_>>, Option<String>)> {
        let mut found: Vec<FoundChannel<'_>> = self
            .meant(named)?
            .into_iter()
            .filter_map(|layer| Some((layer, channel(layer)?)))
            .collect();
        found.sort_by_key(|(layer, _)| layer.rank());
        let [first, others @ ..] = found.as_slice() else { return Ok((None, None)) };
        let name = |(layer, channel): &FoundChannel<'_>| layer.full_name(channel);
        let names =
            |some: &[FoundChannel<'_>]| some.iter().map(name).collect::<Vec<_>>().join(", ");
        if others.is_empty() || named.is_some() {
            return Ok((Some(*first), None));
        }
        let is_only_main = first.0.is_main() && !others.iter().any(|(other, _)| other.is_main());
        if !is_only_main {
            bail!("it has several masks ({}): choose one with --layer", names(&found));
        }
        let words = format!(
            "it has several masks: {} is read, not {}; --layer chooses",
            name(first),
            names(others)
        );
        Ok((Some(*first), Some(words)))
    }

    /// The only channel of a mask's name.
    fn only_mask<'a>(
        &self,
        layers: impl IntoIterator<Item = &'a ExrLayer>,
    ) -> Result<Option<&'a ExrChannel>> {
        match self.masks(layers).as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            several => {
                let names: Vec<_> = several.iter().map(|channel| channel.name.as_str()).collect();
                bail!("it has several masks ({}): choose one with --layer", names.join(", "))
            }
        }
    }

    /// Channels of a mask's name.
    fn masks<'a>(&self, layers: impl IntoIterator<Item = &'a ExrLayer>) -> Vec<&'a ExrChannel> {
        layers.into_iter().flat_map(|layer| &layer.channels).filter(|one| one.is_mask()).collect()
    }

    /// The layers of a name; all of them without one.
    fn meant(&self, named: Option<&str>) -> Result<Vec<&ExrLayer>> {
        let Some(named) = named else {
            return Ok(self.all.iter().collect());
        };
        let found: Vec<_> = self.all.iter().filter(|layer| layer.name == named).collect();
        let found = if found.is_empty() {
            self.all.iter().filter(|layer| layer.name.eq_ignore_ascii_case(named)).collect()
        } else {
            found
        };
        if found.is_empty() && self.channel(named).is_none() {
            bail!("it has no layer `{named}`, only {}", self.in_words());
        }
        Ok(found)
    }

    fn channel(&self, name: &str) -> Option<&ExrChannel> {
        let channels = || self.all.iter().flat_map(|layer| &layer.channels);
        let whole = |channel: &&ExrChannel| channel.name == name && channel.name != channel.base;
        let layer = self.all.iter().any(|layer| layer.name == name);
        channels()
            .find(whole)
            .or_else(|| (!layer).then(|| channels().find(|one| one.name == name))?)
    }

    /// An alpha in a part without colors, beside a picture without one.
    fn alpha_apart(&self, picture: &ExrLayer, named: Option<&str>) -> Result<Option<&ExrChannel>> {
        if picture.prefixed || named.is_some() {
            return Ok(None);
        }
        let apart = |layer: &&ExrLayer| !layer.prefixed && layer.color().is_none();
        let apart = self.all.iter().filter(apart);
        let found: Vec<_> =
            apart.filter_map(|layer| Some((layer.name.as_str(), layer.alpha()?))).collect();
        match found.as_slice() {
            [] => Ok(None),
            [(_, one)] => Ok(Some(*one)),
            several => {
                let names: Vec<_> = several.iter().map(|(name, _)| *name).collect();
                bail!(
                    "it has several alphas in parts of their own ({}), and none beside its colors: write the \
                     one that is meant as A beside R, G and B",
                    names.join(", ")
                )
            }
        }
    }

    fn no_channels<T>(&self, what: &str, named: Option<&str>) -> Result<T> {
        let deep = self.about_deep();
        if self.all.is_empty() && !deep.is_empty() {
            bail!("it holds {}", deep.trim_start_matches("; it also holds "));
        }
        if self.all.iter().any(ExrLayer::has_chroma) {
            bail!(
                "it has luminance and chroma (Y, RY, BY) in place of colors: write R, G and B, for example \
                 with OpenEXR's `exr2aces IN.exr OUT.exr`"
            );
        }
        match named {
            Some(named) => {
                bail!("its layer `{named}` has {what}; the file has {}{deep}", self.in_words())
            }
            None if self.all.iter().any(|layer| layer.prefixed) || self.all.len() > 1 => bail!(
                "it has {what}, only {}{deep}: choose a layer with --layer, or write R, G, B, A",
                self.in_words()
            ),
            None => bail!("it has {what}, only {}{deep}: write it as R, G, B, A", self.in_words()),
        }
    }

    /// What is to be done with deep data; empty where there are none.
    fn about_deep(&self) -> String {
        if self.deep.is_empty() {
            return String::new();
        }
        let names: Vec<_> = self.deep.iter().filter(|name| !name.is_empty()).cloned().collect();
        let names =
            if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        format!(
            "; it also holds deep data{names}, several samples for a pixel, which are not read: flatten \
             them (`oiiotool IN.exr --flatten -o OUT.exr`)"
        )
    }

    pub(super) fn in_words(&self) -> String {
        match self.all.as_slice() {
            [] => "nothing that is read".to_owned(),
            [one] => {
                let names: Vec<_> =
                    one.channels.iter().map(|channel| channel.name.as_str()).collect();
                names.join(", ")
            }
            several => {
                let names: Vec<_> = several.iter().map(ExrLayer::named).collect();
                format!("the layers {}", names.join("; "))
            }
        }
    }
}

/// EXR's text is bytes, which nearly all programs take for UTF-8.
fn text(text: &Text) -> String {
    String::from_utf8_lossy(text.bytes()).into_owned()
}

fn others_in_words(layer: &ExrLayer, others: &[&str]) -> String {
    let of = |name: &str| if name.is_empty() { "(no name)".to_owned() } else { name.to_owned() };
    let others: Vec<_> = others.iter().map(|name| of(name)).collect();
    format!(
        "it has several pictures: {} is read, not {}; --layer chooses",
        of(&layer.name),
        others.join(", ")
    )
}
