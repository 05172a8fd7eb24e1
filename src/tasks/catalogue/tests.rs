use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::download::server::{Answer, Server};
use super::*;
use crate::formats::Precision;
use crate::nn::graph::{ChannelOrder, GraphBuilder, Preprocess, Provenance};
use crate::nn::ops::Op;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::pool::{GlobalPool, GlobalPoolKind};
use crate::nn::ops::window::Window;

/// A net of four classes.
fn small_net() -> Vec<u8> {
    let mut net = GraphBuilder::new("input", 3, [8, 8]);
    net.param("conv/weight", &[4, 3, 3, 3], (0..108).map(|i| i as f32 / 64.0).collect::<Vec<_>>());
    let conv = Conv2d { window: Window::square(3, 1), groups: 1 };
    let conv = net.add("conv", Op::Conv2d(conv), &[GraphBuilder::INPUT], &["conv/weight"]);
    net.add("pool", Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }), &[conv], &[]);
    let preprocess = Preprocess { order: ChannelOrder::Rgb, mean: vec![127.0; 3], scale: vec![1.0 / 128.0; 3] };
    let net = net.finish("small", preprocess, Vec::new()).expect("a sound net");
    let provenance = Provenance { source: "a test".into(), licence: "CC0".into() };
    native::to_bytes(&net.with_provenance(provenance), Precision::F32).expect("a sound net")
}

const LABELS: &str = "/a/abbey 0\n/a/apartment_building/outdoor 1\n";

/// The net in two files, one of them a list of scenes, as if it were published at this size.
fn published(bytes: usize) -> &'static Published {
    let files = Vec::leak(vec![
        Remote { file: "small.net", urls: &[], size: Size::Exact(bytes as u64), sum: None, members: &[] },
        Remote { file: "scenes.txt", urls: &[], size: Size::About(100), sum: None, members: &[] },
    ]);
    Box::leak(Box::new(Published {
        name: "small-scenes",
        aliases: &[],
        summary: "a small net",
        task: Task::Places365,
        paper: "",
        licence: "CC BY",
        top_1: None,
        dreams: Dreams::Poorly,
        page: "http://127.0.0.1/",
        files,
        weights: "small.net",
        preprocess: Preset { order: ChannelOrder::Rgb, mean: &[100.0], scale: &[1.0], size_px: None },
        architecture: None,
        labels: Labels::Places("scenes.txt"),
    }))
}

fn serve(plan: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Server {
    Server::new(small_net(), move |i, asked| match asked.path.as_str() {
        "scenes.txt" => Answer::Other(LABELS.into()),
        path => plan(i, path),
    })
}

fn fetching(server: &Server) -> Fetch {
    let patience = Patience {
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(300),
        attempts: 1,
        pause: Duration::from_millis(1),
    };
    Fetch { again: false, mirror: Some(server.url("")), makers: false, patience }
}

struct Place {
    folder: tempfile::TempDir,
    home: Home,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = Home::at(folder.path().join("home"));
        let store = Store::of(&home);
        Self { folder, home, store }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(&path, bytes).expect("writable");
        path
    }

    fn fetch(&self, fetching: &Fetch) -> Result<Fetched, FetchError> {
        fetching.run_for(published(small_net().len()), &self.store, &mut |_| ControlFlow::Continue(()))
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_net_that_is_fetched_is_there_whole_with_its_manifest() {
    let (place, server) = (Place::new(), serve(|_, _| Answer::Serve));
    let mut stages = Vec::new();
    let mut watch = |progress: Progress| {
        stages.push((progress.stage, progress.file, progress.number, progress.files));
        ControlFlow::Continue(())
    };
    let net = published(small_net().len());
    let fetched = fetching(&server).run_for(net, &place.store, &mut watch).expect("it arrives");
    assert!(!fetched.was_there);
    let folder = place.home.nets_folder().join("small-scenes");
    assert_eq!(fetched.net.folder, folder);
    assert_eq!(names_in(&folder), ["labels.txt", "net.toml", "scenes.txt", "small.net"]);
    let labels = fs::read_to_string(folder.join("labels.txt")).expect("there");
    assert_eq!(labels, "abbey\napartment building, outdoor\nunused 2\nunused 3\n");
    let manifest = &fetched.net.manifest;
    assert_eq!((manifest.classes, manifest.licence.as_str()), (4, "CC BY"));
    assert_eq!(manifest.options.labels.as_deref(), Some("labels.txt"));
    let weights = manifest.files.iter().find(|entry| entry.file == "small.net").expect("listed");
    assert_eq!((weights.bytes, weights.sha256.len()), (small_net().len() as u64, 64));
    assert_eq!(weights.from, Some(server.url("small.net")));
    assert!(names_in(&place.home.nets_folder().join(".partial")).is_empty());
    assert_eq!(stages.last(), Some(&(Stage::Opening, "small.net", 2, 2)));
    assert!(stages.contains(&(Stage::Checking, "scenes.txt", 2, 2)), "{stages:?}");

    let found = place.store.find("Small-Scenes").expect("sound").expect("there");
    assert_eq!(found, fetched.net);
    let opened = found.open(&LoadOptions::default()).expect("a net");
    // What the file itself says of its origin goes before what the manifest says.
    assert_eq!(opened.graph.provenance().licence, "CC0");
    // It is there now; nobody is asked again, unless that is wanted.
    let asked = server.asked().len();
    assert!(place.fetch(&fetching(&server)).expect("there").was_there);
    assert_eq!(server.asked().len(), asked);
    let again = place.fetch(&Fetch { again: true, ..fetching(&server) }).expect("it arrives again");
    assert!(!again.was_there && server.asked().len() == asked + 2);
    assert!(names_in(&place.home.nets_folder().join(".partial")).is_empty());
}

#[test]
fn a_fetch_that_breaks_off_is_gone_on_with_and_leaves_no_net() {
    let place = Place::new();
    let server = serve(|i, _| if i == 0 { Answer::BreakAfter(100) } else { Answer::Serve });
    // One attempt that brings something is followed by another; what breaks it off is the user.
    let mut watch = |progress: Progress| match progress.bytes {
        100 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let net = published(small_net().len());
    let error = fetching(&server).run_for(net, &place.store, &mut watch).expect_err("broken off");
    assert!(matches!(error, FetchError::Cancelled(_)), "{error}");
    assert!(error.to_string().contains("goes on from there"), "{error}");
    assert_eq!(place.store.find("small-scenes").expect("sound"), None);
    assert!(place.store.begun_bytes("small-scenes") >= 100);
    place.fetch(&fetching(&server)).expect("the rest arrives");
    assert_eq!(server.asked()[1].range, Some(100));
    assert_eq!(place.store.begun_bytes("small-scenes"), 0);
}

#[test]
fn a_file_that_is_no_net_is_not_installed() {
    let place = Place::new();
    let bytes = small_net().len();
    let server = serve(move |_, _| Answer::Other(vec![b'?'; bytes]));
    let error = place.fetch(&fetching(&server)).expect_err("no net");
    assert!(matches!(error, FetchError::Unusable { .. }), "{error}");
    assert!(error.to_string().ends_with("; small.net was removed; scenes.txt was removed"), "{error}");
    assert_eq!(place.store.find("small-scenes").expect("sound"), None);
    // The next call does not find the same file again.
    place.fetch(&fetching(&serve(|_, _| Answer::Serve))).expect("the net");

    let server = serve(|_, _| Answer::Status(404));
    let error = Place::new().fetch(&fetching(&server)).expect_err("not there").to_string();
    for word in ["small.net could not be fetched: 127.0.0.1:", "404", "by hand", "small-scenes", ".partial"] {
        assert!(error.contains(word), "{error}");
    }
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn a_file_that_was_put_there_by_hand_is_taken() {
    let (place, server) = (Place::new(), serve(|_, _| Answer::Status(404)));
    place.fetch(&fetching(&server)).expect_err("not there");
    fs::write(place.store.staging("small-scenes").join("small.net"), small_net()).expect("writable");
    // As an archive that somebody unpacked there leaves it.
    fs::create_dir(place.store.staging("small-scenes").join("small")).expect("writable");
    let fetched = place.fetch(&fetching(&server)).expect("all is there");
    assert_eq!(names_in(&fetched.net.folder), ["labels.txt", "net.toml", "scenes.txt", "small.net"]);
    // What nobody fetched has no address.
    let from = |file: &str| fetched.net.manifest.files.iter().find(|entry| entry.file == file)?.from.clone();
    assert_eq!((from("small.net"), from("scenes.txt")), (None, Some(server.url("scenes.txt"))));
}

#[test]
fn a_wrong_file_that_was_put_there_by_hand_is_kept_under_another_name() {
    let (place, server) = (Place::new(), serve(|_, _| Answer::Status(404)));
    let staging = place.store.staging("small-scenes");
    fs::create_dir_all(&staging).expect("writable");
    fs::write(staging.join("small.net"), "my own").expect("writable");
    let error = place.fetch(&fetching(&server)).expect_err("another file").to_string();
    for word in ["put there by hand as small.net is another file: its size is 6 bytes", "small.net.wrong", "404"] {
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(fs::read(staging.join("small.net.wrong")).expect("kept"), b"my own");
    // One of the right size that is no net.
    fs::write(staging.join("small.net"), vec![b'?'; small_net().len()]).expect("writable");
    let error = place.fetch(&fetching(&server)).expect_err("no net").to_string();
    assert!(error.contains("; small.net is kept as ") && error.contains("; scenes.txt was removed"), "{error}");
    fs::write(staging.join("small.net"), "my own").expect("writable");
    let fetched = place.fetch(&fetching(&serve(|_, _| Answer::Serve))).expect("the net");
    assert!(fetched.notes.iter().any(|note| note.contains("is kept as ")), "{:?}", fetched.notes);
    assert_eq!(fs::read(fetched.net.folder.join("small.net.wrong")).expect("kept"), b"my own");
}

#[test]
fn a_wrong_archive_does_not_stay_in_the_way() {
    const MEMBERS: [Member; 1] = [Member { inside: "small.net", file: "small.net", sum: None, needed: true }];
    let archive =
        vec![Remote { file: "a.tar.gz", urls: &[], size: Size::About(100_000), sum: None, members: &MEMBERS }];
    let base = published(0);
    let net: &'static Published = Box::leak(Box::new(Published {
        name: "archived",
        files: Vec::leak(archive),
        labels: Labels::Known,
        aliases: &[],
        ..*base
    }));
    let server = Server::new(small_zip(), |i, _| match i {
        0 => Answer::Other(b"\n<!DOCTYPE html><title>Moved</title>".to_vec()),
        1 => Answer::Other(b"no archive".to_vec()),
        _ => Answer::Serve,
    });
    let place = Place::new();
    let fetch = || fetching(&server).run_for(net, &place.store, &mut |_| ControlFlow::Continue(()));
    let error = fetch().expect_err("a web page").to_string();
    assert!(error.contains("127.0.0.1:") && error.contains("sent a web page instead of a.tar.gz"), "{error}");
    let error = fetch().expect_err("no archive");
    assert!(matches!(error, FetchError::Archive { .. }), "{error}");
    assert!(error.to_string().ends_with("; a.tar.gz was removed"), "{error}");
    assert_eq!(names_in(&fetch().expect("the third is one").net.folder), ["net.toml", "small.net"]);
}

/// [`small_net`] in a zip archive.
fn small_zip() -> Vec<u8> {
    use std::io::{Cursor, Write as _};
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("small.net", zip::write::SimpleFileOptions::default()).expect("in memory");
    zip.write_all(&small_net()).expect("in memory");
    zip.finish().expect("in memory").into_inner()
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let place = Place::new();
    let server = serve(|i, _| if i == 0 { Answer::BreakAfter(200) } else { Answer::Serve });
    let (done, busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| match place.fetch(&fetching(&server)) {
                Ok(_) => done.fetch_add(1, Ordering::SeqCst),
                Err(FetchError::Store(StoreError::Busy(_))) => busy.fetch_add(1, Ordering::SeqCst),
                Err(error) => panic!("{error}"),
            });
        }
    });
    let (done, busy) = (done.into_inner(), busy.into_inner());
    assert!(done >= 1 && done + busy == 4, "{done} {busy}");
    place.store.find("small-scenes").expect("sound").expect("there").open(&LoadOptions::default()).expect("a net");
    let _lock = place.store.lock("small-scenes").expect("nobody has it");
    let error = place.fetch(&fetching(&server)).expect_err("somebody has the lock").to_string();
    assert!(error.contains("another download or change of `small-scenes` is running"), "{error}");
}

#[test]
fn a_user_s_own_files_are_copied_and_opened_from_the_copy() {
    let place = Place::new();
    let (net, labels) = (place.write("My Net.safetensors", &small_net()), place.write("names.txt", b"a\nb\nc\nd\n"));
    let options =
        LoadOptions { mean: Some(vec![1.0, 2.0, 3.0]), labels: Some(labels.clone()), ..LoadOptions::default() };
    let added = place.store.add(std::slice::from_ref(&net), None, &options).expect("a net");
    assert_eq!((added.net.name(), added.net.manifest.licence.as_str()), ("my-net", "CC0"));
    fs::remove_file(&net).expect("ours");
    fs::remove_file(&labels).expect("ours");
    let found = place.store.find("my-net").expect("sound").expect("there");
    assert_eq!(names_in(&found.folder), ["My Net.safetensors", "names.txt", "net.toml"]);
    let read_back = found.manifest.options.in_folder(&found.folder);
    assert_eq!((read_back.mean, read_back.labels), (options.mean, Some(found.folder.join("names.txt"))));
    found.open(&LoadOptions::default()).expect("a net");

    let net = place.write("other.safetensors", &small_net());
    let error = place.store.add(&[net], Some("my-net"), &LoadOptions::default()).expect_err("taken").to_string();
    assert!(error.contains("there is a net `my-net` already"), "{error}");
    assert!(place.store.remove("MY-NET").expect("there") > 0);
    assert_eq!(place.store.find("my-net").expect("sound"), None);
    assert!(names_in(&place.home.nets_folder().join(".partial")).is_empty());
    assert!(matches!(place.store.remove("my-net"), Err(StoreError::NotInstalled(_))));
}

#[test]
fn weights_in_a_folder_beside_the_net_stay_in_that_folder() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nets/onnx");
    let mut net = fs::read(data.join("external.onnx")).expect("there");
    for at in 0..net.len() {
        if net[at..].starts_with(b"external.bin") {
            net[at..at + 3].copy_from_slice(b"da/");
        }
    }
    let place = Place::new();
    let net = place.write("zoo/net.onnx", &net);
    let weights = place.write("zoo/da/ernal.bin", &fs::read(data.join("external.bin")).expect("there"));
    let bytes = fs::metadata(&weights).expect("there").len();
    let added = place.store.add(&[net], None, &LoadOptions::default()).expect("a net").net;
    assert_eq!(fs::metadata(added.folder.join("da/ernal.bin")).map(|metadata| metadata.len()).ok(), Some(bytes));
    assert!(added.manifest.files.iter().any(|entry| entry.file == "da/ernal.bin" && entry.bytes == bytes));
    fs::remove_dir_all(place.folder.path().join("zoo")).expect("ours");
    let found = place.store.find("net").expect("sound").expect("there");
    found.open(&LoadOptions::default()).expect("a net");
    let all = store_bytes(&found.folder.join("da")) + fs::metadata(found.folder.join("net.onnx")).expect("there").len();
    assert!(place.store.remove("net").expect("there") > all);
}

#[test]
fn what_cannot_be_added_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let net = place.write("net.safetensors", &small_net());
    let catalogued = place.write("vgg16.safetensors", &small_net());
    let impostor = place.write("bvlc_googlenet.caffemodel", &small_net());
    let text = place.write("readme.txt", b"hello");
    let none = place.folder.path().join("none.caffemodel");
    let cases: [(&[PathBuf], Option<&str>, &str); 10] = [
        (&[], None, "no files"),
        (std::slice::from_ref(&text), None, "readme.txt"),
        (std::slice::from_ref(&none), None, "none.caffemodel"),
        (std::slice::from_ref(&net), Some("../x"), "cannot be the name"),
        (std::slice::from_ref(&net), Some("nul"), "cannot be the name"),
        (std::slice::from_ref(&net), Some(""), "cannot be the name"),
        (std::slice::from_ref(&net), Some("Lite0"), "part of the program"),
        (std::slice::from_ref(&net), Some("googlenet"), "not its files"),
        (std::slice::from_ref(&catalogued), None, "not its files"),
        (std::slice::from_ref(&impostor), None, "not its files"),
    ];
    for (files, name, word) in cases {
        let error = place.store.add(files, name, &LoadOptions::default()).expect_err(word).to_string();
        assert!(error.contains(word) && !error.contains('\n'), "{name:?}: {error}");
    }
    // In one folder the list of classes would take the place of the net, where capitals do not count.
    let labels = Some(place.write("deeper/NET.safetensors", b"a\nb\nc\nd\n"));
    let error = place.store.add(&[net], None, &LoadOptions { labels, ..LoadOptions::default() }).expect_err("one name");
    assert!(matches!(error, StoreError::SameName(..)), "{error}");
    assert_eq!(place.store.installed().0, []);
    assert!(names_in(&place.home.nets_folder().join(".partial")).is_empty());
}

#[test]
fn damaged_nets_are_told_and_do_not_hide_the_others() {
    let place = Place::new();
    for name in ["good", "short", "foreign"] {
        let net = place.write("net.safetensors", &small_net());
        place.store.add(&[net], Some(name), &LoadOptions::default()).expect("a net");
    }
    let nets = place.home.nets_folder();
    fs::write(nets.join("short/net.safetensors"), "x").expect("ours");
    fs::write(nets.join("foreign/net.toml"), "version = 1\nname = 'x'").expect("ours");
    fs::create_dir(nets.join("empty")).expect("ours");
    let (installed, complaints) = place.store.installed();
    assert_eq!(installed.iter().map(Installed::name).collect::<Vec<_>>(), ["good", "short"]);
    let complaints: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(complaints.len() == 2 && complaints.iter().all(|text| text.contains("is damaged")), "{complaints:?}");
    let short = place.store.find("short").expect("sound").expect("there");
    let Err(error) = short.open(&LoadOptions::default()) else { panic!("its file is cut short") };
    assert!(error.to_string().contains("has 1 bytes where"), "{error}");
    let (listings, complaints) = list(&place.home);
    let own: Vec<_> = listings.iter().skip(1 + Published::all().len()).map(|net| (&*net.name, net.state)).collect();
    let damaged = State::Damaged;
    assert_eq!(own, [("empty", damaged), ("foreign", damaged), ("good", State::Installed), ("short", damaged)]);
    assert_eq!(complaints.len(), 3, "{complaints:?}");
    assert_eq!(listings.last().and_then(|short| short.bytes), Some(store_bytes(&nets.join("short"))));
    // They can be removed.
    for name in ["short", "foreign", "empty"] {
        place.store.remove(name).expect("there");
    }
    assert_eq!(place.store.installed().0.len(), 1);
}

fn store_bytes(folder: &Path) -> u64 {
    names_in(folder).iter().map(|name| fs::metadata(folder.join(name)).expect("there").len()).sum()
}

#[test]
fn a_damaged_net_of_the_catalogue_is_listed_and_fetched_again() {
    let (place, server) = (Place::new(), serve(|_, _| Answer::Serve));
    let folder = place.fetch(&fetching(&server)).expect("it arrives").net.folder;
    for (file, text) in [("net.toml", "version = 1"), ("small.net", "x")] {
        fs::write(folder.join(file), text).expect("ours");
        assert!(!place.fetch(&fetching(&server)).expect("it arrives again").was_there, "{file}");
        assert!(place.fetch(&fetching(&server)).expect("it is whole").was_there);
    }
    fs::create_dir_all(place.store.folder_of("vgg16")).expect("writable");
    let (listings, complaints) = list(&place.home);
    let vgg = listings.iter().find(|net| net.name == "vgg16").expect("it is in the catalogue");
    assert_eq!((vgg.state, vgg.bytes, complaints.len()), (State::Damaged, Some(0), 1));
    assert_eq!(vgg.task, "1000 classes");
}

#[test]
fn a_replacement_that_was_killed_half_way_is_undone() {
    let place = Place::new();
    let net = place.write("net.safetensors", &small_net());
    place.store.add(&[net], Some("mine"), &LoadOptions::default()).expect("a net");
    let nets = place.home.nets_folder();
    // Between the two renames.
    fs::rename(nets.join("mine"), nets.join(".partial/mine+old")).expect("ours");
    assert_eq!(place.store.find("mine").expect("sound"), None);
    drop(place.store.lock("mine").expect("nobody has it"));
    place.store.find("mine").expect("sound").expect("it is back").open(&LoadOptions::default()).expect("a net");
}

#[test]
fn what_was_killed_while_it_was_added_or_removed_leaves_nothing() {
    let place = Place::new();
    let leave = || {
        for name in ["mine+add", "mine+gone/mine"] {
            fs::create_dir_all(place.store.staging(name)).expect("writable");
            fs::write(place.store.staging(name).join("net.bin"), "some").expect("writable");
        }
    };
    let left = || names_in(&place.home.nets_folder().join(".partial"));
    leave();
    assert_eq!(place.store.remove("mine").expect("something is left"), 8);
    assert!(left().is_empty() && matches!(place.store.remove("mine"), Err(StoreError::NotInstalled(_))));
    leave();
    drop(place.store.lock("mine").expect("nobody has it"));
    assert!(left().is_empty());
}

#[test]
fn the_list_says_where_each_net_is() {
    let place = Place::new();
    let net = place.write("net.safetensors", &small_net());
    place.store.add(&[net], Some("zoo"), &LoadOptions::default()).expect("a net");
    fs::create_dir_all(place.store.staging("vgg16")).expect("writable");
    fs::write(place.store.staging("vgg16").join("x.part"), "some").expect("writable");
    let (listings, complaints) = list(&place.home);
    assert!(complaints.is_empty());
    let state = |name: &str| listings.iter().find(|net| net.name == name).map(|net| net.state);
    assert_eq!(state(DEFAULT), Some(State::BuiltIn));
    assert_eq!(state("zoo"), Some(State::Installed));
    assert_eq!((state("vgg16"), state("googlenet")), (Some(State::Begun), Some(State::Available)));
    assert_eq!(listings.len(), 2 + Published::all().len());
    assert_eq!(listings.last().map(|net| net.task.as_str()), Some("4 classes"));
}

#[test]
fn names_of_the_catalogue_say_how_to_get_the_net() {
    // Nothing is installed under this name on any machine that only ever ran the program.
    for name in ["nin", "Network-in-Network"] {
        let Err(CatalogueError::NotInstalled(known)) = open(name) else { continue };
        assert_eq!(known, "nin");
        assert!(CatalogueError::NotInstalled(known).to_string().contains("oneiric nets get nin"));
    }
    let options = LoadOptions { mean: Some(vec![0.0]), ..LoadOptions::default() };
    assert!(matches!(open_with("lite0", &options), Err(CatalogueError::BuiltInOptions(_))));
}
