//! Finding a class while its name is being typed.

use crate::nn::graph::Graph;

/// Words less alike than this (Jaro–Winkler, 0 to 1) are no slip of the finger.
const LIKE: f64 = 0.88;

/// The classes that `text` may mean, the best first, at most `most` of them: index and name (the index again where the
/// net has no names).
///
/// A number finds the class of that index. Then come names with all words of the text as whole words, names with all
/// of them as beginnings of words, names that hold the text anywhere, and names with like words, for slips. Within each
/// kind shorter names come first, then lower indices. Case is ignored. All classes, in their order, where nothing is
/// typed.
pub fn find_classes(graph: &Graph, text: &str, most: usize) -> Vec<(usize, String)> {
    let labels = graph.labels();
    let count = labels.len().max(class_count(graph));
    let name_of = |index: usize| labels.get(index).cloned().unwrap_or_else(|| index.to_string());
    let sought = Sought::new(text);
    if sought.words.is_empty() {
        return (0..count.min(most)).map(|index| (index, name_of(index))).collect();
    }
    let mut found: Vec<(Match, usize, usize, String)> = Vec::new();
    for index in 0..count {
        let name = name_of(index);
        let by_index = text.trim().parse() == Ok(index);
        if let Some(how) = if by_index { Some(Match::Index) } else { sought.matches(&name) } {
            found.push((how, name.chars().count(), index, name));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    found.into_iter().take(most).map(|(_, _, index, name)| (index, name)).collect()
}

/// The number of scores that the net ends in; 0 where it ends in something else.
fn class_count(graph: &Graph) -> usize {
    let shapes = graph.shapes(&graph.native_input_shape(1));
    match shapes.ok().and_then(|shapes| shapes.get(graph.logits())?.as_maps()) {
        Some([_, classes, 1, 1]) => classes,
        _ => 0,
    }
}

/// How a name was found, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    Index,
    Whole,
    Words,
    Beginnings,
    Within,
    /// How unlike the words are, in thousandths.
    Alike(u16),
}

struct Sought {
    lower: String,
    words: Vec<String>,
}

impl Sought {
    fn new(text: &str) -> Self {
        let lower = text.trim().to_lowercase();
        let words = words(&lower);
        Self { lower, words }
    }

    fn matches(&self, name: &str) -> Option<Match> {
        let name = name.to_lowercase();
        let name_words = words(&name);
        let all = |like: fn(&str, &str) -> bool| {
            self.words.iter().all(|word| name_words.iter().any(|name_word| like(name_word, word)))
        };
        if name == self.lower {
            return Some(Match::Whole);
        }
        if all(|name_word, word| name_word == word) {
            return Some(Match::Words);
        }
        if all(|name_word, word| name_word.starts_with(word)) {
            return Some(Match::Beginnings);
        }
        if name.contains(&self.lower) {
            return Some(Match::Within);
        }
        let likeness = |word: &String| {
            name_words.iter().map(|name_word| strsim::jaro_winkler(name_word, word)).fold(0.0, f64::max)
        };
        let least = self.words.iter().map(likeness).fold(1.0, f64::min);
        (least >= LIKE).then(|| Match::Alike((1000.0 * (1.0 - least)) as u16))
    }
}

fn words(lower: &str) -> Vec<String> {
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{preprocess, shipped, sketch};
    use super::*;
    use crate::nn::graph::{ChannelOrder, GraphBuilder};
    use crate::nn::ops::Op;
    use crate::nn::ops::linear::Linear;
    use crate::nn::ops::reshape::Reshape;

    /// A net of as many classes as there are names, or of seven without any.
    fn net(names: &[&str]) -> Graph {
        let classes = if names.is_empty() { 7 } else { names.len() };
        let mut net = GraphBuilder::new("data", 3, [1, 1]);
        let flat = net.add("flat", Op::Reshape(Reshape::flatten()), &[GraphBuilder::INPUT], &[]);
        net.param("weight", &[classes, 3], vec![0.0; 3 * classes]);
        net.param("bias", &[classes], vec![0.0; classes]);
        net.add("scores", Op::Linear(Linear {}), &[flat], &["weight", "bias"]);
        let labels = names.iter().map(|name| name.to_string()).collect();
        net.finish("net", preprocess(ChannelOrder::Rgb), labels).unwrap()
    }

    fn found(graph: &Graph, text: &str, most: usize) -> Vec<usize> {
        find_classes(graph, text, most).into_iter().map(|(index, _)| index).collect()
    }

    #[test]
    fn words_come_before_beginnings_before_parts_before_slips() {
        let graph = net(&["hotdog", "dogsled", "African hunting dog", "Dog", "sea dog", "doge", "cat", "dig"]);
        assert_eq!(found(&graph, "dog", 9), [3, 4, 2, 5, 1, 0]);
        assert_eq!(found(&graph, "DOG ", 2), [3, 4]);
        assert_eq!(found(&graph, "hunt dog", 9), [2]);
        assert_eq!(found(&graph, "hotdgo", 9), [0]);
        assert_eq!(found(&graph, "zebra", 9), [0usize; 0]);
    }

    #[test]
    fn a_number_finds_the_class_of_that_index() {
        let graph = net(&["a 1", "b", "c 11"]);
        assert_eq!(found(&graph, "1", 9), [1, 0, 2]);
        assert_eq!(found(&graph, "7", 9), [0usize; 0]);
    }

    #[test]
    fn nothing_typed_lists_all_and_nameless_classes_have_their_numbers() {
        assert_eq!(find_classes(&sketch(), "  ", 2), [(0, "tench".to_string()), (1, "goldfish".to_string())]);
        let nameless = net(&[]);
        assert_eq!(found(&nameless, "", 99), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(find_classes(&nameless, "6", 9), [(6, "6".to_string())]);
        assert!(find_classes(&nameless, "dog", 9).is_empty());
    }

    #[test]
    fn the_shipped_nets_classes_are_found() {
        let graph = shipped();
        let first = |text: &str| find_classes(&graph, text, 1).into_iter().next().map(|(index, _)| index);
        // ImageNet's indices.
        let expected =
            [("volcano", 980), ("volcnao", 980), ("tabby", 281), ("goldfish", 1), ("281", 281), ("Macaw", 88)];
        let wrong: Vec<_> = expected.iter().filter(|(text, index)| first(text) != Some(*index)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        let dogs = find_classes(&graph, "dog", 5);
        assert!(dogs.len() == 5 && dogs.iter().all(|(_, name)| name.contains("dog")), "{dogs:?}");
    }
}
