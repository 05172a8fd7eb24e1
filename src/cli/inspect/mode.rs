//! Which of its things `inspect` is asked for, and which options go with it.

use std::path::Path;

use super::is_stdout;
use crate::cli::args::InspectArgs;
use crate::tasks::destination::is_same_file;
use crate::tasks::inspect::ALL;

#[derive(Debug)]
pub enum Mode<'a> {
    Layers,
    Draw,
    Profile(&'a Path),
    Check { other: &'a str, photo: &'a Path },
    Dump(&'a Path),
}

impl<'a> Mode<'a> {
    /// What the arguments ask for, or what is wrong with them.
    pub fn of(args: &'a InspectArgs) -> Result<Self, String> {
        only_one(args)?;
        options_belong(args)?;
        let photo = |option: &str| {
            args.photo.as_deref().ok_or_else(|| format!("{option} runs the net on a photo: add --photo PHOTO"))
        };
        if args.dot.is_some() || args.svg.is_some() {
            drawings_have_places(args)?;
            return Ok(Self::Draw);
        }
        if let Some(photo) = &args.profile {
            return Ok(Self::Profile(photo));
        }
        if let Some(other) = &args.check {
            return Ok(Self::Check { other, photo: photo("--check")? });
        }
        if !args.dump.is_empty() {
            let photo = photo("--dump")?;
            stdout_takes_one_layer(args)?;
            return Ok(Self::Dump(photo));
        }
        Ok(Self::Layers)
    }
}

fn only_one(args: &InspectArgs) -> Result<(), String> {
    let drawing = if args.svg.is_some() { "--svg" } else { "--dot" };
    let asked = [
        (drawing, args.dot.is_some() || args.svg.is_some()),
        ("--profile", args.profile.is_some()),
        ("--check", args.check.is_some()),
        ("--dump", !args.dump.is_empty()),
    ];
    let mut asked = asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(option, _)| option);
    match (asked.next(), asked.next()) {
        (Some(first), Some(second)) => {
            Err(format!("{first} and {second} are different things: run inspect once for each"))
        }
        _ => Ok(()),
    }
}

fn options_belong(args: &InspectArgs) -> Result<(), String> {
    let (profile, check, dump) = (args.profile.is_some(), args.check.is_some(), !args.dump.is_empty());
    let belongs = [
        ("--rounds", args.rounds.is_some(), profile, "--profile"),
        ("--layers", args.layers, check, "--check"),
        ("--tolerance", args.tolerance.is_some(), check, "--check"),
        ("--class", args.class.is_some(), dump, "--dump"),
        ("--layer", args.layer.is_some(), dump || profile, "--dump or --profile"),
        ("--photo", args.photo.is_some(), dump || check, "--dump or --check"),
    ];
    match belongs.iter().find(|(_, is_given, has_place, _)| *is_given && !has_place) {
        Some((option, _, _, place)) => Err(format!("{option} says nothing without {place}")),
        None => Ok(()),
    }
}

fn drawings_have_places(args: &InspectArgs) -> Result<(), String> {
    if args.out.is_some() {
        return Err("--dot and --svg name their own files: leave out --out".into());
    }
    let places: Vec<&Path> = args.dot.as_deref().into_iter().chain(args.svg.as_deref()).collect();
    let to_stdout = places.iter().filter(|place| is_stdout(place)).count();
    if to_stdout == 2 {
        return Err("stdout takes one drawing only: give --dot or --svg a file".into());
    }
    if to_stdout == 1 && args.common.json {
        return Err("--json has stdout for itself: give the drawing a file".into());
    }
    if let [dot, svg] = places[..]
        && (dot == svg || is_same_file(dot, svg))
    {
        return Err(format!("--dot and --svg cannot both be written to {}", dot.display()));
    }
    Ok(())
}

fn stdout_takes_one_layer(args: &InspectArgs) -> Result<(), String> {
    if !args.out.as_deref().is_some_and(is_stdout) {
        return Ok(());
    }
    if args.common.json {
        return Err("--json has stdout for itself: give --out a file".into());
    }
    match args.dump.as_slice() {
        [layer] if layer != ALL => Ok(()),
        _ => Err("stdout takes the values of one layer only: give --out a folder".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn parsed(line: &str) -> Box<InspectArgs> {
        let words = ["oneiric", "inspect"].into_iter().chain(line.split_whitespace());
        let matches = Cli::definition().try_get_matches_from(words).expect("the words are known");
        match Cli::from_arg_matches(&matches).expect("sound").command {
            Some(Command::Inspect(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_thing_is_done_at_a_time() {
        let cases = [
            ("", "Layers"),
            ("net.onnx --size 64 --json --out a.json", "Layers"),
            ("--svg a.svg", "Draw"),
            ("--dot - --svg a.svg", "Draw"),
            ("--profile p.jpg --rounds 3 --layer block2", "Profile(\"p.jpg\")"),
            ("--check b --photo p.jpg --layers --tolerance 0", "Check { other: \"b\", photo: \"p.jpg\" }"),
            ("--dump a,b --dump c --photo p.jpg --class 3", "Dump(\"p.jpg\")"),
            ("--dump a --photo p.jpg --out -", "Dump(\"p.jpg\")"),
        ];
        for (line, expected) in cases {
            let args = parsed(line);
            assert_eq!(Mode::of(&args).map(|mode| format!("{mode:?}")), Ok(expected.to_string()), "{line}");
        }
        assert_eq!(parsed("--dump a,b --dump c").dump, ["a", "b", "c"]);
    }

    #[test]
    fn options_without_a_place_are_refused_in_a_sentence() {
        let cases = [
            ("--profile p --check b", "--profile and --check are different things: run inspect once for each"),
            ("--svg a --dump b", "--svg and --dump are different things: run inspect once for each"),
            ("--rounds 3", "--rounds says nothing without --profile"),
            ("--layers", "--layers says nothing without --check"),
            ("--tolerance 1 --profile p", "--tolerance says nothing without --check"),
            ("--class cat", "--class says nothing without --dump"),
            ("--layer a --check b", "--layer says nothing without --dump or --profile"),
            ("--photo p", "--photo says nothing without --dump or --check"),
            ("--check b", "--check runs the net on a photo: add --photo PHOTO"),
            ("--dump a", "--dump runs the net on a photo: add --photo PHOTO"),
            ("--dot a --out b", "--dot and --svg name their own files: leave out --out"),
            ("--dot - --svg -", "stdout takes one drawing only: give --dot or --svg a file"),
            ("--dot a --svg a", "--dot and --svg cannot both be written to a"),
            ("--svg - --json", "--json has stdout for itself: give the drawing a file"),
            ("--dump a --photo p --out - --json", "--json has stdout for itself: give --out a file"),
            ("--dump all --photo p --out -", "stdout takes the values of one layer only: give --out a folder"),
        ];
        for (line, expected) in cases {
            let args = parsed(line);
            assert_eq!(Mode::of(&args).map(|_| ()), Err(expected.to_string()), "{line}");
        }
    }
}
