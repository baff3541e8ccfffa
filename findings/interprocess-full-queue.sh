#!/usr/bin/env bash
# interprocess 2.4 on Linux: where the queue of a local socket is full, connecting with a time limit
# returns a stream at once, and nobody is at its other end: the kernel names no process there, and the
# first write fails with "not connected". Whoever takes the stream for a connection waits for an answer
# that cannot come; a server that is merely busy looks like one that has accepted and hangs.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "full-queue"
version = "0.0.0"
edition = "2024"

[dependencies]
interprocess = "=2.4.7"
TOML
cat > src/main.rs <<'RUST'
use interprocess::ConnectWaitMode;
use interprocess::local_socket::prelude::*;
use interprocess::local_socket::{ConnectOptions, GenericFilePath, ListenerOptions};
use std::io::Write;
use std::time::{Duration, Instant};

fn main() {
    let name = || "queue.sock".to_fs_name::<GenericFilePath>().unwrap();
    // Listens, and accepts nobody.
    let _listener = ListenerOptions::new().name(name()).create_sync().unwrap();
    let mut streams = Vec::new();
    for count in 1..=10_000 {
        let begun = Instant::now();
        let stream = ConnectOptions::new()
            .name(name())
            .wait_mode(ConnectWaitMode::Timeout(Duration::from_secs(2)))
            .nonblocking_stream(true)
            .connect_sync();
        let waited = begun.elapsed();
        match stream {
            Ok(mut stream) => {
                let peer = stream.peer_creds().ok().and_then(|peer| peer.pid()).filter(|&pid| pid > 0);
                if peer.is_none() {
                    println!("connection {count}: a stream after {} ms", waited.as_millis());
                    println!("its first write: {:?}", stream.write(&[1]).map_err(|e| e.kind()));
                    println!("nobody-there");
                    return;
                }
                streams.push(stream);
            }
            Err(error) => {
                println!("connection {count}: refused with {error} after {} ms", waited.as_millis());
                println!("refused");
                return;
            }
        }
    }
    println!("the queue is longer than 10,000");
}
RUST
cargo build --quiet
cargo tree --quiet --depth 1
output=$(target/debug/full-queue)
echo "$output"
if [ "$(tail -1 <<<"$output")" = nobody-there ]; then
    echo "as found: a stream is returned that is connected to nobody"
else
    echo "CHANGED: expected a stream with nobody at its other end" >&2
    exit 1
fi
