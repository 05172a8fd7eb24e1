//! All that is known of one net.

use serde::Serialize;

use crate::base::text::with_unit;
use crate::cli::failure::{Failure, complain};
use crate::cli::output::{Report, table, with_commas};
use crate::formats::LoadOptions;
use crate::nn::graph::{ChannelOrder, Graph};
use crate::tasks::catalogue::{self, Entry, FileEntry, Installed, Opened, Published, Size, State, Sum};

/// One net as JSON; what is unknown is left out.
#[derive(Default, Serialize)]
struct Facts {
    net: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    #[serde(skip_serializing_if = "String::is_empty")]
    summary: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    task: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    paper: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    licence: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_1: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dreams: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Input>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<File>,
}

/// What an opened net takes and gives.
#[derive(Serialize)]
struct Input {
    width: usize,
    height: usize,
    order: ChannelOrder,
    mean: Vec<f32>,
    scale: Vec<f32>,
    weights: u64,
    classes: usize,
}

#[derive(Serialize)]
struct File {
    file: String,
    bytes: Option<u64>,
    /// The sum that it has or must have; none where its makers publish none.
    sum: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    from: Vec<String>,
}

pub fn built_in(entry: &Entry, report: &mut Report) -> Result<(), Failure> {
    let graph = entry.open().map_err(Failure::input)?;
    let facts = Facts {
        net: entry.name.into(),
        state: Some(State::BuiltIn),
        summary: entry.summary.into(),
        task: entry.task.in_words().into(),
        licence: entry.licence.into(),
        source: graph.provenance().source.clone(),
        top_1: entry.top_1,
        dreams: Some(entry.dreams.stars()),
        aliases: entry.aliases.to_vec(),
        input: Some(Input::of(&graph)),
        ..Facts::default()
    };
    write(&facts, report)
}

pub fn installed(net: &Installed, published: Option<&Published>, report: &mut Report) -> Result<(), Failure> {
    let manifest = &net.manifest;
    let opened = net.open(&LoadOptions::default())?;
    let task = match published {
        Some(net) => net.task.in_words().to_string(),
        None if manifest.classes > 0 => format!("{} classes", manifest.classes),
        None => String::new(),
    };
    let facts = Facts {
        net: manifest.name.clone(),
        state: Some(State::Installed),
        summary: manifest.summary.clone(),
        task,
        paper: published.map(|net| net.paper.to_string()).unwrap_or_default(),
        licence: manifest.licence.clone(),
        source: manifest.source.clone(),
        top_1: published.and_then(|net| net.top_1),
        dreams: published.map(|net| net.dreams.stars()),
        aliases: published.map(|net| net.aliases.to_vec()).unwrap_or_default(),
        folder: Some(net.folder.to_string_lossy().into_owned()),
        input: Some(Input::of(&opened.graph)),
        files: manifest.files.iter().map(File::of_installed).collect(),
    };
    write(&facts, report)
}

pub fn published(net: &Published, report: &mut Report) -> Result<(), Failure> {
    let facts = Facts {
        net: net.name.into(),
        state: Some(State::Available),
        summary: net.summary.into(),
        task: net.task.in_words().into(),
        paper: net.paper.into(),
        licence: net.licence.into(),
        source: net.page.into(),
        top_1: net.top_1,
        dreams: Some(net.dreams.stars()),
        aliases: net.aliases.to_vec(),
        files: net.files.iter().map(File::of_published).collect(),
        ..Facts::default()
    };
    write(&facts, report)?;
    report.line("")?;
    report.line(format_args!("It is not installed: fetch it with `oneiric nets get {}`.", net.name))
}

/// A net that is no net of the catalogue: a file.
pub fn file(path: &str, quiet: bool, report: &mut Report) -> Result<(), Failure> {
    let Opened { graph, notes, .. } = catalogue::open_with(path, &LoadOptions::default()).map_err(Failure::input)?;
    if !quiet {
        notes.iter().for_each(|note| complain(note));
    }
    let provenance = graph.provenance();
    let facts = Facts {
        net: path.into(),
        licence: provenance.licence.clone(),
        source: provenance.source.clone(),
        input: Some(Input::of(&graph)),
        ..Facts::default()
    };
    write(&facts, report)
}

impl Input {
    fn of(graph: &Graph) -> Self {
        let shape = graph.native_input_shape(1);
        let [height, width] = [2, 3].map(|axis| shape.dims().get(axis).copied().unwrap_or_default());
        let preprocess = graph.preprocess();
        Self {
            width,
            height,
            order: preprocess.order,
            mean: preprocess.mean.clone(),
            scale: preprocess.scale.clone(),
            weights: graph.params().values().map(|param| param.data.len() as u64).sum(),
            classes: graph.labels().len(),
        }
    }
}

impl File {
    fn of_installed(entry: &FileEntry) -> Self {
        let sum = Some(format!("SHA-256 {}", entry.sha256));
        Self { file: entry.file.clone(), bytes: Some(entry.bytes), sum, from: entry.from.iter().cloned().collect() }
    }

    fn of_published(remote: &catalogue::Remote) -> Self {
        let sum = remote.sum.map(|sum| match sum {
            Sum::Sha1(digits) => format!("SHA-1 {digits}"),
            Sum::Sha256(digits) => format!("SHA-256 {digits}"),
            Sum::Sha256Start(digits) => format!("SHA-256 {digits}…"),
        });
        let bytes = match remote.size {
            Size::Exact(bytes) | Size::About(bytes) => Some(bytes),
            Size::Unknown => None,
        };
        Self { file: remote.file.into(), bytes, sum, from: remote.urls.iter().map(|url| url.to_string()).collect() }
    }
}

fn write(facts: &Facts, report: &mut Report) -> Result<(), Failure> {
    report.object(facts)?;
    let words = facts.state.map(|state| format!(" ({})", state.in_words())).unwrap_or_default();
    report.line(format_args!("{}{words}", facts.net))?;
    if !facts.summary.is_empty() {
        report.line(&facts.summary)?;
    }
    report.line("")?;
    let top_1 = facts.top_1.map(|top_1| format!("{top_1:.1} %")).unwrap_or_default();
    let mut rows = vec![
        ("tells apart", facts.task.clone()),
        ("described by", facts.paper.clone()),
        ("top-1", top_1),
        ("dreams", facts.dreams.unwrap_or_default().to_string()),
        ("licence", facts.licence.clone()),
        ("source", facts.source.clone()),
        ("also called", facts.aliases.join(", ")),
        ("folder", facts.folder.clone().unwrap_or_default()),
    ];
    if let Some(input) = &facts.input {
        rows.extend(input_rows(input));
    }
    let rows: Vec<Vec<String>> =
        rows.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| vec![key.into(), value]).collect();
    for line in table(&rows, 2) {
        report.line(line)?;
    }
    for file in &facts.files {
        let size = file.bytes.map_or_else(|| "size unknown".to_string(), |bytes| format!("{}B", with_unit(bytes)));
        report.line("")?;
        report.line(format_args!("{}, {size}", file.file))?;
        report.line(format_args!(
            "  {}",
            file.sum.as_deref().unwrap_or("no published sum: its own is kept when it arrives")
        ))?;
        for from in &file.from {
            report.line(format_args!("  {from}"))?;
        }
    }
    Ok(())
}

fn input_rows(input: &Input) -> [(&'static str, String); 4] {
    let order = match input.order {
        ChannelOrder::Rgb => "red, green, blue",
        ChannelOrder::Bgr => "blue, green, red",
        ChannelOrder::Gray => "gray",
    };
    let numbers = |values: &[f32]| {
        let same = values.windows(2).all(|pair| pair[0] == pair[1]);
        let shown = if same { &values[..values.len().min(1)] } else { values };
        shown.iter().map(|value| format!("{}", (value * 1e4).round() / 1e4)).collect::<Vec<_>>().join(", ")
    };
    let classes = if input.classes > 0 { with_commas(input.classes as u64) } else { String::new() };
    [
        ("takes", format!("{}×{} pixels, {order}", input.width, input.height)),
        ("preprocessing", format!("(pixel − {}) · {}", numbers(&input.mean), numbers(&input.scale))),
        ("weights", with_commas(input.weights)),
        ("named classes", classes),
    ]
}
