//! Nets, photos and hosts for the tests of the window.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::gui::command::Command;
use crate::gui::host::{Event, JobHost, JobId, OpenNet, OpenPhoto, Request, Step};
use crate::gui::state::AppState;
use crate::gui::update::update;
use crate::imageio::Picture;
use crate::job;
use crate::nn::graph::{ChannelOrder, Graph, GraphBuilder, Preprocess};
use crate::nn::ops::Op;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::pool::{GlobalPool, GlobalPoolKind};
use crate::nn::ops::softmax::Softmax;
use crate::nn::ops::window::{Padding, Window};
use crate::tasks::dream::{DreamSpec, Dreamer, Photo, Reel};

/// Two convolutions and a classifier of four classes, on pictures of any size from 16 pixels on.
pub fn small_net() -> Arc<Graph> {
    let mut net = GraphBuilder::new("picture", 3, [32, 32]);
    let mut from = GraphBuilder::INPUT;
    for (name, ins, outs, kernel) in [("block1/conv", 3, 6, 3), ("block2/conv", 6, 8, 3)] {
        let len = outs * ins * kernel * kernel;
        let weights: Vec<f32> = (0..len).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 0.4).collect();
        net.param(name, &[outs, ins, kernel, kernel], weights);
        let window = Window::square(kernel, 2).padded(Padding::all(kernel / 2));
        from = net.add(name, Op::Conv2d(Conv2d { window, groups: 1 }), &[from], &[name]);
        from = net.add(&name.replace("conv", "relu"), Op::Activation(Activation::Relu), &[from], &[]);
    }
    let pool = net.add("pool", Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }), &[from], &[]);
    net.param("logits", &[4, 8, 1, 1], (0..32).map(|i| (i * 29 % 17) as f32 / 8.0 - 1.0).collect::<Vec<f32>>());
    let logits =
        net.add("logits", Op::Conv2d(Conv2d { window: Window::square(1, 1), groups: 1 }), &[pool], &["logits"]);
    net.add("probabilities", Op::Softmax(Softmax {}), &[logits], &[]);
    let preprocess = Preprocess { order: ChannelOrder::Rgb, mean: vec![127.0; 3], scale: vec![1.0 / 128.0; 3] };
    let labels = ["red fox", "grey fox", "macaw", "castle"].map(String::from).to_vec();
    Arc::new(net.finish("small", preprocess, labels).expect("the net is sound"))
}

pub fn open_net() -> Arc<OpenNet> {
    static NET: OnceLock<Arc<OpenNet>> = OnceLock::new();
    NET.get_or_init(|| Arc::new(OpenNet::new("small", small_net()).expect("the net is sound"))).clone()
}

pub fn picture(width: usize, height: usize) -> Picture {
    let value = |i: usize| 128.0 + 90.0 * (i as f32 * 0.37).sin() * (i as f32 * 0.011).cos();
    Picture::from_rgb(width, height, (0..width * height * 3).map(value).collect())
}

pub fn open_photo(path: &str) -> Arc<OpenPhoto> {
    Arc::new(OpenPhoto::new(Photo { path: path.into(), picture: picture(48, 32), notes: Vec::new() }))
}

pub fn small_spec() -> DreamSpec {
    DreamSpec { net: "small".into(), octaves: 2, steps: 4, ..DreamSpec::default() }
}

/// The kept steps of a small dream.
pub fn dreamt_steps(spec: &DreamSpec) -> Vec<Step> {
    let photo = open_photo("somewhere/photo.png");
    let dreamer = Dreamer::new(spec.clone(), small_net()).expect("the spec suits the net");
    let mut job = dreamer.dream(Some(photo.photo.clone())).expect("the photo is large enough");
    let reel = Arc::new(Reel::new(1 << 30));
    job.keep_steps(reel.clone());
    let (link, _control, _events) = job::link();
    job::drive(job, &link).expect("the dream runs");
    reel.frames().into_iter().map(|frame| Step { frame, thumbnail: photo.thumbnail.clone() }).collect()
}

/// A host that does nothing but write down what it was asked for.
#[derive(Default)]
pub struct ScriptedHost {
    pub requests: Vec<Request>,
}

impl JobHost for ScriptedHost {
    fn submit(&mut self, request: Request) {
        self.requests.push(request);
    }
}

impl ScriptedHost {
    /// The requests since the last call, by the names of their kinds.
    pub fn names(&mut self) -> Vec<String> {
        let name = |request: &Request| {
            let text = format!("{request:?}");
            text.split(['(', ' ', '{']).next().unwrap_or_default().to_string()
        };
        self.requests.drain(..).map(|request| name(&request)).collect()
    }
}

/// A window's state with its scripted host.
#[derive(Default)]
pub struct Desk {
    pub state: AppState,
    pub host: ScriptedHost,
}

impl Desk {
    /// With a net and a photo open, nothing dreamt yet.
    pub fn ready() -> Self {
        let mut desk = Self::default();
        desk.state.spec = small_spec();
        desk.report(Event::NetOpened(open_net()));
        desk.report(Event::PhotoOpened(open_photo("somewhere/photo.png")));
        desk.host.requests.clear();
        desk
    }

    /// With a dream of that photo that has come to its end.
    pub fn dreamt() -> Self {
        let mut desk = Self::ready();
        desk.run(Command::Toggle);
        let job = desk.job();
        desk.started(job);
        desk.report(Event::JobSteps { job, steps: dreamt_steps(&small_spec()) });
        desk.ended(job);
        desk.host.requests.clear();
        desk
    }

    pub fn run(&mut self, command: Command) {
        update(&mut self.state, command, &mut self.host);
    }

    pub fn report(&mut self, event: Event) {
        self.run(Command::Host(Box::new(event)));
    }

    /// The dream on the canvas.
    pub fn job(&self) -> JobId {
        self.state.take().expect("there is a take").job
    }

    pub fn started(&mut self, job: JobId) {
        let spec = Box::new(self.state.spec.clone());
        self.report(Event::JobStarted { job, size_px: [32, 48], spec });
    }

    pub fn ended(&mut self, job: JobId) {
        let image = Some(open_photo("x").image.clone());
        let ended = crate::gui::host::Ended { how: job::How::Completed, image, saved: None };
        self.report(Event::JobEnded { job, ended: Ok(ended) });
    }

    pub fn says(&self, part: &str) -> bool {
        self.state.messages.iter().any(|message| message.text.contains(part))
    }
}

/// Writes a net and a photo into `folder`, as a user has them.
pub fn write_files(folder: &Path) -> [std::path::PathBuf; 2] {
    use crate::formats::native;
    use crate::imageio::{OutputFormat, SaveOptions, save};
    let (net, photo) = (folder.join("small.safetensors"), folder.join("photo.png"));
    native::write(&small_net(), &net, native::Precision::F32).expect("the net can be written");
    save(&photo, &picture(96, 64), &SaveOptions::new(OutputFormat::Png)).expect("the photo can be written");
    [net, photo]
}
