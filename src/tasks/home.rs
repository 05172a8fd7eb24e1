//! Where the user's things are: settings, sessions, pictures. Gives paths; makes and reads nothing.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{self, Path, PathBuf};

use directories::{ProjectDirs, UserDirs};

/// The environment variable that puts everything below one folder: for portable installs and for tests.
pub const HOME_VARIABLE: &str = "ONEIRIC_HOME";

/// The program's name, as its folders bear it.
const PROGRAM: &str = "oneiric";

/// The folders of this user. They need not be there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// What the user has chosen and may want to carry elsewhere: settings, presets.
    pub config: PathBuf,
    /// What the program keeps for the user: sessions, nets.
    pub data: PathBuf,
    /// Where dreams are saved unless the user says otherwise.
    pub pictures: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error("this user has no home folder to keep settings in: set {HOME_VARIABLE} to a folder for them")]
    NoHome,
    #[error("{HOME_VARIABLE} is {}, which cannot be found from the working folder: {source}", .folder.display())]
    NotFound { folder: PathBuf, source: io::Error },
}

impl Home {
    /// The folders below the one that [`HOME_VARIABLE`] names, or else those of the platform: on Linux
    /// `~/.config/oneiric` and `~/.local/share/oneiric` (XDG), on macOS `~/Library/Application Support/oneiric`, on
    /// Windows `config` and `data` in `%APPDATA%\oneiric`; pictures are in `Oneiric` in the user's folder of pictures,
    /// or in the working folder where the user has none.
    ///
    /// # Errors
    /// When the user has no home folder, or the variable's folder is relative and there is no working folder.
    pub fn find() -> Result<Self, HomeError> {
        Self::chosen(env::var_os(HOME_VARIABLE), Self::of_platform)
    }

    /// `config`, `data` and `pictures` below one folder.
    pub fn at(folder: impl AsRef<Path>) -> Self {
        let below = |name| folder.as_ref().join(name);
        Self { config: below("config"), data: below("data"), pictures: below("pictures") }
    }

    /// The user's own presets.
    pub fn presets_folder(&self) -> PathBuf {
        self.config.join("presets")
    }

    /// What the desktop was doing when it was last closed.
    pub fn session_folder(&self) -> PathBuf {
        self.data.join("session")
    }

    /// The nets that the user has fetched or added.
    pub fn nets_folder(&self) -> PathBuf {
        self.data.join("nets")
    }

    /// Where dreams are saved unless the user says otherwise.
    pub fn output_folder(&self) -> &Path {
        &self.pictures
    }

    /// An empty variable is none. A relative folder is made absolute, for it must not move with the working folder.
    fn chosen(variable: Option<OsString>, of_platform: impl Fn() -> Option<Self>) -> Result<Self, HomeError> {
        match variable.filter(|folder| !folder.is_empty()) {
            Some(folder) => match path::absolute(&folder) {
                Ok(folder) => Ok(Self::at(folder)),
                Err(source) => Err(HomeError::NotFound { folder: folder.into(), source }),
            },
            None => of_platform().ok_or(HomeError::NoHome),
        }
    }

    fn of_platform() -> Option<Self> {
        let project = ProjectDirs::from("", "", PROGRAM)?;
        let pictures = UserDirs::new().and_then(|user| user.picture_dir().map(|folder| folder.join("Oneiric")));
        Some(Self {
            config: project.config_dir().to_path_buf(),
            data: project.data_dir().to_path_buf(),
            pictures: pictures.unwrap_or_else(|| PathBuf::from(".")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_goes_before_the_platform() {
        let platform = || Some(Home::at("/platform"));
        let found = |variable: Option<&str>| Home::chosen(variable.map(Into::into), platform).expect("found");
        assert_eq!(found(None), Home::at("/platform"));
        assert_eq!(found(Some("")), Home::at("/platform"), "an empty variable is none");
        let stick = env::temp_dir().join("stick");
        assert_eq!(found(stick.to_str()).presets_folder(), stick.join("config").join("presets"));
        assert_eq!(found(stick.to_str()).session_folder(), stick.join("data").join("session"));
        assert_eq!(found(stick.to_str()).output_folder(), stick.join("pictures"));
        let relative = found(Some("stick"));
        assert!(relative.config.is_absolute() && relative.config.ends_with("stick/config"), "{relative:?}");
    }

    #[test]
    fn a_user_without_a_home_is_told_what_to_do() {
        let error = Home::chosen(None, || None).expect_err("nowhere to be").to_string();
        assert!(error.contains(HOME_VARIABLE), "{error}");
    }

    #[test]
    fn the_folders_of_the_platform_are_named_after_the_program() {
        // A machine without a home folder is not this one's fault.
        let Some(home) = Home::of_platform() else { return };
        for folder in [&home.config, &home.data] {
            assert!(folder.is_absolute(), "{}", folder.display());
            assert!(folder.iter().any(|part| part == PROGRAM), "{}", folder.display());
        }
        assert!(home.pictures.ends_with("Oneiric") || home.pictures == Path::new("."), "{home:?}");
    }
}
