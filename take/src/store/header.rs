//! The form of a take's file.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | [`MAGIC`] |
//! | 8 | 4 | [`FORM`] |
//! | 12 | 4 | n, length of the description |
//! | 16 | 4 | f, number of frames |
//! | 20 | 4 | 0 |
//! | 24 | 8 | where the first frame begins: a multiple of 4096 |
//! | 32 | 32 | BLAKE3 of all other bytes before the first frame |
//! | 64 | n | description: canonical JSON |
//! | 64 + n | 8 f | checksum of each frame: CRC-64/NVME |
//! | | | zeros up to the first frame |
//! | | f · w · h · 8 | frames: half-float straight RGBA, row 0 on top |
//!
//! Numbers are little-endian. A CRC guards frames because it costs a quarter of reading them from
//! memory, where BLAKE3 costs more than reading them, and 64 bits leave nothing to chance. Against
//! malice neither helps, since whoever can write a frame can write its checksum.

use std::fs::File;
use std::io;

use crc_fast::{CrcAlgorithm, Digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Damage, StoreError};
use super::folder::read_at;
use crate::counted::counted;
use crate::key::TakeKey;
use crate::report::TakeReport;
use crate::request::{RequestError, TakeRequest};
use crate::warning::Warning;

/// Neither text nor mangled by anything that takes it for text.
const MAGIC: [u8; 8] = *b"\x89TAKE\r\n\x1a";
const FORM: u32 = 1;
const PREAMBLE: usize = 64;
const HASH: std::ops::Range<usize> = 32..64;
const PAGE: u64 = 4096;

/// The longest description that is read; a longest request is a third of it.
const MAX_DESCRIPTION: usize = 4 << 20;

/// The longest class of a device.
const MAX_DEVICE: usize = 120;

/// Bytes that a description may gain between the beginning of a take and its publication: how it was
/// computed, its report, and some ten warnings.
const ROOM: usize = 2560;

/// The most frames that a header may announce.
const MAX_FRAMES: u32 = 1 << 16;

/// Bytes of a half-float RGBA pixel.
const PIXEL: u64 = 8;

/// What the checksum of a frame is.
pub(super) type Checksum = [u8; 8];

/// What a take's file says about it. Fingerprint, numerics and sizes are those of the request.
///
/// Fields may be added: readers pass over those that they do not know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    /// The key, by which the file is named.
    pub key: TakeKey,
    /// What it was made on, such as `cpu` or `NVIDIA-H200-sm90-libtorch-2.13.0-cu130`: the card's
    /// model, its compute capability and the build of libtorch. Equal keys made on `cpu` are equal to
    /// the bit with the same number of threads.
    pub device: String,
    /// How it was computed; none in takes of before it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub computed: Option<Computed>,
    /// What it came to; none in takes of before it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<TakeReport>,
    /// What was warned of, before it was computed, while it was, and of what it came to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// What it is a take of.
    pub request: TakeRequest,
}

/// How a take was computed. Fields may be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computed {
    /// The kernel of attention, such as `flash`.
    pub attention: Option<String>,
    /// Whether decoding multiplied float32 as TF32, with ten bits of mantissa.
    pub tf32: bool,
    /// The class of the device that decoded, where it is not the one that the latent was made on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoded_on: Option<String>,
}

/// What becomes known of a take while it is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TakeOutcome {
    /// How it was computed.
    pub computed: Computed,
    /// What it came to.
    pub report: Option<TakeReport>,
    /// What was warned of, the weightiest first: where there is no room, the last are left out.
    pub warnings: Vec<Warning>,
}

impl Description {
    /// Describes the take of `request`, made on `device`.
    ///
    /// # Errors
    /// [`StoreError::Request`] if the request has no key, [`StoreError::Device`] if the device
    /// class is not a short word.
    pub fn new(request: &TakeRequest, device: &str) -> Result<Self, StoreError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=MAX_DEVICE).contains(&device.len()) || !device.bytes().all(word) {
            return Err(StoreError::Device { found: device.chars().take(80).collect() });
        }
        let request = request.clone().accept()?;
        let (key, device) = (request.key()?, device.to_owned());
        Ok(Self { key, device, computed: None, report: None, warnings: Vec::new(), request })
    }

    /// Half-float values of a frame.
    #[must_use]
    pub fn frame_values(&self) -> usize {
        self.request.width as usize * self.request.height as usize * 4
    }

    fn frame_bytes(&self) -> u64 {
        u64::from(self.request.width) * u64::from(self.request.height) * PIXEL
    }
}

/// Why a header was not read.
#[derive(Debug)]
pub(super) enum Unread {
    Io(io::Error),
    Damaged(Damage),
    OtherVersion(RequestError),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Damage> for Unread {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

/// All that stands before the first frame.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) description: Description,
    /// One for each frame.
    pub(super) checksums: Vec<Checksum>,
    json: String,
}

impl Header {
    /// A header whose frames are still to come.
    pub(super) fn new(description: Description) -> Result<Self, RequestError> {
        let json =
            serde_json::to_string(&description).map_err(|reason| RequestError::Json { reason })?;
        let checksums = Vec::with_capacity(description.request.frames as usize);
        Ok(Self { description, checksums, json })
    }

    /// The same, with room for what becomes known while the take is made.
    pub(super) fn with_room(description: Description) -> Result<Self, RequestError> {
        let mut header = Self::new(description)?;
        // Spaces behind it are no part of JSON.
        header.json.extend(std::iter::repeat_n(' ', ROOM));
        Ok(header)
    }

    /// Records what became known while the take was made, in the room that was kept: no frame moves.
    /// What does not fit is left out, the last warnings first.
    pub(super) fn record(&mut self, outcome: TakeOutcome) -> Result<(), RequestError> {
        let TakeOutcome { computed, report, warnings } = outcome;
        let computed = Some(computed);
        let mut description =
            Description { computed, report, warnings, ..self.description.clone() };
        loop {
            let mut json = serde_json::to_string(&description)
                .map_err(|reason| RequestError::Json { reason })?;
            if let Some(room) = self.json.len().checked_sub(json.len()) {
                json.extend(std::iter::repeat_n(' ', room));
                (self.description, self.json) = (description, json);
                return Ok(());
            }
            if description.warnings.pop().is_none() {
                return Ok(());
            }
        }
    }

    /// Where a frame begins.
    pub(super) fn offset(&self, frame: u32) -> u64 {
        let frames = self.description.request.frames;
        data_offset(self.json.len(), frames) + u64::from(frame) * self.description.frame_bytes()
    }

    /// Length of the whole file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.offset(self.description.request.frames)
    }

    /// Everything before the first frame; all checksums must be there.
    pub(super) fn encode(&self) -> Vec<u8> {
        let frames = self.description.request.frames;
        let offset = self.offset(0);
        let mut bytes = Vec::with_capacity(offset as usize);
        bytes.extend(MAGIC);
        for number in [FORM, self.json.len() as u32, frames, 0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(offset.to_le_bytes());
        bytes.extend([0; 32]);
        bytes.extend(self.json.as_bytes());
        bytes.extend(self.checksums.as_flattened());
        bytes.resize(offset as usize, 0);
        let hash = hash(&bytes);
        bytes[HASH].copy_from_slice(&hash);
        bytes
    }

    /// Reads the header of a file, and believes none of it before it matches its checksum.
    pub(super) fn read(file: &File) -> Result<Self, Unread> {
        let length = file.metadata()?.len();
        let mut bytes = vec![0; length.min(PREAMBLE as u64) as usize];
        read_at(file, &mut bytes, 0)?;
        if !bytes.starts_with(&MAGIC) {
            return Err(Damage::NotATake.into());
        }
        let too_short = |expected| Damage::Length { expected, found: length };
        if bytes.len() < PREAMBLE {
            return Err(too_short(PREAMBLE as u64).into());
        }
        let number = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let (form, described, frames) = (number(8), number(12) as usize, number(16));
        if form > FORM {
            return Err(Damage::Newer { version: form }.into());
        }
        if form != FORM || described > MAX_DESCRIPTION || frames > MAX_FRAMES {
            return Err(Damage::Header.into());
        }
        let offset = data_offset(described, frames);
        if length < offset {
            return Err(too_short(offset).into());
        }
        bytes.resize(offset as usize, 0);
        read_at(file, &mut bytes[PREAMBLE..], PREAMBLE as u64)?;
        if hash(&bytes) != bytes[HASH] {
            return Err(Damage::Header.into());
        }
        let (json, table) = bytes[PREAMBLE..].split_at(described);
        let (checksums, _) = table[..frames as usize * size_of::<Checksum>()].as_chunks();
        let header = Self {
            description: read_description(json)?,
            checksums: checksums.to_vec(),
            json: String::from_utf8_lossy(json).into_owned(),
        };
        header.check(frames, length)?;
        Ok(header)
    }

    fn check(&self, frames: u32, length: u64) -> Result<(), Damage> {
        let promised = self.description.request.frames;
        if frames != promised {
            let reason =
                format!("{} for {}", counted(frames, "checksum"), counted(promised, "frame"));
            return Err(Damage::Contradiction { reason });
        }
        let expected = self.file_bytes();
        if length != expected {
            return Err(Damage::Length { expected, found: length });
        }
        Ok(())
    }
}

fn read_description(json: &[u8]) -> Result<Description, Unread> {
    /// Of other versions, no more than what all versions have.
    #[derive(Deserialize)]
    struct Outline {
        key: TakeKey,
        device: String,
        #[serde(default)]
        computed: Option<Computed>,
        #[serde(default)]
        report: Option<Value>,
        #[serde(default)]
        warnings: Option<Value>,
        request: Box<serde_json::value::RawValue>,
    }
    let contradiction = |reason: String| Damage::Contradiction { reason };
    let outline: Outline =
        serde_json::from_slice(json).map_err(|error| contradiction(error.to_string()))?;
    let request = TakeRequest::from_json(outline.request.get()).map_err(Unread::OtherVersion)?;
    let key = request.key().map_err(Unread::OtherVersion)?;
    if key != outline.key {
        let reason = format!("the key of its request is {key}, and it says {}", outline.key);
        return Err(contradiction(reason).into());
    }
    let Outline { device, computed, report, warnings, .. } = outline;
    // What a later version may spell otherwise makes no take unreadable.
    let report = report.and_then(|report| serde_json::from_value(report).ok());
    let warnings = warnings.and_then(|list| serde_json::from_value(list).ok()).unwrap_or_default();
    Ok(Description { key, device, computed, report, warnings, request })
}

/// The hash of a header, as if its own place held zeros.
fn hash(header: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header[..HASH.start]).update(&[0; 32]).update(&header[HASH.end..]);
    hasher.finalize().into()
}

fn data_offset(described: usize, frames: u32) -> u64 {
    let header = (PREAMBLE + described + frames as usize * size_of::<Checksum>()) as u64;
    header.next_multiple_of(PAGE)
}

/// The checksum of a frame, fed piece by piece.
pub(super) struct FrameSum(Digest);

impl FrameSum {
    pub(super) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Nvme))
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Checksum {
        self.0.finalize().to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WarningCode;
    use crate::store::test_takes::{self, description};

    /// `data/header.bin` is written anew by `WRITE_GOLDEN=1`; do so only together with a new
    /// [`FORM`] and another extension, or takes made until now are set aside as damaged.
    #[test]
    fn headers_are_spelled_as_ever() {
        let mut header = Header::new(description(5, 16, 16)).unwrap();
        header.checksums = (0..5).map(|frame| [frame; 8]).collect();
        let bytes = header.encode();
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/header.bin");
        if std::env::var_os("WRITE_GOLDEN").is_some() {
            std::fs::write(kept, &bytes).unwrap();
        }
        assert!(bytes == std::fs::read(kept).unwrap());
        assert_eq!(bytes.len(), 4096);
    }

    #[test]
    fn what_became_of_a_take_is_recorded_without_moving_a_frame() {
        let mut header = Header::with_room(description(5, 16, 16)).unwrap();
        header.checksums = (0..5).map(|frame| [frame; 8]).collect();
        let (before, offset) = (header.encode().len(), header.offset(0));
        let computed = Computed { attention: Some("flash".into()), tf32: true, decoded_on: None };
        let report = TakeReport { coverage: 0.25, leak: Some(0.01), ..TakeReport::default() };
        let warning = |words: &str| Warning::new(WarningCode::Computation, words, "");
        let warnings = vec![warning("first"), warning("second")];
        let outcome = TakeOutcome {
            computed: computed.clone(),
            report: Some(report),
            warnings: warnings.clone(),
        };
        header.record(outcome.clone()).unwrap();
        assert_eq!((header.encode().len(), header.offset(0)), (before, offset));
        let read = read_description(header.json.as_bytes()).unwrap();
        assert_eq!(read.computed.as_ref(), Some(&computed));
        assert_eq!((read.report, &read.warnings), (Some(report), &warnings));
        let json = header.json.replacen("\"tf32\"", "\"future\":[1],\"tf32\"", 1);
        assert_eq!(read_description(json.as_bytes()).unwrap(), read);
        // Spelled as no version does yet: the take is readable without.
        let json = header.json.replacen("\"coverage\":", "\"covered\":", 1);
        let read = read_description(json.as_bytes()).unwrap();
        assert_eq!((read.report, read.warnings.len()), (None, 2));
        // Too much is left out from its end.
        let mut crowded = Header::with_room(description(5, 16, 16)).unwrap();
        let many = vec![warning("first"), warning(&"x".repeat(1500)), warning(&"y".repeat(1500))];
        crowded.record(TakeOutcome { warnings: many.clone(), ..outcome.clone() }).unwrap();
        assert_eq!(crowded.description.warnings, many[..2]);
        assert_eq!(crowded.encode().len(), before);
        // No room: nothing is lost but the record.
        let mut full = Header::new(description(5, 16, 16)).unwrap();
        let kept = full.json.clone();
        full.record(outcome).unwrap();
        assert_eq!(full.json, kept);
    }

    /// The check value of the catalog of CRCs, in one piece and in two.
    #[test]
    fn the_checksum_of_a_frame_is_crc_64_nvme() {
        for pieces in [&["123456789"][..], &["1234", "56789"]] {
            let mut sum = FrameSum::new();
            pieces.iter().for_each(|piece| sum.add(piece.as_bytes()));
            assert_eq!(sum.finish(), 0xae8b_1486_0a79_9888_u64.to_le_bytes());
        }
    }

    #[test]
    fn a_header_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = test_takes::publish(&test_takes::store(folder.path()), 3).path().to_owned();
        let header = Header::read(&File::open(path).unwrap()).unwrap();
        assert_eq!(header.description, description(5, 32, 16));
        assert_eq!(header.checksums.len(), 5);
    }

    #[test]
    fn device_classes_are_short_words() {
        let request = crate::request::test_requests::request();
        for device in ["", "a b", "über", &"x".repeat(121), "cuda/0"] {
            let error = Description::new(&request, device).unwrap_err();
            assert!(error.to_string().starts_with("device class is "), "{error}");
        }
    }
}
