#![cfg(target_os = "linux")]

use std::io::{self, BufRead};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;

const SOON: Duration = Duration::from_millis(100);

fn place() -> (TempDir, Endpoint) {
    let directory = TempDir::new().unwrap();
    let endpoint = Endpoint::open(&directory.path().join("run"), None).unwrap();
    (directory, endpoint)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether this user may give files away; else says what is left out.
fn is_root(test: &str) -> bool {
    let root = directory::user() == 0;
    if !root {
        println!("{test} is left out: it needs to run as root");
    }
    root
}

#[test]
fn the_run_directory_and_all_in_it_are_private() {
    let (_directory, endpoint) = place();
    let _listener = endpoint.listen(SOON).unwrap();
    let _lock = endpoint.lock_start().unwrap().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&endpoint.directory), 0o700);
    for file in ["sock", "engine", "start"] {
        assert_eq!(mode(&endpoint.file(file)), 0o600, "{file}");
    }
}

#[test]
fn each_mask_has_its_own_engine() {
    let directory = TempDir::new().unwrap();
    let masks = [None, Some(""), Some("0"), Some("1"), Some("0,1")];
    let sockets: std::collections::BTreeSet<_> = masks
        .iter()
        .map(|mask| Endpoint::open(&directory.path().join("run"), *mask).unwrap().socket())
        .collect();
    assert_eq!(sockets.len(), masks.len());
    for socket in &sockets {
        let name = socket.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("wan-alpha-1-") && name.len() + 1 < 40, "{name}");
    }
}

#[test]
fn nobody_is_there_until_somebody_listens_and_after_it_went() {
    let (_directory, endpoint) = place();
    assert!(endpoint.connect(SOON).unwrap().is_none());
    assert_eq!(endpoint.engine_process(), None);
    let listener = endpoint.listen(SOON).unwrap();
    assert_eq!(endpoint.engine_process(), Some(std::process::id()));
    assert!(listener.accept().unwrap().is_none());
    let stream = endpoint.connect(SOON).unwrap().unwrap();
    assert_eq!(peer_process(&stream), Some(std::process::id()));
    eventually(|| listener.accept().unwrap().is_some());
    drop(listener);
    assert!(endpoint.connect(SOON).unwrap().is_none());
    assert!(!endpoint.socket().exists());
    assert_eq!(endpoint.engine_process(), None);
}

fn eventually(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn there_is_one_engine_and_the_next_waits_for_its_end() {
    let (_directory, endpoint) = place();
    let first = endpoint.listen(SOON).unwrap();
    let error = endpoint.listen(SOON).unwrap_err();
    assert!(matches!(error, EndpointError::EngineLives { pid: Some(_), .. }), "{error}");
    std::thread::scope(|scope| {
        let next = scope.spawn(|| endpoint.listen(Duration::from_secs(10)));
        std::thread::sleep(SOON);
        drop(first);
        next.join().unwrap().unwrap();
    });
}

#[test]
fn one_starts_at_a_time() {
    let (_directory, endpoint) = place();
    let lock = endpoint.lock_start().unwrap();
    assert!(lock.is_some());
    assert!(endpoint.lock_start().unwrap().is_none());
    drop(lock);
    assert!(endpoint.lock_start().unwrap().is_some());
}

#[test]
fn a_stale_socket_is_replaced() {
    let (_directory, endpoint) = place();
    drop(UnixListener::bind(endpoint.socket()).unwrap());
    assert!(endpoint.connect(SOON).unwrap().is_none());
    let _listener = endpoint.listen(SOON).unwrap();
    assert!(endpoint.connect(SOON).unwrap().is_some());
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let (directory, endpoint) = place();
    fs::write(endpoint.socket(), "precious").unwrap();
    for error in [endpoint.connect(SOON).unwrap_err(), endpoint.listen(SOON).unwrap_err()] {
        assert!(error.to_string().contains("is not a socket"), "{error}");
    }
    assert_eq!(fs::read_to_string(endpoint.socket()).unwrap(), "precious");
    // Nor is a link to a socket one.
    fs::remove_file(endpoint.socket()).unwrap();
    let elsewhere = directory.path().join("elsewhere");
    let _other = UnixListener::bind(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, endpoint.socket()).unwrap();
    assert!(matches!(endpoint.connect(SOON), Err(EndpointError::NotASocket { .. })));
}

#[test]
fn somebody_elses_listener_is_left_alone() {
    let (_directory, endpoint) = place();
    let _foreign = UnixListener::bind(endpoint.socket()).unwrap();
    let error = endpoint.listen(SOON).unwrap_err();
    assert!(matches!(error, EndpointError::ForeignListener { .. }), "{error}");
    assert!(UnixStream::connect(endpoint.socket()).is_ok());
    assert_eq!(endpoint.engine_process(), None);
}

#[test]
fn a_listener_whose_queue_is_full_is_not_waited_for() {
    let (_directory, endpoint) = place();
    let _listener = endpoint.listen(SOON).unwrap();
    let mut waiting = Vec::new();
    let error = loop {
        match endpoint.connect(SOON) {
            Ok(stream) => waiting.push(stream.unwrap()),
            Err(error) => break error,
        }
        assert!(waiting.len() < 10_000);
    };
    assert!(matches!(error, EndpointError::NotAccepted { .. }), "{error}");
}

#[test]
fn a_path_that_is_too_long_is_refused_with_a_way_out() {
    let directory = TempDir::new().unwrap();
    let long = directory.path().join("d".repeat(100));
    let error = Endpoint::open(&long, None).unwrap_err();
    assert!(matches!(error, EndpointError::TooLong { limit: 107, .. }), "{error}");
    assert!(error.to_string().contains("WAN_ALPHA_RUN"), "{error}");
    assert!(!long.exists());
    // The longest that is accepted does work.
    let room =
        107 - directory.path().as_os_str().len() - 1 - "/wan-alpha-1-0123456789abcdef.sock".len();
    let endpoint = Endpoint::open(&directory.path().join("d".repeat(room)), None).unwrap();
    assert_eq!(endpoint.socket().as_os_str().len(), 107);
    let _listener = endpoint.listen(SOON).unwrap();
    assert!(endpoint.connect(SOON).unwrap().is_some());
}

#[test]
fn the_run_directory_is_chosen_by_wish_session_and_length() {
    let temporary = Path::new("/tmp");
    let session = Path::new("/run/user/1000");
    let own = temporary.join(format!("wan-alpha-{}", directory::user()));
    let long = format!("/{}", "s".repeat(80));
    let choose = |asked: Option<&str>, session: Option<&str>| {
        choose_run_directory(asked.map(Path::new), session.map(Path::new), temporary)
    };
    assert_eq!(choose(Some("/wish"), session.to_str()), Path::new("/wish"));
    assert_eq!(choose(None, session.to_str()), session.join("wan-alpha"));
    assert_eq!(choose(None, Some(&long)), own);
    assert_eq!(choose(None, Some("relative")), own);
    assert_eq!(choose(None, None), own);
}

#[test]
fn a_run_directory_that_others_may_use_is_refused() {
    let directory = TempDir::new().unwrap();
    for mode in [0o755, 0o710, 0o701] {
        set_mode(directory.path(), mode);
        let error = Endpoint::open(directory.path(), None).unwrap_err().to_string();
        assert!(
            error.contains(&format!("mode {mode:o}")) && error.contains("chmod 700"),
            "{error}"
        );
    }
}

#[test]
fn a_run_directory_that_is_none_is_refused() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(directory.path(), &link).unwrap();
    for path in [&file, &link] {
        let error = Endpoint::open(path, None).unwrap_err();
        assert!(matches!(error, EndpointError::NotADirectory { .. }), "{error}");
    }
    let error = Endpoint::open(&file.join("below"), None).unwrap_err();
    assert!(matches!(error, EndpointError::Io { .. }), "{error}");
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    if !is_root("wrong owner") {
        return;
    }
    let (directory, endpoint) = place();
    let _listener = UnixListener::bind(endpoint.socket()).unwrap();
    std::os::unix::fs::chown(endpoint.socket(), Some(12_345), None).unwrap();
    for error in [endpoint.connect(SOON).unwrap_err(), endpoint.listen(SOON).unwrap_err()] {
        assert!(error.to_string().contains("belongs to user 12345, this is user 0"), "{error}");
    }
    let run = directory.path().join("run");
    std::os::unix::fs::chown(&run, Some(12_345), None).unwrap();
    let error = Endpoint::open(&run, None).unwrap_err();
    assert!(matches!(error, EndpointError::Owner { owner: 12_345, .. }), "{error}");
}

/// Says to a test below that this process is its child, and where the socket is.
const CHILD: &str = "WAN_ALPHA_TEST_SOCKET";

#[test]
fn a_process_of_another_user_is_disconnected() {
    use std::os::unix::process::CommandExt;
    if let Some(socket) = std::env::var_os(CHILD) {
        let mut stream = UnixStream::connect(socket).unwrap();
        println!("connected");
        let mut end = Vec::new();
        let _ = stream.read_to_end(&mut end);
        return;
    }
    if !is_root("another user's process") {
        return;
    }
    let (directory, endpoint) = place();
    let listener = endpoint.listen(SOON).unwrap();
    // As careless as can be: only the check of the peer is left.
    set_mode(directory.path(), 0o711);
    set_mode(&endpoint.directory, 0o711);
    set_mode(&endpoint.socket(), 0o666);
    let program = directory.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    set_mode(&program, 0o755);
    let (_, module) = module_path!().split_once("::").unwrap();
    let name = format!("{module}::a_process_of_another_user_is_disconnected");
    let mut child = Command::new(&program)
        .args(["--exact", &name])
        .arg("--nocapture")
        .env(CHILD, endpoint.socket())
        .current_dir("/")
        .uid(12_345)
        .gid(12_345)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("connected")));
    let error = listener.accept().unwrap_err();
    assert!(matches!(error, EndpointError::Peer { peer: 12_345, user: 0, .. }), "{error}");
    assert!(child.wait().unwrap().success());
}
