use super::server::{Answer, Server, TAG};
use super::*;

/// Long enough for a slow machine, short enough to wait for.
fn patience() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(300),
        attempts: 2,
        pause: Duration::from_millis(1),
    }
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// The sum of [`content`] of these bytes, as hexadecimal digits that live as long as the table's.
fn sum_of(content: &[u8]) -> Sum {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("x"), content).expect("writable");
    let sums = Sums::of(&folder.path().join("x"), &mut |_| ControlFlow::Continue(())).expect("readable");
    Sum::Sha256(sums.sha256.leak())
}

fn wanted(addresses: &[String], size: Size, sum: Option<Sum>) -> Wanted {
    Wanted { file: "net.bin".into(), addresses: addresses.to_vec(), size, sum }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn fetch(&self, wanted: &Wanted) -> Result<Arrived, DownloadError> {
        fetch(wanted, self.0.path(), &patience(), &mut |_| ControlFlow::Continue(()))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("listed");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn file(&self) -> Vec<u8> {
        fs::read(self.0.path().join("net.bin")).expect("it has arrived")
    }
}

const PART_BYTES: usize = 120_000;
const BYTES: usize = 300_000;

#[test]
fn a_file_arrives_whole_with_and_without_a_length() {
    let content = content(BYTES);
    for (answer, size) in [
        (Answer::Serve, Size::Exact(BYTES as u64)),
        (Answer::Serve, Size::About(290_000)),
        (Answer::Chunked, Size::Unknown),
    ] {
        let server = Server::new(content.clone(), move |_, _| answer.clone());
        let (place, mut steps) = (Place::new(), Vec::new());
        let wanted = wanted(&[server.url("net.bin")], size, Some(sum_of(&content)));
        let mut watch = |step| {
            steps.push(step);
            ControlFlow::Continue(())
        };
        let arrived = fetch(&wanted, place.0.path(), &patience(), &mut watch).expect("it arrives");
        assert_eq!((arrived.sums.bytes, arrived.address), (BYTES as u64, Some(server.url("net.bin"))));
        assert!(place.file() == content);
        assert!(steps.contains(&Step::Checking { bytes: BYTES as u64, total: BYTES as u64 }), "{size:?}");
        let all = |step: &Step| matches!(step, Step::Fetching { bytes, .. } if *bytes == BYTES as u64);
        assert!(steps.iter().any(all), "{size:?}: {steps:?}");
        // What is there is not fetched again.
        assert_eq!(place.fetch(&wanted).expect("it is there").address, Some(server.url("net.bin")));
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let content = content(BYTES);
    for answer in [Answer::BreakAfter(PART_BYTES), Answer::StallAfter(PART_BYTES)] {
        let server = Server::new(content.clone(), move |i, _| if i == 0 { answer.clone() } else { Answer::Serve });
        let place = Place::new();
        place.fetch(&wanted(&[server.url("net.bin")], Size::Unknown, None)).expect("the rest arrives");
        assert!(place.file() == content);
        let asked = server.asked();
        assert_eq!(asked.len(), 2);
        assert_eq!((asked[0].range, asked[1].range), (None, Some(PART_BYTES as u64)));
        assert_eq!(asked[1].if_range.as_deref(), Some(TAG));
    }
}

#[test]
fn a_server_that_breaks_off_again_and_again_is_asked_as_long_as_it_brings_something() {
    let content = content(BYTES);
    let server = Server::new(content.clone(), |_, _| Answer::BreakAfter(30_000));
    let place = Place::new();
    place.fetch(&wanted(&[server.url("net.bin")], Size::Exact(BYTES as u64), None)).expect("ten pieces are a file");
    assert!(place.file() == content);
    assert_eq!(server.asked().len(), 10);

    let server = Server::new(content, |_, _| Answer::BreakAfter(0));
    let error = Place::new().fetch(&wanted(&[server.url("net.bin")], Size::Unknown, None)).expect_err("nothing comes");
    assert!(matches!(error, DownloadError::Unavailable { .. }), "{error}");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn what_was_cancelled_is_gone_on_with() {
    let content = content(BYTES);
    let server =
        Server::new(content.clone(), |i, _| if i == 0 { Answer::StallAfter(PART_BYTES) } else { Answer::Serve });
    let place = Place::new();
    let wanted = wanted(&[server.url("net.bin")], Size::Exact(BYTES as u64), Some(sum_of(&content)));
    let mut watch = |step| match step {
        Step::Fetching { bytes, .. } if bytes == PART_BYTES as u64 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let error = fetch(&wanted, place.0.path(), &patience(), &mut watch).expect_err("broken off");
    assert!(matches!(error, DownloadError::Cancelled), "{error}");
    assert_eq!(place.names(), ["net.bin.from", "net.bin.part"]);
    place.fetch(&wanted).expect("the rest arrives");
    assert!(place.file() == content);
    assert_eq!(server.asked()[1].range, Some(PART_BYTES as u64));
}

#[test]
fn a_silent_server_does_not_keep_anybody_from_stopping() {
    let server = Server::new(content(10), |_, _| Answer::StallAfter(0));
    let patient = Patience { stall: Duration::from_secs(3600), ..patience() };
    let (place, started) = (Place::new(), Instant::now());
    let mut watch =
        |_| if started.elapsed().as_millis() > 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let wanted = wanted(&[server.url("net.bin")], Size::Unknown, None);
    let error = fetch(&wanted, place.0.path(), &patient, &mut watch).expect_err("broken off");
    assert!(matches!(error, DownloadError::Cancelled), "{error}");
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_server_that_cannot_resume_starts_over() {
    let content = content(BYTES);
    for refusal in [Answer::ServeWhole, Answer::WrongRange] {
        let server = Server::new(content.clone(), move |i, asked| match i {
            0 => Answer::BreakAfter(PART_BYTES),
            _ if asked.range.is_some() => refusal.clone(),
            _ => Answer::Serve,
        });
        let place = Place::new();
        place.fetch(&wanted(&[server.url("net.bin")], Size::Unknown, Some(sum_of(&content)))).expect("it arrives");
        assert!(place.file() == content);
    }
}

#[test]
fn a_part_of_another_version_is_not_added_to() {
    let content = content(BYTES);
    let server = Server::new(content.clone(), |_, _| Answer::Serve);
    let url = server.url("net.bin");
    let note = |address: &str, validator: Option<&str>| {
        toml::to_string(&Note { address: address.into(), validator: validator.map(str::to_string) }).expect("text")
    };
    // An older version's mark; another address; no mark; no note. And with a sum, which tells when the file is whole.
    for (from, sum, resumed) in [
        (Some(note(&url, Some("\"v0\""))), None, true),
        (Some(note("http://other/net.bin", Some(TAG))), None, false),
        (Some(note(&url, None)), None, false),
        (None, None, false),
        (None, Some(sum_of(&content)), true),
    ] {
        let place = Place::new();
        fs::write(place.0.path().join("net.bin.part"), [7; 1000]).expect("writable");
        if let Some(from) = &from {
            fs::write(place.0.path().join("net.bin.from"), from).expect("writable");
        }
        let before = server.asked().len();
        place.fetch(&wanted(std::slice::from_ref(&url), Size::Unknown, sum)).expect("it arrives");
        assert!(place.file() == content, "{from:?} {sum:?}");
        assert_eq!(server.asked()[before].range.is_some(), resumed, "{from:?} {sum:?}");
    }
}

#[test]
fn a_part_stays_as_long_as_no_other_address_has_the_file() {
    let content = content(BYTES);
    let server = Server::new(content.clone(), |i, _| match i {
        0 => Answer::BreakAfter(PART_BYTES),
        1 | 2 => Answer::Status(503),
        _ => Answer::Serve,
    });
    let missing = Server::new(Vec::new(), |_, _| Answer::Status(404));
    let wanted = wanted(&[server.url("net.bin"), missing.url("net.bin")], Size::Unknown, None);
    let place = Place::new();
    place.fetch(&wanted).expect_err("neither has all of it");
    assert_eq!(missing.asked().len(), 1);
    place.fetch(&wanted).expect("the rest arrives");
    assert!(place.file() == content);
    let ranges: Vec<_> = server.asked().iter().map(|asked| asked.range).collect();
    assert_eq!(ranges, [None, Some(PART_BYTES as u64), Some(PART_BYTES as u64), Some(PART_BYTES as u64)]);
}

#[test]
fn a_part_that_is_whole_or_too_long_ends_well() {
    let content = content(BYTES);
    let server = Server::new(content.clone(), |_, _| Answer::Serve);
    let longer = [content.clone(), vec![1; 5]].concat();
    for part in [&content, &longer] {
        for size in [Size::Exact(BYTES as u64), Size::Unknown] {
            let place = Place::new();
            fs::write(place.0.path().join("net.bin.part"), part).expect("writable");
            place.fetch(&wanted(&[server.url("net.bin")], size, Some(sum_of(&content)))).expect("it arrives");
            assert!(place.file() == content);
        }
    }
}

#[test]
fn a_wrong_file_is_deleted_and_the_next_address_tried() {
    let (right, wrong) = (content(BYTES), vec![3; BYTES]);
    let sum = Some(sum_of(&right));
    let bad = Server::new(wrong, |_, _| Answer::Serve);
    let place = Place::new();
    let error = place.fetch(&wanted(&[bad.url("net.bin")], Size::Exact(BYTES as u64), sum)).expect_err("another file");
    let text = error.to_string();
    let Some(Sum::Sha256(digits)) = sum else { panic!("a whole sum") };
    assert!(text.contains("127.0.0.1") && text.contains("SHA-256 is ") && text.contains(digits), "{text}");
    assert!(place.names().is_empty(), "{:?}", place.names());

    let good = Server::new(right.clone(), |_, _| Answer::Serve);
    let missing = Server::new(Vec::new(), |_, _| Answer::Status(404));
    let addresses = [missing.url("net.bin"), bad.url("net.bin"), good.url("net.bin")];
    let arrived = place.fetch(&wanted(&addresses, Size::Unknown, sum)).expect("the third has it");
    assert_eq!(arrived.address.as_ref(), Some(&addresses[2]));
    assert!(place.file() == right);
    // What is not there is not asked for twice.
    assert_eq!(missing.asked().len(), 1);
}

#[test]
fn refusals_are_told_with_the_host_and_why() {
    for (status, times, word) in
        [(404, 1, "404 (no such file)"), (403, 1, "not allowed"), (503, 2, "503 (out of order)")]
    {
        let server = Server::new(Vec::new(), move |_, _| Answer::Status(status));
        let place = Place::new();
        let error =
            place.fetch(&wanted(&[server.url("net.bin")], Size::Unknown, None)).expect_err("refused").to_string();
        assert!(error.starts_with("net.bin could not be fetched: 127.0.0.1:") && error.contains(word), "{error}");
        assert_eq!((server.asked().len(), place.names().len()), (times, 0), "{status}");
    }
    let gone = free_port();
    let address = format!("http://127.0.0.1:{gone}/net.bin");
    let error = Place::new().fetch(&wanted(&[address], Size::Unknown, None)).expect_err("nobody is there").to_string();
    assert!(error.contains("refuses the connection"), "{error}");
}

/// A port on which nobody listens.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("this machine has a port to spare");
    listener.local_addr().expect("bound").port()
}

#[test]
fn redirects_are_followed_but_not_in_circles() {
    let content = content(1000);
    let server = Server::new(content.clone(), |_, asked| match asked.path.as_str() {
        "net.bin" => Answer::Redirect("/moved/net.bin".into()),
        "circle" => Answer::Redirect("/circle".into()),
        _ => Answer::Serve,
    });
    let place = Place::new();
    place.fetch(&wanted(&[server.url("net.bin")], Size::Unknown, None)).expect("it arrives");
    assert!(place.file() == content);
    let error = Place::new().fetch(&wanted(&[server.url("circle")], Size::Unknown, None)).expect_err("endless");
    assert!(error.to_string().contains("leads in circles"), "{error}");
    assert!(server.asked().len() < 20, "{}", server.asked().len());
}

#[test]
fn sizes_are_bounded() {
    let content = content(3_000_000);
    let about = Size::About(1000);
    for (answer, size, word) in [
        (Answer::Serve, Size::Exact(1000), "where one of 1000 was published"),
        (Answer::Serve, about, "more than 1049701 bytes"),
        (Answer::Chunked, about, "more than 1049701 bytes"),
        (Answer::Chunked, Size::Exact(1000), "more than 1000 bytes"),
    ] {
        let server = Server::new(content.clone(), move |_, _| answer.clone());
        let place = Place::new();
        let error = place.fetch(&wanted(&[server.url("net.bin")], size, None)).expect_err("too large").to_string();
        assert!(error.contains(word), "{size:?}: {error}");
        assert!(place.names().is_empty(), "{:?}", place.names());
    }
    let empty = Server::new(Vec::new(), |_, _| Answer::Serve);
    let error =
        Place::new().fetch(&wanted(&[empty.url("net.bin")], Size::Unknown, None)).expect_err("empty").to_string();
    assert!(error.contains("0 bytes"), "{error}");
}

#[test]
fn files_of_this_machine_are_copied() {
    let (place, source) = (Place::new(), Place::new());
    let path = source.0.path().join("net.bin");
    fs::write(&path, content(1000)).expect("writable");
    let addresses =
        [source.0.path().join("none"), source.0.path().to_path_buf(), path].map(|path| path.display().to_string());
    place.fetch(&wanted(&addresses, Size::Unknown, None)).expect("the third has it");
    assert!(place.file() == content(1000));
    let error = Place::new().fetch(&wanted(&addresses[..2], Size::Unknown, None)).expect_err("no file").to_string();
    assert!(error.contains("is not there") && error.contains("is not a file"), "{error}");
}

/// A disk with room for so many bytes. No real disk is filled here: what is tested is what its refusal turns into.
struct SmallDisk {
    room: usize,
    bytes: u64,
    note: Option<Note>,
}

impl Sink for SmallDisk {
    fn path(&self) -> &Path {
        Path::new("net.bin.part")
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= bytes.len();
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.bytes = 0;
        Ok(())
    }

    fn note(&self) -> Option<&Note> {
        self.note.as_ref()
    }

    fn keep_note(&mut self, note: Note) -> io::Result<()> {
        self.note = Some(note);
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_and_not_tried_again() {
    let server = Server::new(content(BYTES), |_, _| Answer::Serve);
    let url = server.url("net.bin");
    let mut disk = SmallDisk { room: 100_000, bytes: 0, note: None };
    let wanted = wanted(std::slice::from_ref(&url), Size::Unknown, None);
    let outcome = from_address(&wanted, &url, &mut disk, &patience(), &mut |_| ControlFlow::Continue(()));
    let Err(Setback::Final(error)) = outcome else { panic!("the disk was full") };
    assert!(matches!(error, DownloadError::DiskFull { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("the disk is full") && text.contains("net.bin.part") && text.contains("make room"),
        "{text}"
    );
    assert_eq!(server.asked().len(), 1);
}
