//! `wan-alpha model get` against a hub of this test's own: lists, checks, fetches, goes on, refuses.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use support::room::Room;

/// What a hub answers for a path.
#[derive(Clone)]
struct Held {
    content: Vec<u8>,
    /// Sent at most so much of it in the next answer, which then breaks off.
    breaks_after: Option<usize>,
    /// The answer hangs where it would break off.
    hangs: bool,
    /// Said to be the hash of the whole.
    linked: Option<String>,
    /// Redirected to this hub's storage first.
    redirected: bool,
}

impl Held {
    fn of(content: &[u8]) -> Self {
        let content = content.to_vec();
        Self { content, breaks_after: None, hangs: false, linked: None, redirected: false }
    }
}

/// A hub, or a storage behind it, that answers by HTTP and keeps what it was asked.
struct Hub {
    address: String,
    held: Arc<Mutex<BTreeMap<String, Held>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    /// `storage` is where redirected paths lie.
    fn start(storage: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let held: Arc<Mutex<BTreeMap<String, Held>>> = Arc::default();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let (kept, all) = (Arc::clone(&heard), Arc::clone(&held));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, all, storage) = (Arc::clone(&kept), Arc::clone(&all), storage.clone());
                std::thread::spawn(move || {
                    answer(stream.unwrap(), &kept, &all, storage.as_deref());
                });
            }
        });
        Self { address, held, heard }
    }

    fn hold(&self, path: &str, held: Held) {
        self.held.lock().insert(path.to_owned(), held);
    }

    fn requests(&self) -> Vec<String> {
        self.heard.lock().clone()
    }
}

fn answer(
    stream: TcpStream,
    heard: &Mutex<Vec<String>>,
    all: &Mutex<BTreeMap<String, Held>>,
    storage: Option<&str>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        heard.lock().push(head.to_lowercase());
        let path = head.split_whitespace().nth(1).unwrap().trim_start_matches('/').to_owned();
        let Some(held) = all.lock().get(&path).cloned() else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").unwrap();
            continue;
        };
        if held.redirected {
            let linked = held.linked.map(|hash| format!("x-linked-etag: \"{hash}\"\r\n"));
            let to = format!("{}/{path}", storage.unwrap());
            let linked = linked.unwrap_or_default();
            let text = format!(
                "HTTP/1.1 302 Found\r\nlocation: {to}\r\n{linked}content-length: 0\r\n\r\n"
            );
            stream.write_all(text.as_bytes()).unwrap();
            continue;
        }
        if !bring(&mut stream, &head.to_lowercase(), &path, held, all) {
            return;
        }
    }
}

/// Sends a file, or the piece of it that is asked for; whether the connection goes on.
fn bring(
    stream: &mut TcpStream,
    head: &str,
    path: &str,
    held: Held,
    all: &Mutex<BTreeMap<String, Held>>,
) -> bool {
    let from = head.split("range: bytes=").nth(1).and_then(|text| text.split('-').next());
    let from: usize = from.map_or(0, |text| text.parse().unwrap());
    let length = held.content.len();
    let tag = format!("\"{length}-{}\"", held.content.first().copied().unwrap_or(0));
    let same = head.split("if-range: ").nth(1).is_none_or(|text| text.starts_with(&tag));
    if from >= length && from > 0 {
        let text = format!(
            "HTTP/1.1 416 Range\r\ncontent-range: bytes */{length}\r\ncontent-length: 0\r\n\r\n"
        );
        return stream.write_all(text.as_bytes()).is_ok();
    }
    let (status, from, range) = match from {
        0 => ("200 OK", 0, String::new()),
        _ if !same => ("200 OK", 0, String::new()),
        _ => {
            let range = format!("content-range: bytes {from}-{}/{length}\r\n", length - 1);
            ("206 Partial", from, range)
        }
    };
    let rest = &held.content[from..];
    let text = format!(
        "HTTP/1.1 {status}\r\netag: {tag}\r\n{range}content-length: {}\r\n\r\n",
        rest.len()
    );
    let sent = held.breaks_after.unwrap_or(rest.len()).min(rest.len());
    if let Some(known) = all.lock().get_mut(path) {
        known.breaks_after = None;
    }
    // Whoever has read enough may go.
    let written =
        stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(&rest[..sent])).is_ok();
    if held.hangs {
        std::thread::sleep(Duration::from_secs(600));
    }
    written && sent == rest.len()
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A safetensors file of one tensor of so many bytes.
fn safetensors(bytes: usize) -> Vec<u8> {
    let header =
        format!(r#"{{"a":{{"dtype":"U8","shape":[{bytes}],"data_offsets":[0,{bytes}]}}}}"#);
    let content = (0..bytes).map(|n| (n % 251) as u8);
    (header.len() as u64).to_le_bytes().into_iter().chain(header.bytes()).chain(content).collect()
}

/// A folder, a hub, and a list of two files there, one of them in two shards.
struct Shop {
    room: Room,
    hub: Hub,
    weights: Vec<u8>,
}

const INDEX: &str = "own/base/resolve/main/model.safetensors.index.json";
const SHARD: &str = "own/base/resolve/main/model-00001-of-00002.safetensors";
const WEIGHTS: &str = "own/more/resolve/main/deep/lora.safetensors";

impl Shop {
    fn open(storage: Option<String>) -> Self {
        let shop = Self {
            room: Room::of("model"),
            hub: Hub::start(storage),
            weights: safetensors(3_000_000),
        };
        let index = r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
        shop.hub.hold(INDEX, Held::of(index.as_bytes()));
        shop.hub.hold(SHARD, Held::of(&safetensors(10)));
        shop.hub.hold(&SHARD.replace("00001-of", "00002-of"), Held::of(&safetensors(20)));
        shop.hub.hold(WEIGHTS, Held::of(&shop.weights));
        shop.list(&sha256(&shop.weights));
        shop
    }

    fn list(&self, sha256: &str) {
        let text = format!(
            r#"
            [[use]]
            name = "small"
            what = "a test"
            files = ["base", "lora"]
            add = ["base", "more/deep/lora.safetensors"]

            [[file]]
            key = "base"
            what = "weights in shards"
            repository = "own/base"
            path = "model.safetensors.index.json"
            shards_about_bytes = 300
            license = "none"

            [[file]]
            key = "lora"
            what = "an adapter"
            repository = "own/more"
            path = "deep/lora.safetensors"
            bytes = {}
            sha256 = "{sha256}"
            license = "MIT"
            "#,
            self.weights.len()
        );
        fs::write(self.room.path("list.toml"), text).unwrap();
    }

    fn get(&self, more: &[&str]) -> Output {
        let line = [&["get", "small", "--list", "list.toml", "--to", "models"], more].concat();
        let mut command = self.room.command(&line);
        command.env("WAN_ALPHA_HUB", &self.hub.address).env("MY_TOKEN", "hf_secret");
        command.output().unwrap()
    }

    #[track_caller]
    fn got(&self, more: &[&str], code: i32) -> String {
        let output = self.get(more);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(!said.contains("panicked") && !said.contains("hf_secret"), "{said}");
        said
    }

    fn lora(&self) -> std::path::PathBuf {
        self.room.path("models/more/deep/lora.safetensors")
    }
}

#[test]
fn released_files_are_listed_with_all_that_is_known_and_nothing_is_asked() {
    let room = Room::of("model");
    let all = room.ok(&["get"]);
    for words in [
        "v2-4-step: text to RGBA video",
        "https://huggingface.co/Wan-AI/Wan2.1-T2V-14B/resolve/main/Wan2.1_VAE.pth",
        "license  Apache-2.0",
        "SHA-256  38071ab59bd94681c686fa51d75a1968f64e470262043be31f7a094e442fd981",
        "SHA-256  unknown",
        "size     11.36 GB",
        "size     about 57.15 GB",
        "for      v2-4-step, v2-50-step",
    ] {
        assert!(all.contains(words), "`{words}` is not in {all}");
    }
    let one = room.ok(&["get", "comfyui"]);
    assert!(one.contains("comfyui: ") && !one.contains("Wan2.1_VAE.pth"), "{one}");
    let said = room.fails(&["get", "everything"], 2);
    assert!(said.contains("expected one of v2-4-step"), "{said}");
    room.fails(&["get", "comfyui", "--yes"], 2);
}

#[test]
fn what_is_missing_is_fetched_once_and_found_whole_after() {
    let shop = Shop::open(None);
    let said = shop.got(&[], 4);
    assert!(said.contains("is       missing") && said.contains("2 of 2 files"), "{said}");
    assert!(shop.hub.requests().is_empty(), "looking asks nobody");

    let said = shop.got(&["--yes"], 0);
    assert!(said.contains("its SHA-256 is the known one"), "{said}");
    let folder = shop.room.folder().canonicalize().unwrap().join("models");
    let next = format!(
        "next: wan-alpha model add small {0}/base {0}/more/deep/lora.safetensors",
        folder.display()
    );
    assert!(said.contains(&next), "{said}");
    assert_eq!(fs::read(shop.lora()).unwrap(), shop.weights);
    for shard in ["00001", "00002"] {
        let name = format!("models/base/model-{shard}-of-00002.safetensors");
        assert!(shop.room.path(&name).is_file(), "{name}");
    }
    assert_eq!(shop.hub.requests().len(), 4);
    // Nothing unfinished stays, and a second time nothing is asked.
    assert_eq!(fs::read_dir(shop.lora().parent().unwrap()).unwrap().count(), 1);
    shop.got(&["--yes"], 0);
    assert_eq!(shop.hub.requests().len(), 4);

    // A torn file is named as one, and mended.
    fs::write(shop.lora(), &shop.weights[..1_000_000]).unwrap();
    assert!(shop.got(&[], 4).contains("torn: 1000000 bytes, expected"));
    let shard = safetensors(10);
    let torn = &shard[..shard.len() - 3];
    fs::write(shop.room.path("models/base/model-00001-of-00002.safetensors"), torn).unwrap();
    assert!(shop.got(&[], 4).contains("2 of 4 files are not whole"));
    shop.got(&["--yes"], 0);
}

#[test]
fn what_broke_off_is_gone_on_with_from_where_it_was() {
    let shop = Shop::open(None);
    let broken = Held { breaks_after: Some(1_000_000), ..Held::of(&shop.weights) };
    shop.hub.hold(WEIGHTS, broken.clone());
    shop.got(&["--yes"], 0);
    let requests = shop.hub.requests();
    let again = requests.iter().filter(|head| head.contains("lora.safetensors"));
    let again: Vec<_> = again.collect();
    assert_eq!(again.len(), 2, "{again:?}");
    assert!(
        again[1].contains("range: bytes=1000000-") && again[1].contains("if-range: "),
        "{again:?}"
    );
    assert_eq!(fs::read(shop.lora()).unwrap(), shop.weights);

    // Another process goes on too; where the file has become another meanwhile, it comes anew.
    fs::remove_file(shop.lora()).unwrap();
    let part = shop.lora().with_extension("safetensors.part");
    fs::write(&part, vec![9; 1_000_000]).unwrap();
    fs::write(shop.lora().with_extension("safetensors.part-tag"), "\"of another day\"").unwrap();
    assert!(shop.got(&[], 4).contains("unfinished: 1.0 MB are there"));
    shop.got(&["--yes"], 0);
    assert_eq!(fs::read(shop.lora()).unwrap(), shop.weights);
    assert!(!part.exists());
}

#[test]
fn what_is_not_what_it_should_be_is_not_kept() {
    let shop = Shop::open(None);
    shop.list(&sha256(b"other"));
    let said = shop.got(&["--yes"], 2);
    assert!(said.contains("its SHA-256 is") && said.contains("thrown away"), "{said}");
    assert!(!shop.lora().exists());
    assert_eq!(fs::read_dir(shop.lora().parent().unwrap()).unwrap().count(), 0);
    // Of another size: said before it is fetched.
    let shop = Shop::open(None);
    shop.hub.hold(WEIGHTS, Held::of(&safetensors(5)));
    assert!(shop.got(&["--yes"], 2).contains("it is another file"));
    // One of that name which somebody put there is not written over.
    let shop = Shop::open(None);
    fs::create_dir_all(shop.lora().parent().unwrap()).unwrap();
    fs::write(shop.lora(), [&shop.weights[..], b"more"].concat()).unwrap();
    let said = shop.got(&["--yes"], 2);
    assert!(said.contains("is another file") && said.contains("nothing was fetched"), "{said}");
    assert!(shop.hub.requests().is_empty());
    // A hub that has it no more.
    let shop = Shop::open(None);
    shop.hub.held.lock().remove(WEIGHTS);
    assert!(shop.got(&["--yes"], 2).contains("answers 404"));
}

#[test]
fn what_does_not_fit_on_the_disk_is_not_begun() {
    let shop = Shop::open(None);
    let list = fs::read_to_string(shop.room.path("list.toml")).unwrap();
    let bytes = format!("\n            bytes = {}", shop.weights.len());
    assert!(list.contains(&bytes));
    let list = list.replace(&bytes, "\n            about_bytes = 1_000_000_000_000_000");
    fs::write(shop.room.path("list.toml"), list).unwrap();
    let said = shop.got(&["--yes"], 1);
    assert!(said.contains("1000000.00 GB are to come") && said.contains("make room"), "{said}");
    assert!(shop.hub.requests().is_empty() && !shop.room.path("models").exists());
}

#[test]
fn a_token_goes_to_the_hub_and_not_to_its_storage() {
    let storage = Hub::start(None);
    let shop = Shop::open(Some(storage.address.clone()));
    let right = Held { redirected: true, linked: Some(sha256(&shop.weights)), ..Held::of(b"") };
    shop.hub.hold(WEIGHTS, right);
    storage.hold(WEIGHTS, Held::of(&shop.weights));
    shop.got(&["--yes", "--token-variable", "MY_TOKEN"], 0);
    assert!(
        shop.hub.requests().iter().all(|head| head.contains("authorization: bearer hf_secret"))
    );
    let behind = storage.requests();
    assert!(behind.len() == 1 && !behind[0].contains("authorization"), "{behind:?}");
    assert!(shop.got(&["--token-variable", "NONE"], 2).contains("NONE is not set"));

    // What the hub says of a file whose hash nobody knows beforehand counts.
    let shop = Shop::open(Some(storage.address.clone()));
    let wrong = Held { redirected: true, linked: Some(sha256(b"other")), ..Held::of(b"") };
    shop.hub.hold(SHARD, wrong);
    storage.hold(SHARD, Held::of(&safetensors(10)));
    assert!(shop.got(&["--yes"], 2).contains("its SHA-256 is"));

    // In the clear a token goes nowhere.
    let mut command = shop.room.command(&["get", "comfyui", "--token-variable", "MY_TOKEN"]);
    command.env("WAN_ALPHA_HUB", "http://hub.example").env("MY_TOKEN", "hf_secret");
    let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(said.contains("in the clear") && !said.contains("hf_secret"), "{said}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_there_although_the_hub_hangs() {
    let shop = Shop::open(None);
    let hanging = Held { breaks_after: Some(2_000_000), hangs: true, ..Held::of(&shop.weights) };
    shop.hub.hold(WEIGHTS, hanging);
    let line = ["get", "small", "--list", "list.toml", "--to", "models", "--yes"];
    let variables = [("WAN_ALPHA_HUB", shop.hub.address.as_str())];
    let (code, said) = shop.room.interrupted_in(&line, &variables, "fetching lora.safetensors 2/3");
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("stay in") && said.contains("run again to go on"), "{said}");
    let part = shop.lora().with_extension("safetensors.part");
    assert_eq!(fs::metadata(part).unwrap().len(), 2_000_000);
    shop.hub.hold(WEIGHTS, Held::of(&shop.weights));
    shop.got(&["--yes"], 0);
    assert_eq!(fs::read(shop.lora()).unwrap(), shop.weights);
}
