//! Files that are signed as they are written, and what `inspect` says of their signatures; by the library
//! that set-up lays out, and with the chains of `tests/data/signing`.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::exported::{Exported, FRAMES, said};
use support::ffmpeg;
use support::render::names;
use support::studio::Studio;

const LIBRARY: &str = "WAN_ALPHA_C2PA";

/// Where set-up lays the library out: it is never absent where tests run.
fn library() -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".setup/c2pa/lib/libc2pa_c.so");
    assert!(file.is_file(), "{} is not there: run `cargo xtask setup`", file.display());
    file
}

/// A chain or a key for tests.
fn data(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/signing").join(name);
    file.to_str().unwrap().to_owned()
}

/// A take, and the commands that sign it and look at what was signed.
struct Signing(Exported);

impl Signing {
    fn new() -> Self {
        Self(Exported::new())
    }

    /// An export that is signed with these, by the ffmpeg in `path`.
    fn export(&self, out: &str, [chain, key]: [&str; 2], more: &[&str], path: &Path) -> Output {
        let (chain, key) = (data(chain), data(key));
        let words = [&["--sign", &chain, "--key", &key], more].concat();
        self.0.command(out, &words, path).env(LIBRARY, library()).output().unwrap()
    }

    #[track_caller]
    fn signed(&self, out: &str, more: &[&str], path: &Path) {
        said(&self.export(out, ["es256.pem", "es256.key"], more, path));
    }

    fn inspect(&self, path: &Path, more: &[&str]) -> Command {
        let words = [&["inspect", path.to_str().unwrap()], more].concat();
        let mut command = self.0.studio.command("run", &words);
        command.env(LIBRARY, library());
        command
    }

    /// Whether the signature of a file holds, as C2PA calls that, and the library's whole report.
    #[track_caller]
    fn state(&self, path: &Path) -> (String, Value) {
        let about = said(&self.inspect(path, &["--json"]).output().unwrap());
        let about: Value = serde_json::from_str(&about).unwrap();
        let signature = &about["files"][0]["signature"];
        let state = signature["state"].as_str().map(str::to_owned);
        (state.unwrap_or_else(|| signature.to_string()), signature["report"].clone())
    }

    /// That a file is signed, and holds until one byte changes, which `place` chooses of it.
    #[track_caller]
    fn holds_until_it_changes(&self, path: &Path, place: impl Fn(&[u8]) -> usize) {
        let (state, report) = self.state(path);
        assert_eq!(state, "Valid", "{path:?}: {report}");
        let text = report.to_string();
        assert!(
            text.contains("trainedAlgorithmicMedia") && text.contains("c2pa.created"),
            "{text}"
        );
        assert!(text.contains(&self.0.key) && !text.contains('玻'), "no prompt in it: {text}");
        self.0.says_its_origin(path);
        let whole = fs::read(path).unwrap();
        let mut changed = whole.clone();
        changed[place(&whole)] ^= 1;
        fs::write(path, &changed).unwrap();
        let (state, report) = self.state(path);
        assert_eq!(state, "Invalid", "{path:?}: {report}");
        let told = said(&self.inspect(path, &[]).output().unwrap());
        assert!(told.contains("DOES NOT HOLD, of Signer es256 (Wan-Alpha Tests): "), "{told}");
        fs::write(path, &whole).unwrap();
    }
}

/// How a cluster of Matroska begins, in which frames are.
const CLUSTER: &[u8] = &[0x1f, 0x43, 0xb6, 0x75];

/// Of the last box, chunk or block of pixels that is called so, a byte inside.
fn inside(name: &'static [u8]) -> impl Fn(&[u8]) -> usize {
    // A cluster has some heads of elements before the bytes of a frame.
    let after = if name == CLUSTER { 80 } else { 12 };
    move |bytes| bytes.windows(name.len()).rposition(|part| part == name).unwrap() + after
}

#[test]
fn frames_and_the_contact_sheet_are_signed_and_hold_until_a_byte_changes() {
    let take = Signing::new();
    let nowhere = take.0.out("nowhere");
    take.signed("a", &[], &nowhere);
    let out = take.0.out("a");
    let kinds = ["c2pa", "exr", "png"];
    let frames = (0..FRAMES).flat_map(|n| kinds.map(|kind| format!("rgba.{n:04}.{kind}")));
    let mut expected: Vec<String> = frames.collect();
    expected.extend(["contact-sheet.png", "take.json"].map(str::to_owned));
    expected.sort();
    assert_eq!(names(&out), expected);
    take.holds_until_it_changes(&out.join("rgba.0003.png"), inside(b"IDAT"));
    take.holds_until_it_changes(&out.join("contact-sheet.png"), inside(b"IDAT"));
    take.holds_until_it_changes(&out.join("rgba.0004.exr"), |bytes| bytes.len() - 9);
    // Who it is, is known of those whose root is trusted alone.
    let path = out.join("rgba.0000.exr");
    let told = said(&take.inspect(&path, &[]).output().unwrap());
    assert!(told.contains("holds, by Signer es256 (Wan-Alpha Tests); whether that is"), "{told}");
    let root = data("root.pem");
    let told = said(&take.inspect(&path, &["--trust", &root]).output().unwrap());
    assert!(told.contains("holds, by Signer es256 (Wan-Alpha Tests), whose certificate"), "{told}");
    // The take itself holds nothing of it, and a take that is not signed leaves no signature behind.
    let file = take.0.studio.path("takes").join(format!("{}.take", take.0.key));
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(4).any(|part| part == b"c2pa"));
    take.0.ok("a", &["--format", "exr"], &nowhere);
    assert!(!names(&out).iter().any(|name| name.ends_with(".c2pa")), "{:?}", names(&out));
}

#[test]
fn movies_are_signed_before_they_are_read_back_and_hold_until_a_byte_changes() {
    let take = Signing::new();
    take.signed("apng", &["--format", "apng"], &take.0.out("nowhere"));
    take.holds_until_it_changes(&take.0.out("apng/rgba.apng"), inside(b"fdAT"));
    for one in ffmpeg::all() {
        for (format, name, also) in [
            ("prores", "rgba.mov", None),
            ("png-mov", "rgba.mov", None),
            ("webp", "rgba.webp", None),
            ("ffv1", "rgba.mkv", Some("rgba.c2pa")),
            ("webm", "rgba.webm", Some("rgba.c2pa")),
        ] {
            take.signed(format, &["--format", format, "--verify", "all"], one.path());
            let out = take.0.out(format);
            let mut expected = vec!["contact-sheet.png", name, "take.json"];
            expected.extend(also);
            expected.sort_unstable();
            assert_eq!(names(&out), expected, "{}", one.version);
            let path = out.join(name);
            match format {
                "prores" | "png-mov" => take.holds_until_it_changes(&path, inside(b"mdat")),
                "webp" => take.holds_until_it_changes(&path, inside(b"VP8L")),
                _ => take.holds_until_it_changes(&path, inside(CLUSTER)),
            }
        }
        let keys = ["es256.pem", "es256.key"];
        let hevc = take.export("hevc", keys, &["--format", "hevc"], one.path());
        let told = String::from_utf8_lossy(&hevc.stderr).into_owned();
        if hevc.status.success() {
            take.holds_until_it_changes(&take.0.out("hevc/rgba.mov"), inside(b"mdat"));
        } else {
            assert!(told.contains("which keeps alpha"), "{}: {told}", one.version);
        }
        let both =
            take.export("both", ["es256.pem", "es256.key"], &["--format", "ffv1,webm"], one.path());
        let told = String::from_utf8_lossy(&both.stderr).into_owned();
        assert_eq!(both.status.code(), Some(2), "{told}");
        assert!(told.contains("signatures would both be") && told.contains("rgba.c2pa"), "{told}");
        println!("{}: tested", one.version);
    }
}

#[test]
fn what_cannot_sign_is_refused_before_anything_is_written() {
    let take = Signing::new();
    let nowhere = take.0.out("nowhere");
    for (chain, key, words) in [
        ("es256.pem", "other.key", "and its own key"),
        ("es256.pem", "es384.key", "is not the key of the certificate in"),
        ("es256.pem", "encrypted.key", "the key is encrypted"),
        ("expired.pem", "es256.key", "the certificate was not valid at time of signing"),
        ("wrong-order.pem", "es256.key", "its certificates are not in order"),
        ("absent.pem", "es256.key", "cannot be read"),
    ] {
        let output = take.export("no", [chain, key], &[], &nowhere);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{chain}, {key}: {told}");
        assert!(told.contains(words), "{chain}, {key}: {told}");
        assert!(!take.0.out("no").exists(), "{chain}, {key}");
    }
    let chain = data("es256.pem");
    take.0.refused("no", &["--sign", &chain], &nowhere, 2, &["--key"]);
    let key = data("es256.key");
    let words = ["--sign", &chain, "--key", &key];
    let mut command = take.0.command("no", &words, &nowhere);
    let output = command.env(LIBRARY, take.0.out("absent.so")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for words in ["absent.so, is not there", "pip download", "c2pa-python==0.38.1", LIBRARY] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn an_authority_that_cannot_be_reached_is_told_before_anything_is_touched() {
    let take = Signing::new();
    take.signed("a", &["--format", "png"], &take.0.out("nowhere"));
    let before = names(&take.0.out("a"));
    for (address, words) in [("http://127.0.0.1:9/time", "127.0.0.1:9"), ("notaurl", "notaurl")] {
        let more = ["--format", "png", "--tsa", address];
        let output = take.export("a", ["es256.pem", "es256.key"], &more, &take.0.out("nowhere"));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("--tsa") && told.contains(words), "{told}");
        assert!(told.contains("says no time: expected the address of an authority"), "{told}");
        assert_eq!(names(&take.0.out("a")), before, "the take that was there");
    }
}

#[test]
fn where_signing_fails_on_the_way_nothing_unsigned_or_half_signed_is_left() {
    let take = Signing::new();
    if has_openssl() {
        // It says the time to the trial, and then no more.
        let folder = tempfile::tempdir().unwrap();
        let more = ["--tsa", &authority(folder.path(), 1)];
        let output = take.export("a", ["es256.pem", "es256.key"], &more, &take.0.out("nowhere"));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("cannot be signed (the time is asked of http://127.0.0.1:"),
            "{told}"
        );
        assert_eq!(names(&take.0.out("a")), ["take.json"], "which says that it is unfinished");
    }
    // What was there before stays as it was, where the key cannot be used.
    take.signed("b", &["--format", "png"], &take.0.out("nowhere"));
    let path = take.0.out("b/rgba.0000.png");
    let before = fs::read(&path).unwrap();
    take.export("b", ["es256.pem", "other.key"], &["--format", "png"], &take.0.out("nowhere"));
    assert!(fs::read(&path).unwrap() == before);
}

/// Whether there is a program to be an authority with; where there is none, that is said.
fn has_openssl() -> bool {
    let is_there = Command::new("openssl").arg("version").output().is_ok();
    if !is_there {
        eprintln!("skipped: no openssl here to be an authority; Debian's package `openssl` is one");
    }
    is_there
}

/// An authority that puts the time under what it is sent so many times, by OpenSSL, and then answers no more;
/// the address it has.
fn authority(folder: &Path, answers: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    fs::write(folder.join("serial"), "01").unwrap();
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(answers) {
            answer(stream.unwrap(), &folder);
        }
    });
    address
}

fn answer(stream: TcpStream, folder: &Path) {
    let mut asked = BufReader::new(&stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        asked.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(said) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = said.trim().parse().unwrap();
        }
    }
    let mut query = vec![0; length];
    asked.read_exact(&mut query).unwrap();
    fs::write(folder.join("asked.tsq"), query).unwrap();
    let mut openssl = Command::new("openssl");
    openssl
        .args(["ts", "-reply", "-queryfile", "asked.tsq", "-out", "said.tsr"])
        .current_dir(folder);
    openssl.args(["-config", &data("authority.cnf"), "-signer", &data("time.pem")]);
    let output = openssl.args(["-inkey", &data("time.key")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = fs::read(folder.join("said.tsr")).unwrap();
    let head =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/timestamp-reply\r\n";
    let head = format!("{head}Content-Length: {}\r\n\r\n", said.len());
    (&stream).write_all(&[head.as_bytes(), &said].concat()).unwrap();
}

#[test]
fn an_authority_puts_the_time_under_a_signature() {
    if !has_openssl() {
        return;
    }
    let take = Signing::new();
    let folder = tempfile::tempdir().unwrap();
    let address = authority(folder.path(), usize::MAX);
    let more = ["--format", "png,exr", "--tsa", &address];
    take.signed("a", &more, &take.0.out("nowhere"));
    for name in ["rgba.0000.png", "rgba.0000.exr"] {
        let path = take.0.out("a").join(name);
        let told = said(&take.inspect(&path, &[]).output().unwrap());
        assert!(told.contains("holds, by Signer es256 (Wan-Alpha Tests); "), "{told}");
        assert!(told.contains("by the word of an authority that leads to none"), "{told}");
        let trusting = ["--trust", &data("time-root.pem")];
        let told = said(&take.inspect(&path, &trusting).output().unwrap());
        assert!(told.contains("by the word of an authority that --trust vouches for"), "{told}");
    }
    take.signed("b", &["--format", "png"], &take.0.out("nowhere"));
    let path = take.0.out("b/rgba.0000.png");
    let told = said(&take.inspect(&path, &[]).output().unwrap());
    assert!(!told.contains("authority"), "nobody was asked: {told}");
}

#[test]
fn a_signature_outlives_its_certificate_by_the_word_of_an_authority_that_is_trusted() {
    let take = Signing::new();
    let roots = ["outlived-root.pem", "time-root.pem"].map(|name| fs::read(data(name)).unwrap());
    let [signers, both] = ["signers.pem", "both.pem"].map(|name| take.0.out(name));
    fs::create_dir_all(signers.parent().unwrap()).unwrap();
    fs::write(&signers, &roots[0]).unwrap();
    fs::write(&both, roots.concat()).unwrap();
    let told = |trust: &Path| {
        let more = ["--trust", trust.to_str().unwrap()];
        let path = PathBuf::from(data("outlived.png"));
        said(&take.inspect(&path, &more).output().unwrap())
    };
    let alone = told(&signers);
    assert!(alone.contains("DOES NOT HOLD, of Outlived (Wan-Alpha Tests): "), "{alone}");
    assert!(alone.contains("signingCredential.expired"), "{alone}");
    assert!(alone.contains("by the word of an authority that leads to none"), "{alone}");
    let both = told(&both);
    assert!(
        both.contains("holds, by Outlived (Wan-Alpha Tests), whose certificate leads"),
        "{both}"
    );
    assert!(both.contains("by the word of an authority that --trust vouches for"), "{both}");
}

#[test]
fn inspect_fails_where_a_file_lacks_what_is_required_of_it() {
    let take = Signing::new();
    let require = |path: &Path, more: &[&str]| {
        let output = take.inspect(path, more).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let signed = PathBuf::from(data("outlived.png"));
    take.0.ok("plain", &["--format", "png"], Path::new(""));
    let unsigned = take.0.studio.path("plain/rgba.0000.png");
    let blank = take.0.studio.path("blank.png");
    image::GrayImage::new(8, 8).save(&blank).unwrap();
    let root = data("root.pem");
    assert_eq!(require(&unsigned, &["--require", "origin"]), (Some(0), String::new()));
    for (path, more, words) in [
        (&blank, &["--require", "origin"][..], "says nothing of its origin"),
        (&unsigned, &["--require", "origin,signature"], "has no signature that holds: none"),
        (
            &signed,
            &["--require", "trusted", "--trust", &root],
            "has no signature of who is trusted: ",
        ),
    ] {
        let (code, said) = require(path, more);
        assert!(code == Some(1) && said.contains(words), "{code:?} {said}");
    }
    let (code, said) = require(&signed, &["--require", "trusted"]);
    assert!(code == Some(2) && said.contains("without --trust"), "{said}");
    let (code, said) = require(take.0.studio.path("plain").as_path(), &[]);
    assert!(code == Some(2) && said.contains("is a folder: name the files in it"), "{said}");
    take.signed("signed", &["--format", "png"], Path::new(""));
    let path = take.0.studio.path("signed/rgba.0000.png");
    assert_eq!(require(&path, &["--require", "origin,signature"]).0, Some(0));
    assert_eq!(require(&path, &["--require", "trusted", "--trust", &root]).0, Some(0));
}

#[test]
fn a_signature_that_nobody_can_check_here_is_told_as_such() {
    let take = Signing::new();
    take.signed("a", &["--format", "png"], &take.0.out("nowhere"));
    let path = take.0.out("a/rgba.0000.png");
    let mut command = take.inspect(&path, &[]);
    let told = said(&command.env(LIBRARY, take.0.out("absent.so")).output().unwrap());
    assert!(told.contains("a C2PA manifest, not checked: the library for C2PA"), "{told}");
    assert!(told.contains("pip download"), "{told}");
    let refused = take.inspect(&path, &["--trust", &data("es256.key")]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn rows_of_a_batch_ask_an_authority_once_before_they_are_made_and_once_a_file() {
    if !has_openssl() {
        return;
    }
    let studio = Studio::new();
    let folder = tempfile::tempdir().unwrap();
    // A frame and a contact sheet of each of two rows, and the trial: whoever asked again would get no answer.
    let address = authority(folder.path(), 5);
    let (chain, key) = (data("es256.pem"), data("es256.key"));
    let table = format!(
        "name,prompt,seed,model,width,height,frames,steps,format,sign,key,tsa\n\
         fire,a flame,1,tiny,16,16,1,1,png,{chain},{key},{address}\n\
         dust,dust,3,tiny,16,16,1,1,png,{chain},{key},{address}\n"
    );
    let [shots, out] = ["shots.csv", "out"].map(|name| studio.path(name));
    fs::write(&shots, table).unwrap();
    let words = ["batch", shots.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let mut command = studio.command("run", &[&words[..], &["--device", "cpu"]].concat());
    said(&command.env(LIBRARY, library()).output().unwrap());
}

#[test]
fn rows_of_a_batch_are_signed_as_their_columns_say() {
    let studio = Studio::new();
    fs::create_dir(studio.path("show")).unwrap();
    let (chain, key) = (data("ed25519.pem"), data("ed25519.key"));
    let table = format!(
        "name,prompt,seed,model,width,height,frames,steps,format,sign,key\n\
         fire,a flame,1,tiny,16,16,1,1,\"exr,png\",{chain},{key}\n\
         dust,dust,3,tiny,16,16,1,1,png,,\n"
    );
    fs::write(studio.path("show/shots.csv"), table).unwrap();
    let [table, out] = ["show/shots.csv", "out"].map(|name| studio.path(name));
    let words = ["batch", table.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let mut command = studio.command("run", &[&words[..], &["--device", "cpu"]].concat());
    said(&command.env(LIBRARY, library()).output().unwrap());
    let expected =
        ["contact-sheet.png", "rgba.0000.c2pa", "rgba.0000.exr", "rgba.0000.png", "take.json"];
    assert_eq!(names(&studio.path("out/fire")), expected);
    for (name, words) in [
        ("fire/rgba.0000.exr", "holds, by Signer ed25519"),
        ("fire/rgba.0000.png", "holds, by Signer ed25519"),
        ("dust/rgba.0000.png", "none (no C2PA manifest)"),
    ] {
        let path = studio.path("out").join(name);
        let mut command = studio.command("run", &["inspect", path.to_str().unwrap()]);
        let told = said(&command.env(LIBRARY, library()).output().unwrap());
        assert!(told.contains(words), "{name}: {told}");
    }
}
