//! The makers' C library for C2PA, opened where a file is signed or its signature is looked at: all unsafe
//! code of signatures is in this file.
//!
//! The functions are declared as `c2pa.h` of c2pa-rs 0.91 has them. What the library gives out it also takes
//! back (`c2pa_free`, which knows its own pointers and refuses others); a function that "consumes" a pointer
//! takes it back by itself. Streams call back into ours while a call of the library runs, and at no other time.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};

use anyhow::{Context, Result, anyhow, bail};
use libloading::Library;
use serde_json::{Value, json};

/// Where the library is to be had, for people.
pub(crate) const HOW_TO_GET: &str = "fetch it with `pip download --no-deps c2pa-python==0.38.1` (a zip file: \
     c2pa/libs/ in it holds libc2pa_c.so), and put it beside wan-alpha or name it by WAN_ALPHA_C2PA; in a \
     checkout `cargo xtask setup` brings it";

/// Something of the library's.
type Raw = *mut c_void;

type ReadBack = unsafe extern "C" fn(Raw, *mut u8, isize) -> isize;
type SeekBack = unsafe extern "C" fn(Raw, isize, c_int) -> isize;
type WriteBack = unsafe extern "C" fn(Raw, *const u8, isize) -> isize;
type FlushBack = unsafe extern "C" fn(Raw) -> isize;

/// `C2paSignerInfo`: texts that end in 0; the last may be null.
#[repr(C)]
struct SignerInfo {
    algorithm: *const c_char,
    chain: *const c_char,
    key: *const c_char,
    time_authority: *const c_char,
}

/// Declares the functions, and how they are found by their names.
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of the library that are used here.
        struct C2paFunctions {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl C2paFunctions {
            fn of(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: c2pa.h declares each of them so; they are called only while the library is
                    // open, which it stays.
                    $($name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }?,)*
                })
            }
        }
    };
}

functions! {
    c2pa_version: fn() -> *mut c_char;
    c2pa_error: fn() -> *mut c_char;
    c2pa_free: fn(Raw) -> c_int;
    c2pa_create_stream: fn(Raw, ReadBack, SeekBack, WriteBack, FlushBack) -> Raw;
    c2pa_release_stream: fn(Raw);
    c2pa_settings_new: fn() -> Raw;
    c2pa_settings_update_from_string: fn(Raw, *const c_char, *const c_char) -> c_int;
    c2pa_context_builder_new: fn() -> Raw;
    c2pa_context_builder_set_settings: fn(Raw, Raw) -> c_int;
    c2pa_context_builder_build: fn(Raw) -> Raw;
    c2pa_signer_from_info: fn(*const SignerInfo) -> Raw;
    c2pa_builder_from_context: fn(Raw) -> Raw;
    c2pa_builder_with_definition: fn(Raw, *const c_char) -> Raw;
    c2pa_builder_set_no_embed: fn(Raw);
    c2pa_builder_sign: fn(Raw, *const c_char, Raw, Raw, Raw, *mut *mut u8) -> i64;
    c2pa_reader_from_context: fn(Raw) -> Raw;
    c2pa_reader_with_stream: fn(Raw, *const c_char, Raw) -> Raw;
    c2pa_reader_with_manifest_data_and_stream: fn(Raw, *const c_char, Raw, *const u8, usize) -> Raw;
    c2pa_reader_json: fn(Raw) -> *mut c_char;
}

/// The library, opened for as long as this process runs.
pub(crate) struct C2paLibrary {
    functions: C2paFunctions,
    /// Never closed: its threads would come back to code that has gone.
    _library: ManuallyDrop<Library>,
    path: PathBuf,
}

/// Who signs: the texts of `C2paSignerInfo`.
pub(super) struct SignerTexts {
    /// `es256`, `ps256`, … as the library calls them.
    pub(super) algorithm: &'static str,
    /// Certificates as PEM, the signer's own first.
    pub(super) chain: String,
    /// As PEM, in PKCS#8.
    pub(super) key: String,
    /// Address of an authority that puts the time under it; none: nobody is asked over the network.
    pub(super) time_authority: Option<String>,
}

/// What is to be signed, and what is said of it.
pub(super) struct SignOrder<'a> {
    pub(super) signer: &'a SignerTexts,
    /// The claim, as the library's JSON.
    pub(super) claim: &'a Value,
    /// The type of the bytes.
    pub(super) mime: &'a str,
    /// Whether the signed bytes hold the manifest; else it is for a file beside them.
    pub(super) embeds: bool,
}

/// What can be read, written and moved about in.
pub(super) trait ByteStream: Read + Write + Seek {}

impl<T: Read + Write + Seek> ByteStream for T {}

impl C2paLibrary {
    /// Opens the first of these files.
    ///
    /// # Errors
    /// There is none, or it is no such library, in words with what to do.
    pub(crate) fn open(files: &[PathBuf]) -> Result<Self> {
        let [path, ..] = files else {
            bail!(
                "C2PA signatures need the library libc2pa_c.so, which is not there: {HOW_TO_GET}"
            );
        };
        let shown = path.display();
        if !path.is_file() {
            bail!("the library for C2PA signatures, {shown}, is not there: {HOW_TO_GET}");
        }
        let because = |error: libloading::Error| {
            anyhow!(
                "the library for C2PA signatures, {shown}, cannot be opened: {error}. Expected libc2pa_c.so \
                 of c2pa-python 0.38.1 (it needs glibc 2.34 or later): {HOW_TO_GET}"
            )
        };
        // SAFETY: a file that the user or set-up put there as this library; its initializers are those of
        // Rust's standard library.
        let library = unsafe { Library::new(path) }.map_err(because)?;
        let functions = C2paFunctions::of(&library).map_err(because)?;
        Ok(Self { functions, _library: ManuallyDrop::new(library), path: path.clone() })
    }

    /// The file that it was opened from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, as it says it.
    pub(crate) fn version(&self) -> String {
        // SAFETY: takes nothing; what it gives is a text of the library's, or null.
        self.text(unsafe { (self.functions.c2pa_version)() }).unwrap_or_default()
    }

    /// Signs what `source` holds. `to` gets the bytes that the signature is in, where that embeds; the
    /// manifest is returned.
    ///
    /// # Errors
    /// The library's own words, or those of a stream that cannot be read or written.
    pub(super) fn sign(
        &self,
        order: &SignOrder<'_>,
        source: &mut dyn ByteStream,
        to: &mut dyn ByteStream,
    ) -> Result<Vec<u8>> {
        let (mut source, mut to) = (StreamState::of(source), StreamState::of(to));
        let signed = self.signed(order, &mut source, &mut to);
        signed.map_err(|error| source.failure().or(to.failure()).unwrap_or(error))
    }

    fn signed(
        &self,
        order: &SignOrder<'_>,
        source: &mut StreamState<'_>,
        to: &mut StreamState<'_>,
    ) -> Result<Vec<u8>> {
        let f = &self.functions;
        let context = self.context(None)?;
        let signer = self.signer(order.signer)?;
        let claim = CString::new(order.claim.to_string())?;
        let mime = CString::new(order.mime)?;
        // SAFETY: the context is whole and outlives the call.
        let builder = self.own(unsafe { (f.c2pa_builder_from_context)(context.raw) })?;
        // SAFETY: the builder is consumed, so it is given up here; the text outlives the call.
        let builder = self
            .own(unsafe { (f.c2pa_builder_with_definition)(builder.into_raw(), claim.as_ptr()) })?;
        if !order.embeds {
            // SAFETY: the builder is whole.
            unsafe { (f.c2pa_builder_set_no_embed)(builder.raw) };
        }
        let (source, to) = (self.stream(source)?, self.stream(to)?);
        let mut manifest = null_mut();
        // SAFETY: all are whole and outlive the call; `manifest` is a place for one pointer.
        let length = unsafe {
            (f.c2pa_builder_sign)(
                builder.raw,
                mime.as_ptr(),
                source.raw,
                to.raw,
                signer.raw,
                &raw mut manifest,
            )
        };
        let length = usize::try_from(length).map_err(|_| self.error())?;
        let manifest = self.own(manifest.cast())?;
        // SAFETY: so many bytes lie there, by the function's own word, until they are freed.
        Ok(unsafe { std::slice::from_raw_parts(manifest.raw.cast::<u8>(), length) }.to_vec())
    }

    /// What there is to say of the signature in `file`, or of the one in `beside`: the library's report. Who
    /// signed is trusted where the certificate leads to one of `trusted` (PEM).
    ///
    /// # Errors
    /// There is no manifest, or none that can be read: the library's own words.
    pub(super) fn report(
        &self,
        file: &mut dyn ByteStream,
        mime: &str,
        beside: Option<&[u8]>,
        trusted: Option<&str>,
    ) -> Result<Value> {
        let f = &self.functions;
        let context = self.context(trusted)?;
        let mime = CString::new(mime)?;
        let mut state = StreamState::of(file);
        let stream = self.stream(&mut state)?;
        // SAFETY: the context is whole and outlives the call.
        let reader = self.own(unsafe { (f.c2pa_reader_from_context)(context.raw) })?;
        let (reader, mime) = (reader.into_raw(), mime.as_ptr());
        // SAFETY: the reader is consumed, so it was given up; stream, text and bytes outlive the call, and
        // the stream outlives the reader, which is dropped first.
        let read = self.own(unsafe {
            match beside {
                None => (f.c2pa_reader_with_stream)(reader, mime, stream.raw),
                Some(bytes) => (f.c2pa_reader_with_manifest_data_and_stream)(
                    reader,
                    mime,
                    stream.raw,
                    bytes.as_ptr(),
                    bytes.len(),
                ),
            }
        })?;
        // SAFETY: the reader is whole.
        let text = self.text(unsafe { (f.c2pa_reader_json)(read.raw) });
        let text = text.ok_or_else(|| self.error())?;
        serde_json::from_str(&text).context("the report of the library is no JSON")
    }

    /// How the library is to work: nothing is fetched, and no small picture goes into a file.
    fn context(&self, trusted: Option<&str>) -> Result<C2paHandle<'_>> {
        let f = &self.functions;
        let mut settings = json!({
            "verify": { "remote_manifest_fetch": false, "ocsp_fetch": false, "verify_after_sign": true },
            "builder": { "thumbnail": { "enabled": false } },
        });
        if let Some(trusted) = trusted {
            settings["trust"] = json!({ "user_anchors": trusted });
        }
        let text = CString::new(settings.to_string())?;
        // SAFETY: takes nothing.
        let settings = self.own(unsafe { (f.c2pa_settings_new)() })?;
        // SAFETY: the settings are whole, both texts outlive the call.
        self.done(unsafe {
            (f.c2pa_settings_update_from_string)(settings.raw, text.as_ptr(), c"json".as_ptr())
        })?;
        // SAFETY: takes nothing.
        let builder = self.own(unsafe { (f.c2pa_context_builder_new)() })?;
        // SAFETY: both are whole; the settings are copied.
        self.done(unsafe { (f.c2pa_context_builder_set_settings)(builder.raw, settings.raw) })?;
        // SAFETY: the builder is consumed, so it is given up here.
        self.own(unsafe { (f.c2pa_context_builder_build)(builder.into_raw()) })
    }

    fn signer(&self, texts: &SignerTexts) -> Result<C2paHandle<'_>> {
        let text = |text: &str| CString::new(text).context("a text with a zero byte in it");
        let (algorithm, chain, key) =
            (text(texts.algorithm)?, text(&texts.chain)?, text(&texts.key)?);
        let authority = texts.time_authority.as_deref().map(text).transpose()?;
        let info = SignerInfo {
            algorithm: algorithm.as_ptr(),
            chain: chain.as_ptr(),
            key: key.as_ptr(),
            time_authority: authority.as_ref().map_or(null(), |text| text.as_ptr()),
        };
        // SAFETY: the texts outlive the call, which copies them.
        self.own(unsafe { (self.functions.c2pa_signer_from_info)(&raw const info) })
    }

    fn stream<'a>(&'a self, state: &'a mut StreamState<'_>) -> Result<OpenedStream<'a>> {
        let context: Raw = (&raw mut *state).cast();
        // SAFETY: the state outlives what is returned, which releases the stream; nothing else looks at it
        // meanwhile, since it is borrowed.
        let raw = unsafe {
            (self.functions.c2pa_create_stream)(
                context, read_back, seek_back, write_back, flush_back,
            )
        };
        if raw.is_null() {
            return Err(self.error());
        }
        Ok(OpenedStream { library: self, raw })
    }

    /// What a function has given, or why it has not.
    fn own(&self, raw: Raw) -> Result<C2paHandle<'_>> {
        if raw.is_null() { Err(self.error()) } else { Ok(C2paHandle { library: self, raw }) }
    }

    fn done(&self, status: c_int) -> Result<()> {
        if status < 0 { Err(self.error()) } else { Ok(()) }
    }

    /// The last error of this thread.
    fn error(&self) -> anyhow::Error {
        // SAFETY: takes nothing; what it gives is a text of the library's, or null.
        let words = self.text(unsafe { (self.functions.c2pa_error)() });
        let words = words.filter(|words| !words.is_empty());
        anyhow!(words.unwrap_or_else(|| "the library does not say why".to_owned()))
    }

    /// The text behind a pointer that the library has given, which it gets back.
    fn text(&self, raw: *mut c_char) -> Option<String> {
        let owned = (!raw.is_null()).then(|| C2paHandle { library: self, raw: raw.cast() })?;
        // SAFETY: a text that ends in 0, which stays until `owned` is dropped.
        let text = unsafe { CStr::from_ptr(owned.raw.cast()) };
        Some(text.to_string_lossy().into_owned())
    }
}

/// Something of the library's that is freed when it is done with.
struct C2paHandle<'a> {
    library: &'a C2paLibrary,
    /// Given out by the library, and never null.
    raw: Raw,
}

impl C2paHandle<'_> {
    /// Gives it up to a function that consumes it.
    fn into_raw(self) -> Raw {
        ManuallyDrop::new(self).raw
    }
}

impl Drop for C2paHandle<'_> {
    fn drop(&mut self) {
        // SAFETY: the library gave it, and it has not been freed or consumed.
        unsafe { (self.library.functions.c2pa_free)(self.raw) };
    }
}

/// A stream of the library's over one of ours.
struct OpenedStream<'a> {
    library: &'a C2paLibrary,
    raw: Raw,
}

impl Drop for OpenedStream<'_> {
    fn drop(&mut self) {
        // SAFETY: the library gave it, and it is released once.
        unsafe { (self.library.functions.c2pa_release_stream)(self.raw) };
    }
}

/// A stream of ours that the library calls back to.
struct StreamState<'a> {
    stream: &'a mut dyn ByteStream,
    /// Why the last call failed: the library knows no more than that it did.
    error: Option<io::Error>,
}

impl<'a> StreamState<'a> {
    fn of(stream: &'a mut dyn ByteStream) -> Self {
        Self { stream, error: None }
    }

    fn failure(&mut self) -> Option<anyhow::Error> {
        self.error.take().map(anyhow::Error::from)
    }

    /// What a callback returns: a number, or -1.
    fn told(&mut self, result: io::Result<u64>) -> isize {
        let number = result.and_then(|number| isize::try_from(number).map_err(io::Error::other));
        number.unwrap_or_else(|error| {
            self.error = Some(error);
            -1
        })
    }
}

/// The state behind a context.
///
/// # Safety
/// `context` was given to `c2pa_create_stream` by [`C2paLibrary::stream`], and its stream is not released.
unsafe fn state<'a>(context: Raw) -> &'a mut StreamState<'a> {
    // SAFETY: as the caller says; callbacks of one stream never run beside each other.
    unsafe { &mut *context.cast::<StreamState<'a>>() }
}

unsafe extern "C" fn read_back(context: Raw, data: *mut u8, length: isize) -> isize {
    let Ok(length) = usize::try_from(length) else { return -1 };
    // SAFETY: the library calls with the context of an open stream and a place for so many bytes.
    let (state, data) = unsafe { (state(context), std::slice::from_raw_parts_mut(data, length)) };
    let read = state.stream.read(data).map(|count| count as u64);
    state.told(read)
}

unsafe extern "C" fn seek_back(context: Raw, offset: isize, from: c_int) -> isize {
    // SAFETY: the library calls with the context of an open stream.
    let state = unsafe { state(context) };
    let place = match (from, u64::try_from(offset)) {
        (0, Ok(offset)) => SeekFrom::Start(offset),
        (1, _) => SeekFrom::Current(offset as i64),
        (2, _) => SeekFrom::End(offset as i64),
        _ => return -1,
    };
    let place = state.stream.seek(place);
    state.told(place)
}

unsafe extern "C" fn write_back(context: Raw, data: *const u8, length: isize) -> isize {
    let Ok(length) = usize::try_from(length) else { return -1 };
    // SAFETY: the library calls with the context of an open stream and so many bytes.
    let (state, data) = unsafe { (state(context), std::slice::from_raw_parts(data, length)) };
    let written = state.stream.write_all(data).map(|()| data.len() as u64);
    state.told(written)
}

unsafe extern "C" fn flush_back(context: Raw) -> isize {
    // SAFETY: the library calls with the context of an open stream.
    let state = unsafe { state(context) };
    let flushed = state.stream.flush().map(|()| 0);
    state.told(flushed)
}
