//! `oneiric nets`: the catalogue from end to end, against a server on this machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use oneiric::formats::{Precision, native};
use oneiric::nn::graph::{ChannelOrder, GraphBuilder, Preprocess};
use oneiric::nn::ops::Op;
use oneiric::nn::ops::conv::Conv2d;
use oneiric::nn::ops::pool::{GlobalPool, GlobalPoolKind};
use oneiric::nn::ops::softmax::Softmax;
use oneiric::nn::ops::window::Window;

use super::support::{Folder, Ran, oneiric};

/// A net of the catalogue without published sums: what a test serves may stand for it.
const NET: &str = "googlenet-places365";
const WEIGHTS: &str = "googlenet_places365.caffemodel";

/// A net of four classes and about half a megabyte, in the program's own format.
fn small_net() -> Vec<u8> {
    let mut net = GraphBuilder::new("input", 3, [8, 8]);
    let weights: Vec<f32> = (0..4 * 3 * 101 * 101).map(|i| (i % 97) as f32 / 1e6).collect();
    net.param("conv/weight", &[4, 3, 101, 101], weights);
    let window = Window { padding: oneiric::nn::ops::window::Padding::SameUpper, ..Window::square(101, 1) };
    let conv = net.add("conv", Op::Conv2d(Conv2d { window, groups: 1 }), &[GraphBuilder::INPUT], &["conv/weight"]);
    let pool = net.add("pool", Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }), &[conv], &[]);
    net.add("probabilities", Op::Softmax(Softmax {}), &[pool], &[]);
    let preprocess = Preprocess { order: ChannelOrder::Rgb, mean: vec![127.0; 3], scale: vec![1.0 / 128.0; 3] };
    native::to_bytes(&net.finish("small", preprocess, Vec::new()).unwrap(), Precision::F32).unwrap()
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (WEIGHTS, small_net()),
        ("googlenet_places365.prototxt", b"name: 'small'\n".to_vec()),
        ("categories_places365.txt", b"/a/abbey 0\n/b/bar 1\n/c/cliff 2\n/f/field/wild 3\n".to_vec()),
    ]
}

/// Serves files by name, and ranges of them. The first answer stalls after some bytes if that is wanted.
struct Server {
    port: u16,
    ranges: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Server {
    fn new(files: Vec<(&'static str, Vec<u8>)>, stall_after: Option<usize>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let asked = ranges.clone();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for (i, stream) in listener.incoming().flatten().enumerate() {
                let limit = stall_after.filter(|_| i == 0);
                // A connection that is kept is one that stalls.
                open.extend(answer(stream, &files, &asked, limit));
            }
        });
        Self { port, ranges }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/nets", self.port)
    }

    fn ranges(&self) -> Vec<Option<usize>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn answer(
    mut stream: TcpStream,
    files: &[(&'static str, Vec<u8>)],
    asked: &Mutex<Vec<Option<usize>>>,
    limit: Option<usize>,
) -> Option<TcpStream> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_string();
    let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let range = headers
        .iter()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(range);
    let Some((_, content)) = files.iter().find(|(name, _)| path == format!("/nets/{name}")) else {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
        return None;
    };
    let (first, total) = (range.unwrap_or(0), content.len());
    let status = match range {
        Some(first) => format!("206 Partial Content\r\nContent-Range: bytes {first}-{}/{total}", total - 1),
        None => "200 OK".into(),
    };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"1\"\r\nConnection: close\r\n\r\n", total - first);
    let end = limit.map_or(total, |limit| limit.min(total));
    stream.write_all(&[head.as_bytes(), &content[first..end]].concat()).ok()?;
    limit.map(|_| stream)
}

/// The program with a home of its own in the folder, that reaches this machine and no other.
fn nets(folder: &Folder, mirror: &str, args: &[&str]) -> Command {
    let mut command = oneiric();
    command.current_dir(folder.path(".")).env("ONEIRIC_HOME", folder.path("home")).env("ONEIRIC_MIRROR", mirror);
    // Nobody listens there. This machine itself is asked without a proxy.
    for variable in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "https_proxy", "http_proxy"] {
        command.env(variable, "http://127.0.0.1:1");
    }
    command.args(args);
    command
}

fn run(folder: &Folder, mirror: &str, args: &[&str]) -> Ran {
    Ran::of(&mut nets(folder, mirror, args))
}

#[test]
fn the_list_is_a_table_of_a_hundred_columns_or_json() {
    let folder = Folder::new();
    let ran = run(&folder, "", &["nets", "list"]);
    let lines: Vec<&str> = ran.assert_done().stdout.lines().collect();
    assert!(lines[0].starts_with("name ") && lines[1].starts_with("efficientnet-lite0 "), "{ran:?}");
    assert!(lines.iter().all(|line| line.chars().count() <= 100), "{ran:?}");
    assert!(lines.iter().any(|line| line.starts_with("googlenet ") && line.contains("can be fetched")), "{ran:?}");
    let ran = run(&folder, "", &["nets", "list", "--json"]);
    let objects = ran.assert_done().objects();
    assert!(objects.len() > 13, "{}", objects.len());
    assert_eq!((&objects[0]["name"], &objects[0]["state"]), (&"efficientnet-lite0".into(), &"built_in".into()));
    // Looking makes nothing.
    assert!(!folder.path("home").exists());
}

#[test]
fn a_net_is_fetched_used_by_name_and_removed() {
    let folder = Folder::new();
    let server = Server::new(files(), None);
    let url = server.url();
    let ran = run(&folder, &url, &["nets", "get", "Places365", "--json"]);
    let [line] = ran.assert_done().objects().try_into().expect("one object");
    assert_eq!((&line["net"], &line["was_there"]), (&NET.into(), &false.into()), "{line}");
    assert!(ran.stderr.contains(WEIGHTS) && ran.stderr.contains(" in "), "{ran:?}");
    let nets = folder.path("home").join("data").join("nets");
    assert_eq!(PathBuf::from(line["folder"].as_str().unwrap()), nets.join(NET));
    assert!(nets.join(NET).join("labels.txt").exists() && nets.join(NET).join(WEIGHTS).exists());

    let asked = server.ranges().len();
    let ran = run(&folder, &url, &["nets", "get", NET]);
    assert!(ran.assert_done().stdout.contains("installed already"), "{ran:?}");
    assert_eq!(server.ranges().len(), asked);
    run(&folder, &url, &["nets", "get", NET, "--force", "--quiet"]).assert_done();
    assert_eq!(server.ranges().len(), asked + 3);

    let ran = run(&folder, "", &["nets", "list", "--json"]);
    let state = |line: &serde_json::Value| (line["name"] == NET).then(|| line["state"].clone());
    assert_eq!(ran.assert_done().objects().iter().find_map(state), Some("installed".into()));
    let ran = run(&folder, "", &["nets", "path", NET]);
    assert_eq!(ran.assert_done().stdout.trim(), nets.join(NET).to_str().unwrap());
    let ran = run(&folder, "", &["nets", "info", NET]);
    for word in ["installed", "CC BY", "8×8 pixels", "SHA-256", WEIGHTS, &url] {
        assert!(ran.assert_done().stdout.contains(word), "{word}: {ran:?}");
    }
    assert!(run(&folder, "", &["inspect", "--net", NET]).assert_done().stdout.contains("probabilities"));
    assert!(run(&folder, "", &["nets", "remove", NET]).assert_done().stdout.contains("is removed"));
    let ran = run(&folder, "", &["inspect", "--net", NET]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains(&format!("oneiric nets get {NET}")), "{ran:?}");
}

#[test]
fn a_folder_is_a_mirror_too() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("stick")).unwrap();
    for (name, bytes) in files() {
        folder.write(&format!("stick/{name}"), &bytes);
    }
    run(&folder, "stick", &["nets", "get", NET]).assert_done();
    run(&folder, "", &["inspect", NET]).assert_done();
}

#[cfg(unix)]
#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    use std::time::{Duration, Instant};
    let folder = Folder::new();
    let server = Server::new(files(), Some(100_000));
    let url = server.url();
    let mut command = nets(&folder, &url, &["nets", "get", NET, "--quiet"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("the binary can be started");
    let part = folder.path("home").join(format!("data/nets/.partial/{NET}/{WEIGHTS}.part"));
    let started = Instant::now();
    while std::fs::metadata(&part).map(|metadata| metadata.len()).unwrap_or(0) < 100_000 {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing has arrived");
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status();
    assert!(status.expect("sh is there").success());
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("goes on from there") && stderr.lines().count() == 1, "{stderr}");
    let ran = run(&folder, "", &["nets", "list", "--json"]);
    assert!(ran.objects().iter().any(|line| line["name"] == NET && line["state"] == "begun"), "{ran:?}");
    run(&folder, &url, &["nets", "get", NET]).assert_done();
    assert_eq!(server.ranges()[..2], [None, Some(100_000)]);
}

#[test]
fn a_wrong_file_is_told_with_both_sums() {
    let folder = Folder::new();
    let server = Server::new(vec![("mobilenet_v2-b0353104.pth", vec![7; 1000])], None);
    let ran = run(&folder, &server.url(), &["nets", "get", "mobilenet-v2"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let complaint = ran.stderr.lines().last().unwrap_or_default();
    for word in ["127.0.0.1:", "SHA-256 is ", "b0353104… was published", "download.pytorch.org", "by hand"] {
        assert!(complaint.contains(word), "{word}: {ran:?}");
    }
    assert!(ran.stdout.is_empty());
}

#[test]
fn own_files_are_added_and_mistakes_are_one_sentence() {
    let folder = Folder::new();
    folder.write("my net.safetensors", &small_net());
    let ran = run(&folder, "", &["nets", "add", "my net.safetensors", "--json"]);
    let [line] = ran.assert_done().objects().try_into().expect("one object");
    assert_eq!(line["net"], "my-net", "{line}");
    std::fs::remove_file(folder.path("my net.safetensors")).unwrap();
    run(&folder, "", &["inspect", "my-net"]).assert_done();
    folder.write("other.safetensors", &small_net());
    folder.write("text.txt", b"hello");
    let mistakes: [(&[&str], &str); 9] = [
        (&["add", "other.safetensors", "--name", "my-net"], "already"),
        (&["add", "other.safetensors", "--name", "../x"], "cannot be the name"),
        (&["add", "other.safetensors", "--name", "lite0"], "part of the program"),
        (&["add", "text.txt"], "text.txt"),
        (&["get", "resnet5000"], "these can: googlenet, "),
        (&["get", "lite0"], "nothing to fetch"),
        (&["remove", "resnet5000"], "not installed"),
        (&["remove", "lite0"], "cannot be removed"),
        (&["path", "vgg16"], "oneiric nets get vgg16"),
    ];
    for (args, word) in mistakes {
        let ran = run(&folder, "", &[&["nets"], args].concat());
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(word) && ran.stderr.lines().count() == 1, "{args:?}: {ran:?}");
        assert!(ran.stdout.is_empty(), "{args:?}: {ran:?}");
    }
    run(&folder, "", &["nets", "info", "./other.safetensors"]).assert_done();
    // A state dictionary in place of the net would be all that is left of it.
    let over = ["nets", "convert", "other.safetensors", "./other.safetensors", "--to", "state-dict"];
    let ran = run(&folder, "", &over);
    assert!(ran.code == Some(2) && ran.stderr.contains("choose another name for OUT"), "{ran:?}");
    assert_eq!(std::fs::read(folder.path("other.safetensors")).unwrap(), small_net());
    let ran = run(&folder, "", &["nets", "info", "googlenet", "--json"]);
    let [line] = ran.assert_done().objects().try_into().expect("one object");
    assert_eq!(line["files"][0]["sum"], "SHA-1 405fc5acd08a3bb12de8ee5e23a96bec22f08204", "{line}");
}
