//! Files: photos, nets, folders, presets, settings, sessions; and pictures developed into files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::dream::{photo_of, save};
use super::pictures::{image_of, picture_from, thumbnail, thumbnail_of};
use super::worker::Outlet;
use super::{
    ANIMATIONS, BundledPreset, Event, Exposure, Failed, Image, OpenNet, OpenPhoto, OwnPreset, Pick, Request, SaveTo,
    Start, keep, look, nets, picture_of,
};
use crate::base::atomic;
use crate::base::text::one_line;
use crate::formats::{LoadOptions, NET_EXTENSIONS};
use crate::gui::settings::Settings;
use crate::imageio::{self, AnimationFormat, AnimationOptions, OutputFormat, SaveOptions, Saved, save_animation};
use crate::nn::graph::Graph;
use crate::tasks::catalogue;
use crate::tasks::destination::{PICTURE_ENDINGS, fresh_name, is_same_file, pictures_in, unused_name};
use crate::tasks::dream::{Dream, Dreamer, Look, Photo, PresetShelf, Recipe};
use crate::tasks::home::Home;
use crate::tasks::inspect::inspect;
use crate::tasks::look::{dreamable_layers, first_layer_filters, layout};

/// The photo that the window shows when there is no other.
const SAMPLE: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/flower.jpg"));
/// The size of a node in the drawing of a net, and the room around it, in points.
pub const NODE_SIZE: [f32; 2] = [172.0, 58.0];
const NODE_GAP: [f32; 2] = [22.0, 26.0];

/// Reads and writes on one thread.
pub struct Files {
    home: Option<Home>,
    has_listed_looks: bool,
}

impl Files {
    /// Without a home nothing is kept from one start to the next.
    pub fn new(home: Option<Home>) -> Self {
        Self { home, has_listed_looks: false }
    }

    pub fn home(&self) -> &Option<Home> {
        &self.home
    }

    /// The settings that were kept; read once, before there is a window.
    pub fn settings(&self) -> Settings {
        keep::settings(self.home.as_ref())
    }

    pub fn work(&mut self, request: Request, outlet: &Outlet) {
        match request {
            Request::OpenPhoto(path) => match open(&path) {
                Ok(event) => outlet.send(event),
                Err(sentence) => outlet.fail(Failed::OpenPhoto(path), sentence),
            },
            Request::OpenSample => open_sample(self.home.as_ref(), outlet),
            Request::ComeBack { quietly } => keep::come_back(self.home.as_ref(), quietly, outlet),
            Request::KeepPasted(image) => self.keep_pasted(&image, outlet),
            Request::OpenNet { key, options } => open_net(key, &options, outlet),
            Request::ListNets => nets::list(self.home.as_ref(), outlet),
            Request::RemoveNet(name) => nets::remove(&name, self.home.as_ref(), outlet),
            Request::ListFolder(folder) => match pictures_in(&folder) {
                Ok(pictures) => outlet.send(Event::FolderListed { folder, pictures }),
                Err(error) => {
                    outlet.fail(Failed::Other, format!("cannot read the folder {}: {error}", folder.display()));
                }
            },
            Request::ListPresets => self.list_presets(outlet),
            Request::SavePreset { name, spec, picture } => {
                let picture = picture.map(|image| thumbnail(&picture_from(&image)));
                self.change_presets(outlet, |shelf| shelf.save(&name, &spec, picture.as_ref()).map(drop));
            }
            Request::RenamePreset { old, new } => {
                self.change_presets(outlet, |shelf| shelf.rename(&old, &new).map(drop))
            }
            Request::DeletePreset(name) => self.change_presets(outlet, |shelf| shelf.delete(&name)),
            Request::KeepSettings(settings) => {
                keep::keep_settings(self.home.as_ref(), &settings.to_toml(), outlet);
            }
            Request::KeepSession { number, session, frame } => {
                match keep::keep_session(self.home.as_ref(), &session, frame.as_deref()) {
                    Ok(()) => outlet.send(Event::SessionKept { number }),
                    Err(sentence) => outlet.fail(Failed::KeepSession, sentence),
                }
            }
            _ => {}
        }
    }

    fn keep_pasted(&self, image: &Image, outlet: &Outlet) {
        let folder = self.home.as_ref().map_or_else(std::env::temp_dir, |home| home.data.join("pasted"));
        let path = unused_name(&folder, "pasted".as_ref());
        let kept = imageio::save(&path, &picture_from(image), &SaveOptions::new(OutputFormat::Png));
        match kept.map_err(|error| one_line(&error)).and_then(|()| open_photo(&path)) {
            Ok(photo) => outlet.send(Event::PhotoPasted(photo)),
            Err(sentence) => outlet.fail(Failed::Other, sentence),
        }
    }

    fn list_presets(&mut self, outlet: &Outlet) {
        let bundled = |look: &Look| BundledPreset {
            name: look.name.into(),
            summary: look.summary.into(),
            spec: look.spec(),
            picture: look.thumbnail().ok().as_ref().map(image_of),
        };
        if !self.has_listed_looks {
            self.has_listed_looks = true;
            outlet.send(Event::BundledPresets(Look::ALL.iter().map(bundled).collect()));
        }
        let Some(home) = &self.home else { return };
        let (presets, unreadable) = PresetShelf::open(home).list();
        let own = |preset: crate::tasks::dream::UserPreset| OwnPreset {
            name: preset.name,
            spec: preset.spec,
            picture: preset.picture.as_ref().map(image_of),
        };
        outlet.send(Event::PresetsListed(presets.into_iter().map(own).collect()));
        unreadable.into_iter().for_each(|sentence| outlet.send(Event::Warned(sentence)));
    }

    fn change_presets<E: std::error::Error + 'static>(
        &mut self,
        outlet: &Outlet,
        change: impl FnOnce(&PresetShelf) -> Result<(), E>,
    ) {
        let Some(home) = &self.home else {
            return outlet
                .fail(Failed::Other, "presets cannot be kept: there is no folder for settings on this system");
        };
        match change(&PresetShelf::open(home)) {
            Ok(()) => self.list_presets(outlet),
            Err(error) => outlet.fail(Failed::Other, one_line(&error)),
        }
    }
}

pub fn cannot_write(path: &Path, error: &std::io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

pub fn open_sample(home: Option<&Home>, outlet: &Outlet) {
    match sample(home) {
        Ok(photo) => outlet.send(Event::PhotoOpened(photo)),
        Err(sentence) => outlet.fail(Failed::Other, sentence),
    }
}

/// The sample photo as a file, so that recipes can name it.
fn sample(home: Option<&Home>) -> Result<Arc<OpenPhoto>, String> {
    let folder = home.map_or_else(std::env::temp_dir, |home| home.data.join("samples"));
    let path = folder.join("flower.jpg");
    if std::fs::read(&path).ok().as_deref() != Some(SAMPLE) {
        atomic::write(&path, SAMPLE).map_err(|error| cannot_write(&path, &error))?;
    }
    open_photo(&path)
}

pub fn open_photo(path: &Path) -> Result<Arc<OpenPhoto>, String> {
    let photo = Photo::load(path, None).map_err(|error| one_line(&error))?;
    Ok(Arc::new(OpenPhoto::new(photo)))
}

/// A photo, a picture with its recipe, or a recipe alone.
fn open(path: &Path) -> Result<Event, String> {
    let is_text = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
    if is_text {
        let recipe = Recipe::from_file(path).map_err(|error| one_line(&error))?;
        let source = recipe.find_source(path).map_err(|error| one_line(&error))?;
        let Some(source) = source else {
            return Err(format!("{} dreams from noise: open it with oneiric dream --recipe", path.display()));
        };
        let photo = open_photo(&source)?;
        let (recipe, picture) = (Box::new(recipe), photo.clone());
        return Ok(Event::DreamOpened { path: path.into(), recipe, photo: Some(photo), picture });
    }
    let picture = open_photo(path)?;
    let recipe = imageio::read_recipe(path).ok().flatten().and_then(|text| Recipe::from_text(&text).ok());
    let Some(recipe) = recipe else { return Ok(Event::PhotoOpened(picture)) };
    let source = recipe.find_source(path).ok().flatten();
    let photo = source.and_then(|source| open_photo(&source).ok());
    Ok(Event::DreamOpened { path: path.into(), recipe: Box::new(recipe), photo, picture })
}

pub fn open_net(key: String, options: &LoadOptions, outlet: &Outlet) {
    match read_net(&key, options) {
        Ok((net, notes)) => {
            outlet.send(Event::NetOpened(Arc::new(net)));
            notes.into_iter().for_each(|note| outlet.send(Event::Noted(note)));
        }
        Err(sentence) => outlet.fail(Failed::OpenNet(key), sentence),
    }
}

/// A net, and what was assumed of it.
pub fn read_net(key: &str, options: &LoadOptions) -> Result<(OpenNet, Vec<String>), String> {
    let opened = catalogue::open_with(key, options).map_err(|error| one_line(&error))?;
    let mut net = OpenNet::new(key, opened.graph)?;
    net.options = options.clone();
    Ok((net, opened.notes))
}

impl OpenPhoto {
    /// Makes a photo ready for the screen.
    pub fn new(photo: Photo) -> Self {
        let (image, thumbnail) = (image_of(&photo.picture), thumbnail_of(&photo.picture));
        Self { photo, image, thumbnail }
    }
}

impl OpenNet {
    /// Makes a net ready for the panels. The error is a sentence for the user.
    pub fn new(key: &str, graph: Arc<Graph>) -> Result<Self, String> {
        Ok(Self {
            key: key.to_string(),
            options: LoadOptions::default(),
            layers: dreamable_layers(&graph).map_err(|error| one_line(&error))?,
            inspection: inspect(&graph, None).map_err(|error| one_line(&error))?,
            layout: layout(&graph, NODE_SIZE, NODE_GAP),
            filters: first_layer_filters(&graph).map(look::filter_sheet),
            graph,
        })
    }
}

/// Shows, saves or copies a step.
pub fn develop(request: Request, home: Option<&Home>, outlet: &Outlet) {
    match request {
        Request::ShowStep(exposure) => match screen_picture(&exposure) {
            Ok(image) => {
                outlet.send(Event::StepShown { job: exposure.job, done: exposure.frame.done, image });
            }
            Err(sentence) => outlet.fail(Failed::Other, sentence),
        },
        Request::Save(exposure, to) => match save_exposure(&exposure, to, home) {
            Ok(path) => outlet.send(Event::Saved { job: exposure.job, done: exposure.frame.done, path }),
            Err(sentence) => outlet.fail(Failed::Save, sentence),
        },
        Request::Copy(exposure) => match full_picture(&exposure) {
            Ok(dream) => outlet.send(Event::CopyReady(image_of(&dream.picture))),
            Err(sentence) => outlet.fail(Failed::Other, sentence),
        },
        _ => {}
    }
}

/// The step at full size, with its recipe.
pub fn full_picture(exposure: &Exposure) -> Result<Dream, String> {
    let photo = photo_of(&exposure.start, None)?;
    let dreamer = Dreamer::new(exposure.frame.spec().clone(), exposure.graph.clone());
    let dream = dreamer.and_then(|dreamer| dreamer.develop(photo, &exposure.frame));
    dream.map_err(|error| one_line(&error))
}

/// The step for the screen: as it is where that is all there is to it, else developed.
fn screen_picture(exposure: &Exposure) -> Result<Image, String> {
    let has_alpha = matches!(&exposure.start, Start::Photo(photo) if photo.photo.picture.alpha.is_some());
    if exposure.frame.spec().keep_colors || has_alpha {
        return Ok(image_of(&full_picture(exposure)?.picture));
    }
    Ok(image_of(&picture_of(&exposure.frame)))
}

fn save_exposure(exposure: &Exposure, to: SaveTo, home: Option<&Home>) -> Result<PathBuf, String> {
    let file = match to {
        SaveTo::File(file) if file.extension().is_none() => file.with_extension("png"),
        SaveTo::File(file) => file,
        SaveTo::Fresh(folder) => fresh_file(exposure, folder, home)?,
    };
    refuse_photo(exposure, &file)?;
    save(&file, &full_picture(exposure)?)?;
    Ok(file)
}

/// Nothing is written over the photo that a dream started from.
fn refuse_photo(exposure: &Exposure, file: &Path) -> Result<(), String> {
    let photo = match &exposure.start {
        Start::Photo(photo) => &photo.photo.path,
        Start::File(path) => path,
        Start::Noise => return Ok(()),
    };
    if is_same_file(photo, file) {
        return Err(format!("{} is the photo itself: choose another name", file.display()));
    }
    Ok(())
}

/// A fresh name in the folder that the user chose, else beside the photo, else among the user's pictures.
fn fresh_file(exposure: &Exposure, folder: Option<PathBuf>, home: Option<&Home>) -> Result<PathBuf, String> {
    let photo = match &exposure.start {
        Start::Photo(photo) => Some(photo.photo.path.as_path()),
        Start::File(path) => Some(path.as_path()),
        Start::Noise => None,
    };
    let stem = photo.and_then(Path::file_stem).unwrap_or("noise".as_ref());
    let is_ours = |path: &Path| home.is_some_and(|home| path.starts_with(&home.data));
    let beside = photo.filter(|path| !is_ours(path)).and_then(Path::parent).map(Path::to_path_buf);
    let pictures = home.map_or_else(PathBuf::new, |home| home.output_folder().to_path_buf());
    if let Some(folder) = folder {
        return Ok(fresh_name(&folder, stem));
    }
    let mut candidates = beside.into_iter().chain([pictures]).map(|folder| fresh_name(&folder, stem));
    let mut refused = None;
    let found = candidates.find(|file| match imageio::check_writable(file) {
        Ok(()) => true,
        Err(error) => {
            refused.get_or_insert(one_line(&error));
            false
        }
    });
    found.ok_or_else(|| refused.unwrap_or_else(|| "there is no folder to save into".into()))
}

/// Writes steps as an animation.
pub fn export(request: Request, stop: &AtomicBool, outlet: &Outlet) {
    let Request::Export { exposures, path, frame_ms } = request else { return };
    match write_animation(&exposures, &path, frame_ms, stop, outlet) {
        Ok(saved) => outlet.send(Event::ExportEnded { path, stopped: saved == Saved::Stopped }),
        Err(sentence) => outlet.fail(Failed::Export, sentence),
    }
}

fn write_animation(
    exposures: &[Exposure],
    path: &Path,
    frame_ms: u32,
    stop: &AtomicBool,
    outlet: &Outlet,
) -> Result<Saved, String> {
    crate::base::parallel::work_in_background();
    let format = AnimationFormat::of_path(path).map_err(|error| one_line(&error))?;
    let Some(last) = exposures.last() else { return Err("there is no step to export".into()) };
    exposures.iter().try_for_each(|exposure| refuse_photo(exposure, path))?;
    let recipe = full_picture(last)?.recipe.to_text();
    let options = AnimationOptions { frame_ms, recipe: Some(recipe), ..AnimationOptions::new(format) };
    let mut developer = Developer::default();
    let mut next = |index: usize| developer.develop(&exposures[index]);
    let mut progress = |done: usize, count: usize| {
        outlet.send(Event::ExportProgress { done, count });
        !stop.load(Ordering::SeqCst)
    };
    save_animation(path, exposures.len(), &mut next, &options, &mut progress).map_err(|error| one_line(&error))
}

/// Develops one step after the other, and packs a net's weights anew only where the settings changed.
#[derive(Default)]
struct Developer {
    ready: Option<(crate::tasks::dream::DreamSpec, Dreamer)>,
}

impl Developer {
    fn develop(&mut self, exposure: &Exposure) -> imageio::Picture {
        self.try_develop(exposure).unwrap_or_else(|_| picture_of(&exposure.frame))
    }

    fn try_develop(&mut self, exposure: &Exposure) -> Result<imageio::Picture, String> {
        let spec = exposure.frame.spec();
        if self.ready.as_ref().is_none_or(|(ready, _)| ready != spec) {
            let dreamer = Dreamer::new(spec.clone(), exposure.graph.clone()).map_err(|error| one_line(&error))?;
            self.ready = Some((spec.clone(), dreamer));
        }
        let Some((_, dreamer)) = &self.ready else { return Err(String::new()) };
        let dream = dreamer.develop(photo_of(&exposure.start, None)?, &exposure.frame);
        dream.map(|dream| dream.picture).map_err(|error| one_line(&error))
    }
}

/// Opens the platform's dialog; what was picked, nothing when it was cancelled.
pub fn dialog(pick: Pick, near: Option<&Path>) -> impl Future<Output = Vec<PathBuf>> + Send + 'static {
    let mut dialog = rfd::AsyncFileDialog::new();
    if let Some(folder) = near.and_then(Path::parent).filter(|folder| folder.is_dir()) {
        dialog = dialog.set_directory(folder);
    }
    let stem = near.and_then(Path::file_stem).unwrap_or("noise".as_ref()).to_string_lossy().into_owned();
    async move {
        let paths = |files: &[rfd::FileHandle]| files.iter().map(|file| file.path().to_path_buf()).collect();
        let one = |file: Option<rfd::FileHandle>| paths(file.as_slice());
        let many = |files: Option<Vec<rfd::FileHandle>>| paths(&files.unwrap_or_default());
        match pick {
            Pick::Photos => {
                let dialog = dialog.set_title("Open photos").add_filter("Pictures and recipes", &photo_endings());
                many(dialog.add_filter("All files", &["*"]).pick_files().await)
            }
            Pick::Folder => one(dialog.set_title("Dream a folder of photos").pick_folder().await),
            Pick::Net => {
                let dialog = dialog.set_title("Open a net").add_filter("Nets", &NET_EXTENSIONS);
                many(dialog.add_filter("All files", &["*"]).pick_files().await)
            }
            Pick::SaveAs => {
                let dialog = dialog.set_title("Save the dream").set_file_name(format!("{stem}-dream.png"));
                let dialog = dialog.add_filter("PNG", &["png"]).add_filter("JPEG", &["jpg", "jpeg"]);
                one(dialog.add_filter("WebP", &["webp"]).add_filter("TIFF", &["tif", "tiff"]).save_file().await)
            }
            Pick::Animation => {
                let mut dialog = dialog.set_title("Export the steps").set_file_name(format!("{stem}-steps.gif"));
                for (format, name) in ANIMATIONS {
                    dialog = dialog.add_filter(name, &[format.extension()]);
                }
                one(dialog.save_file().await)
            }
            Pick::OutputFolder => one(dialog.set_title("Where dreams are saved").pick_folder().await),
        }
    }
}

fn photo_endings() -> Vec<&'static str> {
    PICTURE_ENDINGS.into_iter().chain(["toml"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gui::host::JobId;
    use crate::gui::testing::{dreamt_steps, small_net, small_spec, write_files};

    #[test]
    fn nothing_is_written_over_the_photo() {
        let folder = tempfile::tempdir().expect("a folder");
        let [_, photo] = write_files(folder.path());
        let before = std::fs::read(&photo).expect("it is there");
        let frame = dreamt_steps(&small_spec())[0].frame.clone();
        let (outlet, received) = Outlet::for_tests();
        let opened = Start::Photo(open_photo(&photo).expect("it can be opened"));
        for start in [opened, Start::File(photo.clone())] {
            let exposure = Exposure { job: JobId(0), graph: small_net(), start, frame: frame.clone() };
            develop(Request::Save(exposure.clone(), SaveTo::File(photo.clone())), None, &outlet);
            let animation = Request::Export { exposures: vec![exposure], path: photo.clone(), frame_ms: 80 };
            export(animation, &AtomicBool::new(false), &outlet);
        }
        let events = outlet.take(&received);
        let refused =
            |event: &Event| matches!(event, Event::Failed { sentence, .. } if sentence.contains("the photo itself"));
        assert!(events.len() == 4 && events.iter().all(refused), "{events:?}");
        assert_eq!(std::fs::read(&photo).expect("it is there"), before);
    }
}
