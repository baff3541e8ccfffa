//! Pictures: images, sequences of them and videos, read and written.
//!
//! Nothing here knows the command line (but how choices are spelled there), exit codes or the model: what
//! was given and what is wanted are arguments, and what goes wrong is a [`MediaError`](error::MediaError). Whatever a command is given,
//! it is read here, each kind in one place, so that all commands agree on the same file.
//!
//! - [`frame`]: how large a picture may be, and frames of the store as frames in memory;
//! - [`frame_look`]: what of a frame is written: all, its alpha, or the frame over something;
//! - [`png`], [`exr`]: the two image formats, both ways;
//! - [`video`]: videos read, through ffmpeg; [`movie`]: movies written;
//! - [`embedded`]: what files carry besides their pictures: texts, tags, XMP packets;
//! - [`reading`]: what a person may say of what is given;
//! - [`color_space`], [`color_tag`], [`icc`]: what color is, and what files say that it is;
//! - [`remarks`]: what is to be said of pictures that were read;
//! - [`file_kind`]: what a file is by its first bytes, whatever it is called;
//! - [`guarded`]: other people's parsers, whose panics are errors;
//! - [`sequence`]: the files behind a folder, a pattern or one name;
//! - [`mask`]: images as numbers in \[0, 1\], by their alpha or their luma;
//! - [`rgba`]: images and movies as straight, display-referred frames;
//! - [`clip_reader`]: such frames for the model's encoder;
//! - [`resize`]: pictures in another size, and parts of them;
//! - [`contact_sheet`], [`variant_sheet`], [`thumbnail`]: small pictures to look at;
//! - [`provenance`]: what a file says of where it is from;
//! - [`signature`]: that statement signed, and whether a signature holds;
//! - [`recipe`]: what a file of ours was made of, read back;
//! - [`atomic_file`]: files that appear whole or not at all;
//! - [`error`]: what can go wrong.

pub(crate) mod atomic_file;
mod clip_reader;
pub(crate) mod color_space;
pub(crate) mod color_tag;
pub(crate) mod contact_sheet;
pub(crate) mod embedded;
pub(crate) mod error;
pub(crate) mod exr;
mod file_kind;
pub(crate) mod frame;
pub(crate) mod frame_look;
#[cfg(test)]
mod fuzz;
mod guarded;
mod icc;
#[cfg(test)]
mod kinds;
pub(crate) mod mask;
pub(crate) mod movie;
pub(crate) mod png;
pub(crate) mod provenance;
pub(crate) mod reading;
pub(crate) mod recipe;
pub(crate) mod remarks;
pub(crate) mod resize;
pub(crate) mod rgba;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod sequence;
pub(crate) mod signature;
#[cfg(test)]
mod speed;
pub(crate) mod thumbnail;
pub(crate) mod variant_sheet;
pub(crate) mod video;
